"""The errors that zoo raises for its users, each with a message of one line and an exit code.

All of them derive from `ZooError`, except `InterruptedRunError`, which is a KeyboardInterrupt. Any other exception is
a bug in zoo or in a plugin.
"""

from __future__ import annotations

import contextlib
import errno
import os
import sys
import warnings
from collections.abc import Callable, Iterable, Iterator

from zoo.phrasing import option
from zoo.text import message, shown

_SIMILAR = 0.6
_MAX_NAME = 200  # characters that are compared
_MARGIN = 0.2  # a suggestion may be less similar than the first by this ratio
_INSIDE = (f"{__file__.rpartition(os.sep)[0]}{os.sep}", contextlib.__file__)  # zoo itself, and what wraps its functions


class ZooError(Exception):
    """The base class. `str(error)` is a message for the user: one line that is safe to show, whatever it quotes."""

    exit_code = 1

    def __str__(self) -> str:
        return message(super().__str__())

    def __repr__(self) -> str:
        return f"{type(self).__name__}({shown(str(self))})"


class UsageError(ZooError):
    """Wrong usage: an unknown name or key, a value out of range, or a device that is not available."""

    exit_code = 2


class UnknownNameError(UsageError):
    """There is no model, dataset, optimizer, preset or setting of that name."""


class AmbiguousNameError(UsageError):
    """A short name that several distributions use."""


class DeviceError(UsageError):
    """The device does not exist, or this build of torch cannot use it."""


class EngineUnavailableError(UsageError):
    """An engine cannot train this model on this machine. Raised by the engine's factory, with the reason."""


class PluginError(ZooError):
    """A plugin cannot be loaded, or does not follow the plugin interface."""


class DataError(ZooError):
    """A dataset cannot be read or used."""


class UnavailableError(DataError):
    """Data that must be downloaded is not available."""


class RunningTextError(DataError):
    """A file that is read as words is running text."""


class ChangedDataError(DataError):
    """A file of words does not have the digest of the data that a run was trained on."""


class CheckpointError(ZooError):
    """A checkpoint is missing, damaged, not of zoo, or does not fit its config."""


class MissingPluginError(CheckpointError):
    """A checkpoint needs a model, dataset or optimizer whose plugin is not installed, disabled or broken."""


class OtherVersionError(CheckpointError):
    """A checkpoint was made with another version of a plugin, and does not fit the one that is installed."""


class OtherVersionWarning(UserWarning):
    """A checkpoint was made with another version of its plugin, which may compute something else."""


class DivergedError(ZooError):
    """The loss became NaN or infinite, in the training step `step` if it is known."""

    def __init__(self, message: str, step: int | None = None) -> None:
        super().__init__(message)
        self.step = step


class OutOfMemoryError(ZooError):
    """There is not enough memory, of the machine or of the GPU. It is nobody's fault, and no plugin's.

    Where it ran out in training, `step` is the step that the training was brought back to.
    """

    def __init__(self, message: str, step: int | None = None) -> None:
        super().__init__(message)
        self.step = step


class RankLostError(ZooError):
    """Another process of a run by several ranks is lost, or has failed: the ranks cannot go on without it."""


class InterruptedRunError(KeyboardInterrupt):
    """A run was stopped by a signal and has saved a checkpoint.

    Like Ctrl-C anywhere else it is no `Exception`, so that a loop over runs that catches those ends, too.
    """

    def __init__(self, message: str, signal_number: int) -> None:
        super().__init__(message)
        self.exit_code = 128 + signal_number  # the shell's convention: 130 for Ctrl-C, 143 for SIGTERM

    def __str__(self) -> str:
        return message(super().__str__())

    def __repr__(self) -> str:
        return f"{type(self).__name__}({shown(str(self))})"


_OUT_OF_MEMORY = (  # texts of torch on the CPU, of CUDA and ROCm, their libraries and Triton, in lower case
    "out of memory",  # "CUDA out of memory. ...", "CUDA error: out of memory", "Triton Error [CUDA]: out of memory"
    "out_of_memory",  # CUDA_ERROR_OUT_OF_MEMORY, NVRTC_ERROR_OUT_OF_MEMORY
    "cudaerrormemoryallocation",
    "_alloc_failed",  # CUBLAS_STATUS_ALLOC_FAILED, CUDNN_STATUS_ALLOC_FAILED, CUSPARSE_STATUS_ALLOC_FAILED
    "rocblas_status_memory_error",
    "can't allocate memory",  # the CPU's
    "cannot allocate memory",
    "not enough memory",
)
_OF_GPU = (
    "gpu memory",
    "cuda",
    "hip error",
    "hip out of",
    "cublas",
    "cudnn",
    "cusparse",
    "rocblas",
    "miopen",
    "nvrtc",
    "mps ",
)


