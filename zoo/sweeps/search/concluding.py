"""What a search says at its end: the best settings, and what to type next."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

from zoo.numbers import show_loss
from zoo.options.sweep import GRID_SEEDS
from zoo.sweeps.request import Request
from zoo.sweeps.results.next_command import with_settings
from zoo.sweeps.search.objective import Objective
from zoo.sweeps.search.study import Outcome
from zoo.sweeps.strategy import Conclusion

Tried = Sequence[tuple[Mapping[str, Any], Outcome]]


class Lost(NamedTuple):
    """How many settings have no result, and why."""

    diverged: int
    failed: int

    @classmethod
    def of(cls, outcomes: Iterable[Outcome]) -> Lost:
        diverged = [outcome.diverged for outcome in outcomes if outcome.value is None]
        return cls(sum(diverged), len(diverged) - sum(diverged))

    def __str__(self) -> str:
        return ", ".join(f"{count:,} {name}" for name, count in self._asdict().items() if count)


def conclude(request: Request, objective: Objective, tried: Tried, lost: Lost, count: int) -> Conclusion:
    """The best of the settings that were tried; the first of equals.

    Args:
        request: of the sweep.
        objective: what they are compared by.
        tried: settings with all their steps and what became of them, in their order.
        lost: of all settings.
        count: of all settings.
    """
    known = [(outcome.value, place) for place, (_, outcome) in enumerate(tried) if outcome.value is not None]
    by = {"by": request.options.search, "objective": objective.name}
    value: dict[str, Any] = {**by, "trials": count, **lost._asdict(), "best": None}
    if not known:
        return Conclusion("search", value, [f"None of the {count:,} settings has a result: {lost}"])
    settings, best = tried[min(known)[1]]
    shown = objective.shown(best)
    assert shown is not None
    value["best"] = {"settings": dict(settings), "value": shown}
    listed = ", ".join(f"{name} {value}" for name, value in settings.items())
    of = f"{objective.words} {show_loss(shown)}" + f", the mean of {len(request.seeds)} seeds" * (
        len(request.seeds) > 1
    )
    counted = f" ({lost})" if any(lost) else ""
    return Conclusion(
        "search",
        value,
        [
            f"Best of {count:,} settings{counted}: {listed}, with {of}",
            "The best of many is partly luck: other seeds tell how good it is",
            with_settings("sweep", request, settings, seeds=_other_seeds(request.seeds)),
        ],
    )


def _other_seeds(seeds: Sequence[int]) -> list[int]:
    """As many seeds as a sweep takes by default, none of which the search has used."""
    free = (seed for seed in itertools.count(1) if seed not in seeds)
    return list(itertools.islice(free, GRID_SEEDS))
