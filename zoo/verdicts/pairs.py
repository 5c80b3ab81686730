"""Two settings compared by the seeds that they share.

The runs of one seed have the same batches, and, where the shapes allow it, the same first weights. What a seed does to
both cancels in their difference, which is why the differences are tested, and not the two sets of values.

The test is the paired t test. Wilcoxon's signed-rank test needs six pairs before it can give p < 0.05 at all, and nine
where six comparisons are corrected for, and it tests no mean; the differences of two settings that are equal are
symmetric about 0, whatever the shape of the losses, and so the t test keeps its level with few seeds, too. The exact
count of seeds in which a setting is better is given beside it.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias

from zoo.numbers import mean
from zoo.verdicts.populations import Measure, Population

Test: TypeAlias = Literal["paired t test", "sign test", "equal in every seed", "the seed changes nothing", "none"]
_ROUNDING = 1e-12  # of the values; differences that vary less than that are equal


@dataclass(frozen=True)
class Pairs:
    """The better and the worse one of two settings, and how sure that is.

    Attributes:
        better: the name of the setting with the better values: the better mean difference, or, where a run diverged,
            the better value in more seeds.
        worse: that of the other one.
        n: how many seeds both have.
        wins: in how many of them `better` has the better value; a diverged run is worse than any other.
        ties: in how many neither has.
        diverged: in how many seeds `better` and `worse` diverged.
        gains: how much `better` is better, in each seed in which neither diverged.
        p: the two-sided p value of the test, uncorrected; None where there is none.
        test: the one that it is of. With diverged runs it is the exact sign test, as they have no difference.
    """

    better: str
    worse: str
    n: int
    wins: int
    ties: int
    diverged: tuple[int, int]
    gains: tuple[float, ...]
    p: float | None
    test: Test

    @property
    def difference(self) -> float | None:
        """The mean of the gains, in the unit of the measure."""
        return mean(self.gains) if self.gains else None

    def interval(self, level: float) -> tuple[float, float] | None:
        """The confidence interval of the mean difference by Student's t; None of fewer than two, or equal gains.

        Args:
            level: between 0 and 1.
        """
        if len(self.gains) < 2:
            return None
        centre, error = mean(self.gains), self.standard_error
        if error == 0:
            return None
        from scipy import stats

        half = float(stats.t.isf((1 - level) / 2, len(self.gains) - 1)) * error
        return (centre - half, centre + half) if math.isfinite(half) else None

    @property
    def standard_error(self) -> float:
        """Of the mean difference; 0 where all gains are equal, but for rounding."""
        if self.test not in ("paired t test", "sign test"):
            return 0.0
        gains, exponent = _scaled(self.gains)
        centre = mean(gains)
        variance = math.fsum((gain - centre) ** 2 for gain in gains) / (len(gains) - 1)
        return math.ldexp(math.sqrt(variance / len(gains)), exponent)


def compare(one: Population, other: Population, measure: Measure) -> Pairs:
    """Two settings by the seeds that they share."""
    # In an order of their own, as sums of the same numbers may differ by the order in which they are added.
    shared = sorted((seed for seed in one.values if seed in other.values), key=repr)
    signs = [_sign(one.values[seed], other.values[seed], measure) for seed in shared]
    both = [seed for seed in shared if math.isfinite(one.values[seed]) and math.isfinite(other.values[seed])]
    gains = [measure.gain(one.values[seed], other.values[seed]) for seed in both]
    complete = len(both) == len(shared)
    centre = mean(gains) if gains else 0.0
    lead = centre if complete else sum(signs)
    if lead < 0 or (lead == 0 and not complete and centre < 0):
        return compare(other, one, measure)
    wins, losses = signs.count(1), signs.count(-1)
    p, test = _tested(one, other, shared, measure) if complete else _sign_test(wins, losses)
    diverged = _diverged(one, shared), _diverged(other, shared)
    return Pairs(one.name, other.name, len(shared), wins, signs.count(0), diverged, tuple(gains), p, test)


def _sign(value: float, other: float, measure: Measure) -> int:
    """1 where a value is better than another, -1 where it is worse, 0 where neither is."""
    if math.isfinite(value) != math.isfinite(other):
        return 1 if math.isfinite(value) else -1
    gain = measure.gain(value, other) if math.isfinite(value) else 0.0
    return int(gain > 0) - int(gain < 0)


def _diverged(population: Population, seeds: list[Any]) -> int:
    return sum(not math.isfinite(population.values[seed]) for seed in seeds)


def _tested(one: Population, other: Population, seeds: list[Any], measure: Measure) -> tuple[float | None, Test]:
    """Of two settings that have a number for each seed."""
    if len(seeds) < 2:
        return None, "none"
    first, second = [one.values[seed] for seed in seeds], [other.values[seed] for seed in seeds]
    gains = [measure.gain(value, against) for value, against in zip(first, second, strict=True)]
    if not any(gains):
        return 1.0, "equal in every seed"
    if max(gains) - min(gains) <= _ROUNDING * max(map(abs, first + second)):
        # No t test: the differences have no variance.
        if measure.is_loss and len(set(first)) == len(set(second)) == 1:
            return 0.0, "the seed changes nothing"
        return _sign_test(len(gains), 0)
    from scipy import stats

    scaled, _ = _scaled(first + second)
    return float(stats.ttest_rel(scaled[: len(first)], scaled[len(first) :]).pvalue), "paired t test"


def _scaled(values: Sequence[float]) -> tuple[list[float], int]:
    """Numbers divided by a power of two, and its exponent, so that their squares are neither infinite nor 0."""
    exponent = math.frexp(max(map(abs, values)))[1]
    return [math.ldexp(value, -exponent) for value in values], exponent


def _sign_test(wins: int, losses: int) -> tuple[float | None, Test]:
    if wins + losses < 1:
        return None, "none"
    from scipy import stats

    return float(stats.binomtest(wins, wins + losses).pvalue), "sign test"


def unpaired(one: Population, other: Population) -> tuple[list[Any], list[Any]]:
    """The seeds that only one of two settings has: those of `one`, and those of `other`."""
    return (
        [seed for seed in one.values if seed not in other.values],
        [seed for seed in other.values if seed not in one.values],
    )
