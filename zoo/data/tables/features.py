"""Features and targets of a table's columns.

A column of numbers is one feature; a column of a few different texts is one feature for each of them, 1 in the rows
that have it and 0 elsewhere (one-hot). Targets are classes, or numbers.

Axes: N rows, F features. numpy is imported only where arrays are made.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from zoo.data.tables.columns import MOST_VALUES, Column
from zoo.data.tables.parsing import Table, is_number
from zoo.errors import DataError, UsageError
from zoo.memory import check_fits
from zoo.options.values import as_text
from zoo.phrasing import setting
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
        _refuse_stray(columns, as_texts=True)
        many = [column for column in columns if column.numbers is None and column.different > MOST_ONE_HOT]
        if many:
            what = [f"{shown(column.name)} ({_different(column)} different texts)" for column in many[:_TOLD]]
            more = f" and {len(many) - _TOLD} more" if len(many) > _TOLD else ""
            names = [column.name for column in many]
            drop = setting("data.drop", names, as_text(names))
            raise DataError(
                f"has texts that are no features, in {', '.join(what)}{more}: leave them out with "
                f"{drop} (up to {MOST_ONE_HOT} different texts become one feature each)"
            )
        values = [None if column.numbers is not None else tuple(sorted(column.values)) for column in columns]
        return cls(tuple(column.name for column in columns), tuple(values))

    @classmethod
    def from_json(cls, columns: object) -> Features:
        """Those that `as_json` gave, from a config.

        Raises:
            DataError: they are damaged, as a checkpoint from anyone may be.
        """
        names, values = [], []
        for column in columns if isinstance(columns, list) else [None]:
            name, texts = (column.get("name"), column.get("values")) if isinstance(column, dict) else (None, None)
            is_texts = isinstance(texts, list) and texts and all(isinstance(text, str) for text in texts)
            if not isinstance(name, str) or not (texts is None or (is_texts and len(set(texts)) == len(texts))):
                raise DataError(
                    "the config of the model is damaged: 'columns' does not describe the columns of a table"
                )
            names.append(name)
            values.append(None if texts is None else tuple(texts))
        return cls(tuple(names), tuple(values))

    def indices(self, table: Table) -> list[int]:
        """Where these columns are in a table, whatever their order there.

        Raises:
            DataError: it lacks some.
        """
        lacking = [name for name in self.names if name not in table.names]
        if lacking:
            more = f" and {len(lacking) - _TOLD} more" if len(lacking) > _TOLD else ""
            told = ", ".join(map(shown, lacking[:_TOLD]))
            raise DataError(f"lacks columns that the model was trained on: {told}{more}; there are {table.listed()}")
        return [table.names.index(name) for name in self.names]

    def encode(self, table: Table, columns: Sequence[Column]) -> NDArray[Any]:
        """The features of rows, (N, F), in float32.

        Args:
            table: that the columns are of, for messages.
            columns: as `read_columns` gives them, in the order of `names`.

        Raises:
            DataError: a number is infinite or too large, or a text is none of the features.
        """
        import numpy as np

        _refuse_stray(columns)
        count = len(columns[0])
        check_fits(f"{count:,} rows of {self.size:,} features", 8 * count * self.size)  # once whole, and in splits
        x = np.zeros((count, self.size), np.float32)
        at = 0
        for column, values in zip(columns, self.values, strict=True):
            if values is None:
                if column.numbers is None:
                    texts = [value for value in column.values if not is_number(value)] or column.values
                    told = ", ".join(map(shown, texts[:_TOLD]))
                    raise DataError(f"column {shown(column.name)} has texts ({told}), where the model takes numbers")
                x[:, at] = in_float32(table, column)
                at += 1
                continue
            place = {value: at + index for index, value in enumerate(values)}
            x[np.arange(count), _placed(column, place)] = 1
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

    @property
    def feature_names(self) -> list[str]:
        """The name of each feature: of its column, and of a text that is 1 or 0 also which: `sex=f`."""
        return [
            name if value is None else f"{name}={value}"
            for name, values in zip(self.names, self.values, strict=True)
            for value in (values or [None])
        ]

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
        numbers = f" ({setting('data.task', 'numbers')} for numbers)" if all(map(is_number, self.classes)) else ""
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

        if task != CLASSES:
            _refuse_stray([column], f"correct these, or take all as classes with {setting('data.task', 'classes')}")
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
        column = _as_texts(column)  # in the order of the numbers
        assert column.codes is not None
        return cls(column.name, column.codes, tuple(column.values))

    @classmethod
    def like(cls, table: Table, column: Column, classes: Sequence[str] | None) -> Target:
        """Those in a column for a model that was trained: its classes, or numbers where it has none.

        Raises:
            DataError: a value is none of the classes, or no number.
        """
        if classes is not None:
            column = _as_texts(column)
            place = {name: index for index, name in enumerate(classes)}
            return cls(column.name, _placed(column, place), tuple(classes))
        _refuse_stray([column])
        if column.numbers is None:
            raise DataError(f"column {shown(column.name)} has texts, where the model was trained on numbers")
        return cls(column.name, in_float32(table, column)[:, None], None)

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
            return {"target": self.name, "target_means": None, "target_scales": None}
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


def _as_texts(column: Column) -> Column:
    """A column with each of its numbers as text, in their order; one of texts as it is."""
    import numpy as np

    if column.numbers is None:
        return column
    different, codes = np.unique(column.numbers, return_inverse=True)
    values = [str(int(number)) if number.is_integer() else repr(number) for number in different.tolist()]
    return Column(column.name, values=values, codes=codes.astype(np.int64))


def _placed(column: Column, place: Mapping[str, int]) -> NDArray[Any]:
    """The place of each row's text, shape (N,). Raises DataError where a text has none."""
    import numpy as np

    unknown = [value for value in column.values if value not in place]
    if unknown or column.codes is None:
        known = ", ".join(map(shown, [*place][:_TOLD])) + (", …" if len(place) > _TOLD else "")
        raise DataError(
            f"column {shown(column.name)} has {', '.join(map(shown, unknown[:_TOLD]))}, which the model has never "
            f"seen: it knows {known}"
        )
    places: NDArray[Any] = np.array([place[value] for value in column.values], dtype=np.int64)[column.codes]
    return places


def _refuse_stray(columns: Sequence[Column], remedy: str = "correct these", *, as_texts: bool = False) -> None:
    column = next((column for column in columns if column.stray), None)
    if column is not None:
        if as_texts:
            categories = setting("data.categories", [column.name], as_text([column.name]))
            remedy = f"{remedy}, or read all as texts with {categories}"
        raise DataError(f"column {shown(column.name)} has numbers, and {column.stray_cells()}: {remedy}")


def _different(column: Column) -> str:
    return f"{column.different:,}" if column.codes is not None else f"more than {MOST_VALUES:,}"
