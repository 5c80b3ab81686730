"""The learning rate that short runs suggest.

The range test is that of Smith, "Cyclical Learning Rates for Training Neural Networks", WACV 2017,
https://arxiv.org/abs/1506.01186: train for a short while at rates over several powers of ten, and see where the loss
falls and where it rises. There one run has a rate that rises as it goes on, so that the loss at a rate depends on those
before it. Here each rate has runs of its own, from the same initial weights, with a band over seeds.

The rule: from the rate with the lowest mean loss down, the last one whose mean is within one standard error of that (as
Breiman and others, "Classification and Regression Trees", 1984, choose the simpler tree), and at most half of the
lowest rate with which training diverged.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence
from dataclasses import dataclass

from zoo.numbers import mean

RULE = (
    "the lowest rate whose mean loss is within one standard error of the lowest mean, and at most half of the lowest "
    "rate that diverged"
)
_MARGIN = 2  # below a rate that diverged
_WORSE = 1.1  # so many times the loss of rates that are too low to train


@dataclass(frozen=True)
class Tried:
    """A rate, and what became of its runs.

    Attributes:
        lr: the rate.
        losses: of the runs that ended, at their end.
        lost: how many diverged.
    """

    lr: float
    losses: Sequence[float]
    lost: int = 0

    @property
    def mean(self) -> float:
        """Infinite where a run diverged: no one wants such a rate."""
        return mean(self.losses) if self.losses and not self.lost else math.inf

    @property
    def error(self) -> float:
        """The standard error of the mean; 0 of a single run."""
        return statistics.stdev(self.losses) / math.sqrt(len(self.losses)) if len(self.losses) > 1 else 0.0


@dataclass(frozen=True)
class Suggestion:
    """What the runs suggest.

    Attributes:
        lr: the rate; None where nothing can be suggested.
        lowest: the rate with the lowest mean loss.
        diverges_from: the lowest rate above that with which a seed diverged, or is worse than at the start.
        at_end: `low` or `high` where the lowest mean is at that end of the range, so that it may go on beyond.
    """

    lr: float | None
    lowest: float | None = None
    diverges_from: float | None = None
    at_end: str | None = None


def suggest_rate(tried: Sequence[Tried]) -> Suggestion:
    """The rate that these runs suggest, by the rule above.

    Args:
        tried: in the order of the rates, each higher than the one before.
    """
    best = min(range(len(tried)), key=lambda place: tried[place].mean, default=None)
    if best is None or math.isinf(tried[best].mean):
        return Suggestion(None, diverges_from=tried[0].lr if tried else None)
    lowest = tried[best]
    start = max((one.mean for one in tried[:best] if math.isfinite(one.mean)), default=math.inf)
    diverges = next((one.lr for one in tried[best:] if one.mean > _WORSE * start), None)
    if diverges is None:
        diverges = next((one.lr for one in tried[best:] if math.isinf(one.mean)), None)
    chosen = best
    while chosen and tried[chosen - 1].mean <= lowest.mean + lowest.error:
        chosen -= 1
    while chosen and diverges is not None and tried[chosen].lr * _MARGIN > diverges:
        chosen -= 1
    at_end = "low" if best == 0 else "high" if best == len(tried) - 1 else None
    return Suggestion(tried[chosen].lr, lowest.lr, diverges, at_end)
