"""A search by Optuna: the next settings are proposed from the losses of those before, or at random."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from zoo.options.sweep import TPE
from zoo.plugin.registry import Registry
from zoo.sweeps.member import Member, Row
from zoo.sweeps.request import Request
from zoo.sweeps.search.concluding import Lost, conclude
from zoo.sweeps.search.journal import JOURNAL_FILE, Journal
from zoo.sweeps.search.objective import objective_of
from zoo.sweeps.search.space import space_of
from zoo.sweeps.search.study import Outcome, Study
from zoo.sweeps.strategy import Conclusion, Strategy, settings_key

if TYPE_CHECKING:
    from optuna.trial import FrozenTrial

_LEAST_LAG = 8
_LAG_SHARE = 10  # of the trials: more of them run at a time in a longer search


@dataclass(frozen=True)
class Trial:
    """Settings that are tried: a member for each seed.

    Attributes:
        settings: that differ between trials.
        members: their numbers.
    """

    settings: Mapping[str, Any]
    members: Sequence[int]

    def is_done(self, rows: Mapping[int, Row]) -> bool:
        return all(number in rows for number in self.members)

    def rows(self, rows: Mapping[int, Row]) -> list[Row]:
        return [rows[number] for number in self.members]


class Trials(Strategy):
    """What all searches have in common: settings with a member for each seed, and a study that proposes them."""

    def __init__(self, request: Request, registry: Registry) -> None:
        """Begin with no trial.

        Raises:
            UsageError: Optuna is not installed, or an option does not fit a search.
            PluginError: a factory that is needed cannot be imported.
        """
        self.request = request
        self.objective = objective_of(request, registry)
        seed = 1 if request.options.search_seed is None else request.options.search_seed
        self.study = Study(space_of(request, registry), request.options.search or TPE, seed)
        self._frozen: list[FrozenTrial] = []
        self._journal: Journal | None = None
        self._failed = False  # to write it

    @abstractmethod
    def frozen(self, number: int, rows: Mapping[int, Row]) -> FrozenTrial | None:
        """A trial by its number from 0, for the journal; None while it goes on."""

    def outcome(self, trial: Trial, rows: Mapping[int, Row]) -> Outcome:
        """What became of a trial that is done."""
        return self.objective.outcome(trial.rows(rows))

    def shown(self, outcome: Outcome) -> Outcome:
        """An outcome with the value as people read it."""
        return Outcome(self.objective.shown(outcome), outcome.diverged)

    def record(self, folder: Path, rows: Mapping[int, Row], warn: Callable[[str], None]) -> None:
        """Add the trials that are done, in their order, to `search.journal`."""
        if self._failed:
            return
        count = len(self._frozen)
        while len(self._frozen) < self.request.trials:
            trial = self.frozen(len(self._frozen), rows)
            if trial is None:
                break
            self._frozen.append(trial)
        try:
            if self._journal is None:
                self._journal = Journal(folder / JOURNAL_FILE, higher=self.objective.higher)
            elif count == len(self._frozen):
                return
            self._journal.extend(self._frozen)
        except OSError as error:
            self._failed = True
            warn(f"{JOURNAL_FILE} has no more trials from here on: {error.strerror or error}")


class Search(Trials):
    """Trials that are proposed in their order: each from all before it that are done but for the last `lag`."""

    def __init__(self, request: Request, registry: Registry) -> None:
        super().__init__(request, registry)
        count = request.trials
        self._lag = max(_LEAST_LAG, count // _LAG_SHARE) if request.options.search == TPE else count
        self._trials: list[Trial] = []
        self._members: list[Member] = []
        self._known: dict[Any, Trial] = {}

    def members(self, rows: Mapping[int, Row]) -> Sequence[Member]:
        while len(self._trials) < self.request.trials:
            told = len(self._trials) - self._lag
            if told >= 0:
                if not self._trials[told].is_done(rows):
                    break
                self.study.tell(told, self.outcome(self._trials[told], rows))
            self._add(self.study.ask())
        return self._members

    def frozen(self, number: int, rows: Mapping[int, Row]) -> FrozenTrial | None:
        trial = self._trials[number] if number < len(self._trials) else None
        if trial is None or not trial.is_done(rows):
            return None
        return self.study.frozen(trial.settings, self.shown(self.outcome(trial, rows)), trial.members)

    def conclusion(self, rows: Mapping[int, Row]) -> Conclusion | None:
        tried = [(trial.settings, self.outcome(trial, rows)) for trial in self._trials]
        return conclude(self.request, self.objective, tried, Lost.of(one for _, one in tried), len(tried))

    def _add(self, settings: Mapping[str, Any]) -> None:
        """A trial of these settings; one that was tried before has the members that it had then."""
        key = settings_key(settings)
        if key not in self._known:
            first = len(self._members) + 1
            numbered = enumerate(self.request.seeds, first)
            self._members += [self.request.member(number, settings, seed) for number, seed in numbered]
            self._known[key] = Trial(settings, range(first, len(self._members) + 1))
        self._trials.append(self._known[key])
