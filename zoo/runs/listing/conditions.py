"""Conditions on runs: `val<2.1`, `model=gru`, `lr=0.1`, `age<1h`. They are parsed here, and never evaluated as code."""

from __future__ import annotations

import math
import operator
import re
from collections.abc import Callable, Sequence
from typing import Any

from zoo.errors import UsageError, suggest
from zoo.numbers import parse_whole
from zoo.runs.listing.columns import Column, find_column
from zoo.runs.listing.record import RunRecord
from zoo.runs.listing.settings import show_setting
from zoo.text import shown

_OPERATORS: dict[str, Callable[[Any, Any], bool]] = {
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
    "=": operator.eq,
    "==": operator.eq,
    "!=": operator.ne,
}
_CONDITION = re.compile(r"\s*([^<>=!]*[^<>=!\s])\s*(<=|>=|==|!=|<|>|=)\s*([^<>=!].*?)\s*", re.DOTALL)
_SECONDS = {"s": 1, "m": 60, "min": 60, "h": 3600, "d": 86400}
_EXAMPLE = "as in 'val<2.1' or model=gru"


def select(runs: Sequence[RunRecord], conditions: Sequence[str]) -> list[RunRecord]:
    """The runs that meet all conditions. A run without the value that a condition is about does not meet it.

    Args:
        runs: any.
        conditions: each the name of a column, one of `<`, `<=`, `>`, `>=`, `=` and `!=`, and a value.

    Raises:
        UsageError: one of them is no condition, or cannot be about these runs.
    """
    left = list(runs)
    for condition in conditions:
        holds = _read(condition, runs)
        left = [run for run in left if holds(run)]
    return left


def column_of(condition: str) -> str:
    """The name of the column that a condition is about; `condition` is one that `select` takes."""
    match = _CONDITION.fullmatch(condition)
    assert match is not None
    return match[1]


def _read(condition: str, runs: Sequence[RunRecord]) -> Callable[[RunRecord], bool]:
    match = _CONDITION.fullmatch(condition)
    if match is None:
        raise UsageError(
            f"{shown(condition)} is no condition: give a column, one of < <= > >= = !=, and a value, {_EXAMPLE}"
        )
    name, sign, value = match.groups()
    column = find_column(name, runs)
    number = _number(value, in_time=column.time)
    if column.choices and value not in column.choices:
        raise UsageError(f"no run has the {column.name} {shown(value)}; {suggest(value, column.choices)}")
    if "<" in sign or ">" in sign:
        _check_order(condition, column, number, value, runs)
    compare = _OPERATORS[sign]

    def holds(run: RunRecord) -> bool:
        found = column.value(run)
        if _is_number(found) and number is not None:
            return compare(found, number)
        if found is None or ("<" in sign or ">" in sign):
            return False
        texts = {found if isinstance(found, str) else show_setting(found), *column.texts(run)}
        return (value in texts) == (sign != "!=")

    return holds


def _check_order(condition: str, column: Column, number: float | None, value: str, runs: Sequence[RunRecord]) -> None:
    """Refuse `<` and `>` where there is no order."""
    values = [found for run in runs if (found := column.value(run)) is not None]
    if values and not any(map(_is_number, values)):
        raise UsageError(f"{shown(condition)}: {column.name} is no number; compare it with = or !=, {_EXAMPLE}")
    if number is None:
        of = "a number, or a time such as 90s, 5m, 2h or 1d" if column.time else "a number"
        raise UsageError(f"{shown(condition)}: {shown(value)} is not {of}, {_EXAMPLE}")


def _number(text: str, *, in_time: bool) -> float | None:
    """A number; of a column of seconds also `5m`. None if it is none."""
    match = re.fullmatch(r"([\d.]+)\s*([a-z]+)", text) if in_time else None
    factor = _SECONDS.get(match[2]) if match else 1
    try:
        if match and factor is not None:
            return float(match[1]) * factor
        try:
            return parse_whole(text)
        except ValueError:
            number = float(text)
    except ValueError:
        return None
    return None if math.isnan(number) else number


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)
