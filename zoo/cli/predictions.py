"""Predictions as a table, as CSV and as JSON."""

from __future__ import annotations

import csv
import io
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from zoo.cli import output
from zoo.cli.table import print_table

if TYPE_CHECKING:
    from zoo.training.prediction.results import Likelihood, Probabilities

Row = list[Any]
Labels = Mapping[str, Sequence[object]]  # what says which input it is, by the name of its column: {"row": [0, 1, 2]}

ROWS = 20  # of a table for people
_THEN = 4  # classes beside the most probable one
_OUTPUTS = 8  # numbers of a row of a table
_EMPTY, _START = "(empty)", "(start)"


class Report(ABC):
    """Predictions, one for each input.

    Attributes:
        kind: as JSON names it.
        columns: of the CSV.
        shown: columns of the table, and `right` those of them that are numbers.
        more: further keys of the JSON object.
        summary: a line below the table; empty for none.
    """

    kind: str
    columns: Sequence[str]
    shown: Sequence[str]
    right: Sequence[str] = ()
    summary = ""

    @property
    def more(self) -> dict[str, Any]:
        return {}

    @abstractmethod
    def __len__(self) -> int: ...
    @abstractmethod
    def row(self, i: int) -> Row:
        """As CSV, with exact values."""

    @abstractmethod
    def shown_row(self, i: int) -> list[str]:
        """For people."""

    @abstractmethod
    def prediction(self, i: int) -> dict[str, Any]:
        """As JSON."""

    def as_csv(self) -> str:
        written = io.StringIO(newline="")
        writer = csv.writer(written, lineterminator="\n")
        writer.writerow(self.columns)
        writer.writerows(self.row(i) for i in range(len(self)))
        return written.getvalue()

    def as_json(self, run: str, model: str) -> dict[str, Any]:
        predictions = [self.prediction(i) for i in range(len(self))]
        return {"run": run, "model": model, "kind": self.kind, **self.more, "predictions": predictions}

    def show(self) -> None:
        """Print the table; a long one is cut, and says so."""
        print_table(self.shown, [self.shown_row(i) for i in range(min(ROWS, len(self)))], right=self.right)
        more = [f"… and {len(self) - ROWS:,} more: --csv and --json have all"] if len(self) > ROWS else []
        if self.summary:
            more += ["", self.summary]
        if more:
            output.lines(*more)


class OfClasses(Report):
    """Probabilities of classes, or of the characters that may follow."""

    def __init__(self, found: Probabilities, labels: Labels, *, characters: bool = False) -> None:
        self._best, self._classes, self._labels = found.best(), found.classes, labels
        self.kind = "next" if characters else "classes"
        own = [*labels, "next" if characters else "prediction", "probability"]
        self.columns = [*own, *found.classes]
        self.shown = [*own, "then"]
        self.right = [name for name in own if name in ("row", "position", "probability")]

    @property
    def more(self) -> dict[str, Any]:
        return {"classes": list(self._classes)}

    def __len__(self) -> int:
        return len(self._best)

    def row(self, i: int) -> Row:
        by_name = dict(self._best[i])
        return [*_of(self._labels, i).values(), *self._best[i][0], *(by_name[name] for name in self._classes)]

    def shown_row(self, i: int) -> list[str]:
        (name, probability), *rest = self._best[i]
        empty = _START if self.kind == "next" else _EMPTY
        then = ", ".join(f"{_label(other, empty)} {p:.4f}" for other, p in rest[:_THEN])
        own = [_label(value, empty) for value in _of(self._labels, i).values()]
        return [*own, _label(name, empty), f"{probability:.4f}", then]

    def prediction(self, i: int) -> dict[str, Any]:
        ranked = [{"class": name, "probability": probability} for name, probability in self._best[i]]
        return {**_of(self._labels, i), "probabilities": ranked}


class OfNumbers(Report):
    """Outputs that are numbers: for each input one, or lists of them; `target` is what they are called in the data."""

    kind = "numbers"

    def __init__(self, outputs: Sequence[Any], labels: Labels, target: str = "") -> None:
        self._outputs, self._labels = outputs, labels
        width = len(_flat(outputs[0]))
        name = f"predicted {target}" if target in labels else target or "output"
        names = [name] if width == 1 else [f"{name} {number}" for number in range(1, width + 1)]
        self.columns = [*labels, *names]
        self.shown = self.right = [*labels, *names[:_OUTPUTS]]
        if width > _OUTPUTS:
            self.summary = f"… and {width - _OUTPUTS:,} more numbers of each row: --csv and --json have all"

    def __len__(self) -> int:
        return len(self._outputs)

    def row(self, i: int) -> Row:
        return [*_of(self._labels, i).values(), *_flat(self._outputs[i])]

    def shown_row(self, i: int) -> list[str]:
        numbers = [f"{number:.6g}" for number in _flat(self._outputs[i])[:_OUTPUTS]]
        return [*map(_label, _of(self._labels, i).values()), *numbers]

    def prediction(self, i: int) -> dict[str, Any]:
        return {**_of(self._labels, i), "output": self._outputs[i]}


class OfLikelihoods(Report):
    """How probable words or texts are; `unit` is what their tokens are: `characters`, or `tokens`."""

    kind = "likelihood"
    columns = ("text", "nats", "count", "loss", "bits_per_character")

    def __init__(self, found: Sequence[Likelihood], unit: str) -> None:
        self._found = found
        self.shown = ["text", "log-likelihood (nats)", unit, "loss (nats)", f"bits per {unit.removesuffix('s')}"]
        self.right = self.shown[1:]
        self._nats, self._count = sum(one.nats for one in found), sum(one.count for one in found)
        if len(found) > 1:
            self.summary = f"{self._count:,} {unit} in all: the mean loss is {-self._nats / self._count:.4f} nats"

    @property
    def more(self) -> dict[str, Any]:
        return {"total": {"nats": self._nats, "count": self._count, "loss": -self._nats / self._count}}

    def __len__(self) -> int:
        return len(self._found)

    def row(self, i: int) -> Row:
        one = self._found[i]
        return [one.text, one.nats, one.count, one.loss, one.bits_per_character]

    def shown_row(self, i: int) -> list[str]:
        text, nats, count, loss, bits = self.row(i)
        return [_label(text), f"{nats:.4f}", f"{count:,}", f"{loss:.4f}", f"{bits:.4f}"]

    def prediction(self, i: int) -> dict[str, Any]:
        return dict(zip(self.columns, self.row(i), strict=True))


def _of(labels: Labels, i: int) -> dict[str, Any]:
    return {name: values[i] for name, values in labels.items()}


def _label(value: object, empty: str = _EMPTY) -> str:
    """A value in a cell; of text, what would not be seen is said."""
    if value is None:
        return ""
    if isinstance(value, float):
        return f"{value:.6g}"
    if not isinstance(value, str):
        return str(value)
    return empty if not value else value if value == value.strip() else repr(value)


def _flat(value: Any) -> list[float]:
    return [x for item in value for x in _flat(item)] if isinstance(value, list) else [value]
