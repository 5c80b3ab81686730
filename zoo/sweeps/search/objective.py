"""What a search minimizes: the validation loss, or what `--monitor` names."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from zoo.errors import UsageError
from zoo.numbers import mean
from zoo.phrasing import option
from zoo.plugin.registry import Registry
from zoo.runs.listing.columns import BETTER
from zoo.sweeps.member import DIVERGED, FINISHED, Row
from zoo.sweeps.request import Request
from zoo.sweeps.search.study import Outcome

_LOSS = "loss"


@dataclass(frozen=True)
class Objective:
    """What decides which settings are better.

    Attributes:
        name: of a metric, or `loss`; over the validation split.
        higher: whether a higher value is better.
    """

    name: str = _LOSS
    higher: bool = False

    @property
    def words(self) -> str:
        return "validation loss" if self.name == _LOSS else f"validation {self.name}"

    def of(self, row: Row) -> float | None:
        """Of a member that is finished; None where it has none."""
        values: Mapping[str, float | None] = row.losses if self.name == _LOSS else row.metrics.get("val", {})
        value = values.get("val" if self.name == _LOSS else self.name)
        return value if row.state == FINISHED and value is not None and math.isfinite(value) else None

    def outcome(self, rows: Sequence[Row]) -> Outcome:
        """Of a trial, whose members differ in the seed: the mean, with the sign that makes a lower one better."""
        values = [self.of(row) for row in rows]
        known = [value for value in values if value is not None]
        if len(known) < len(values):
            return Outcome(None, diverged=any(row.state == DIVERGED for row in rows))
        return Outcome(-mean(known) if self.higher else mean(known))

    def shown(self, outcome: Outcome) -> float | None:
        """The mean of an outcome as people read it."""
        return -outcome.value if self.higher and outcome.value is not None else outcome.value


def objective_of(request: Request, registry: Registry) -> Objective:
    """What `--monitor` asks for; by default the loss.

    Raises:
        UsageError: it is not known whether higher values of it are better, or it differs between members.
    """
    if "monitor" in request.varying:
        raise UsageError(f"{option('monitor')} says what the search compares by: give one name")
    name, _, direction = str(request.same.get("monitor") or _LOSS).partition(":")
    if name == _LOSS:
        return Objective()
    if direction in ("max", "min"):
        return Objective(name, direction == "max")
    higher = BETTER[name] == "higher" if name in BETTER else _said_by_spec(name, request, registry)
    if higher is None:
        raise UsageError(
            f"a search must know whether higher values of {name!r} are better: {option('monitor', f'{name}:max')} or "
            f"{name}:min"
        )
    return Objective(name, higher)


def _said_by_spec(name: str, request: Request, registry: Registry) -> bool | None:
    """What the metric says itself, that the model's spec names."""
    entry = registry.models.get(request.models[0])
    factory = (entry.spec.metrics or {}).get(name)
    if factory is None:
        return None
    higher = getattr(entry.load(factory), "higher_is_better", None)
    return higher if isinstance(higher, bool) else None
