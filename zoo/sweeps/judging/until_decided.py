"""`--until-decided`: seeds are added until the settings are told apart, or there are `--most-seeds` of them.

After each batch of seeds the settings are tested, at a level that keeps the error of all these tests together
(`zoo.verdicts.interim`). Only those get more seeds that are not told apart from the best, and the best itself.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from zoo.errors import UsageError
from zoo.options.sweep import FIRST_TEST, MOST_SEEDS
from zoo.phrasing import option
from zoo.runs.listing.columns import BETTER, Better
from zoo.sweeps.judging.verdict import verdict_of_rows
from zoo.sweeps.member import Member, Row
from zoo.sweeps.request import Request
from zoo.sweeps.strategy import Strategy
from zoo.verdicts.interim import plan
from zoo.verdicts.populations import Measure

_OTHER_FIGURES = ("data", "loss")  # sections whose settings change what a loss is of


class UntilDecided(Strategy):
    """A strategy: all settings with the first seeds, and then those that are still open with more.

    Args:
        request: with two settings or more, and a number of seeds: that of the first test.

    Raises:
        UsageError: there is one setting only, the seeds are a list, or the losses of the settings do not compare.
    """

    is_judged = True

    def __init__(self, request: Request) -> None:
        _check(request)
        self.tests = planned_tests(request)
        self._request = request
        self._settings = request.combinations()
        self._measure, self._metric = _measure(request)
        self._stages: list[list[Member]] = []  # the members that each test added: they never change

    def members(self, rows: Mapping[int, Row]) -> Sequence[Member]:
        """As `Strategy` has it: of the tests that are due, all members that they need."""
        if not self._stages:
            self._add(range(len(self._settings)))
        while all(member.number in rows for member in self._stages[-1]) and len(self._stages) < len(self.tests):
            still_open = self._open(rows)
            if not still_open:
                break
            self._add(still_open)
        return [member for stage in self._stages for member in stage]

    def _open(self, rows: Mapping[int, Row]) -> list[int]:
        """The places of the settings that are to get more seeds; empty when it is decided, or all have failed."""
        done = [member for stage in self._stages for member in stage]
        verdict = verdict_of_rows(done, rows, measure=self._measure, metric=self._metric, interim=self.tests)
        return sorted(int(name) for name in (verdict.best, *verdict.open)) if verdict.best and verdict.open else []

    def _add(self, places: Sequence[int]) -> None:
        """The members with which these settings have the seeds of the next test."""
        known = {(repr(member.settings), member.seed) for stage in self._stages for member in stage}
        number = sum(map(len, self._stages))
        seeds = self.tests[len(self._stages)]
        added = []
        for seed in range(1, seeds + 1):
            for place in places:
                settings = self._settings[place]
                if (repr(settings), seed) not in known:
                    number += 1
                    added.append(self._request.member(number, settings, seed))
        self._stages.append(added)


def planned_tests(request: Request) -> tuple[int, ...]:
    """After how many seeds the settings are tested.

    Raises:
        UsageError: the seeds are a list, or more than there may be.
    """
    options, most = request.options, request.options.most_seeds or MOST_SEEDS
    first = FIRST_TEST if options.seeds is None else options.seeds
    if isinstance(first, str) and first.strip().isdecimal():
        first = int(first)
    if not isinstance(first, int):
        raise UsageError(
            f"{option('until_decided')} takes the seeds 1, 2, 3 and so on: give {option('seeds')} one number, after "
            "how many of them to test first"
        )
    if first > most:
        raise UsageError(f"{option('seeds', first)} is more than {option('most_seeds', most)}: test first after fewer")
    return plan(most, max(2, first))


def _check(request: Request) -> None:
    until = option("until_decided")
    if len(request.combinations()) < 2:
        raise UsageError(f"{until} compares settings: give two or more, as in {option('lr', '0.1,0.3')}")
    other = [name for name in request.grid if name.split(".")[0] in _OTHER_FIGURES or name == "dataset"]
    if other:
        raise UsageError(f"{until}: losses with different values of {other[0]} do not compare: give one of them")


def _measure(request: Request) -> tuple[Measure, str]:
    """What settings are compared by, and its name among the metrics; the same that `judged_by` finds."""
    name, _, direction = str(request.same.get("monitor") or "").partition(":")
    better: Better | None = {"max": "higher", "min": "lower"}.get(direction, BETTER.get(name))  # type: ignore[assignment]
    if not name or name == "loss" or better is None:
        return Measure(), ""
    return Measure(name, "", better, is_loss=False), name
