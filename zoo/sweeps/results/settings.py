"""The members of a sweep by their settings, and which is the best."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from zoo.numbers import mean, standard_deviation
from zoo.options.values import as_text
from zoo.runs.listing.columns import BETTER
from zoo.sweeps.member import FINISHED, Row

_LOSS = "loss"


@dataclass(frozen=True)
class Setting:
    """What the members of one setting came to.

    Attributes:
        settings: what varies, by name; empty where nothing does.
        rows: of its members.
    """

    settings: Mapping[str, Any]
    rows: Sequence[Row]

    @property
    def values(self) -> list[float]:
        """The validation losses of those that are finished."""
        return [value for row in self.rows if (value := value_of(row)) is not None]

    @property
    def mean(self) -> float | None:
        return mean(self.values) if self.values else None

    @property
    def sd(self) -> float | None:
        """The sample standard deviation; None of fewer than two."""
        return standard_deviation(self.values) if len(self.values) > 1 else None

    @property
    def steps(self) -> int:
        """The most that one of them has done."""
        return max((row.steps or 0 for row in self.rows), default=0)

    def count(self, state: str) -> int:
        """How many of them ended in that state."""
        return sum(row.state == state for row in self.rows)


def by_settings(rows: Iterable[Row]) -> list[Setting]:
    """The rows of each setting, in the order of the first of each; of members that go on from each other, the last."""
    groups: dict[str, dict[int, Row]] = {}
    for row in rows:
        key = repr(sorted((name, as_text(value)) for name, value in row.settings.items()))
        groups.setdefault(key, {})[row.seed] = row
    return [Setting(next(iter(group.values())).settings, [*group.values()]) for group in groups.values()]


def best_row(rows: Iterable[Row], monitor: str | None = None) -> Row | None:
    """The finished member with the best value over the validation split, the first of equals; None if none has one.

    Args:
        rows: of the members, in any order.
        monitor: as `--monitor` takes it: by default the loss decides.
    """
    name, higher = monitored(monitor)
    known = [(-value if higher else value, row) for row in rows if (value := value_of(row, name)) is not None]
    return min(known, key=lambda one: (one[0], one[1].member))[1] if known else None


def monitored(monitor: str | None) -> tuple[str, bool]:
    """The name of what decides which member is the best, and whether higher values of it are better.

    Args:
        monitor: as `--monitor` takes it.
    """
    name, _, direction = (monitor or _LOSS).partition(":")
    return name, direction == "max" or (not direction and BETTER.get(name) == "higher")


def value_of(row: Row, name: str = _LOSS) -> float | None:
    """The validation loss of a finished member, or one of its metrics; None where that is not a finite number."""
    of_split: Mapping[str, Any] = row.losses if name == _LOSS else row.metrics.get("val", {})
    value = of_split.get("val" if name == _LOSS else name)
    return value if row.state == FINISHED and value is not None and math.isfinite(value) else None
