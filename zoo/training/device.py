"""Which device a run uses, and a clear word when that device is not there."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Iterator
from typing import Any

import torch
import torch.utils.deterministic

from zoo.errors import DeviceError
from zoo.plugin.specs import BFLOAT16

_FORM = re.compile(r"auto|cpu|mps|cuda(:(0|[1-9][0-9]*))?")


def choose_device(name: str = "auto") -> torch.device:
    """The device of that name: `auto` (CUDA where there is any, else the CPU), `cpu`, `cuda`, `cuda:N` or `mps`.

    Raises:
        DeviceError: no such name, or the device cannot be used here. There is no silent fall-back.
    """
    if not _FORM.fullmatch(name):
        raise DeviceError(f"no device {name!r}: there are auto, cpu, cuda, cuda:N and mps")
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    if name.startswith("cuda"):
        _check_cuda(name)
    if name == "mps" and not torch.backends.mps.is_available():
        raise DeviceError("device 'mps' is not available: it needs macOS on Apple silicon; use --device cpu")
    return torch.device(name)


def describe_device(device: torch.device) -> str:
    """The device as it goes into results: `cpu`, `cuda:0`, `mps`."""
    if device.type == "cuda":
        return f"cuda:{device.index if device.index is not None else torch.cuda.current_device()}"
    return device.type


def synchronize(device: torch.device) -> None:
    """Wait until the device has done all it was given: a clock read before that measures nothing."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    elif device.type == "mps":
        torch.mps.synchronize()


@contextlib.contextmanager
def one_order_of_sums(device: torch.device) -> Iterator[None]:
    """While it lasts, what torch adds up on a CPU it adds up in the same order every time.

    By itself it does not where several threads share one large operation: the gradient of `table[x]` then differs from
    run to run (and takes twice as long). On other devices torch is left as it is.
    """
    before = torch.get_deterministic_debug_mode()
    settings: Any = torch.utils.deterministic  # a module with a setting that is not in its hints
    filling = settings.fill_uninitialized_memory
    if device.type != "cpu" or before:
        yield
        return
    torch.set_deterministic_debug_mode("warn")  # nothing is refused
    settings.fill_uninitialized_memory = False  # every new tensor, once more
    try:
        yield
    finally:
        settings.fill_uninitialized_memory = filling
        torch.set_deterministic_debug_mode(before)


def check_precision(precision: str, device: torch.device) -> None:
    """Whether a device computes in that precision by itself, and not by doing float32's work and more.

    Raises:
        DeviceError: it does not.
    """
    if precision == BFLOAT16 and not _computes_in_bfloat16(device):
        raise DeviceError(f"this {device.type} does not compute in bfloat16; leave out --precision")


def _computes_in_bfloat16(device: torch.device) -> bool:
    if device.type == "cuda":
        return bool(torch.cuda.is_bf16_supported(including_emulation=False))
    return device.type == "cpu" and bool(torch.ops.mkldnn._is_mkldnn_bf16_supported())


def _check_cuda(name: str) -> None:
    if torch.version.cuda is None and torch.version.hip is None:
        raise DeviceError(
            f"device {name!r} is not available: torch {torch.__version__} was built without CUDA; "
            "install a CUDA build of torch, or use --device cpu"
        )
    count = torch.cuda.device_count()
    if not torch.cuda.is_available() or count == 0:
        raise DeviceError(
            f"device {name!r} is not available: no CUDA device or driver was found; see nvidia-smi, or use --device cpu"
        )
    index = int(name.partition(":")[2] or 0)
    if index >= count:
        raise DeviceError(
            f"device {name!r} is not available: there are {count} CUDA devices, cuda:0 to cuda:{count - 1}"
        )
