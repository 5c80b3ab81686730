"""Runs as a table: which columns it has, and what is said below it."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from zoo.cli.commands.runs.cells import cell
from zoo.runs.listing.columns import Column, find_column, metric_names, setting_columns
from zoo.runs.listing.comparing import best_of, measured_on
from zoo.runs.listing.record import SPLITS, RunRecord

SETTINGS, METRICS = "(settings)", "(metrics)"  # their places in a layout
LISTED = (
    *("run", "model", "data", "preset", SETTINGS, "steps", "train", "val", "test", METRICS, "batch_loss"),
    *("time", "state", "age"),
)
_NUMBERS = ("steps", "planned", "parameters")
_MOST_FAULTS = 10  # lines about damaged runs
_SHARED = ("data", "preset", "steps", "state")  # said once, above the table, where all runs have the same
Mark = Callable[[str, bool], str]  # of a cell, and whether it is the best of its column


class RunTable:
    """A table of runs.

    Args:
        runs: at least one.
        layout: the names of its columns. One that all runs share, or that has no value, may be left out.
        asked: columns that it has in any case, because runs are sorted or chosen by them.

    Attributes:
        columns: those that it has.
        shared: columns in which all runs are the same: they are not in the table, and `said_once` has them.
        more_settings: how many settings differ that it has no column for.
    """

    def __init__(self, runs: Sequence[RunRecord], layout: Sequence[str] = LISTED, asked: Sequence[Column] = ()) -> None:
        self.runs = runs
        self._settings, self.more_settings = setting_columns(runs) if SETTINGS in layout else ([], 0)
        self._metrics = [find_column(name, runs) for name in metric_names(runs)]
        several = [find_column(name, runs) for name in _SHARED if name in layout and len(runs) > 1]
        self.shared = [one.name for one in several if len({cell(one, run) for run in runs}) == 1]
        self.columns: list[Column] = []
        for name in layout:
            if name in (SETTINGS, METRICS):
                self.columns += self._settings if name == SETTINGS else self._metrics
            elif name not in self.shared and self._has(name):
                self.columns.append(find_column(name, runs))
        known = {*(one.setting or one.name for one in self.columns), *self.shared}
        self.columns += [column for column in asked if (column.setting or column.name) not in known]
        self._asked = {column.setting or column.name for column in asked}

    def _has(self, name: str) -> bool:
        if name == "batch_loss":  # of runs that have no other
            return any(not run.result and run.batch_loss is not None for run in self.runs)
        return name not in ("test", "preset") or any(
            find_column(name, self.runs).value(run) is not None for run in self.runs
        )

    @property
    def said_once(self) -> str:
        """What all runs share, to be put after a comma; empty where that is nothing."""
        values = {name: cell(find_column(name, self.runs), self.runs[0]) for name in self.shared}
        known = {name: value for name, value in values.items() if value != "-"}
        words = {"steps": "{1} steps", "state": "all {1}"}
        return "".join(f", {words.get(name, '{0} {1}').format(name, value)}" for name, value in known.items())

    @property
    def titles(self) -> list[str]:
        return [column.title for column in self.columns]

    @property
    def right(self) -> list[str]:
        """The columns of numbers."""
        return [
            one.title
            for one in self.columns
            if one.measured or one.time or one.name in _NUMBERS or (one.setting and has_numbers(one, self.runs))
        ]

    @property
    def optional(self) -> list[str]:
        """What a narrow terminal may do without, the least important first."""
        columns = {column.name: column for column in self.columns}
        empty = [name for name, one in columns.items() if all(one.value(run) is None for run in self.runs)]
        metrics, settings = ([column.name for column in group[::-1]] for group in (self._metrics, self._settings))
        compare = len({measured_on(run).key for run in self.runs if run.losses}) < 2
        order = ["test", "preset", *metrics, *["data"] * compare, "time", "parameters", "batch_loss", "train", "age"]
        wanted = dict.fromkeys([*empty, *order, *settings, "steps", "data", "model", "state"])
        found = [columns[name] for name in wanted if name in columns and name != "run"]
        return [column.title for column in found if (column.setting or column.name) not in self._asked]

    def rows(self, mark: Mark | None = None) -> list[list[str]]:
        """The cells. Where figures do not compare, losses have their unit and the data its digest.

        Args:
            mark: marks the best value of a column; by default none is marked.
        """
        found = [measured_on(run) for run in self.runs]
        units = {run.unit for run in self.runs if run.unit is not None}
        same_name = len({one.title for one in found if one.data}) > len({one.data for one in found if one.data})
        marked = {column.name: best_of(self.runs, column) for column in self.columns if column.measured and mark}
        rows = []
        for run, one in zip(self.runs, found, strict=True):
            cells = {column.name: cell(column, run) for column in self.columns}
            if "data" in cells and same_name and one.data:
                cells["data"] = one.title
            for name in (*SPLITS, "batch_loss"):
                if len(units) > 1 and run.unit != "nats" and cells.get(name, "-") != "-":
                    cells[name] += f" ({run.unit})"
            for name, best in marked.items():
                if mark is not None and best:
                    cells[name] = mark(cells[name], any(run is one for one in best))
            rows.append(list(cells.values()))
        return rows

    def notes(self) -> list[str]:
        """Lines below the table: the unit, what does not compare, what is not shown, what is damaged."""
        lines = []
        units = [unit for unit in dict.fromkeys(run.unit for run in self.runs) if unit is not None]
        if units:
            several = f"Losses in {units[0]}" if len(units) == 1 else "Losses in nats, or the unit beside them"
            lines.append(f"{several}; metrics are of the validation split." if self._metrics else f"{several}.")
        if self.more_settings:
            lines.append(f"{self.more_settings} more settings differ: --json has them.")
        faults = [run for run in self.runs if run.fault]
        lines += [f"{run.name} is {run.state}: {run.fault}" for run in faults[:_MOST_FAULTS]]
        if len(faults) > _MOST_FAULTS:
            lines.append(f"… and {len(faults) - _MOST_FAULTS:,} more: --json has all")
        return lines


def has_numbers(column: Column, runs: Sequence[RunRecord]) -> bool:
    """Whether all values of a column are numbers."""
    return all(isinstance(column.value(run), int | float | None) for run in runs)
