"""The verdict on several settings: which is the best, and from which others it is told apart.

The best setting was chosen by the same numbers that are tested, so that a comparison with it stands for all pairs of
settings, of which it is the most remarkable: p values are corrected for the number of all pairs, by Holm's method
(Scandinavian Journal of Statistics 6, 1979). A baseline is chosen beforehand: only its
comparisons count.
"""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from zoo.verdicts.interim import nominal_level, total_error
from zoo.verdicts.pairs import Pairs, compare, unpaired
from zoo.verdicts.populations import Measure, Population, typical
from zoo.verdicts.power import POWER, seeds_needed

ERROR = 0.05  # the probability that any difference is found where there is none


@dataclass(frozen=True)
class Comparison:
    """Two settings.

    Attributes:
        pairs: their values by seed.
        interval: the 95 % confidence interval of the mean difference, uncorrected for other comparisons. While seeds
            are added until it is decided, it is wider, so that it holds whenever one stops (a repeated confidence
            interval: Jennison and Turnbull 1989).
        p: corrected for the number of comparisons and of interim tests; None where nothing could be tested.
        more_seeds: how many more would settle a difference of this size; None where it is settled, where more than
            `zoo.verdicts.power.MOST` would be needed, or where it cannot be told.
        unpaired: how many seeds only the better, and only the worse setting has.
    """

    pairs: Pairs
    interval: tuple[float, float] | None
    p: float | None
    more_seeds: int | None
    unpaired: tuple[int, int] = (0, 0)

    @property
    def is_shown(self) -> bool:
        """Whether the difference is more than luck."""
        return self.p is not None and self.p <= ERROR

    def as_json(self) -> dict[str, Any]:
        """For `--json`."""
        pairs = self.pairs
        return {
            "better": pairs.better,
            "worse": pairs.worse,
            "seeds": pairs.n,
            "difference": pairs.difference,
            "interval": None if self.interval is None else list(self.interval),
            "better_in": pairs.wins,
            "equal_in": pairs.ties,
            "diverged": {"better": pairs.diverged[0], "worse": pairs.diverged[1]},
            "unpaired": {"better": self.unpaired[0], "worse": self.unpaired[1]},
            "test": pairs.test,
            "p_uncorrected": pairs.p,
            "p": self.p,
            "more_than_luck": self.is_shown,
            "more_seeds": self.more_seeds,
        }


@dataclass(frozen=True)
class Verdict:
    """What is known of several settings.

    Attributes:
        measure: what they are compared by.
        settings: all of them, the best first.
        baseline: the name of the setting that all others are compared with; None where that is the best one.
        comparisons: with the baseline, or of the best with each other setting that shares two seeds with it, in the
            order of `settings`.
        corrected_for: how many comparisons the p values are corrected for.
        interim: after how many seeds it was planned to test; empty where it is done once.
    """

    measure: Measure
    settings: Sequence[Population]
    baseline: str | None
    comparisons: Sequence[Comparison]
    corrected_for: int
    interim: Sequence[int] = ()

    @property
    def best(self) -> str | None:
        """The setting with the best values, be that luck or not; None where none has several seeds."""
        return self.settings[0].name if self.settings and self.settings[0].is_repeated else None

    @property
    def singles(self) -> list[Population]:
        """The settings of a single seed, of which nothing can be said."""
        return [one for one in self.settings if len(one.values) == 1]

    @property
    def open(self) -> list[str]:
        """The settings that are not told apart from the best one, or from the baseline; without those that failed."""
        with_it = self.baseline or self.best
        told = {name for one in self.comparisons if one.is_shown for name in (one.pairs.better, one.pairs.worse)}
        return [one.name for one in self.settings if one.values and one.name not in told and one.name != with_it]

    @property
    def is_decided(self) -> bool:
        """Whether all settings are told apart from the best one, or from the baseline."""
        return bool(self.comparisons) and not self.open

    def as_json(self) -> dict[str, Any]:
        """For `--json`; see `zoo.verdicts.sentences.as_json`."""
        return {
            "measure": {"name": self.measure.name, "unit": self.measure.unit or None, "better": self.measure.better},
            "settings": [one.as_json() for one in self.settings],
            "best": self.best,
            "baseline": self.baseline,
            "comparisons": [one.as_json() for one in self.comparisons],
            "corrected_for": {"comparisons": self.corrected_for, "interim_tests": len(self.interim)},
            "tests_after": list(self.interim),
            "error": ERROR,
            "power": POWER,
            "decided": self.is_decided,
        }


