"""`zoo sweep MODEL --ladder 6`: the model in sizes, each twice as wide as the one before, and how its loss falls."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from functools import cached_property
from typing import Any

from zoo.errors import UsageError
from zoo.numbers import mean, show_loss
from zoo.phrasing import option
from zoo.plugin.registry import Registry
from zoo.plugin.width import scaled, width_of
from zoo.runs.plan import make_plan
from zoo.sweeps.member import FINISHED, Member, Row
from zoo.sweeps.request import Request
from zoo.sweeps.results.settings import value_of
from zoo.sweeps.scaling.power_law import PowerLaw, fit_power_law
from zoo.sweeps.strategy import Conclusion, Strategy

NAME = "ladder"


class Ladder(Strategy):
    """A member for each size and seed: all sizes with the first seed first."""

    def __init__(self, request: Request, registry: Registry) -> None:
        """Choose the sizes: those that are given, or the model's own width times powers of two.

        Raises:
            UsageError: the model has no width, something else varies, or there are other sizes than were asked for.
            PluginError: a factory that is needed cannot be imported, or its spec names a wrong width.
        """
        self._request = request
        count = request.options.ladder
        assert count is not None
        other = next((name for name in request.varying if not name.startswith("model.")), None)
        if other is not None or len(request.varying) > 1:
            name = other or request.varying[1]
            shown = name if "." in name else option(name)
            raise UsageError(f"{option('ladder')} varies one setting of the model: give one value of {shown}")
        if request.grid:
            [(self.name, values)] = request.grid.items()
            if len(values) != count:
                given = f"{len(values)} sizes of {self.name}"
                raise UsageError(f"{option('ladder', count)} asks for {count} sizes, and there are {given}")
            self.sizes = [*values]
            return
        plan = make_plan(registry, request.member(1, {}, request.seeds[0]).options)
        width = width_of(plan.model, plan.model_settings)
        self.name = f"model.{plan.model.spec.width}"
        self.sizes = [scaled(width, 2.0 ** (place - count // 2)) for place in range(count)]
        if any(one == other for one, other in itertools.pairwise(self.sizes)):
            raise UsageError(
                f"{option('ladder', count)} halves {self.name} of {width} to below 1: give a smaller number, or sizes"
            )

    def members(self, rows: Mapping[int, Row]) -> Sequence[Member]:
        return self._members

    @cached_property
    def _members(self) -> Sequence[Member]:
        pairs = enumerate(itertools.product(self._request.seeds, self.sizes), 1)
        return [self._request.member(number, {self.name: size}, seed) for number, (seed, size) in pairs]

    def conclusion(self, rows: Mapping[int, Row]) -> Conclusion | None:
        steps = [step_of(size, [rows[one.number] for one in self._of(size)]) for size in self.sizes]
        found = fitted(steps)
        value: dict[str, Any] = {"setting": self.name, "sizes": steps}
        if isinstance(found, str):
            return Conclusion(NAME, value | {"fit": None, "why": found}, [f"No power law is fitted: {found}"])
        fit = {
            "exponent": found.exponent,
            "interval": found.interval,
            "offset": found.offset,
            "scale": found.scale,
        }
        return Conclusion(NAME, value | {"fit": fit}, [_sentence(found, len(self._request.seeds))])

    def _of(self, size: Any) -> list[Member]:
        return [one for one in self._members if one.settings[self.name] == size]


def step_of(size: Any, rows: Sequence[Row]) -> dict[str, Any]:
    """A step of a ladder as JSON has it: the losses are those of the finished members, as far as they are finite."""
    finished = [row for row in rows if row.state == FINISHED]
    losses = [value for row in finished if (value := value_of(row)) is not None]
    parameters = next((row.parameters for row in finished), None)
    found: dict[str, Any] = {"size": size, "parameters": parameters, "losses": losses}
    return found | {"loss": mean(losses) if losses else None, "lost": len(rows) - len(losses)}


def fitted(steps: Sequence[Mapping[str, Any]]) -> PowerLaw | str:
    """The power law through steps of a ladder, or why there is none."""
    lost = sum(step["lost"] for step in steps)
    if lost:
        return f"{lost:,} of its runs {'has' if lost == 1 else 'have'} no result"
    ordered = sorted(steps, key=lambda step: step["parameters"])
    return fit_power_law([step["parameters"] for step in ordered], [step["losses"] for step in ordered])


def _sentence(law: PowerLaw, seeds: int) -> str:
    formula = f"loss = {show_loss(law.offset)} + (P / {law.scale:,.3g}) ^ -{law.exponent:.2f}"
    if law.interval is None:
        return f"Fitted to P parameters: {formula}; more {option('seeds')} give the exponent an interval"
    low, high = law.interval
    return (
        f"Fitted to P parameters: {formula}; 95 % interval of the exponent {low:.2f} to {high:.2f}, from {seeds} seeds"
    )
