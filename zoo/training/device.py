"""Which device and how many CPU threads a run uses, with a clear message when a device is not there."""

from __future__ import annotations

import contextlib
import os
import re
import shlex
import sys
import warnings
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from typing import Any

import torch
import torch.utils.deterministic
from torch import nn

from zoo import cuda
from zoo.ambient import in_neutral_state
from zoo.ambient.neutral import available_threads
from zoo.data.examples import Examples
from zoo.errors import DeviceError, out_of_memory, warn
from zoo.options.declaration import decided
from zoo.options.run import RunOptions
from zoo.options.training import BFLOAT16, FLOAT32
from zoo.phrasing import option
from zoo.plugin.calling import described, is_of_plugin, pass_on

_PRODUCTS_PER_THREAD = 30_000_000  # of the largest operation in a forward pass: some 2 ms of a core
_WORTH_A_GPU = 2_000_000  # multiplications of that operation: an estimate, not measured on a GPU; see `fits_cpu`
_CPU = torch.device("cpu")


def _or_the_cpu() -> str:
    return f", or use {option('device', 'cpu')}"


_FORM = re.compile(r"auto|cpu|mps|cuda(:(0|[1-9][0-9]*))?")


@in_neutral_state
def choose_device(name: str = "auto") -> torch.device:
    """The device of that name: `auto` (CUDA where there is any, else the CPU), `cpu`, `cuda`, `cuda:N` or `mps`.

    A CUDA device is tried out. Where it does not work, `auto` is the CPU, and a warning says why.

    Raises:
        DeviceError: no such name, or the device cannot be used here. There is no silent fall-back.
    """
    if name == "auto":
        return _cuda_or_cpu(warn)
    _check_name(name)
    if name.startswith("cuda"):
        _check_cuda(name)
    if name == "mps" and not torch.backends.mps.is_available():
        raise DeviceError(
            f"device 'mps' is not available: it needs macOS on Apple silicon; use {option('device', 'cpu')}"
        )
    return torch.device(name)


def named_device(name: str, warn: Callable[[str], None]) -> torch.device | None:
    """`choose_device`, but None for `auto` where there is CUDA: `suitable_device` then chooses by model and data.

    Args:
        name: as `choose_device` takes it.
        warn: receives why a CUDA device that is there is not taken.

    Raises:
        DeviceError: as `choose_device`.
    """
    if name != "auto":
        return choose_device(name)
    return None if _finds_cuda(warn) else _CPU


def suitable_device(
    options: RunOptions, model: nn.Module, examples: Examples, warn: Callable[[str], None], *, say_small: bool = True
) -> torch.device:
    """What `auto` is for a run where there is CUDA: that, if it works and the run is large enough for it; else the CPU.

    Args:
        options: of the run, with its batch size.
        model: on any device.
        examples: of training.
        warn: receives why a CUDA device that is there is not taken.
        say_small: whether that is said of a small run, too.
    """
    count = _largest_operation(options, model, examples)
    if fits_cpu(count):
        if say_small:
            warn(
                "auto takes the CPU: a step of this run is so small that a GPU is hardly faster (its largest operation "
                f"has {count:,} multiplications); {option('device', 'cuda')} takes the GPU"
            )
        return _CPU
    return _cuda_or_cpu(warn)


def fits_cpu(operation: int) -> bool:
    """Whether a run whose largest operation has so many multiplications would hardly be faster on a GPU.

    A step is some tens of operations, and a GPU takes some 5 microseconds to start each, however small it is, and
    seconds before the first. A core of a CPU does the multiplications of the bound in 0.15 ms, which is as much as
    those starts take. The bound is an estimate: it was not measured on a GPU.
    """
    return operation < _WORTH_A_GPU


def describe_device(device: torch.device) -> str:
    """The device as it goes into results: `cpu`, `cuda:0`, `mps`."""
    return f"cuda:{cuda.index(device)}" if cuda.holds(device) else device.type


