"""How long each part of a run takes."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager

import torch

from zoo.training.device import synchronize
from zoo.training.history.time_limit import Now


class Clock:
    """Seconds of each part of a run, and of all of it; `now` is the clock that they are read off."""

    def __init__(self, now: Now = time.perf_counter) -> None:
        self.now = now
        self._started = now()
        self._parts: dict[str, float] = {}

    @contextmanager
    def measure(self, part: str, device: torch.device) -> Iterator[None]:
        """Add the time of a block to a part, the device's work included."""
        started = self.now()
        yield
        synchronize(device)
        self.add(part, self.now() - started)

    def add(self, part: str, seconds: float) -> None:
        """Add time that was measured elsewhere to a part."""
        self._parts[part] = self._parts.get(part, 0.0) + seconds

    def seconds(self) -> dict[str, float]:
        """The parts by name, and `total`."""
        total = self.now() - self._started
        return {name: round(value, 4) for name, value in {**self._parts, "total": total}.items()}
