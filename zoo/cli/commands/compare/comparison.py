"""Runs compared: their results, the settings that differ, and repetitions with other seeds."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

from zoo.cli.commands.runs.cells import cell
from zoo.cli.commands.runs.table import METRICS, SETTINGS, Mark, RunTable, has_numbers
from zoo.numbers import show_loss
from zoo.runs.listing.columns import (
    Column,
    find_column,
    independent,
    metric_names,
    natural,
    setting_column,
    setting_columns,
)
from zoo.runs.listing.comparing import Repetitions, Spread, measured_on, repetitions, why_not_comparable
from zoo.runs.listing.differences import differences, differing_values
from zoo.runs.listing.judging import names_that_differ
from zoo.runs.listing.record import SPLITS, RunRecord
from zoo.runs.listing.settings import SEEDS
from zoo.text import markdown

SIDE_BY_SIDE = 4  # runs whose settings stand in a column each
_MOST_VALUES = 8  # of a setting, in a table
VALUES = "values"  # the column of texts that may be wrapped
_NAMES = ("model", "data", "preset")
_STEPS = "steps"
_RESULTS = ("train", "val", "test", METRICS, "parameters", _STEPS, "time", "state")


class Shown(NamedTuple):
    """A table, for `print_table` and for Markdown."""

    title: str
    columns: Sequence[str]
    rows: Sequence[Sequence[str]]
    right: Sequence[str] = ()
    optional: Sequence[str] = ()
    notes: Sequence[str] = ()


def tables(runs: Sequence[RunRecord], repeated: Sequence[Repetitions], said: Sequence[str], mark: Mark) -> list[Shown]:
    """All tables of a comparison.

    Args:
        runs: at least one, the best first.
        repeated: what `ranked` makes of them.
        said: what the verdict says.
        mark: marks the best value of a column.
    """
    several = any(one.size > 1 or one.first.sweep is not None for one in repeated)
    found = [_of_repetitions(runs, repeated, mark)] if several else []
    alone = [run for run in runs if run.sweep is None]  # the members of a sweep are in its sheet
    results = [_of_results(alone, mark)] if alone else []
    last = found[-1] if found else results[-1]
    at = len(found) - 1 if found else 0
    shown = [*found, *results]
    shown[at] = last._replace(notes=[*last.notes, *said])
    return [*shown, *([_of_settings(runs)] if len(alone) > 1 or len(shown) > 1 else [])]


def _of_results(runs: Sequence[RunRecord], mark: Mark) -> Shown:
    beside = () if len(runs) <= SIDE_BY_SIDE else (SETTINGS,)
    table = RunTable(runs, ("run", "model", "data", *beside, *_RESULTS))
    reasons = why_not_comparable(runs)
    if reasons:
        notes = [f"The figures of these runs do not compare, and none is marked as the best: {'; '.join(reasons)}."]
    else:
        notes = [f"{mark('', True)} is the best of a column."] if mark is star and len(runs) > 1 else []
    title = f"Results{table.said_once}"
    return Shown(title, table.titles, table.rows(mark), table.right, table.optional, [*table.notes(), *notes])


def _of_settings(runs: Sequence[RunRecord]) -> Shown:
    """Of few runs the values of each; of many how many runs have which value, without what follows from the model."""
    known = [run for run in runs if run.config is not None]
    found = differences([run.config.raw for run in known if run.config is not None])
    title = "Settings that differ" if found else "All settings are the same"
    if len(known) <= SIDE_BY_SIDE:
        return Shown(title, ["setting", *(run.name for run in known)], [[name, *values] for name, values in found])
    of_interest = {*_NAMES, *independent(known)}
    rows = [[name, _counted(values)] for name, values in found if name in of_interest]
    more = len(found) - len(rows)
    notes = [f"{more} more follow from {', '.join(_NAMES)}: --json has them."] if more else []
    return Shown(title, ["setting", VALUES], rows, notes=notes)


def _counted(values: Sequence[str]) -> str:
    """Each value with the number of runs that have it."""
    counts = sorted(Counter(values).items(), key=lambda one: _in_order(one[0]))
    each, names = counts[0][1], [value for value, _ in counts]
    if len(counts) > _MOST_VALUES:
        return f"{', '.join(names[: _MOST_VALUES // 2])}, …, {names[-1]} ({len(counts):,} values)"
    if all(count == each for _, count in counts):
        return f"{', '.join(names)} ({each:,} run{'s' * (each > 1)} each)"
    return ", ".join(f"{value} ({count:,})" for value, count in counts)


def _in_order(value: str) -> tuple[float, list[tuple[bool, int, str]]]:
    """Numbers first, by size."""
    try:
        return float(value), []
    except ValueError:
        return math.inf, natural(value)


def ranked(runs: Sequence[RunRecord]) -> list[Repetitions]:
    """The settings, the best mean validation loss first within each data."""
    found = repetitions(runs)
    val, data = find_column("val", runs), list(dict.fromkeys(measured_on(run).key for run in runs))

    def key(one: Repetitions) -> tuple[int, float]:
        spread = one.spread(val)
        mean = spread.mean if spread is not None and math.isfinite(spread.mean) else math.inf
        return data.index(measured_on(one.first).key), mean

    return sorted(found, key=key)


def _measured(runs: Sequence[RunRecord]) -> list[Column]:
    return [find_column(name, runs) for name in (*SPLITS, *metric_names(runs))]


def _of_repetitions(runs: Sequence[RunRecord], repeated: Sequence[Repetitions], mark: Mark) -> Shown:
    first = [one.first for one in repeated]
    settings = [one for one in setting_columns(first)[0] if one.name not in SEEDS]
    if _STEPS in independent(first):  # in a list of runs they have a column anyhow
        settings.append(setting_column(_STEPS))
    names = names_that_differ(first)
    gone = [name for name in ("diverged", "failed") if any(getattr(one, name) for one in repeated)]
    measured = [column for column in _measured(runs) if any(one.spread(column) for one in repeated)]
    comparable = not why_not_comparable(first)
    marked = {column.name: _best(repeated, column) for column in measured} if comparable else {}
    rows = []
    for one in repeated:
        cells = [*(cell(column, one.first) for column in (*names, *settings)), f"{len(one.runs)}"]
        cells += [f"{len(getattr(one, name)):,}" for name in gone]
        for column in measured:
            text, best = _show_spread(one.spread(column)), marked.get(column.name)
            cells.append(text if best is None else mark(text, best is one))
        rows.append(cells)
    left = [one.title for one in (*names, *settings)]
    numbers = [one.title for one in settings if has_numbers(one, first)]
    figures = [one.title for one in measured]
    title = "Repetitions with other seeds: mean ± standard deviation"
    optional = [name for name in reversed(figures) if name != "val"]
    counts = ["seeds", *gone]
    return Shown(title, [*left, *counts, *figures], rows, [*numbers, *counts, *figures], optional)


def _best(repeated: Sequence[Repetitions], column: Column) -> Repetitions | None:
    """The setting with the best mean; None where it is not known which is better, or there is but one."""
    spreads = [(i, spread) for i, one in enumerate(repeated) if (spread := one.spread(column)) is not None]
    found = [(spread.mean, i) for i, spread in spreads if math.isfinite(spread.mean)]
    if column.better is None or len(found) < 2:
        return None
    return repeated[(min if column.better == "lower" else max)(found)[1]]


def _show_spread(spread: Spread | None) -> str:
    if spread is None:
        return "-"
    return show_loss(spread.mean) + ("" if spread.sd is None else f" ± {show_loss(spread.sd)}")


def as_markdown(shown: Iterable[Shown]) -> list[str]:
    """Tables for a pull request: what comes from a run is escaped."""
    lines: list[str] = []
    for table in shown:
        lines += ["", f"**{markdown(table.title)}**"] if lines else [f"**{markdown(table.title)}**"]
        if table.rows:
            marks = ("---:" if name in table.right else "---" for name in table.columns)
            lines += ["", _row(map(markdown, table.columns)), _row(marks)]
            lines += [_row(map(_escaped, row)) for row in table.rows]
        for note in table.notes:
            lines += ["", markdown(note)]
    return lines


def star(text: str, best: bool) -> str:
    """How the best value is marked on a terminal; the others are aligned with it."""
    return f"{text}*" if best else f"{text} "


def bold(text: str, best: bool) -> str:
    """How the best value is marked in Markdown."""
    return f"**{text}**" if best else text


def _escaped(text: str) -> str:
    inner = text.removeprefix("**").removesuffix("**")
    return bold(markdown(inner), True) if text == bold(inner, True) else markdown(text)


def _row(cells: Iterable[str]) -> str:
    return f"| {' | '.join(cells)} |"


def as_json(runs: Sequence[RunRecord], repeated: Sequence[Repetitions]) -> dict[str, Any]:
    """All of it but the verdicts; `repeated` is what `ranked` makes of the runs."""
    reasons = why_not_comparable(runs)
    known = [run for run in runs if run.config is not None]
    differ = differing_values([run.config.raw for run in known if run.config is not None])
    measured = _measured(runs)
    return {
        "runs": [run.as_json() for run in runs],
        "comparable": not reasons,
        "reasons": reasons,
        "differences": [
            {"setting": name, "values": dict(zip((run.name for run in known), values, strict=True))}
            for name, values in differ
        ],
        "repetitions": [
            {
                "settings": dict(one.settings),
                "runs": [run.name for run in one.runs],
                "diverged": [run.name for run in one.diverged],
                "failed": [run.name for run in one.failed],
                "measured": {
                    column.name: {"n": spread.n, "mean": spread.mean, "sd": spread.sd}
                    for column in measured
                    if (spread := one.spread(column)) is not None
                },
            }
            for one in (repeated if any(one.size > 1 for one in repeated) else [])
        ],
    }
