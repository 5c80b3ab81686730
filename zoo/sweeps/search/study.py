"""Optuna, asked and told: which settings to try next.

A trial is asked for when all trials but the `LAG` before it are told, whatever order their runs end in and however many
of them run at a time: the same search tries the same settings. Optuna keeps no state of a sampler
(https://github.com/optuna/optuna/issues/4927), so each trial has a new one, seeded by the search's seed and the trial's
number: a search that was killed goes on with the same settings, too.
"""

from __future__ import annotations

import contextlib
import hashlib
import logging
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from types import ModuleType
from typing import TYPE_CHECKING, Any

from zoo.errors import UsageError
from zoo.options.sweep import TPE
from zoo.options.values import as_text, is_scalar
from zoo.phrasing import option
from zoo.sweeps.search.space import Choices, Numbers, Space

if TYPE_CHECKING:
    from optuna.distributions import BaseDistribution
    from optuna.trial import FrozenTrial

STARTUP_TRIALS = 10  # of random settings, before a model of the losses is of any use


@dataclass(frozen=True)
class Outcome:
    """What became of a trial.

    Attributes:
        value: what is minimized; None where it has none.
        diverged: that is why: the settings are bad. Otherwise it failed, which says nothing of them.
    """

    value: float | None
    diverged: bool = False


def import_optuna() -> ModuleType:
    """Optuna, which says nothing on stderr by itself.

    Raises:
        UsageError: it is not installed.
    """
    try:
        import optuna
    except ImportError as error:
        raise UsageError(
            f"{option('search')} needs Optuna, which is not installed: pip install 'zoo-models[search]'"
        ) from error
    return optuna


@contextlib.contextmanager
def quiet(optuna: ModuleType) -> Iterator[None]:
    """No messages of Optuna, which writes them to stderr; its settings are the caller's again at the end."""
    logger = logging.getLogger(optuna.__name__)
    before = logger.level
    logger.setLevel(logging.ERROR)
    try:
        yield
    finally:
        logger.setLevel(before)


class Study:
    """Trials of one search, in memory: what Optuna is told decides what it proposes, and nothing else does."""

    def __init__(self, space: Space, sampler: str, seed: int) -> None:
        """Begin with no trial.

        Args:
            space: what may be tried.
            sampler: `tpe` for the tree-structured Parzen estimator of Bergstra and others, "Algorithms for
                Hyper-Parameter Optimization", NeurIPS 2011; any other for random search.
            seed: of the search.

        Raises:
            UsageError: Optuna is not installed.
        """
        self._optuna = import_optuna()
        self._space, self._sampler, self._seed = space, sampler, seed
        self._distributions = {name: _distribution(one, self._optuna) for name, one in space.items()}
        with quiet(self._optuna):
            self._study = self._optuna.create_study()

    def ask(self) -> dict[str, Any]:
        """The settings of the next trial."""
        number = len(self._study.get_trials(deepcopy=False))
        with quiet(self._optuna):
            self._study.sampler = self._new_sampler(number)
            trial = self._study.ask(self._distributions)
        return {name: self._shown(name, trial.params[name]) for name in self._space}

    def tell(self, number: int, outcome: Outcome) -> None:
        """Say what became of a trial, by its number from 0.

        A diverged one is pruned, in Optuna's terms: worse than all that have a value. One that failed is left out.
        """
        states = self._optuna.trial.TrialState
        with quiet(self._optuna):
            if outcome.value is not None:
                self._study.tell(number, outcome.value)
            else:
                self._study.tell(number, state=states.PRUNED if outcome.diverged else states.FAIL)

    def frozen(
        self,
        settings: Mapping[str, Any],
        outcome: Outcome,
        members: Sequence[int],
        *,
        at: Mapping[int, float] | None = None,
        out: bool = False,
    ) -> FrozenTrial:
        """A trial that is done, for a file.

        Args:
            settings: as they were tried.
            outcome: with the value as people read it.
            members: the numbers of its members.
            at: values at steps on the way.
            out: it ended before its last step, because others were better.
        """
        states = self._optuna.trial.TrialState
        state = states.PRUNED if out or outcome.diverged else states.FAIL if outcome.value is None else states.COMPLETE
        trial: FrozenTrial = self._optuna.trial.create_trial(
            state=state,
            value=outcome.value,
            params={name: self._plain(name, settings[name]) for name in self._space},
            distributions=self._distributions,
            intermediate_values=dict(at or {}),
            user_attrs={"members": [*members]},
        )
        return trial

    def _new_sampler(self, number: int) -> Any:
        seed = _seed_of(self._seed, number)
        if self._sampler != TPE:
            return self._optuna.samplers.RandomSampler(seed)
        return self._optuna.samplers.TPESampler(
            n_startup_trials=STARTUP_TRIALS, multivariate=True, constant_liar=True, seed=seed
        )

    def _shown(self, name: str, value: Any) -> Any:
        """A value as it is tried: a number with a few digits, a choice as it was given."""
        one = self._space[name]
        return one.rounded(value) if isinstance(one, Numbers) else one[_labels(one).index(value)]

    def _plain(self, name: str, value: Any) -> Any:
        """A value as Optuna has it."""
        one = self._space[name]
        return value if isinstance(one, Numbers) else _labels(one)[one.index(value)]


def _labels(choices: Choices) -> list[Any]:
    """Choices as Optuna takes them: as they are, but for lists."""
    return [choice if is_scalar(type(choice)) else as_text(choice) for choice in choices]


def _distribution(one: Numbers | Choices, optuna: ModuleType) -> BaseDistribution:
    """What Optuna samples from."""
    found: BaseDistribution
    if not isinstance(one, Numbers):
        found = optuna.distributions.CategoricalDistribution(_labels(one))
    elif one.whole:
        low, high = int(one.interval.low), int(one.interval.high)
        found = optuna.distributions.IntDistribution(low, high, log=one.interval.logarithmic)
    else:
        low_, high_ = float(one.interval.low), float(one.interval.high)
        found = optuna.distributions.FloatDistribution(low_, high_, log=one.interval.logarithmic)
    return found


def _seed_of(seed: int, number: int) -> int:
    """The seed of the sampler of one trial; two of them have nothing in common."""
    digest = hashlib.sha256(f"{seed} {number}".encode()).digest()
    return int.from_bytes(digest[:4], "big")  # NumPy takes 32 bits
