"""Progress on stderr: one line that is redrawn on a terminal, else a line now and then; nothing with `--quiet`.

A thread draws, so that a stage without news of its own is seen, and no step waits for a terminal.
"""

from __future__ import annotations

import contextlib
import threading
import time
from collections import deque
from contextlib import ExitStack
from types import TracebackType

from zoo import stages
from zoo.cli import bar, output
from zoo.cli.table import text_width
from zoo.numbers import show_loss
from zoo.runs.observer import Observer
from zoo.text import message, visible

_TRAINING = "Training"
_UNTOLD = ("", _TRAINING, stages.LOADING)  # without a terminal
_DRAW_EVERY_S = 0.1
_LINE_EVERY_S = 10.0  # without a terminal
_LINE_AFTER_S = 1.0  # of a stage
_FLICKER_S = 0.5  # a shorter stage within the training does not replace its line
_WINDOW = 240  # reports that the speed is measured over: a minute at the usual four a second


class Progress(Observer):
    """An observer that writes to stderr; a context manager, which always removes its line.

    In its block it is told of all stages, whichever part of zoo they are in.
    """

    def __init__(self, *, quiet: bool = False) -> None:
        self.current = ""
        self._quiet = quiet
        self._drawn = not quiet and output.can_redraw()
        self._glyphs = bar.glyphs_for(output.encoding("stderr"))
        self._began = self._last_line = time.monotonic()  # the stage; the last line without a terminal
        self._done: tuple[int, int] | None = None  # of the stage
        self._advanced = 0.0  # when it was told
        self._steps: bar.Steps | None = None
        self._reports: deque[tuple[float, int]] = deque(maxlen=_WINDOW)
        self._members: bar.Members | None = None  # of a sweep
        self._shares: deque[tuple[float, float, int]] = deque(maxlen=_WINDOW)  # when, of members, of their steps
        self._told: set[str] = set()  # stages that had a line
        self._frame = 0
        self._stop = threading.Event()
        self._thread: threading.Thread | None = None
        self._context = ExitStack()

    def __enter__(self) -> Progress:
        self._context.enter_context(stages.told(self))
        if not self._quiet:
            self._thread = threading.Thread(target=self._run, daemon=True, name="zoo progress")
            self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._context.close()
        self._stop.set()
        if self._thread is not None:
            self._thread.join()
        if self._drawn:
            output.redraw("", 0)

    def stage(self, text: str) -> None:
        self.current, self._began, self._done = text, time.monotonic(), None

    def advanced(self, done: int, total: int) -> None:
        self._done, self._advanced = (done, total), time.monotonic()

    def progress(self, step: int, steps: int, loss: float) -> None:
        now, before = time.monotonic(), self._steps
        self._reports.append((now, step))
        (first, first_step), per_second = self._reports[0], None
        if now > first and step > first_step:
            per_second = (step - first_step) / (now - first)
        self._steps = bar.Steps(step, steps, loss, before.validation if before else None, per_second)
        if not self._drawn and not self._quiet and now - self._last_line > _LINE_EVERY_S:
            self._line_of_training(self._steps)

    def validated(self, step: int, loss: float) -> None:
        self._steps = bar.Steps(step, step, loss, loss) if self._steps is None else _with(self._steps, loss)

    def members(self, done: int, total: int, steps: int, share: float) -> None:
        now = time.monotonic()
        self._shares.append((now, share, steps))
        first, first_share, first_steps = self._shares[0]
        rate = (steps - first_steps) / (now - first) if steps > first_steps and now > first else None
        left = (total - share) * (now - first) / (share - first_share) if share > first_share else None
        self._members = bar.Members(done, total, share, rate, left)
        if not self._drawn and not self._quiet and now - self._last_line > _LINE_EVERY_S:
            self._line_of_members(self._members)

    def note(self, text: str) -> None:
        if not self._quiet:
            output.note(message(text))

    def warning(self, text: str) -> None:
        output.warning(text)

    def _run(self) -> None:
        while not self._stop.wait(_DRAW_EVERY_S):
            with contextlib.suppress(Exception):  # whatever it is, it must not cost the work
                if self._drawn:
                    self._draw()
                else:
                    self._line_of_stage()

    def _draw(self) -> None:
        self._frame += 1
        width = output.columns_of("stderr") - 1  # in the last column, a terminal may begin a new line
        line = self._line(width)
        output.redraw(line, text_width(line))

    def _line(self, width: int) -> str:
        seconds, steps = time.monotonic() - self._began, self._steps
        if steps is not None and (self.current == _TRAINING or seconds < _FLICKER_S):
            return bar.training_line(steps, width, self._glyphs)
        if self._members is not None and (self.current == _TRAINING or seconds < _FLICKER_S):
            return bar.members_line(self._members, width, self._glyphs)
        if not self.current:
            return ""
        text, share, left = visible(self.current), self._share(), self._left()
        return bar.stage_line(text, seconds, width, self._glyphs, done=share, left=left, frame=self._frame)

    def _share(self) -> float | None:
        """How much of the stage is done, from 0 to 1."""
        done, total = self._done or (0, 0)
        return min(done / total, 1.0) if total > 0 else None

    def _left(self) -> float | None:
        """How many more seconds the stage takes; None if one cannot tell yet."""
        share, took = self._share(), self._advanced - self._began
        if not share or took < _LINE_AFTER_S:
            return None
        return max(0.0, took / share - (time.monotonic() - self._began))

    def _line_of_training(self, steps: bar.Steps) -> None:
        self._last_line = time.monotonic()
        validation = "" if steps.validation is None else f", validation {show_loss(steps.validation)}"
        left = "" if steps.seconds_left is None else f", {bar.clock(steps.seconds_left)} left"
        output.note(f"step {steps.step:,} of {steps.steps:,}, loss {show_loss(steps.loss, 3)}{validation}{left}")

    def _line_of_members(self, members: bar.Members) -> None:
        self._last_line = time.monotonic()
        rate = "" if members.steps_per_second is None else f", {members.steps_per_second:,.0f} steps/s"
        left = "" if members.seconds_left is None else f", {bar.clock(members.seconds_left)} left"
        output.note(f"{members.done:,} of {members.total:,} members{rate}{left}")

    def _line_of_stage(self) -> None:
        """A line about a stage that takes long: after a second, and then every ten."""
        now, text = time.monotonic(), self.current
        seconds, since = now - self._began, now - self._last_line
        if text in _UNTOLD or seconds < _LINE_AFTER_S:
            return
        if text in self._told and min(since, seconds) < _LINE_EVERY_S:  # a short one that comes again is told once
            return
        self._told.add(text)
        self._last_line = now
        share, left = self._share(), self._left()
        done = "" if share is None else f": {share:.0%} done"
        more = "" if left is None else f", about {bar.clock(left)} left"
        output.note(f"{text}{done}, {seconds:.0f} s so far{more}")


def _with(steps: bar.Steps, validation: float) -> bar.Steps:
    return bar.Steps(steps.step, steps.steps, steps.loss, validation, steps.per_second)
