"""Every state of torch that a caller may be in, and a fingerprint of the state that is around a call."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from typing import Any

import torch
from torch.optim.optimizer import register_optimizer_step_pre_hook
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode

from zoo.ambient.own import own_parts
from zoo.ambient.parts import make_neutral, put_back

C: Any = torch._C


class Spoiling(TorchFunctionMode):
    """What it gets in its way is not what it is."""

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        raise AssertionError(f"{func} was called in the caller's TorchFunctionMode")


class Refusing(TorchDispatchMode):  # type: ignore[no-untyped-call]  # torch
    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        raise AssertionError(f"{func} was called in the caller's TorchDispatchMode")


@contextlib.contextmanager
def changed(read: Callable[[], Any], write: Callable[[Any], object], value: Any) -> Iterator[None]:
    before = read()
    write(value)
    try:
        yield
    finally:
        write(before)


def setting(getter: str, setter: str, value: Any) -> Callable[[], AbstractContextManager[None]]:
    return lambda: changed(getattr(C, f"_get_{getter}"), getattr(C, f"_set_{setter}"), value)


def precision(backend: str, operation: str, value: str) -> Callable[[], AbstractContextManager[None]]:
    return lambda: changed(
        lambda: C._get_fp32_precision_getter(backend, operation),
        lambda new: C._set_fp32_precision_setter(backend, operation, new),
        value,
    )


@contextlib.contextmanager
def default_device(device: str) -> Iterator[None]:
    torch.set_default_device(device)
    try:
        yield
    finally:
        torch.set_default_device(None)


@contextlib.contextmanager
def autocast_within_autocast() -> Iterator[None]:
    with torch.autocast("cpu", torch.float16), torch.autocast("cpu", torch.bfloat16):
        yield


@contextlib.contextmanager
def flush_denormal() -> Iterator[None]:
    torch.set_flush_denormal(True)
    try:
        yield
    finally:
        torch.set_flush_denormal(False)


@contextlib.contextmanager
def anomaly() -> Iterator[None]:
    torch.set_anomaly_enabled(True, True)
    try:
        yield
    finally:
        torch.set_anomaly_enabled(False, True)


@contextlib.contextmanager
def levels(enter: Callable[[], object], leave: Callable[[], object]) -> Iterator[None]:
    enter()
    try:
        yield
    finally:
        leave()


def vmap_level() -> AbstractContextManager[None]:
    f = C._functorch
    return levels(lambda: f._vmap_increment_nesting(3, "error"), f._vmap_decrement_nesting)


def grad_level() -> AbstractContextManager[None]:
    f = C._functorch
    return levels(f._grad_increment_nesting, f._grad_decrement_nesting)


def zeroing_hooks() -> AbstractContextManager[object]:
    return torch.autograd.graph.saved_tensors_hooks(lambda saved: torch.zeros_like(saved), lambda packed: packed)


@contextlib.contextmanager
def hooked(register: Callable[[Any], Any], hook: Callable[..., Any]) -> Iterator[None]:
    handle = register(hook)
    try:
        yield
    finally:
        handle.remove()


def module_hook() -> AbstractContextManager[None]:
    register = torch.nn.modules.module.register_module_forward_hook
    return hooked(register, lambda _module, _args, output: output * 0 if isinstance(output, torch.Tensor) else output)


def optimizer_hook() -> AbstractContextManager[None]:
    def refuse(*_: object) -> None:
        raise AssertionError("the caller's hook of all optimizers was called")

    return hooked(register_optimizer_step_pre_hook, refuse)


def parameter_hook() -> AbstractContextManager[None]:
    register = torch.nn.modules.module.register_module_parameter_registration_hook
    return hooked(register, lambda _module, _name, p: torch.nn.Parameter(p.detach() * 0) if p is not None else None)


@contextlib.contextmanager
def seeded_elsewhere() -> Iterator[None]:
    state = torch.get_rng_state()
    torch.manual_seed(20_23)
    torch.rand(7)
    try:
        yield
    finally:
        torch.set_rng_state(state)


@contextlib.contextmanager
def autocast_of_cuda() -> Iterator[None]:
    with changed(lambda: torch.is_autocast_enabled("cuda"), lambda on: torch.set_autocast_enabled("cuda", on), True):
        yield


def fake_tensors() -> AbstractContextManager[object]:
    from torch._subclasses.fake_tensor import FakeTensorMode

    return FakeTensorMode()


def default_dtype(dtype: torch.dtype) -> AbstractContextManager[None]:
    return changed(torch.get_default_dtype, torch.set_default_dtype, dtype)


def deterministic(mode: int) -> AbstractContextManager[None]:
    return changed(torch.get_deterministic_debug_mode, torch.set_deterministic_debug_mode, mode)


def future(name: str) -> AbstractContextManager[None]:
    return changed(lambda: getattr(torch.__future__, name), lambda on: setattr(torch.__future__, name, on), True)


def autocast_dtype(dtype: torch.dtype) -> AbstractContextManager[None]:
    return changed(lambda: torch.get_autocast_dtype("cpu"), lambda new: torch.set_autocast_dtype("cpu", new), dtype)


@contextlib.contextmanager
def _both(first: Callable[[], Any], second: Callable[[], Any]) -> Iterator[None]:
    with first(), second():
        yield


STATES: dict[str, Callable[[], AbstractContextManager[Any]]] = {
    "no_grad": torch.no_grad,
    "gradients off": lambda: changed(torch.is_grad_enabled, torch._C._set_grad_enabled, False),
    "inference_mode": torch.inference_mode,
    "inference_mode in no_grad": lambda: _both(torch.no_grad, torch.inference_mode),
    "no forward gradients": lambda: changed(C._is_fwd_grad_enabled, C._set_fwd_grad_enabled, False),
    "single-threaded backward": lambda: torch.autograd.set_multithreading_enabled(False),
    "autocast": lambda: torch.autocast("cpu", torch.bfloat16),
    "autocast within autocast": autocast_within_autocast,
    "autocast without cache": lambda: torch.autocast("cpu", torch.bfloat16, cache_enabled=False),
    "autocast of cuda": autocast_of_cuda,
    "dtype of autocast": lambda: autocast_dtype(torch.float16),
    "float64": lambda: default_dtype(torch.float64),
    "float16": lambda: default_dtype(torch.float16),
    "default device": lambda: default_device("meta"),
    "device block": lambda: torch.device("meta"),
    "device block in default device": lambda: _both(lambda: default_device("cpu"), lambda: torch.device("meta")),
    "TorchFunctionMode": Spoiling,
    "TorchDispatchMode": Refusing,
    "fake tensors": fake_tensors,
    "vmap": vmap_level,
    "func.grad": grad_level,
    "hooks for saved tensors": zeroing_hooks,
    "no hooks for saved tensors": lambda: torch.autograd.graph.disable_saved_tensors_hooks("the caller's"),
    "deterministic, with errors": lambda: deterministic(2),
    "deterministic, with warnings": lambda: deterministic(1),
    "no fill": setting("deterministic_fill_uninitialized_memory", "deterministic_fill_uninitialized_memory", False),
    "matmul precision": lambda: changed(
        torch.get_float32_matmul_precision, torch.set_float32_matmul_precision, "medium"
    ),
    "flush-denormal": flush_denormal,
    "anomaly detection": anomaly,
    "two threads": lambda: changed(torch.get_num_threads, torch.set_num_threads, 2),
    "hook of modules": module_hook,
    "hook of parameters": parameter_hook,
    "hook of optimizers": optimizer_hook,
    "random numbers": seeded_elsewhere,
    "no mkldnn": setting("mkldnn_enabled", "mkldnn_enabled", False),
    "no nnpack": setting("nnpack_enabled", "nnpack_enabled", False),
    "no flash attention": setting("flash_sdp_enabled", "sdp_use_flash", False),
    "no math attention": setting("math_sdp_enabled", "sdp_use_math", False),
    "cudnn benchmark": setting("cudnn_benchmark", "cudnn_benchmark", True),
    "no fast path": lambda: changed(
        torch.backends.mha.get_fastpath_enabled, torch.backends.mha.set_fastpath_enabled, False
    ),
    "parameters overwritten": lambda: future("_overwrite_module_params_on_conversion"),
    "parameters swapped": lambda: future("_swap_module_params_on_conversion"),
}
STATES["cuDNN without TF32"] = setting("cudnn_allow_tf32", "cudnn_allow_tf32", False)
if hasattr(C, "_get_fp32_precision_getter"):
    STATES |= {
        "cuDNN's cells as all else": precision("cuda", "rnn", "none"),
        "tf32 everywhere": precision("generic", "all", "tf32"),
        "bf16 products": precision("mkldnn", "matmul", "bf16"),
        "ieee convolutions": precision("cuda", "conv", "ieee"),
    }


def fingerprint() -> dict[str, object]:
    """What can be read of torch's state, without making a tensor in it."""
    depth = torch.autocast_increment_nesting() - 1
    torch.autocast_decrement_nesting()
    modules = torch.nn.modules.module
    found: dict[str, object] = {
        "grad": (torch.is_grad_enabled(), torch.is_inference_mode_enabled()),
        "autograd": (C._is_fwd_grad_enabled(), C._is_multithreading_enabled()),
        "function modes": [C._get_function_stack_at(i) for i in range(C._len_torch_function_stack())],
        "dispatch modes": [C._get_dispatch_stack_at(i) for i in range(C._len_torch_dispatch_stack())],
        "device": (torch.utils._device.CURRENT_DEVICE, getattr(torch._GLOBAL_DEVICE_CONTEXT, "device_context", None)),
        "functorch": C._functorch.get_dynamic_layer_stack_depth(),
        "autocast": [(torch.is_autocast_enabled(d), torch.get_autocast_dtype(d)) for d in ("cpu", "cuda")],
        "autocast cache": (depth, torch.is_autocast_cache_enabled()),
        "saved tensors": C._autograd._top_saved_tensors_default_hooks(True),
        "no saved tensors": C._autograd._saved_tensors_hooks_get_disabled_error_message(),
        "dtype": torch.get_default_dtype(),
        "deterministic": torch.get_deterministic_debug_mode(),
        "anomaly": (torch.is_anomaly_enabled(), torch.is_anomaly_check_nan_enabled()),
        "threads": torch.get_num_threads(),
        "denormal": [2.2250738585072014e-308][0] / 2,
        "hooks": [dict(table) for name, table in vars(modules).items() if name.startswith("_global") and table],
        "generator": _state(),
        "future": (
            torch.__future__._overwrite_module_params_on_conversion,
            torch.__future__._swap_module_params_on_conversion,
        ),
    }
    for name, read in (("matmul", torch.get_float32_matmul_precision), ("cudnn", C._get_cudnn_allow_tf32)):
        with contextlib.suppress(RuntimeError):  # it may contradict "fp32", below
            found[name] = read()
    getters = [
        name for name in dir(C) if name.startswith("_get_") and name.endswith(("_enabled", "_memory", "benchmark"))
    ]
    found |= {name: getattr(C, name)() for name in getters}
    if hasattr(C, "_get_fp32_precision_getter"):
        pairs = [(b, o) for b in ("cuda", "mkldnn") for o in ("all", "matmul", "conv", "rnn")]
        found["fp32"] = [C._get_fp32_precision_getter(*pair) for pair in [("generic", "all"), *pairs]]
    return found


def _state() -> bytes:
    """Of the global generator, read outside of the caller's modes, which may refuse to make a tensor."""
    undos = make_neutral(own_parts())
    try:
        return torch.default_generator.get_state().numpy().tobytes()
    finally:
        put_back(undos)
