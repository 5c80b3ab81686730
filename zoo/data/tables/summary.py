"""What is in the columns of a table, whether or not it can be trained on as it is."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

from zoo.data.tables.columns import MOST_VALUES, Column, read_columns
from zoo.data.tables.dataset import read_content, table_of
from zoo.errors import DataError

_MOST_FREQUENT = 5  # texts that are listed


@dataclass(frozen=True)
class ColumnSummary:
    """A column of a table.

    Attributes:
        name: in the header, or its number.
        kind: `numbers` or `texts`.
        different: how many different values it has; None for more than `zoo.data.tables.columns.MOST_VALUES` texts.
        missing: how many rows have none.
        least, mean, most: of numbers that are not missing; None of texts.
        frequent: of texts, the most frequent ones with their counts; empty where there are too many different ones.
        stray: the first cells that are no numbers where most are, each with its row in the file.
    """

    name: str
    kind: Literal["numbers", "texts"]
    different: int | None
    missing: int
    least: float | None
    mean: float | None
    most: float | None
    frequent: dict[str, int]
    stray: list[tuple[str, int]]


@dataclass(frozen=True)
class TableSummary:
    """A table.

    Attributes:
        rows: how many rows of values there are.
        layout: what is unusual about how it is written; empty for a header and commas or tabs.
        columns: in the order of the file.
    """

    rows: int
    layout: str
    columns: list[ColumnSummary]

    def as_json(self) -> dict[str, Any]:
        return asdict(self)


def summarize_table(path: Path, file_format: str, *, header: bool | None = None) -> TableSummary:
    """The types and ranges of the columns of a file.

    Args:
        path: the file. It may be a pipe, which is read to its end.
        file_format: `csv` or `tsv`.
        header: whether the first row has the names; None if that is to be found out.

    Raises:
        DataError: it cannot be read, or is no table.
    """
    content = read_content(path)
    try:
        table = table_of(content, file_format, header)
        columns, rows = read_columns(table, range(len(table.names)))
    except DataError as error:
        raise DataError(f"{path}: {error}") from error
    return TableSummary(rows, table.layout, [_summary(column) for column in columns])


def _summary(column: Column) -> ColumnSummary:
    import numpy as np

    least = mean = most = None
    frequent: dict[str, int] = {}
    if column.numbers is not None:
        numbers = column.numbers[np.isfinite(column.numbers)]
        if len(numbers):
            least, mean, most = float(numbers.min()), float(numbers.mean()), float(numbers.max())
    elif column.codes is not None:
        counts = np.bincount(column.codes, minlength=len(column.values))
        order = np.argsort(-counts, kind="stable")[:_MOST_FREQUENT]
        frequent = {column.values[index]: int(counts[index]) for index in order}
    few = column.numbers is not None or column.different <= MOST_VALUES
    return ColumnSummary(
        name=column.name,
        kind="texts" if column.numbers is None else "numbers",
        different=column.different if few else None,
        missing=len(column.missing),
        least=least,
        mean=mean,
        most=most,
        frequent=frequent,
        stray=column.stray,
    )
