"""A worker: a fork of the sweep's process that trains one member after the other, and ends with it."""

from __future__ import annotations

import contextlib
import ctypes
import gc
import io
import os
import signal
import sys
import warnings
from collections.abc import Iterable
from typing import Any, NoReturn

from zoo.data.sources.cache import DataCache
from zoo.errors import InterruptedRunError, ZooError
from zoo.options.run import RunOptions
from zoo.plugin.registry import Registry
from zoo.runs.observer import Observer
from zoo.sweeps.training import train_member
from zoo.sweeps.workers.messages import Reader, member_of, of_row, send

_PR_SET_PDEATHSIG = 1
_IGNORED = (signal.SIGINT, signal.SIGHUP)  # a terminal sends them to all processes; the sweep passes on a SIGTERM


class _StoppedError(KeyboardInterrupt):
    """The sweep has ended this worker between two members, or outside of the training of one."""


class _Teller(Observer):
    """Tells the sweep what a member tells."""

    def __init__(self, pipe: int) -> None:
        self._pipe = pipe

    def progress(self, step: int, steps: int, loss: float) -> None:
        send(self._pipe, {"at": [step, steps]})

    def warning(self, text: str) -> None:
        send(self._pipe, {"warning": text})


def work(
    registry: Registry,
    like: RunOptions,
    data: DataCache,
    commands: int,
    results: int,
    parent: int,
    others: Iterable[int],
) -> NoReturn:
    """Train the members that come, until no more do. Called in the fork, which it ends, with signals blocked.

    Args:
        registry, data: of the sweep.
        like: the options that those of members are told against.
        commands: the pipe that members come from.
        results: the pipe for rows and progress.
        parent: the process of the sweep.
        others: descriptors that are not for this process. That of the sweep's folder is not among them: as long as a
            worker lives, the folder stays locked.
    """
    own = os.getpid()
    try:
        _settle(results, parent, others)
        send(results, {"ready": True})
        for message in Reader(commands):
            member, folder = member_of(message, like)
            row = train_member(registry, member, folder, _Teller(results), data)
            if os.getpid() != own:  # a fork that the member has made and left: only one can speak for it
                break
            send(results, {"row": of_row(row)})
            gc.collect()  # while the sweep writes the row
    except _StoppedError:
        pass
    except InterruptedRunError as error:
        _try_to_send(results, {"stopped": error.exit_code - 128})
    except BaseException as error:  # the process ends here, whatever it is
        _try_to_send(results, {"error": described(error)})
    finally:  # a fork that went on would do all that its parent does; nor does it do what that does at its end
        os._exit(0)


def described(error: BaseException) -> dict[str, Any]:
    """An error that ends the sweep."""
    if isinstance(error, ZooError):
        return {"message": str(error), "exit_code": error.exit_code}
    if isinstance(error, OSError) and error.strerror:
        name = error.filename
        return {"errno": error.errno, "strerror": error.strerror, "filename": None if name is None else str(name)}
    return {"message": f"a worker failed: unexpected {type(error).__name__}: {error}", "exit_code": 1}


def _settle(results: int, parent: int, others: Iterable[int]) -> None:
    """Make this process one of its own: with its own signals, without output, and ending with the sweep's."""
    for number in _IGNORED:
        signal.signal(number, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, _stop)
    signal.pthread_sigmask(signal.SIG_SETMASK, ())
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    if os.getppid() != parent:  # it has ended before that
        os._exit(0)
    gc.freeze()  # looking through what all processes share would make a copy of it
    for descriptor in others:
        os.close(descriptor)
    nothing = os.open(os.devnull, os.O_RDWR)
    for descriptor in (0, 1, 2):
        os.dup2(nothing, descriptor)
    os.close(nothing)
    for descriptor, name in enumerate(("stdin", "stdout", "stderr")):
        # the lock of the one that was there may be held by a thread that is not here
        setattr(sys, name, io.TextIOWrapper(io.FileIO(descriptor, "w" if descriptor else "r", closefd=False)))
    warnings.showwarning = lambda text, *_, **__: _try_to_send(results, {"warning": str(text)})
    import torch

    torch.autograd.backward(torch.ones(1, requires_grad=True).sum())  # raises where forks are forbidden by now


def _stop(number: int, frame: object) -> None:
    signal.signal(number, signal.SIG_IGN)  # it ends now
    raise _StoppedError


def _try_to_send(pipe: int, message: dict[str, Any]) -> None:
    with contextlib.suppress(OSError):
        send(pipe, message)