def decide(
    settings: Sequence[Population],
    measure: Measure,
    *,
    baseline: str | None = None,
    interim: Sequence[int] = (),
) -> Verdict:
    """The verdict on several settings.

    Args:
        settings: with names that differ.
        measure: of their values.
        baseline: the name of one of them.
        interim: after how many seeds it is tested, in all, where seeds are added until it is decided.
    """
    ranked = _ranked(settings, measure)
    repeated = [one for one in ranked if one.is_repeated]
    by_name = {one.name: one for one in ranked}
    first = by_name[baseline] if baseline is not None else repeated[0] if repeated else None
    tested = [(first, other) for other in repeated if first is not None and other is not first]
    count = len(tested) if baseline is not None else _pairs_of(len(repeated))
    return Verdict(measure, ranked, baseline, _compared(tested, measure, count, interim), count, tuple(interim))


def neighbours(settings: Sequence[Population], measure: Measure) -> tuple[list[Comparison], int]:
    """Each setting compared with the next best one, for a ranking.

    Returns:
        The comparisons, the best first, and for how many they are corrected: for all pairs, as it was the same numbers
        that made them neighbours.
    """
    repeated = [one for one in _ranked(settings, measure) if one.is_repeated]
    count = _pairs_of(len(repeated))
    return _compared([*itertools.pairwise(repeated)], measure, count, ()), count


def _pairs_of(count: int) -> int:
    return count * (count - 1) // 2


def _compared(
    tested: Sequence[tuple[Population, Population]], measure: Measure, count: int, interim: Sequence[int]
) -> list[Comparison]:
    """Pairs of settings, of `count` that are corrected for."""
    found = [compare(one, other, measure) for one, other in tested]
    comparisons = []
    for (one, other), pairs, p in zip(tested, found, _corrected([one.p for one in found], count, interim), strict=True):
        better, worse = (one, other) if pairs.better == one.name else (other, one)
        alone = unpaired(better, worse)
        more = None if p is None or p <= ERROR else _more_seeds(pairs, count, interim)
        interval = pairs.interval(1 - _level(ERROR, interim))
        comparisons.append(Comparison(pairs, interval, p, more, (len(alone[0]), len(alone[1]))))
    return comparisons


def _ranked(settings: Sequence[Population], measure: Measure) -> list[Population]:
    """The best first, and those with several seeds before the others."""
    by_median = any(one.diverged for one in settings)
    keys: Mapping[str, float] = {one.name: typical(one, measure, by_median=by_median) for one in settings}
    ranked = sorted(settings, key=lambda one: (not one.is_repeated, keys[one.name]))
    if not ranked:
        return []
    # Means over different seeds do not compare: the best one is that which no other beats in the seeds they share.
    best = ranked[0]
    for one in ranked[1:]:
        if one.is_repeated and one.values.keys() != best.values.keys():
            pairs = compare(best, one, measure)
            best = one if pairs.n > 1 and pairs.better == one.name else best
    return [best, *(one for one in ranked if one is not best)]


def _corrected(values: Sequence[float | None], count: int, interim: Sequence[int]) -> list[float | None]:
    """p values, corrected for the interim tests, and by Holm for `count` comparisons, of which these are some.

    Of comparisons that are left out it is assumed that they come last, which makes these p values only larger.
    """
    single = [None if p is None else total_error(interim, p) if interim else p for p in values]
    order = sorted((p, i) for i, p in enumerate(single) if p is not None)
    found: list[float | None] = [None] * len(values)
    largest = 0.0
    for place, (p, i) in enumerate(order):
        largest = max(largest, min(1.0, p * max(1, count - place)))
        found[i] = largest
    return found


def _level(error: float, interim: Sequence[int]) -> float:
    return nominal_level(interim, error) if interim else error


def _more_seeds(pairs: Pairs, count: int, interim: Sequence[int]) -> int | None:
    needed = seeds_needed(pairs, _level(ERROR / max(1, count), interim))
    return None if needed is None else max(1, needed - pairs.n)
