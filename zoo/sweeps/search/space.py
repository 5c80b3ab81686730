"""What a search may try: for each name a range, or a list of choices."""

from __future__ import annotations

import typing
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, TypeAlias

from zoo.errors import UsageError
from zoo.numbers import show_value
from zoo.options.declaration import declared
from zoo.options.interval import Interval
from zoo.options.run import RunOptions
from zoo.phrasing import option
from zoo.plugin.registry import Registry
from zoo.runs.plan import RunPlan, make_plan
from zoo.sweeps.request import Request

_DIGITS = 4  # of a number that is tried: more would be of no use, and hard to type


@dataclass(frozen=True)
class Numbers:
    """Whole numbers, or others, in a range."""

    interval: Interval
    whole: bool

    def rounded(self, value: float) -> int | float:
        """A value of the range, with a few digits; within the range still."""
        if self.whole:
            return round(value)
        low, high = float(self.interval.low), float(self.interval.high)
        return min(max(float(f"{value:.{_DIGITS}g}"), low), high)


Choices: TypeAlias = tuple[Any, ...]
Space: TypeAlias = Mapping[str, Numbers | Choices]


def space_of(request: Request, registry: Registry) -> Space:
    """What a search may try. A range is of whole numbers where the option or the setting takes these only.

    Raises:
        UsageError: an end of a range is a value that its option cannot have, or that is none of its type.
        PluginError: a factory that is needed cannot be imported.
    """
    for name in request.ranges:
        if "." not in name and not _is_numeric(declared(RunOptions)[name].type):
            raise UsageError(f"{option(name)} takes no range: give values with commas")
    plans = [_plan_at(end, request, registry) for end in (0, 1)]
    found: dict[str, Numbers | Choices] = {name: tuple(values) for name, values in request.grid.items()}
    for name, interval in request.ranges.items():
        values = [_value_in(plan, name) for plan in plans]
        if not all(isinstance(value, int | float) and not isinstance(value, bool) for value in values):
            raise UsageError(f"{_named(name)} takes no range: it is no number, but {show_value(values[0])}")
        whole = interval.whole and all(isinstance(value, int) for value in values)
        found[name] = Numbers(interval, whole)
    return {name: found[name] for name in request.varying}


def _is_numeric(kind: Any) -> bool:
    """Whether an option of this type is a number."""
    return not {int, float}.isdisjoint(typing.get_args(kind) or (kind,))


def _plan_at(end: int, request: Request, registry: Registry) -> RunPlan:
    """The plan of a run with that end of each range, and with the first, or the last, of each list."""
    settings = {name: interval[end] for name, interval in request.ranges.items()}
    settings |= {name: values[-end] for name, values in request.grid.items()}
    return make_plan(registry, request.member(1, settings, request.seeds[0]).options)


def _value_in(plan: RunPlan, name: str) -> Any:
    """The value of an option or a setting in a plan, in the type that the plan has made of it."""
    section, _, key = name.partition(".")
    if not key:
        return getattr(plan.options, name)
    settings: dict[str, Mapping[str, Any]] = {
        "model": plan.model_settings,
        "data": plan.data_settings,
        "optimizer": plan.optimizer_settings,
        "loss": plan.loss_settings,
    }
    return settings.get(section, {}).get(key)


def _named(name: str) -> str:
    return name if "." in name else option(name)
