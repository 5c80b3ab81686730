"""The display of a marimo notebook: its own progress bar, below whatever the cell has shown before."""

from __future__ import annotations

import sys
from typing import Any

from zoo.html import escaped, line
from zoo.notebooks.status import Status


def in_notebook() -> bool:
    """Whether this is a cell of a marimo notebook that is open, run as an app or exported; not one run as a script."""
    marimo = sys.modules.get("marimo")  # never imported here: what is not there cannot be running
    return marimo is not None and bool(marimo.running_in_notebook())


class MarimoDisplay:
    """A spinner before the first step, then a bar; both are removed at the end, and a line takes their place."""

    def __init__(self) -> None:
        self._marimo: Any = sys.modules["marimo"]
        self._shown: Any = None  # a context manager of marimo
        self._bar: Any = None
        self._total = self._step = 0

    def show(self, status: Status) -> None:
        title, subtitle = escaped(status.stage), escaped(status.text)
        if self._shown is None or status.steps != self._total:
            self._begin(title, status.steps)
        if status.steps:
            self._bar.update(increment=status.step - self._step, title=title, subtitle=subtitle)
            self._step = status.step
        else:
            self._bar.update(title=title)

    def end(self, text: str) -> None:
        self._remove()
        self._marimo.output.append(self._marimo.Html(line(text)))

    def _begin(self, title: str, steps: int) -> None:
        self._remove()
        made = self._marimo.status
        if steps:
            self._shown = made.progress_bar(
                total=steps, title=title, show_rate=False, show_eta=False, remove_on_exit=True
            )
        else:
            self._shown = made.spinner(title=title, remove_on_exit=True)
        self._bar, self._total, self._step = self._shown.__enter__(), steps, 0

    def _remove(self) -> None:
        if self._shown is not None:
            self._shown.__exit__(None, None, None)
        self._shown = None
