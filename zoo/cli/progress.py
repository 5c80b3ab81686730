"""Progress of a run on stderr: a bar on a terminal, a line every 10 s otherwise, nothing with `--quiet`."""

from __future__ import annotations

import time
from collections.abc import Callable
from types import TracebackType
from typing import TYPE_CHECKING

from zoo.cli import output
from zoo.numbers import show_loss
from zoo.runs.observer import Observer
from zoo.text import message

if TYPE_CHECKING:
    from rich.progress import Progress as Bar

_LINE_EVERY_S = 10.0


class Progress(Observer):
    """An observer that writes to stderr; a context manager, which always removes the bar."""

    def __init__(self, *, quiet: bool) -> None:
        self._quiet = quiet
        self._last_line = time.monotonic()
        self._validation = ""
        self._bar: Bar | None = None
        if not quiet and output.on_terminal("stderr"):
            self._bar = _make_bar()
            self._task = self._bar.add_task("Starting", total=None, loss="")

    def __enter__(self) -> Progress:
        if self._bar is not None:
            self._bar.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._bar is not None:
            self._bar.stop()

    def stage(self, text: str) -> None:
        if self._bar is not None:
            self._bar.update(self._task, description=text)

    def progress(self, step: int, steps: int, loss: float) -> None:
        if self._bar is not None:
            self._bar.update(
                self._task, completed=step, total=steps, loss=f"loss {show_loss(loss, 3)}{self._validation}"
            )
        elif not self._quiet and time.monotonic() - self._last_line > _LINE_EVERY_S:
            self._last_line = time.monotonic()
            output.note(f"step {step:,} of {steps:,}, loss {show_loss(loss, 3)}{self._validation}")

    def validated(self, step: int, loss: float) -> None:
        self._validation = f", validation {show_loss(loss)}"

    def note(self, text: str) -> None:
        if not self._quiet:
            self._line(message(text), lambda: output.note(message(text)))

    def warning(self, text: str) -> None:
        self._line(f"zoo: warning: {message(text)}", lambda: output.warning(text))

    def _line(self, text: str, without_bar: Callable[[], None]) -> None:
        """A line above the bar."""
        if self._bar is None:
            without_bar()
        else:
            self._bar.console.print(text, markup=False, highlight=False, emoji=False, soft_wrap=True)


def _make_bar() -> Bar:
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    return Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("{task.fields[loss]}"),
        TimeRemainingColumn(),
        console=Console(file=output.bar_stream()),
        transient=True,
    )
