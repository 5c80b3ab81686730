"""The values of runs, for people."""

from __future__ import annotations

from zoo.numbers import show_loss
from zoo.runs.listing.columns import Column
from zoo.runs.listing.record import RunRecord
from zoo.runs.listing.settings import show_setting

_NAMES = ("run", "model", "data", "preset")  # which are typed again, and are never cut
_UNITS = ((86400, "d"), (3600, "h"), (60, "min"), (1, "s"))


def cell(column: Column, run: RunRecord) -> str:
    """The value of a column, for people; `-` where there is none."""
    value = column.value(run)
    if value is None:
        return "-"
    if column.name == "steps":
        planned = run.planned
        return f"{value:,}" if planned in (None, value) else f"{value:,} of {planned:,}"
    if column.time:
        return show_age(value) if column.name == "age" else show_seconds(value)
    if column.measured:
        return show_loss(value)
    if column.name in ("planned", "parameters"):
        return f"{value:,}"
    return value if column.name in _NAMES else show_setting(value)


def show_seconds(seconds: float) -> str:
    """`0.8 s`, `12.3 s`, `4 min 10 s`, `2 h 5 min`."""
    if seconds < 60:
        return f"{seconds:.1f} s"
    whole = round(seconds)
    if whole < 3600:
        return f"{whole // 60} min {whole % 60} s"
    return f"{whole // 3600:,} h {whole % 3600 // 60} min"


def show_age(seconds: float) -> str:
    """In the largest unit of which it is one: `12 s`, `5 min`, `3 h`, `4 d`."""
    size, unit = next((one for one in _UNITS if seconds >= one[0]), _UNITS[-1])
    return f"{int(seconds // size):,} {unit}"
