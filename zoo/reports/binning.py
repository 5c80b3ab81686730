"""Losses of any number of steps, as few enough numbers to draw.

Axes: N steps, B bins.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from zoo.numbers import LARGEST_FLOAT

MOST_BINS = 4_000  # more cannot be told apart on a screen
_WIDEST = 4  # a running mean is over at most this part of the run
_FEW = 20  # bins, which a mean should have
_STEPS_OF_SLIDER = (1, 2, 5)


@dataclass(frozen=True)
class Binned:
    """Consecutive steps in bins of one size, the last of which may have fewer. Each array has shape (B,).

    Attributes:
        size: steps of a bin; 1 where each step has its own.
        start: the first step of each bin.
        count: its number of steps.
        low, high, mean: of its losses. With a size of 1 all three are the loss itself.
    """

    size: int
    start: NDArray[np.int32]
    count: NDArray[np.int32]
    low: NDArray[np.float32]
    high: NDArray[np.float32]
    mean: NDArray[np.float32]

    @classmethod
    def of(cls, losses: Sequence[float], most: int = MOST_BINS) -> Binned:
        """In at most `most` bins.

        Args:
            losses: of every step from 0, at least one. Those beyond float32 count as its largest number.
        """
        values = np.clip(np.asarray(losses, dtype=np.float64), -LARGEST_FLOAT, LARGEST_FLOAT)
        size = -(-len(values) // most)
        start = np.arange(0, len(values), size)
        count = np.diff(np.append(start, len(values)))
        low, high = np.minimum.reduceat(values, start), np.maximum.reduceat(values, start)
        mean = np.add.reduceat(values, start) / count
        numbers = (low.astype(np.float32), high.astype(np.float32), mean.astype(np.float32))
        return cls(size, start.astype(np.int32), count.astype(np.int32), *numbers)

    @property
    def centre(self) -> NDArray[np.float32]:
        """The step in the middle of each bin."""
        return (self.start + (self.count - 1) / 2).astype(np.float32)

    def halves(self) -> list[int]:
        """How many bins a running mean may take on each side: 0, 1, 2, 5, 10, 20, 50, ..."""
        most = len(self.mean) // (2 * _WIDEST)
        found = [0]
        power = 1
        while found[-1] < most:
            found += [step * power for step in _STEPS_OF_SLIDER if step * power <= most]
            if power * _STEPS_OF_SLIDER[-1] > most:
                break
            power *= 10
        return found

    def usual_half(self) -> int:
        """Of those the one whose window is nearest to a hundredth of the run; of a short run it is a larger part."""
        bins = len(self.mean)
        wanted = max(bins / 100, min(_FEW, bins / 10))
        return min(self.halves(), key=lambda half: abs(2 * half + 1 - wanted))

    def running_mean(self, half: int) -> NDArray[np.float32]:
        """The mean loss of the steps of each bin and of `half` bins on each side; NaN where there are not as many."""
        found = np.full(len(self.mean), np.nan, dtype=np.float32)
        sums = np.cumsum(np.insert(self.mean.astype(np.float64) * self.count, 0, 0.0))
        counts = np.cumsum(np.insert(self.count, 0, 0))
        width = 2 * half + 1
        if len(found) >= width:
            found[half : len(found) - half] = (sums[width:] - sums[:-width]) / (counts[width:] - counts[:-width])
        return found
