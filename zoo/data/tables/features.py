"""Features and targets of a table's columns.

A column of numbers is one feature; a column of a few different texts is one feature for each of them, 1 in the rows
that have it and 0 elsewhere (one-hot). Targets are classes, or numbers.

Axes: N rows, F features. numpy is imported only where arrays are made.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from zoo.data.tables.columns import MOST_VALUES, Column
from zoo.data.tables.parsing import Table, is_number
from zoo.errors import DataError, UsageError
from zoo.text import shown

if TYPE_CHECKING:
    from numpy.typing import NDArray

MOST_ONE_HOT = 100  # different texts of a feature
FEW = 20  # different whole numbers that are taken for classes
_TOLD = 3

CLASSES, NUMBERS = "classes", "numbers"


@dataclass(frozen=True)
class Features:
    """The features of a table.

    Attributes:
        names: of the columns, in their order.
        values: of each column, the texts that are a feature each; None for a column of numbers.
    """

    names: tuple[str, ...]
    values: tuple[tuple[str, ...] | None, ...]

    def __str__(self) -> str:
        """What they are, in a message."""
        one_hot = [
            f"{shown(name)} ({len(values)} values)"
            for name, values in zip(self.names, self.values, strict=True)
            if values is not None
        ]
        more = f" and {len(one_hot) - _TOLD} more" if len(one_hot) > _TOLD else ""
        told = f", one-hot: {', '.join(one_hot[:_TOLD])}{more}" if one_hot else ""
        size, columns = self.size, len(self.names)
        return f"{size:,} feature{'s' * (size != 1)} of {columns:,} column{'s' * (columns != 1)}{told}"

    @property
    def size(self) -> int:
        """How many features there are, F."""
        return sum(1 if values is None else len(values) for values in self.values)

    @classmethod
    def of(cls, columns: Sequence[Column]) -> Features:
        """Those of the columns of a table.

        Raises:
            DataError: a column is neither numbers nor a few different texts.
        """
        _refuse_stray(columns)
        many = [column for column in columns if column.numbers is None and column.different > MOST_ONE_HOT]
        if many:
            what = [f"{shown(column.name)} ({_different(column)} different texts)" for column in many[:_TOLD]]
            more = f" and {len(many) - _TOLD} more" if len(many) > _TOLD else ""
            names = ",".join(column.name for column in many)
            raise DataError(
                f"has texts that are no features, in {', '.join(what)}{more}: leave them out with --set "
                f"data.drop={names} (up to {MOST_ONE_HOT} different texts become one feature each)"
            )
        values = [None if column.numbers is not None else tuple(sorted(column.values)) for column in columns]
        return cls(tuple(column.name for column in columns), tuple(values))

    def encode(self, table: Table, columns: Sequence[Column]) -> NDArray[Any]:
        """The features of rows, (N, F), in float32.

        Args:
            table: that the columns are of, for messages.
            columns: as `read_columns` gives them, in the order of `names`.

        Raises:
            DataError: a number is infinite or too large, or a text is none of the features.
        """
        import numpy as np

        lengths = [len(column.codes if column.numbers is None else column.numbers) for column in columns]  # type: ignore[arg-type]  # there are codes
        x = np.zeros((lengths[0], self.size), np.float32)
        at = 0
        for column, values in zip(columns, self.values, strict=True):
            if values is None:
                x[:, at] = in_float32(table, column)
                at += 1
                continue
            place = {value: at + index for index, value in enumerate(values)}
            assert column.codes is not None
            x[np.arange(len(x)), np.array([place[value] for value in column.values])[column.codes]] = 1
            at += len(values)
        return x

    def moments(self, x: NDArray[Any]) -> tuple[list[float], list[float]]:
        """The mean and the standard deviation of each feature; 0 and 1 for one-hot features, 1 for a constant's.

        Args:
            x: the rows of the training split, (N, F).
        """
        import numpy as np

        means, scales = x.mean(axis=0, dtype=np.float64), x.std(axis=0, dtype=np.float64)
        at = 0
        for values in self.values:
            size = 1 if values is None else len(values)
            if values is not None:
                means[at : at + size], scales[at : at + size] = 0, 1
            at += size
        scales[scales == 0] = 1
        return means.tolist(), scales.tolist()

    def as_json(self) -> list[dict[str, Any]]:
        """The columns as a config has them: `{"name": "sex", "values": ["f", "m"]}`; `values` is None for numbers."""
        return [
            {"name": name, "values": None if values is None else list(values)}
            for name, values in zip(self.names, self.values, strict=True)
        ]


@dataclass(frozen=True)
class Target:
    """The targets of a table.

    Attributes:
        name: of the column.
        y: classes from 0, shape (N,), int64; or numbers, shape (N, 1), float32.
        classes: their names; None for numbers.
    """

    name: str
    y: NDArray[Any]
    classes: tuple[str, ...] | None

    def __str__(self) -> str:
        """What they are, in a message, and how to have them otherwise."""
        if self.classes is None:
            return f"target {shown(self.name)}: numbers"
        listed = ", ".join(map(shown, self.classes[:_TOLD])) + (", …" if len(self.classes) > _TOLD else "")
        numbers = " (--set data.task=numbers for numbers)" if all(map(is_number, self.classes)) else ""
        return f"target {shown(self.name)}: {len(self.classes)} classes ({listed}){numbers}"

    @classmethod
    def of(cls, table: Table, column: Column, task: str | None) -> Target:
        """Those in a column.

        Args:
            table: that the column is of, for messages.
            column: as `read_columns` gives it, without missing values.
            task: `classes` or `numbers`; None for numbers where they are not a few whole ones.

        Raises:
            DataError: there are too few or too many classes, or a number is infinite or too large.
            UsageError: numbers are wanted, and there are texts.
        """
        import numpy as np

        _refuse_stray([column])
        if column.numbers is None:
            if task == NUMBERS:
                raise UsageError(f"data.task=numbers, and column {shown(column.name)} has texts")
            return cls._of_texts(column)
        numbers = in_float32(table, column)
        different = np.unique(column.numbers)
        few = len(different) <= FEW and bool((different == np.floor(different)).all())
        if task == NUMBERS or (task is None and not few):
            if len(different) == 1:
                raise DataError(f"column {shown(column.name)} has the same number in all rows: nothing to learn")
            return cls(column.name, numbers[:, None], None)
        _check_classes(column, len(different))
        names = [str(int(number)) if number == int(number) else repr(number) for number in different.tolist()]
        return cls(column.name, np.searchsorted(different, column.numbers).astype(np.int64), tuple(names))

    @classmethod
    def _of_texts(cls, column: Column) -> Target:
        import numpy as np

        if column.codes is None or column.different == len(column.codes):
            raise DataError(
                f"column {shown(column.name)} has {_different(column)} different texts: they are no classes, and no "
                "numbers"
            )
        _check_classes(column, column.different)
        classes = tuple(sorted(column.values))
        place = np.array([classes.index(value) for value in column.values], dtype=np.int64)
        return cls(column.name, place[column.codes], classes)

    def provides(self, training: NDArray[Any]) -> dict[str, Any]:
        """What a model may ask for by name: of numbers, the mean and the standard deviation in the training split.

        Args:
            training: the indices of its rows.
        """
        import numpy as np

        if self.classes is not None:
            return {"target": self.name}
        y = self.y[training].astype(np.float64)
        scale = float(y.std()) or 1.0
        return {"target": self.name, "target_means": [float(y.mean())], "target_scales": [scale]}


def in_float32(table: Table, column: Column) -> NDArray[Any]:
    """The numbers of a column, shape (N,). Raises DataError where float32 has none as large."""
    import numpy as np

    assert column.numbers is not None
    with np.errstate(over="ignore"):
        numbers = column.numbers.astype(np.float32)
    wrong = np.flatnonzero(np.isinf(numbers))
    if len(wrong):
        value = column.numbers[wrong[0]]
        what = "infinity" if np.isinf(value) else f"{value:g}, which is too large for float32,"
        raise DataError(
            f"column {shown(column.name)} has {what} in row {table.row(int(wrong[0])):,}: leave the row out"
        )
    return numbers


def _check_classes(column: Column, different: int) -> None:
    if different == 1:
        raise DataError(f"column {shown(column.name)} has the same value in all rows: classes are at least 2")
    if different > MOST_VALUES:
        raise DataError(f"column {shown(column.name)} has {different:,} different values, too many for classes")


def _refuse_stray(columns: Sequence[Column]) -> None:
    column = next((column for column in columns if column.stray), None)
    if column is not None:
        raise DataError(
            f"column {shown(column.name)} has numbers, and {column.stray_cells()}: correct these, or read all as texts "
            f"with --set data.categories={column.name}"
        )


def _different(column: Column) -> str:
    return f"{column.different:,}" if column.codes is not None else f"more than {MOST_VALUES:,}"
