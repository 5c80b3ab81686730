"""The losses and the metrics of a run, as a table."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from zoo.cli.table import print_table
from zoo.numbers import show_loss


class ResultRow(NamedTuple):
    """One split: its name, how many examples it has, its loss and its metrics."""

    split: str
    examples: int
    loss: float
    metrics: Mapping[str, float | None]


def print_results(rows: Sequence[ResultRow], unit: str) -> None:
    """A table with a row for each split; the loss in its unit, each metric under its name."""
    names = list(dict.fromkeys(name for row in rows for name in row.metrics))
    metrics = [name.replace("_", " ") for name in names]
    columns = ["examples", f"loss ({unit})", *metrics]
    cells = [
        (row.split, f"{row.examples:,}", show_loss(row.loss), *(_shown(row.metrics.get(name)) for name in names))
        for row in rows
    ]
    print_table(["split", *columns], cells, right=columns, optional=["examples", *reversed(metrics)])


def _shown(metric: float | None) -> str:
    return "-" if metric is None else show_loss(metric)
