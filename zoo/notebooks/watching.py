"""Which observer watches a run that was given none."""

from __future__ import annotations

import contextlib
from collections.abc import Callable

from zoo.notebooks import jupyter, marimo
from zoo.notebooks.status import Display, NotebookProgress
from zoo.runs.observer import Observer
from zoo.runs.result import Run


def watched(work: Callable[[Observer], Run], observer: Observer | None) -> Run:
    """Do a run with the caller's observer, or else with the progress of a notebook, where this is one.

    Anywhere else nothing is shown, and warnings are Python's.
    """
    display = _display() if observer is None else None
    if display is None:
        return work(observer or Observer())
    progress = NotebookProgress(display)
    try:
        run = work(progress)
    except BaseException:
        with contextlib.suppress(Exception):  # the error before is the one to see
            progress.stopped()
        raise
    with contextlib.suppress(Exception):  # the run is done, whatever its notebook says
        progress.finished(run)
    return run


def _display() -> Display | None:
    """That of the notebook that this is; None where it is none, or where that cannot be found out."""
    with contextlib.suppress(Exception):  # of another version of either
        if marimo.in_notebook():
            return marimo.MarimoDisplay()
        if jupyter.in_kernel():
            return jupyter.JupyterDisplay()
    return None
