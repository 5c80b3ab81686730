"""The parts of torch's state that all threads of a process share."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Mapping
from functools import cache, partial
from typing import Any

import torch
import torch.backends.opt_einsum
from torch import Tensor

from zoo import cuda
from zoo.ambient.own import CURRENT_DEVICE
from zoo.ambient.parts import Part, Setting, Undo, attribute, settings
from zoo.ambient.turns import TURNS

_SEED = 0  # of the global generators: a plugin that draws from them gets the same numbers whoever calls

# Names that are no change to warn of: zoo gives them values of its own.
UNREMARKABLE = frozenset({"the global random number generators", CURRENT_DEVICE})
# What a new process has of these cannot be known.
UNKNOWN_AT_FIRST = frozenset({"the number of threads", *UNREMARKABLE})


@cache
def shared_parts(*, as_new: bool = False) -> tuple[Part, ...]:
    """The parts that all threads of the process share; `as_new` with what a new process has as their neutral values."""
    c: Any = torch._C
    return (
        Part("the default tensor type", _tensor_type),
        *settings(
            ("the default dtype", torch.get_default_dtype, torch.set_default_dtype, torch.float32),
            ("deterministic mode", torch.get_deterministic_debug_mode, torch.set_deterministic_debug_mode, 0),
            (
                "fill_uninitialized_memory",
                lambda: c._get_deterministic_fill_uninitialized_memory(),
                lambda on: c._set_deterministic_fill_uninitialized_memory(on),
                True,
            ),
            (
                "anomaly detection",
                lambda: (torch.is_anomaly_enabled(), torch.is_anomaly_check_nan_enabled()),
                lambda on: torch.set_anomaly_enabled(*on),
                (False, True),
            ),
            ("the number of threads", torch.get_num_threads, torch.set_num_threads, 1),
        ),
        Part("the deterministic mode of torch.compile", _deterministic_compiler),
        Part("the precision of float32", partial(_float32_precision, _NEW_PRECISIONS if as_new else _PRECISIONS)),
        *settings(*_backends()),
        Part("global hooks of modules or optimizers", _global_hooks),
        Part("the global random number generators", _generators),
    )


def _backends() -> list[Setting]:
    """Which implementations of its operations torch may choose."""
    c: Any = torch._C
    einsum: Any = torch.backends.opt_einsum
    there = einsum.is_available()
    switches = (
        ("mkldnn_enabled", "mkldnn_enabled", True),
        ("mkldnn_deterministic", "mkldnn_deterministic", False),
        ("nnpack_enabled", "nnpack_enabled", True),
        ("cudnn_enabled", "cudnn_enabled", True),
        ("cudnn_benchmark", "cudnn_benchmark", False),
        ("cudnn_deterministic", "cudnn_deterministic", False),
        ("flash_sdp_enabled", "sdp_use_flash", True),
        ("mem_efficient_sdp_enabled", "sdp_use_mem_efficient", True),
        ("math_sdp_enabled", "sdp_use_math", True),
        ("cudnn_sdp_enabled", "sdp_use_cudnn", True),
        ("math_sdp_allow_fp16_bf16_reduction", "math_sdp_allow_fp16_bf16_reduction", False),
        ("cublas_allow_fp16_accumulation", "cublas_allow_fp16_accumulation", False),
    )
    reductions = ("cublas_allow_fp16_reduced_precision_reduction", "cublas_allow_bf16_reduced_precision_reduction")
    return [
        *(_switch(c, *switch) for switch in switches),
        *(_reduction(c, name) for name in reductions),
        attribute("torch.backends.opt_einsum.enabled", einsum, "enabled", there),
        attribute("torch.backends.opt_einsum.strategy", einsum, "strategy", "auto" if there else None),
        (
            "torch.backends.mha",
            lambda: torch.backends.mha.get_fastpath_enabled(),
            lambda on: torch.backends.mha.set_fastpath_enabled(on),
            True,
        ),
        attribute(
            "torch.__future__.set_overwrite_module_params_on_conversion",
            torch.__future__,
            "_overwrite_module_params_on_conversion",
            False,
        ),
        attribute(
            "torch.__future__.set_swap_module_params_on_conversion",
            torch.__future__,
            "_swap_module_params_on_conversion",
            False,
        ),
    ]


def _switch(c: Any, getter: str, setter: str, neutral: bool) -> Setting:
    return (
        f"torch.backends ({getter})",
        lambda: getattr(c, f"_get_{getter}")(),
        lambda on: getattr(c, f"_set_{setter}")(on),
        neutral,
    )


def _reduction(c: Any, name: str) -> Setting:
    """A switch that newer versions of torch have in two parts."""

    def write(on: Any) -> None:
        getattr(c, f"_set_{name}")(*(on if isinstance(on, tuple) else (on,)))

    is_pair = isinstance(getattr(c, f"_get_{name}", bool)(), tuple)
    return f"torch.backends ({name})", lambda: getattr(c, f"_get_{name}")(), write, (True, True) if is_pair else True


def _tensor_type() -> Undo | None:
    """What `torch.set_default_tensor_type` sets: the former way to a default device."""
    if getattr(torch._C, "_get_default_device", lambda: "cpu")() == "cpu":
        return None
    name = torch.empty(0).type()
    torch.set_default_tensor_type(torch.FloatTensor)
    return partial(torch.set_default_tensor_type, name)


def _deterministic_compiler() -> Undo | None:
    config: Any = sys.modules.get("torch._inductor.config")  # which torch.use_deterministic_algorithms imports and sets
    if config is None or not getattr(config, "deterministic", False):
        return None
    config.deterministic = False
    return partial(setattr, config, "deterministic", True)


# Backend and operation: what a new process has. Those that inherit come after what they inherit from.
_NEW_PRECISIONS = {
    ("generic", "all"): "none",
    ("cuda", "all"): "none",
    ("mkldnn", "all"): "none",
    ("cuda", "matmul"): "none",  # which is float32, as all that it inherits from is "none", too
    ("mkldnn", "matmul"): "none",
    ("cuda", "conv"): "tf32",
    ("cuda", "rnn"): "tf32",
    ("mkldnn", "conv"): "none",
    ("mkldnn", "rnn"): "none",
}
# float32 is float32: TF32 has 11 bits of 24, and torch lets cuDNN use it where nobody has asked for it
_PRECISIONS = {**_NEW_PRECISIONS, ("cuda", "conv"): "ieee", ("cuda", "rnn"): "ieee"}


def _float32_precision(neutral: Mapping[tuple[str, str], str]) -> Undo | None:
    """The precision of float32 of each backend, and the two older switches for the same.

    Those are the name that `torch.set_float32_matmul_precision` sets, and `torch.backends.cudnn.allow_tf32`, the only
    ones of torch before 2.9. torch refuses to read a switch that contradicts the precisions. So all agree afterwards.
    """
    c: Any = torch._C
    there = hasattr(c, "_get_fp32_precision_getter")
    tf32 = neutral["cuda", "rnn"] == "tf32"
    try:
        name = torch.get_float32_matmul_precision()
    except RuntimeError:  # it contradicts them; only they count
        name = "highest"
    before = []
    for key, value in neutral.items() if there else ():
        before.append((key, c._get_fp32_precision_getter(*key)))
        if before[-1][1] != value:
            c._set_fp32_precision_setter(*key, value)
    try:
        allowed = c._get_cudnn_allow_tf32()
    except RuntimeError:  # it contradicts what they are by now
        allowed = not tf32
    if name == "highest" and allowed == tf32 and [value for _, value in before] == list(neutral.values()) * there:
        return None

    def write(name_to: str, allowed_to: bool, precisions: Iterable[tuple[tuple[str, str], str]]) -> None:
        if name != "highest":
            torch.set_float32_matmul_precision(name_to)
        if allowed != tf32:
            c._set_cudnn_allow_tf32(allowed_to)
        for key, value in precisions:  # last, because the switches change some of them
            c._set_fp32_precision_setter(*key, value)

    write("highest", tf32, list(neutral.items()) * there)
    return partial(write, name, allowed, before[::-1])


def _global_hooks() -> Undo | None:
    """Hooks that are called for every module, parameter or optimizer; but zoo's own, which say so."""
    callers = []
    for table in filter(None, _hook_tables()):
        hooks = {key: hook for key, hook in table.items() if not hasattr(hook, "stays_in_neutral_state")}
        callers += [(table, hooks)] * bool(hooks)
    if not callers:
        return None
    for table, hooks in callers:
        for key in hooks:
            del table[key]

    def undo() -> None:
        for table, hooks in callers:
            table.update(hooks)

    return undo


@cache
def _hook_tables() -> list[dict[Any, Any]]:
    holders = filter(None, (sys.modules.get(name) for name in ("torch.nn.modules.module", "torch.optim.optimizer")))
    return [
        table
        for holder in holders
        for name, table in vars(holder).items()
        if name.startswith("_global_") and isinstance(table, dict)
    ]


_AT_FIRST: list[Tensor] = []  # what CUDA's generators were when CUDA came into use within a neutral block


def _generators() -> Undo | None:
    """Always put back, and seeded meanwhile.

    CUDA's generators are only there once CUDA is in use, with the seed that the caller has given beforehand.
    """
    of_cuda, outermost = cuda.default_generators(), TURNS.depth <= 1
    generators = [torch.default_generator, *of_cuda]
    states = [generator.get_state() for generator in generators]
    if not of_cuda:
        _AT_FIRST.clear()
    elif not _AT_FIRST:
        _AT_FIRST[:] = states[1:]
    for generator in generators:
        generator.manual_seed(_SEED)

    def undo() -> None:
        for generator, state in zip(generators, states, strict=True):
            generator.set_state(state)
        if outermost and not of_cuda:
            for new, state in zip(cuda.default_generators(), _AT_FIRST, strict=True):
                new.set_state(state)

    return undo