def synchronize(device: torch.device) -> None:
    """Wait until the device is done: a clock that is read before that measures nothing."""
    if cuda.holds(device):
        cuda.synchronize(device)
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
def torchs_dropout(model: nn.Module, device: torch.device) -> Iterator[None]:
    """Compute recurrent layers that have dropout between them without cuDNN for a block, on CUDA.

    cuDNN's dropout has a state of its own, which torch neither tells nor sets: a resumed run would drop others. Where
    torch makes it anew after a generator was seeded or set, which also comes between blocks of steps, results would
    depend on how long a block is, and so on the time; where it does not, on what the process has done before. torch's
    own layers draw from the generator. On other devices torch is left as it is.
    """
    before = torch.backends.cudnn.enabled
    if not (cuda.holds(device) and any(_drops_between_layers(part) for part in model.modules())):
        yield
        return
    torch.backends.cudnn.enabled = False
    try:
        yield
    finally:
        torch.backends.cudnn.enabled = before


def _drops_between_layers(part: nn.Module) -> bool:
    return isinstance(part, nn.RNNBase) and part.dropout > 0 and part.num_layers > 1


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
    return max(1, min(available_threads(), _largest_operation(options, model, examples) // _PRODUCTS_PER_THREAD))


def _largest_operation(options: RunOptions, model: nn.Module, examples: Examples) -> int:
    """How many multiplications the largest operation of a forward pass has: of all positions of a batch by a matrix."""
    positions = decided(options.batch_size) * examples.target_size
    return positions * max((p.numel() for p in model.parameters() if p.ndim > 1), default=0)


def check_precision(options: RunOptions, device: torch.device, model: nn.Module | None = None) -> None:
    """Check that a device computes in the precision asked for natively, and does not emulate it.

    Of recurrent cells, torch's autocast makes float16 on CUDA, whatever it is asked for: `at::kHalf` is written into
    `_cudnn_rnn_cast_reflatten` of its `aten/src/ATen/cudnn/AutocastRNN.cpp`. Without a scale, gradients vanish in it.

    Args:
        options, device: of the run.
        model: its model, once that is there.

    Raises:
        DeviceError: it does not.
    """
    if options.precision != BFLOAT16:
        return
    if not _computes_in_bfloat16(device):
        elsewhere = "" if device.type == "cpu" else _or_the_cpu()
        raise DeviceError(
            f"this {device.type} does not compute in bfloat16; leave out {option('precision')}{elsewhere}"
        )
    if cuda.holds(device) and model is not None and any(isinstance(part, nn.RNNBase) for part in model.modules()):
        raise DeviceError(
            f"{option('precision', 'bfloat16')} is not for recurrent models such as {type(model).__name__} on "
            f"{device.type}, where torch computes their cells in float16; leave out {option('precision')}"
            f"{_or_the_cpu()}"
        )


def native_precision(options: RunOptions, device: torch.device, warn: Callable[[str], None]) -> RunOptions:
    """The options of a run whose preset prefers a precision: with float32 where the device would only emulate it."""
    if options.precision != BFLOAT16 or _is_fast_in_bfloat16(device):
        return options
    warn(f"this {device.type} has no products in bfloat16, which the preset prefers: it computes in float32 instead")
    return replace(options, precision=FLOAT32)


def _is_fast_in_bfloat16(device: torch.device) -> bool:
    """As `_computes_in_bfloat16`, which is true as well of a processor on which torch's library emulates it."""
    native = (getattr(torch.cpu, f"_is_{name}_supported", None) for name in ("avx512_bf16", "amx_tile"))  # not promised
    return _computes_in_bfloat16(device) and (device.type != "cpu" or any(has is not None and has() for has in native))


def _computes_in_bfloat16(device: torch.device) -> bool:
    if cuda.holds(device):
        return cuda.computes_in_bfloat16(device)
    return device.type == "cpu" and bool(torch.ops.mkldnn._is_mkldnn_bf16_supported())


def _check_name(name: str) -> None:
    if not _FORM.fullmatch(name):
        raise DeviceError(f"no device {name!r}: there are auto, cpu, cuda, cuda:N and mps")


def _cuda_or_cpu(warn: Callable[[str], None]) -> torch.device:
    """CUDA where there is any that works, else the CPU; `warn` receives why it does not."""
    if not _finds_cuda(warn):
        return _CPU
    try:
        _try_out("cuda")
    except DeviceError as error:
        warn(f"auto takes the CPU: {str(error).removesuffix(_or_the_cpu())}")
        return _CPU
    return torch.device("cuda")


def _finds_cuda(warn: Callable[[str], None]) -> bool:
    """Whether there is a CUDA device. torch warns where there is one that its driver cannot use: that is one line."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        found = cuda.is_available()
    for text in {str(warning.message) for warning in caught}:
        warn(f"auto takes the CPU: {_why_unusable(text)}" if not found else text)
    return found


def _check_cuda(name: str) -> None:
    if cuda.built_for() is None:
        raise DeviceError(
            f"device {name!r} is not available: torch {torch.__version__} was built without CUDA; "
            f"install a CUDA build of torch{_or_the_cpu()}"
        )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the error says it
        count = cuda.count() if cuda.is_available() else 0
    index = int(name.partition(":")[2] or 0)
    if count and index >= count:
        only = "there is 1 CUDA device, cuda:0"
        several = f"there are {count} CUDA devices, cuda:0 to cuda:{count - 1}"
        raise DeviceError(f"device {name!r} is not available: {only if count == 1 else several}")
    _try_out(name)


@in_neutral_state  # at its end the generators of CUDA, which may be new, are neutral too
def _try_out(name: str) -> None:
    """Raise DeviceError where a CUDA device does not work; only the attempt shows it."""
    handled = sys.exc_info()[1]
    device = torch.device(name)
    try:
        cuda.try_out(device)
    except BaseException as error:  # of torch, its driver and its libraries, of many kinds
        pass_on(error, handled)
        if not out_of_memory(error) and not is_of_plugin(error):
            raise
        if out_of_memory(error):
            why = f"other programs have taken all memory of {_card(device)}; {_tool()} shows them"
        elif any(text in str(error) for text in _NO_KERNELS):
            have = ", ".join(cuda.architectures()) or "others"
            why = (
                f"torch {torch.__version__} has no kernels for {_card(device)}, only for {have}; install another torch"
            )
        else:
            why = _why_unusable(described(error))
        raise DeviceError(f"device {name!r} is not available: {why}{_or_the_cpu()}") from error


_NO_KERNELS = ("no kernel image", "invalid device function", "NoKernelImageForDevice", "NoBinaryForGpu")


def _why_unusable(text: str) -> str:
    """What torch says of a CUDA that does not work, in a few words, with what to do."""
    hiding = next((name for name in _HIDING if name in os.environ), None)
    if "driver" in text and "too old" in text:
        return f"its driver is too old for the {cuda.platform()} of torch {torch.__version__}; install a newer driver"
    none = any(part in text for part in _NO_DEVICE)
    if none and hiding is not None:
        return f"{hiding}={shlex.quote(os.environ[hiding])} hides every CUDA device; unset it"
    if none or "no NVIDIA driver" in text:
        of = " of AMD" if _tool() == "rocm-smi" else ""  # this torch is for these
        return f"no CUDA device{of} or driver was found; see {_tool()}"
    return f"{text.strip().partition(chr(10))[0].rstrip('.')}; see {_tool()}"


_HIDING = ("CUDA_VISIBLE_DEVICES", "HIP_VISIBLE_DEVICES", "ROCR_VISIBLE_DEVICES")
_NO_DEVICE = ("No CUDA GPUs", "No HIP GPUs", "no CUDA-capable device", "no ROCm-capable device")


def _tool() -> str:
    return "rocm-smi" if cuda.platform().startswith("ROCm") else "nvidia-smi"


def _card(device: torch.device) -> str:
    """The card, with its capability, for a message: `NVIDIA GeForce GTX 1080 (compute capability 6.1)`."""
    try:
        major, minor = cuda.capability(device)
        return f"{cuda.name(device)} (compute capability {major}.{minor})"
    except RuntimeError:  # it may be too far gone to tell
        return str(device)
