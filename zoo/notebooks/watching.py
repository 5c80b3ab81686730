"""Which observer watches a run that was given none."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from typing import TypeVar

from zoo.notebooks import jupyter, marimo
from zoo.notebooks.status import Display, NotebookProgress
from zoo.runs.observer import Observer
from zoo.runs.result import Run
from zoo.sweeps.results.sweep import Sweep

R = TypeVar("R", Run, Sweep)


def watched(work: Callable[[Observer], R], observer: Observer | None) -> R:
    """Do a run or a sweep with the caller's observer, or else with the progress of a notebook, where this is one.

    Anywhere else nothing is shown, and warnings are Python's.
    """
    display = _display() if observer is None else None
    if display is None:
        return work(observer or Observer())
    progress = NotebookProgress(display)
    try:
        done = work(progress)
    except BaseException:
        with contextlib.suppress(Exception):  # the error before is the one to see
            progress.stopped()
        raise
    with contextlib.suppress(Exception):  # the run is done, whatever its notebook says
        progress.finished(done)
    return done


def _display() -> Display | None:
    """That of the notebook that this is; None where it is none, or where that cannot be found out."""
    with contextlib.suppress(Exception):  # of another version of either
        if marimo.in_notebook():
            return marimo.MarimoDisplay()
        if jupyter.in_kernel():
            return jupyter.JupyterDisplay()
    return None
