"""Which member of a sweep is the best: the same one, in whatever order they finish."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from typing import Any

from zoo.runs.listing.columns import BETTER
from zoo.sweeps.member import FINISHED, Row

_LOSS = "loss"


def best_row(rows: Iterable[Row], monitor: str | None = None) -> Row | None:
    """The finished member with the best value over the validation split, the first of equals; None if none has one.

    Args:
        rows: of the members.
        monitor: as `--monitor` takes it: by default the loss decides.
    """
    name, _, direction = (monitor or _LOSS).partition(":")
    higher = direction == "max" or (not direction and BETTER.get(name) == "higher")
    known = [(-value if higher else value, row) for row in rows if (value := _value(row, name)) is not None]
    return min(known, key=lambda one: (one[0], one[1].member))[1] if known else None


def _value(row: Row, name: str) -> float | None:
    of_split: Mapping[str, Any] = row.losses if name == _LOSS else row.metrics.get("val", {})
    value = of_split.get("val" if name == _LOSS else name)
    return value if row.state == FINISHED and value is not None and math.isfinite(value) else None
