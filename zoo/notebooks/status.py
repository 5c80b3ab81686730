"""One line about a run that is replaced as the run goes on, and what it says."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import Protocol

from zoo.numbers import clock, show_loss
from zoo.runs.observer import Observer
from zoo.runs.result import Run
from zoo.sweeps.results.sweep import Sweep

_EVERY_S = 0.2  # at most so often: each update is a message to the browser


@dataclass(frozen=True)
class Status:
    """Where a run is.

    Attributes:
        stage: what it does: `Training`.
        step, steps: how many steps, or members of a sweep, are done, and of how many; 0 of 0 before the first one.
        text: the rest of the line: the loss, the validation loss, the time left.
    """

    stage: str
    step: int = 0
    steps: int = 0
    text: str = ""
    unit: str = "steps"

    def __str__(self) -> str:
        steps = f"{self.step:,} of {self.steps:,} {self.unit}" if self.steps else ""
        return ", ".join(filter(None, [self.stage, steps, self.text]))


class Display(Protocol):
    """A place in the output of a cell that one status after the other fills."""

    def show(self, status: Status) -> None:
        """Replace what is there."""

    def end(self, text: str) -> None:
        """Replace it for good."""


class NotebookProgress(Observer):
    """An observer that keeps a display up to date. Warnings are Python's, as without it."""

    def __init__(self, display: Display) -> None:
        self._display = display
        self._status = Status("Starting")
        self._validation: float | None = None
        self._began: tuple[int, float] | None = None  # the first step that was seen done, and when
        self._first: tuple[float, float] | None = None  # how much of a sweep was done at first, and when
        self._is_shown = False
        self._shown_at = 0.0

    def stage(self, text: str) -> None:
        self._status = Status(text, self._status.step, self._status.steps)
        self._show()

    def advanced(self, done: int, total: int) -> None:
        text = f"{done / total:.0%}" if total else ""
        self._status = Status(self._status.stage, self._status.step, self._status.steps, text)
        self._show()

    def progress(self, step: int, steps: int, loss: float) -> None:
        self._began = self._began or (step, time.monotonic())
        said = [f"loss {show_loss(loss, 3)}"]
        if self._validation is not None:
            said.append(f"validation {show_loss(self._validation)}")
        said.append(self._time_left(step, steps))
        self._status = Status(self._status.stage, step, steps, ", ".join(filter(None, said)))
        self._show()

    def validated(self, step: int, loss: float) -> None:
        self._validation = loss

    def members(self, done: int, total: int, steps: int, share: float) -> None:
        now = time.monotonic()
        self._first = self._first or (share, now)
        first, began = self._first
        left = "" if share <= first else f"{clock((now - began) / (share - first) * (total - share))} left"
        self._status = Status("Training", done, total, left, "members")
        self._show()

    def finished(self, done: Run | Sweep) -> None:
        """The run or the sweep is done: one line stays."""
        self._display.end(repr(done)[1:-1] if isinstance(done, Sweep) else _line(done))

    def stopped(self) -> None:
        """The run ended otherwise, as its error says: how far it came stays."""
        step, steps = self._status.step, self._status.steps
        if self._is_shown:
            self._display.end(
                f"Stopped after {step:,} of {steps:,} {self._status.unit}" if steps else "Stopped before the first step"
            )

    def _time_left(self, step: int, steps: int) -> str:
        assert self._began is not None
        first, began = self._began
        if step <= first or step >= steps:
            return ""
        return f"{clock((time.monotonic() - began) / (step - first) * (steps - step))} left"

    def _show(self) -> None:
        """A stage that is over at once is not shown, so that many of them do not flicker."""
        if not self._is_shown or time.monotonic() - self._shown_at >= _EVERY_S:
            self._is_shown, self._shown_at = True, time.monotonic()
            self._display.show(self._status)


def _line(run: Run) -> str:
    """What stays of a run."""
    metrics = run.metrics
    words = [f"{metrics['model']}: {metrics['steps']:,} steps", f"{metrics['seconds']['total']:.1f} s"]
    if "val" in run.losses:
        words.append(f"validation loss {show_loss(run.losses['val'])} {metrics['loss_unit']}".rstrip())
    words += [] if run.path is None else [f"in {run.path}"]
    return ", ".join(words)