def out_of_memory(error: BaseException) -> bool:
    """Whether memory ran out, of the machine or of a GPU. Most libraries say so with a plain RuntimeError."""
    if isinstance(error, MemoryError) or type(error).__name__ == "OutOfMemoryError":
        return True
    if isinstance(error, OSError):
        return error.errno == errno.ENOMEM
    return isinstance(error, RuntimeError) and any(text in message(error).lower() for text in _OUT_OF_MEMORY)


def whose_memory(error: BaseException) -> str:
    """What is short where `out_of_memory`: `memory` or `GPU memory`."""
    of_gpu = not isinstance(error, MemoryError) and any(text in message(error).lower() for text in _OF_GPU)
    return "GPU memory" if of_gpu else "memory"


def gpu_failed(error: BaseException) -> bool:
    """Whether a call of CUDA or ROCm failed for another reason than memory. No later call of the process works then."""
    texts = ("CUDA error: ", "HIP error: ")
    return isinstance(error, RuntimeError) and str(error).startswith(texts) and not out_of_memory(error)


def smaller() -> str:
    """What to do where a run needs too much memory."""
    return f"try a smaller {option('batch_size')} or a smaller model"


def smaller_again() -> str:
    """The same of a run that is resumed."""
    return f"set a smaller batch_size in its config.json, and add {option('allow_changes', True)}"


MORE = "free some of it, or use a machine with more"


@contextlib.contextmanager
def memory_errors(remedy: str | Callable[[], str] = smaller) -> Iterator[None]:
    """Turn memory that runs out within a block, in whatever form, into one sentence with a remedy.

    Raises:
        OutOfMemoryError: it ran out. One that was raised already passes as it is.
    """
    try:
        yield
    except BaseException as error:
        if isinstance(error, OutOfMemoryError) or not out_of_memory(error):
            raise
        raise OutOfMemoryError(memory_sentence(error, remedy if isinstance(remedy, str) else remedy())) from error


def memory_sentence(error: BaseException, remedy: str | None = None) -> str:
    """What to say and to do where `out_of_memory`; by default `smaller`."""
    kind = whose_memory(error)
    elsewhere = f", or {option('device', 'cpu')}" if kind == "GPU memory" else ""
    return f"there is not enough {kind} for this: {remedy or smaller()}{elsewhere}"


def suggest(name: str, known: Iterable[str], *, prefix: str = "") -> str:
    """The end of a message about an unknown name: the most similar known names, or a list of all if none is similar.

    Case, `-`, `_` and spaces count for nothing: the answer to `AdamW` is `adamw`, and not `adam`.

    Args:
        name: the unknown name.
        known: the known names.
        prefix: shown before each known name.
    """
    import difflib  # here, because only errors need it

    known, name = list(known), name[:_MAX_NAME]
    similar = [other for other in known if _folded(other) == _folded(name)]
    similar = similar or [other for other in known if _folded(_short(other)) == _folded(_short(name))]
    if not similar:
        ratio = {other: difflib.SequenceMatcher(None, _folded(other), _folded(name)).ratio() for other in known}
        best = max(ratio.values(), default=0)
        nearest = sorted((ratio[other], other) for other in known if ratio[other] >= _SIMILAR)[::-1]
        similar = [other for similarity, other in nearest[:3] if similarity > best - _MARGIN]
    if similar:
        return "did you mean " + " or ".join(repr(prefix + match) for match in similar) + "?"
    if not known:
        return "there are none"
    names = ", ".join(prefix + other for other in known[:12]) + (", …" if len(known) > 12 else "")
    return f"there are: {names}"


def _folded(name: str) -> str:
    return "".join(character for character in name.casefold() if character not in "-_ \t")


def _short(name: str) -> str:
    """Without the distribution of a full name."""
    return name.rpartition("/")[2]


def warn(text: str, category: type[Warning] = UserWarning) -> None:
    """Issue a Python warning of one line that is safe to show; it names the line outside zoo that called zoo."""
    frame, level = sys._getframe(1), 2
    while frame.f_back is not None and frame.f_code.co_filename.startswith(_INSIDE):
        frame, level = frame.f_back, level + 1
    warnings.warn(message(text), category, stacklevel=level)
