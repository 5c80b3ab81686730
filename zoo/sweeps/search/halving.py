"""Successive halving: many settings for a few steps, the better third for three times as many, and so on.

Jamieson and Talwalkar, "Non-stochastic Best Arm Identification and Hyperparameter Optimization", AISTATS 2016. The
factor of 3 is that of Li and others, "Hyperband: A Novel Bandit-Based Approach to Hyperparameter Optimization", JMLR 18
(2018). All members of a rung end before the next one begins, so that it does not depend on which of them ends first.
"""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from zoo.errors import UsageError
from zoo.options.sweep import HALVING
from zoo.phrasing import option
from zoo.plugin.registry import Registry
from zoo.runs.plan import make_plan
from zoo.sweeps.member import Member, Row
from zoo.sweeps.request import Request
from zoo.sweeps.search.concluding import Lost, conclude
from zoo.sweeps.search.trials import Trial, Trials
from zoo.sweeps.strategy import Conclusion

if TYPE_CHECKING:
    from optuna.trial import FrozenTrial

FACTOR = 3  # of the steps from rung to rung, and of the settings that go on
_MOST_RUNGS = 5  # the first has an 81st of the steps: after fewer, the order says little of the last


def rung_steps(trials: int, steps: int) -> list[int]:
    """The steps of each rung, the last of which has all of them.

    Args:
        trials: settings of the first rung.
        steps: of a whole run.
    """
    count = 1
    while count < _MOST_RUNGS and FACTOR**count <= min(trials, steps):
        count += 1
    return [-(-steps // FACTOR ** (count - 1 - rung)) for rung in range(count)]


class Halving(Trials):
    """Random settings. A third of those of a rung that have a result goes on to the next, the best of them by rank."""

    def __init__(self, request: Request, registry: Registry) -> None:
        super().__init__(request, registry)
        if "steps" in request.varying:
            raise UsageError(f"{option('search', HALVING)} varies {option('steps')} itself: give one number of them")
        if request.same.get("seconds") is not None:
            raise UsageError(
                f"{option('search', HALVING)} counts steps: give {option('steps')}, not {option('seconds')}"
            )
        settings = [self.study.ask() for _ in range(request.trials)]
        whole = make_plan(registry, request.member(1, settings[0], request.seeds[0]).options).steps
        self._steps = rung_steps(request.trials, whole)
        self._rungs: list[dict[int, Trial]] = []  # by the place of the settings, from 0
        self._members: list[Member] = []
        self._ended = False
        self._add_rung({place: Trial(one, []) for place, one in enumerate(settings)}, {})

    def members(self, rows: Mapping[int, Row]) -> Sequence[Member]:
        while not self._ended and all(trial.is_done(rows) for trial in self._rungs[-1].values()):
            kept = self._best_third(rows)
            self._ended = not kept or len(self._rungs) == len(self._steps)
            if not self._ended:
                self._add_rung(kept, rows)
        return self._members

    def frozen(self, number: int, rows: Mapping[int, Row]) -> FrozenTrial | None:
        own = [rung[number] for rung in self._rungs if number in rung]
        if not own[-1].is_done(rows) or not (self._ended or number not in self._rungs[-1]):
            return None
        outcomes = [self.outcome(trial, rows) for trial in own]
        values = [self.objective.shown(outcome) for outcome in outcomes]
        at = {steps: value for steps, value in zip(self._steps, values, strict=False) if value is not None}
        out = number not in self._rungs[-1]
        return self.study.frozen(own[-1].settings, self.shown(outcomes[-1]), own[-1].members, at=at, out=out)

    def conclusion(self, rows: Mapping[int, Row]) -> Conclusion | None:
        every = {place: trial for rung in self._rungs for place, trial in rung.items()}  # in the last rung that it had
        lost = Lost.of(self.outcome(trial, rows) for trial in every.values())
        last = [(trial.settings, self.outcome(trial, rows)) for trial in self._rungs[-1].values()]
        found = conclude(self.request, self.objective, last, lost, len(every))
        rungs = [{"steps": steps, "settings": len(rung)} for steps, rung in zip(self._steps, self._rungs, strict=False)]
        return found._replace(value={**found.value, "rungs": rungs})

    def _best_third(self, rows: Mapping[int, Row]) -> dict[int, Trial]:
        """The settings of the last rung that go on, in their order; of equals, the earlier ones."""
        rung = self._rungs[-1]
        outcomes = {place: self.outcome(trial, rows).value for place, trial in rung.items()}
        ranked = sorted((value, place) for place, value in outcomes.items() if value is not None)
        kept = ranked[: max(1, len(rung) // FACTOR)]
        return {place: rung[place] for place in sorted(place for _, place in kept)}

    def _add_rung(self, trials: Mapping[int, Trial], rows: Mapping[int, Row]) -> None:
        """Members with the steps of the next rung; one that was stopped early has its last result already."""
        number = len(self._rungs)
        until = self._steps[number] if number + 1 < len(self._steps) else None
        rung = {}
        for place, trial in trials.items():
            numbers = []
            for seed, before in itertools.zip_longest(self.request.seeds, trial.members):
                if before is not None and (rows[before].steps or 0) < self._steps[number - 1]:
                    numbers.append(before)
                    continue
                member = self.request.member(len(self._members) + 1, trial.settings, seed)
                self._members.append(replace(member, until=until, continues=before))
                numbers.append(member.number)
            rung[place] = Trial(trial.settings, numbers)
        self._rungs.append(rung)
