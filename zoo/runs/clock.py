"""How long each part of a run takes."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager

import torch

from zoo.training.device import synchronize


class Clock:
    """Seconds of each part of a run, and of all of it."""

    def __init__(self) -> None:
        self._started = time.perf_counter()
        self._parts: dict[str, float] = {}

    @contextmanager
    def measure(self, part: str, device: torch.device) -> Iterator[None]:
        """Add the time of a block to a part, the device's work included."""
        started = time.perf_counter()
        yield
        synchronize(device)
        self._parts[part] = self._parts.get(part, 0.0) + time.perf_counter() - started

    def seconds(self) -> dict[str, float]:
        """The parts by name, and `total`."""
        total = time.perf_counter() - self._started
        return {name: round(value, 4) for name, value in {**self._parts, "total": total}.items()}
