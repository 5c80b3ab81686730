"""The parts of torch's state that each thread has for itself."""

from __future__ import annotations

import sys
from functools import cache, partial
from typing import Any

import torch
from torch import overrides
from torch._C import _len_torch_dispatch_stack, _len_torch_function_stack
from torch.utils import _device as devices
from torch.utils import _python_dispatch as dispatch

from zoo import cuda
from zoo.ambient.parts import Part, Undo, settings

CURRENT_DEVICE = "the current device of CUDA"

_HELD: list[object] = []  # guards of inference mode, which end it when they are freed


@cache
def own_parts() -> tuple[Part, ...]:
    """The parts that each thread has for itself."""
    c: Any = torch._C
    return (
        Part("inference mode", _inference_mode),
        *settings(
            ("gradient mode", torch.is_grad_enabled, lambda on: c._set_grad_enabled(on), True),
            ("forward-mode gradients", lambda: c._is_fwd_grad_enabled(), lambda on: c._set_fwd_grad_enabled(on), True),
            (
                "multithreading of the backward pass",
                lambda: c._is_multithreading_enabled(),
                lambda on: c._set_multithreading_enabled(on),
                True,
            ),
        ),
        Part("transforms of torch.func", _function_transforms),
        Part("the default device or a TorchFunctionMode", _function_modes),
        Part("a TorchDispatchMode", _dispatch_modes),
        Part("autocast", _autocast),
        Part("hooks for saved tensors", _saved_tensor_hooks),
        Part("flush-denormal", _flush_denormal),
        Part(CURRENT_DEVICE, _current_device),
    )


def _inference_mode() -> Undo | None:
    """Within a guard that switches it off tensors are ordinary ones. The guard's end brings all of its state back."""
    if not torch.is_inference_mode_enabled():
        return None
    guard: Any = torch._C._InferenceMode(False)
    guard.__enter__()
    _HELD.append(guard)

    def undo() -> None:
        guard.__exit__(None, None, None)
        _HELD.remove(guard)

    return undo


def _function_transforms() -> Undo | None:
    """The levels of `vmap`, `grad` and the like that the caller is within."""
    functorch: Any = getattr(torch._C, "_functorch", None)
    if functorch is None or functorch.peek_interpreter_stack() is None:
        return None
    levels = []
    while functorch.peek_interpreter_stack() is not None:
        levels.append(functorch.pop_dynamic_layer_stack())

    def undo() -> None:
        for level in reversed(levels):
            functorch.push_dynamic_layer_stack(level)

    return undo


def _function_modes() -> Undo | None:
    """Modes such as `with torch.device("cuda")`, and what `torch.set_default_device` records beside its mode."""
    chosen: Any = getattr(torch, "_GLOBAL_DEVICE_CONTEXT", None)
    context = getattr(chosen, "device_context", None)
    if not _len_torch_function_stack() and context is None:
        return None
    modes = [overrides._pop_mode() for _ in range(_len_torch_function_stack())]  # type: ignore[no-untyped-call]  # torch
    current, devices.CURRENT_DEVICE = devices.CURRENT_DEVICE, None
    if chosen is not None:
        chosen.device_context = None

    def undo() -> None:
        for mode in reversed(modes):
            overrides._push_mode(mode)  # type: ignore[no-untyped-call]  # torch
        devices.CURRENT_DEVICE = current
        if chosen is not None:
            chosen.device_context = context

    return undo


def _dispatch_modes() -> Undo | None:
    """All of them but those that zoo itself has set, which say so."""
    if not _len_torch_dispatch_stack():
        return None
    kept = [
        mode for mode in dispatch._get_current_dispatch_mode_stack() if getattr(mode, "stays_in_neutral_state", False)
    ]
    if len(kept) == _len_torch_dispatch_stack():
        return None
    modes = [dispatch._pop_mode() for _ in range(_len_torch_dispatch_stack())]
    for mode in kept:
        dispatch._push_mode(mode)

    def undo() -> None:
        for _ in range(_len_torch_dispatch_stack()):
            dispatch._pop_mode()
        for mode in reversed(modes):
            dispatch._push_mode(mode)

    return undo


def _autocast() -> Undo | None:
    """Autocast on each device, its types, and its cache.

    Its cache of converted weights is emptied only where the outermost block ends. So the depth has to be 0, or every
    step in bfloat16 would see the weights of the first.
    """
    depth = torch.autocast_increment_nesting() - 1
    torch.autocast_decrement_nesting()
    known = ("cpu", "cuda")
    types = [torch.get_autocast_dtype(device) for device in known]
    cached = torch.is_autocast_cache_enabled()
    if not (depth or torch._C._is_any_autocast_enabled()) and cached and types == [torch.bfloat16, torch.float16]:
        return None
    others = set(torch._C._autocast_supported_devices()) | set(known)
    enabled = [device for device in others if torch.is_autocast_enabled(device)]
    for device in enabled:
        torch.set_autocast_enabled(device, False)
    for device, neutral in zip(known, (torch.bfloat16, torch.float16), strict=True):
        torch.set_autocast_dtype(device, neutral)
    torch.set_autocast_cache_enabled(True)
    for _ in range(depth):
        torch.autocast_decrement_nesting()
    torch.clear_autocast_cache()

    def undo() -> None:
        torch.clear_autocast_cache()
        for _ in range(depth):
            torch.autocast_increment_nesting()
        torch.set_autocast_cache_enabled(cached)
        for device, dtype in zip(known, types, strict=True):
            torch.set_autocast_dtype(device, dtype)
        for device in enabled:
            torch.set_autocast_enabled(device, True)

    return undo


def _saved_tensor_hooks() -> Undo | None:
    hooks: Any = torch._C._autograd
    pairs = []
    while (pair := hooks._top_saved_tensors_default_hooks(True)) is not None:
        pairs.append(pair)
        hooks._pop_saved_tensors_default_hooks()
    disabled = hooks._saved_tensors_hooks_get_disabled_error_message()
    if disabled is not None:
        hooks._saved_tensors_hooks_enable()
    if not pairs and disabled is None:
        return None

    def undo() -> None:
        for pack, unpack in reversed(pairs):
            hooks._push_saved_tensors_default_hooks(pack, unpack)
        if disabled is not None:
            hooks._saved_tensors_hooks_disable(disabled)

    return undo


def _flush_denormal() -> Undo | None:
    """torch has no function that tells it, but Python's own arithmetic is subject to it too."""
    smallest = sys.float_info.min
    if smallest / 2:
        return None
    torch.set_flush_denormal(False)
    return partial(torch.set_flush_denormal, True)


def _current_device() -> Undo:
    """Only put back: which device a run is on is for it to say. Before CUDA is in use, it is the first one."""
    before = cuda.current_index() or 0

    def undo() -> None:
        if cuda.current_index() not in (before, None):
            cuda.set_current(before)

    return undo
