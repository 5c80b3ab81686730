"""Which device and how many CPU threads a run uses, with a clear message when a device is not there."""

from __future__ import annotations

import contextlib
import os
import re
from collections.abc import Iterator, Mapping
from typing import Any

import torch
import torch.utils.deterministic
from torch import nn

from zoo.ambient import in_neutral_state
from zoo.ambient.neutral import available_threads
from zoo.data.datasets import Examples
from zoo.errors import DeviceError
from zoo.options.declaration import decided
from zoo.options.run import RunOptions
from zoo.options.training import BFLOAT16

_PRODUCTS_PER_THREAD = 30_000_000  # of the largest operation in a forward pass: some 2 ms of a core
_FORM = re.compile(r"auto|cpu|mps|cuda(:(0|[1-9][0-9]*))?")


@in_neutral_state
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
    """Wait until the device is done: a clock that is read before that measures nothing."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    elif device.type == "mps":
        torch.mps.synchronize()


@contextlib.contextmanager
def deterministic_sums(device: torch.device) -> Iterator[None]:
    """Use deterministic algorithms on a CPU for a block, because scatter-add otherwise is not deterministic.

    Where several threads share a large one, the gradient of `table[x]` for instance, its result differs from run to
    run (and it takes twice as long). On other devices torch is left as it is.
    """
    before = torch.get_deterministic_debug_mode()
    settings: Any = torch.utils.deterministic  # a module with a setting that is not in its hints
    filling = settings.fill_uninitialized_memory
    if device.type != "cpu" or before:
        yield
        return
    torch.set_deterministic_debug_mode("warn")  # operators without a deterministic algorithm still run
    settings.fill_uninitialized_memory = False  # which would write every new tensor once more
    try:
        yield
    finally:
        settings.fill_uninitialized_memory = filling
        torch.set_deterministic_debug_mode(before)


@contextlib.contextmanager
def threads(count: int) -> Iterator[None]:
    """Let torch use `count` CPU threads for a block, and as many as before afterwards."""
    before = torch.get_num_threads()
    torch.set_num_threads(count)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def fewer_threads(count: int, environ: Mapping[str, str] = os.environ) -> str | None:
    """Why OpenMP may use fewer threads than `count`, if it may. torch does not know; the last digits may differ then.

    Fewer cores are no reason: `count` threads share them, and give the same.
    """
    limit = environ.get("OMP_THREAD_LIMIT", "")
    if limit.isdecimal() and 0 < int(limit) < count:
        return f"OMP_THREAD_LIMIT={limit} allows fewer threads than the {count} of this run: its last digits may differ"
    if count > 1 and environ.get("OMP_DYNAMIC", "").strip().lower() == "true":
        return f"OMP_DYNAMIC=true may use fewer threads than the {count} of this run: its last digits may differ"
    return None


def choose_threads(options: RunOptions, model: nn.Module, examples: Examples) -> int:
    """How many CPU threads a run uses: the number given, or one chosen by the size of its operations.

    Threads share one operation and wait for each other at its end. For a small net that gains little on an idle
    machine; where another program uses a core, every operation waits until that core is free, and training takes tens
    of times as long.
    """
    if options.threads is not None:
        return options.threads
    if any(isinstance(part, nn.RNNBase) for part in model.modules()):
        return 1  # it computes one position after the other, in many small operations
    positions = decided(options.batch_size) * examples.y[0].numel()
    largest = positions * max((p.numel() for p in model.parameters() if p.ndim > 1), default=0)  # multiplications
    return max(1, min(available_threads(), largest // _PRODUCTS_PER_THREAD))


def check_precision(options: RunOptions, device: torch.device) -> None:
    """Check that a device computes in the precision asked for natively, and does not emulate it.

    Raises:
        DeviceError: it does not.
    """
    if options.precision == BFLOAT16 and not _computes_in_bfloat16(device):
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
