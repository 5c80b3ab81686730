"""What a part of `cuda_check.py` finds, and a process for each part, so that one that fails leaves the others alone."""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import signal
import sys
import traceback
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import zoo
from zoo.ambient import in_neutral_state
from zoo.runs.result import Run

PASSED, FAILED, SKIPPED, UNAVAILABLE, MISSED = "passed", "failed", "skipped", "not available", "below its goal"
_MOST_CHARACTERS = 300  # of a remark


@dataclass(frozen=True)
class Result:
    """One row of the table.

    Attributes:
        what: what was checked or measured.
        result: `passed`, `failed`, `skipped`, `not available` (an engine that this machine cannot have) or
            `below its goal` (a speed).
        figure: the number that the result rests on, in `unit`; None for none.
        remark: a reason, or where something differs.
    """

    what: str
    result: str
    figure: float | None = None
    unit: str = ""
    remark: str = ""


@dataclass(frozen=True)
class Setting:
    """What all parts are told.

    Attributes:
        device: `cuda`, `cuda:1` or `cpu`.
        folder: where runs are written, and nothing else is.
        dataset: a file with one word a line, or a dataset's name.
        words: the same as a file, for the speed.
        quick: as few steps as show that the script works.
    """

    device: str
    folder: Path
    dataset: str | Path
    words: Path
    quick: bool = False

    @property
    def on_cuda(self) -> bool:
        return self.device.startswith("cuda")

    def run(self, model: str, out: Path, **options: Any) -> Run:
        """A run in the folder `out`; `options` are those of `zoo.run`."""
        return zoo.run(model, dataset=self.dataset, device=self.device, plots=False, out=out, **options)

    def steps(self, usual: int, quick: int) -> int:
        return quick if self.quick else usual


Part = Callable[[Setting], list[Result]]


def check(what: str, why_not: str | None, figure: float | None = None, unit: str = "", remark: str = "") -> Result:
    """A row that passed, unless there is a reason why not."""
    return Result(what, FAILED if why_not else PASSED, figure, unit, one_line(why_not or remark))


def failed(what: str, error: BaseException | str) -> Result:
    text = error if isinstance(error, str) else f"{type(error).__name__}: {error}"
    return Result(what, FAILED, remark=one_line(text))


def one_line(text: str) -> str:
    line = " ".join(text.split())
    return line if len(line) <= _MOST_CHARACTERS else f"{line[:_MOST_CHARACTERS]}…"


def each(names: list[str], checked: Callable[[str], list[Result]]) -> list[Result]:
    """The rows of each; one that raises is a row, and the next one is checked all the same."""
    rows = []
    for name in names:
        try:
            rows += checked(name)
        except Exception as error:
            _show(error)
            rows.append(failed(name, error))
    return rows


def guarded(name: str, part: Part, setting: Setting) -> list[Result]:
    """The rows of a part; one row that failed where it raises, and where it has none."""
    try:
        return in_neutral_state(part)(setting) or [failed(name, "it checked nothing")]
    except (Exception, SystemExit) as error:
        if not isinstance(error, zoo.ZooError):
            _show(error)
        return [failed(name, error)]


def isolated(name: str, part: Part, setting: Setting, limit_s: float) -> list[Result]:
    """As `guarded`, in a process of its own: after an illegal access on CUDA a process can do nothing more with it.

    The process is forked where that is possible, because torch is imported already. So this one must not have used
    CUDA. One that takes longer than `limit_s` is killed.
    """
    context: Any = multiprocessing.get_context("fork" if sys.platform == "linux" else "spawn")
    receiver, sender = context.Pipe(duplex=False)
    process = context.Process(target=_send, args=(sender, name, part, setting))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # of a fork beside threads: those of NumPy, which are idle
        process.start()
    sender.close()
    try:
        if not receiver.poll(limit_s):
            return [failed(name, f"it was not done after {limit_s:,.0f} s")]
        rows: list[Result] = receiver.recv()
        return rows
    except EOFError:
        process.join()
        return [failed(name, f"its process ended with exit code {process.exitcode}")]
    finally:
        if hasattr(os, "killpg"):
            with contextlib.suppress(ProcessLookupError, PermissionError):  # it has ended, and all that it started
                os.killpg(process.pid, signal.SIGKILL)
        process.kill()
        process.join()


def _send(sender: Connection, name: str, part: Part, setting: Setting) -> None:
    if hasattr(os, "setpgrp"):
        os.setpgrp()  # so that what it starts can be ended with it
    sender.send(guarded(name, part, setting))


def _show(error: BaseException) -> None:
    """Where it was, on stderr: the table has one line only."""
    traceback.print_exception(error, file=sys.stderr)
