"""The checkpoint schedule: how often a run is saved."""

from __future__ import annotations

import re
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from zoo import stages
from zoo.errors import UsageError
from zoo.numbers import parse_whole, show_value
from zoo.options.run import CallOptions
from zoo.phrasing import option

if TYPE_CHECKING:
    from zoo.storage.folder import AnyFolder
    from zoo.training.loop import Training

_FORM = re.compile(r"(\d+)|(\d+(?:\.\d+)?)\s*(s|m|h)")
_UNIT_SECONDS = {"s": 1.0, "m": 60.0, "h": 3600.0}


@dataclass(frozen=True)
class CheckpointSchedule:
    """Every so many steps, or every so many seconds.

    Attributes:
        steps: save after each multiple of this many steps.
        seconds: save when this long has passed since the last time.
    """

    steps: int | None = None
    seconds: float | None = None

    @classmethod
    def of(cls, options: CallOptions) -> CheckpointSchedule:
        """That of a run or a resumption; see `parse`."""
        return cls.parse(options.checkpoint_every)

    @classmethod
    def parse(cls, text: str | int | None) -> CheckpointSchedule:
        """`1000` steps, or `30s`, `5m`, `1h`; None is the default, every 10 seconds.

        Raises:
            UsageError: anything else, or 0.
        """
        if text is None:
            return DEFAULT
        match = _FORM.fullmatch(show_value(text) if isinstance(text, int) else text.strip().lower())
        if not match:
            forms = "steps, as in 1000, or a time, as in 30s or 5m"
            raise UsageError(f"{option('checkpoint_every')} takes {forms}, not {show_value(text)}")
        steps, number, unit = match.groups()
        try:
            checkpoints = cls(steps=parse_whole(steps)) if steps else cls(seconds=float(number) * _UNIT_SECONDS[unit])
        except ValueError as error:
            raise UsageError(f"{option('checkpoint_every')}: {error}") from error
        if not (checkpoints.steps or checkpoints.seconds):
            raise UsageError(f"{option('checkpoint_every')} must be above 0, got {text!r}")
        return checkpoints


DEFAULT = CheckpointSchedule(seconds=10.0)
_LARGEST_SHARE = 0.01  # of the time of a run, spent on saving by the default schedule


class CheckpointTimer:
    """Tells when the next checkpoint is due.

    By the default schedule, slow checkpoints are spaced out until saving takes under 1 % of the time.
    """

    def __init__(self, checkpoints: CheckpointSchedule) -> None:
        self._schedule = checkpoints
        self._saved_at = time.monotonic()
        self._cost_s = 0.0

    def steps_left(self, step: int) -> int | None:
        """Steps from `step` to the next checkpoint, where it is set by steps."""
        every = self._schedule.steps
        return None if every is None else every - step % every

    def due(self, step: int) -> bool:
        if self._schedule.steps is not None:
            return step % self._schedule.steps == 0
        assert self._schedule.seconds is not None
        wait = self._schedule.seconds
        if self._schedule == DEFAULT:
            wait = max(wait, self._cost_s / _LARGEST_SHARE)
        return time.monotonic() - self._saved_at >= wait

    def saved(self, cost_s: float) -> None:
        """A checkpoint was written, in `cost_s` seconds."""
        self._cost_s = cost_s
        self._saved_at = time.monotonic()


class Saver:
    """Writes a checkpoint when one is due."""

    def __init__(
        self, folder: AnyFolder, training: Training, config: Mapping[str, Any], timer: CheckpointTimer
    ) -> None:
        self._folder, self._training, self._config, self._timer = folder, training, config, timer

    def steps_left(self, step: int) -> int | None:
        return self._timer.steps_left(step)

    def save_if_due(self) -> None:
        if self._timer.due(self._training.step):
            started = time.perf_counter()
            with stages.within("Saving a checkpoint"):
                self._folder.write_checkpoint(self._training, self._config)
            self._timer.saved(time.perf_counter() - started)
