"""The columns of a table: numbers as arrays, texts as the values that they take, and what is missing or wrong.

Axes: N rows of values. numpy is imported only where arrays are made.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from zoo.data.tables.parsing import Cells, Table, is_number
from zoo.text import shown

if TYPE_CHECKING:
    from numpy.typing import NDArray

MISSING = frozenset({"", "na", "n/a", "#n/a", "nan", "null"})  # in any case
MOST_VALUES = 1000  # different texts of a column that are told apart
_TOLD = 3  # rows or cells that a message names


@dataclass
class Column:
    """A column as it was read.

    Attributes:
        name: in the header, or its number.
        numbers: its values, shape (N,), where all are numbers; NaN where one is missing.
        values: its different texts, as they come, where some are no numbers; no more are added above `MOST_VALUES`.
        codes: the index in `values` of each row, shape (N,); None where there are too many.
        missing: the indices of the rows without a value.
        stray: the first cells that are no numbers, each with its row in the file, where most cells are.
        decimal_comma: its numbers are written with a comma.
    """

    name: str
    numbers: NDArray[Any] | None = None
    values: list[str] = field(default_factory=list)
    codes: NDArray[Any] | None = None
    missing: list[int] = field(default_factory=list)
    stray: list[tuple[str, int]] = field(default_factory=list)
    decimal_comma: bool = False

    def __len__(self) -> int:
        """The number of rows; 0 where there are too many texts."""
        return len(self.numbers) if self.numbers is not None else 0 if self.codes is None else len(self.codes)

    @property
    def different(self) -> int:
        """How many different values it has, missing ones not counted; `MOST_VALUES` + 1 for a text stands for more."""
        import numpy as np

        if self.numbers is not None:
            return len(np.unique(self.numbers[~np.isnan(self.numbers)]))
        return sum(value.casefold() not in MISSING for value in self.values)

    def stray_cells(self) -> str:
        """The cells that are no numbers, for a message."""
        return ", ".join(f"{shown(cell)} in row {row:,}" for cell, row in self.stray[:_TOLD])


def read_columns(table: Table, wanted: Sequence[int], texts: Collection[int] = ()) -> tuple[list[Column], int]:
    """Read columns of a table as numbers where all their cells are, and as texts elsewhere.

    Args:
        table: the table.
        wanted: the indices of the columns.
        texts: the indices of those that are texts even if all cells are numbers.

    Returns:
        The columns, in the order of `wanted`, and the number of rows, N.

    Raises:
        DataError: the table cannot be read.
    """
    found: dict[int, _Numbers | _Texts] = {
        index: (_Texts if index in texts else _Numbers)(table, index) for index in wanted
    }
    count = _fill(table, found)
    late = {index: reader for index, reader in found.items() if isinstance(reader, _Numbers) and reader.bad}
    if late:  # their first rows were numbers, of which the texts are needed now
        again: dict[int, _Numbers | _Texts] = {
            index: _Texts(table, index, reader.stray()) for index, reader in late.items()
        }
        _fill(table, again)
        found |= again
    return [found[index].column() for index in wanted], count


def _fill(table: Table, readers: dict[int, _Numbers | _Texts]) -> int:
    """Read all rows. A column whose first cells are texts is read as such. Returns the number of rows."""
    count = 0
    for chunk in table.chunks():
        for index, reader in readers.items():
            reader.add(chunk[index], count)
            if isinstance(reader, _Numbers) and reader.bad and count == 0:
                readers[index] = _Texts(table, index, reader.stray())
                readers[index].add(chunk[index], count)
        count += len(chunk[0])
    return count


def read_cells(table: Table, index: int) -> Iterator[str]:
    """The cells of one column, without white space around them."""
    for chunk in table.chunks():
        yield from map(str.strip, chunk[index])


class _Numbers:
    """Collects a column of numbers."""

    def __init__(self, table: Table, index: int) -> None:
        self._table = table
        self._name = table.names[index]
        self._parts: list[NDArray[Any]] = []
        self._points = self._commas = False
        self._good = 0
        self._most_are_numbers = False
        self.bad: list[tuple[str, int]] = []  # the first cells that are no numbers, with their rows in the file

    def add(self, cells: Cells, start: int) -> None:
        """Take the next cells, the first of which has the index `start`; none after one that is no number."""
        if self.bad:
            return
        try:
            self._parts.append(self._parsed(cells))
            self._good += len(cells)
        except ValueError:
            cleaned = ["nan" if cell.strip().casefold() in MISSING else cell for cell in cells]
            mark = self._decimal_mark(cleaned)
            bad = [(cell, start + i) for i, cell in enumerate(cleaned) if not _is_number(cell, mark)]
            self._good += len(cells) - len(bad)
            self._most_are_numbers = self._good > len(bad)
            self.bad = [(cell, self._table.row(index)) for cell, index in bad[:_TOLD]]
            if not bad:
                self._parts.append(self._parsed(cleaned))

    def stray(self) -> list[tuple[str, int]]:
        """The first cells that are no numbers, if most that were read are."""
        return self.bad if self._most_are_numbers else []

    def column(self) -> Column:
        import numpy as np

        numbers = np.concatenate([np.empty(0), *self._parts])
        missing = np.flatnonzero(np.isnan(numbers)).tolist()
        return Column(self._name, numbers=numbers, missing=missing, decimal_comma=self._commas)

    def _parsed(self, cells: Sequence[str]) -> NDArray[Any]:
        """Raises ValueError where one is no number, or some have a decimal point and others a comma."""
        import numpy as np

        text = "\n".join(cells)
        if "_" in text:  # which Python takes in a number
            raise ValueError
        if self._table.separator != "," and "," in text:
            if "." in text or self._points:
                raise ValueError
            numbers = np.array([cell.replace(",", ".") for cell in cells], dtype=np.float64)
            self._commas = True
            return numbers
        if "." in text:
            if self._commas:
                raise ValueError
            self._points = True
        return np.array(cells, dtype=np.float64)

    def _decimal_mark(self, cells: Sequence[str]) -> str:
        """The one that the column has so far, or else most of these cells."""
        if self._table.separator == "," or self._points:
            return "."
        points, commas = (sum(mark in cell for cell in cells) for mark in ".,")
        return "," if self._commas or commas > points else "."


def _is_number(cell: str, mark: str) -> bool:
    """Whether a cell is a number with that decimal mark."""
    if mark == ",":
        return "." not in cell and is_number(cell.replace(",", "."))
    return is_number(cell)


class _Texts:
    """Collects a column of texts; `stray` are those among numbers."""

    def __init__(self, table: Table, index: int, stray: Sequence[tuple[str, int]] = ()) -> None:
        self._name = table.names[index]
        self._stray = list(stray)
        self._codes: dict[str, int] = {}
        self._parts: list[NDArray[Any]] = []
        self._missing: list[int] = []

    def add(self, cells: Cells, start: int) -> None:
        """Take the next cells, the first of which has the index `start`."""
        import numpy as np

        stripped, codes = list(map(str.strip, cells)), self._codes
        different = set(stripped)
        if any(cell.casefold() in MISSING for cell in different):
            self._missing += [start + i for i, cell in enumerate(stripped) if cell.casefold() in MISSING]
        if len(codes) > MOST_VALUES:
            return
        for cell in stripped if different - codes.keys() else ():
            codes.setdefault(cell, len(codes))
        self._parts.append(np.fromiter(map(codes.__getitem__, stripped), np.int32, len(stripped)))

    def column(self) -> Column:
        import numpy as np

        few = len(self._codes) <= MOST_VALUES
        return Column(
            self._name,
            values=list(self._codes)[: MOST_VALUES + 1],
            codes=np.concatenate([np.empty(0, np.int32), *self._parts]) if few else None,
            missing=self._missing,
            stray=self._stray,
        )
