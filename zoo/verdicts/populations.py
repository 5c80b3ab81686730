"""What is compared: the values of settings, by seed."""

from __future__ import annotations

import math
import statistics
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, Literal

from zoo.numbers import mean, standard_deviation


@dataclass(frozen=True)
class Measure:
    """What is measured of each run.

    Attributes:
        name: as a person knows it: `validation loss`.
        unit: of its values and of their differences; empty for a metric.
        better: which of two values is the better one.
        is_loss: whether it is a loss. Those of two seeds are equal to the last digit only where the seed changes
            nothing; metrics such as an accuracy may be equal by chance.
    """

    name: str = "validation loss"
    unit: str = "nats"
    better: Literal["lower", "higher"] = "lower"
    is_loss: bool = True

    def gain(self, value: float, other: float) -> float:
        """How much better a value is than another."""
        return other - value if self.better == "lower" else value - other


@dataclass(frozen=True)
class Population:
    """The runs of one setting.

    Attributes:
        name: of the setting, for people: `lr 0.1`.
        values: a value for each seed; NaN or infinite where training diverged, which is worse than any number. The
            seed is whatever two runs share that are compared: a number, or a tuple of them.
        failed: how many runs have no value at all, because they failed.
    """

    name: str
    values: Mapping[Any, float]
    failed: int = 0
    settings: Mapping[str, Any] = field(default_factory=dict)

    @cached_property
    def finite(self) -> list[float]:
        """The values of the runs that did not diverge."""
        return [value for value in self.values.values() if math.isfinite(value)]

    @property
    def diverged(self) -> int:
        return len(self.values) - len(self.finite)

    @property
    def mean(self) -> float | None:
        """Of the runs that did not diverge."""
        return mean(self.finite) if self.finite else None

    @property
    def sd(self) -> float | None:
        """Over the seeds of the runs that did not diverge, by the sample; None of one, or where it is infinite."""
        sd = standard_deviation(self.finite) if len(self.finite) > 1 else math.inf
        return sd if math.isfinite(sd) else None

    @property
    def is_repeated(self) -> bool:
        """Whether it has several seeds."""
        return len(self.values) > 1

    def as_json(self) -> dict[str, Any]:
        """For `--json`."""
        return {
            "setting": self.name,
            "settings": dict(self.settings),
            "n": len(self.finite),
            "mean": self.mean,
            "sd": self.sd,
            "diverged": self.diverged,
            "failed": self.failed,
        }


def typical(population: Population, measure: Measure, *, by_median: bool) -> float:
    """How good a setting is, the smaller the better, to rank settings by; infinite where it has no value.

    Args:
        by_median: by the median, in which a diverged run is the worst value, and not by the mean.
    """
    sign = 1 if measure.better == "lower" else -1
    if not population.values:
        return math.inf
    if by_median:
        return statistics.median(
            sign * value if math.isfinite(value) else math.inf for value in population.values.values()
        )
    return math.inf if population.mean is None else sign * population.mean
