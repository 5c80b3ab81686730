"""`zoo sweep MODEL --find-lr`: short runs with a constant learning rate each, over several powers of ten."""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping, Sequence
from typing import Any

from zoo.errors import UsageError
from zoo.numbers import show_loss
from zoo.options.interval import Interval
from zoo.options.schedule import SCHEDULES
from zoo.phrasing import option
from zoo.plugin.registry import Registry
from zoo.runs.plan import make_plan
from zoo.sweeps.member import DIVERGED, FINISHED, Member, Row
from zoo.sweeps.rates.suggestion import RULE, Suggestion, Tried, suggest_rate
from zoo.sweeps.request import Request
from zoo.sweeps.results.next_command import with_settings
from zoo.sweeps.results.settings import value_of
from zoo.sweeps.strategy import Conclusion, Strategy

NAME = "find_lr"
_PER_DECADE = 4
_DOWN, _UP = 1e-3, 1e2  # of the model's own rate: the ends of the range
_SHARE = 20  # a run takes so many times fewer steps than the model's own
_LEAST_STEPS, _MOST_STEPS = 100, 1000
_CONSTANT = SCHEDULES[0]


def rates(low: float, high: float) -> list[float]:
    """Rates from `low` to `high`, evenly spaced on a logarithmic scale, about four for each power of ten."""
    count = max(2, round(_PER_DECADE * math.log10(high / low)) + 1)
    return [float(f"{low * (high / low) ** (place / (count - 1)):.2g}") for place in range(count)]


class FindLr(Strategy):
    """A member for each rate and seed: all rates with the first seed first."""

    def __init__(self, request: Request, registry: Registry) -> None:
        """Choose the rates.

        Raises:
            UsageError: something else varies, or a range of rates is none.
            PluginError: a factory that is needed cannot be imported.
        """
        self._request = request
        other = next((name for name in request.varying if name != "lr"), None)
        if other is not None:
            name = other if "." in other else option(other)
            raise UsageError(f"{option('find_lr')} varies the learning rate alone: give one value of {name}")
        if isinstance(request.same.get("schedule"), str) and request.same["schedule"] != _CONSTANT:
            raise UsageError(f"{option('find_lr')} tries constant learning rates: leave out {option('schedule')}")
        own = make_plan(registry, request.member(1, _first(request), request.seeds[0]).options)
        self._rates = _rates(request, own.lr)
        options: dict[str, Any] = {"schedule": _CONSTANT, "warmup": 0}
        if own.most_steps is not None and not {"steps", "seconds"} & request.same.keys():
            options["steps"] = min(own.most_steps, _MOST_STEPS, max(_LEAST_STEPS, own.most_steps // _SHARE))
        pairs = enumerate(itertools.product(request.seeds, self._rates), 1)
        self._members = [request.member(number, {"lr": lr}, seed, **options) for number, (seed, lr) in pairs]

    def members(self, rows: Mapping[int, Row]) -> Sequence[Member]:
        return self._members

    def conclusion(self, rows: Mapping[int, Row]) -> Conclusion | None:
        by_rate = [[rows[one.number] for one in self._members if one.settings["lr"] == lr] for lr in self._rates]
        tried = [_tried(lr, of_rate) for lr, of_rate in zip(self._rates, by_rate, strict=True)]
        found = suggest_rate(tried)
        value = {
            "suggestion": found.lr,
            "rule": RULE,
            "lowest": found.lowest,
            "diverges_from": found.diverges_from,
            "at_end": found.at_end,
            "rates": [
                {"lr": one.lr, "loss": one.mean if math.isfinite(one.mean) else None, "diverged": one.lost}
                for one in tried
            ],
        }
        return Conclusion(NAME, value, self._sentences(tried, found))

    def _sentences(self, tried: Sequence[Tried], found: Suggestion) -> list[str]:
        if found.lr is None:
            low = tried[0].lr
            lower = str(Interval(float(f"{low / 1000:.2g}"), low))
            return [
                f"A run diverged at every learning rate from {low:g} to {tried[-1].lr:g}: try lower ones",
                with_settings("sweep", self._request, {}, lr=lower, find_lr=True),
            ]
        of = {one.lr: one.mean for one in tried}
        assert found.lowest is not None
        lines = [
            f"Suggested learning rate: {found.lr:g}, with a mean validation loss of {show_loss(of[found.lr])}: {RULE}"
        ]
        told = f"The lowest mean, {show_loss(of[found.lowest])}, is at {found.lowest:g}"
        diverges = "" if found.diverges_from is None else f"; from {found.diverges_from:g} on, training diverges"
        lines.append(told + diverges)
        if found.at_end is not None:
            lines.append(f"That is the {found.at_end}est rate that was tried: the best may be beyond it")
            ends = (
                (found.lowest / 100, found.lowest * 10)
                if found.at_end == "low"
                else (found.lowest / 10, found.lowest * 100)
            )
            beyond = str(Interval(*(float(f"{end:.2g}") for end in ends)))
            return [*lines, with_settings("sweep", self._request, {}, lr=beyond, find_lr=True)]
        return [*lines, with_settings("run", self._request, {}, lr=found.lr, steps=None)]


def _first(request: Request) -> dict[str, Any]:
    """A learning rate of those that are asked for; none where the model's own is to be taken."""
    if "lr" in request.ranges:
        return {"lr": request.ranges["lr"].low}
    return {"lr": request.grid["lr"][0]} if "lr" in request.grid else {}


def _rates(request: Request, own: float) -> list[float]:
    if "lr" in request.grid:
        return sorted(request.grid["lr"])
    interval = request.ranges.get("lr") or Interval(own * _DOWN, own * _UP)
    if interval.low <= 0:
        raise UsageError(f"{option('lr', str(interval))}: learning rates are above 0")
    return rates(interval.low, interval.high)


def _tried(lr: float, rows: Sequence[Row]) -> Tried:
    found = [value_of(row) for row in rows if row.state == FINISHED]
    losses = [value for value in found if value is not None]  # not NaN, which is no better than to diverge
    return Tried(lr, losses, len(found) - len(losses) + sum(row.state == DIVERGED for row in rows))
