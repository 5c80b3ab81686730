"""Which class, or which next character, is taken for which: targets against predictions."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from zoo.data.corpus.dataset import CorpusDataset
from zoo.data.datasets import TextDataset
from zoo.data.tensors import TensorDataset
from zoo.plugin.calling import maker
from zoo.reports.reported import ReportedRun
from zoo.reports.section import Part
from zoo.reports.showing import label, percent, plural, sign
from zoo.training.prediction.judging import Classes
from zoo.training.prediction.results import class_names
from zoo.training.text_model import TokenizerCodec

LARGEST = 70  # classes of a table
_PAIRS = 10  # that are listed
_MORE_PAIRS = 40  # where there is no table


@dataclass(frozen=True)
class Pair:
    """A class that is taken for another one."""

    target: str
    predicted: str
    count: int
    share: float  # of the targets of that class


@dataclass(frozen=True)
class Cell:
    """A cell of the table: heats are shares in 0..1 of the largest count, or the largest share of a row, of its kind.

    Its kind is right, on the diagonal, or wrong.
    """

    count: int
    share: str
    heat: float
    share_heat: float


@dataclass(frozen=True)
class Row:
    """The targets of a class; `place` is where it is among all classes."""

    place: int
    name: str
    cells: Sequence[Cell]
    total: int
    right: str


def make(run: ReportedRun) -> Part | None:
    """The table and the most confused pairs; None where the model does not predict classes."""
    chosen = run.chosen
    classes = chosen.judged.classes
    if classes is None or not len(classes.target):
        return None
    kept, counts = confusion(classes)
    names = _names(run, kept)
    pairs = most_confused(names, counts)
    has_table = len(names) <= LARGEST
    right, total = int(counts.diagonal().sum()), int(counts.sum())
    return Part(
        {
            "told": chosen.told,
            "what": "class" if isinstance(run.dataset, TensorDataset) else "next character",
            "end": _end(run),
            "right": f"{plural(right, 'prediction')} of {total:,} right ({percent(right / total)})",
            "classes": len(names),
            "largest": LARGEST,
            "pairs": [(pair, percent(pair.share)) for pair in pairs[: _PAIRS if has_table else _MORE_PAIRS]],
            "names": names,
            "rows": rows_of(names, counts) if has_table else None,
        }
    )


def confusion(classes: Classes) -> tuple[list[int], Tensor]:
    """The classes that occur as a target or a prediction, C of them, and how often each target gets each prediction.

    Returns:
        The classes, ascending; and the counts (C, C), targets in rows and predictions in columns.
    """
    kept, places = torch.unique(torch.cat([classes.target, classes.predicted]), return_inverse=True)
    target, predicted = places.chunk(2)
    counts = torch.bincount(target * len(kept) + predicted, minlength=len(kept) ** 2)
    return kept.tolist(), counts.view(len(kept), len(kept))


def most_confused(names: Sequence[str], counts: Tensor) -> list[Pair]:
    """All pairs of different classes that are confused, the most frequent first."""
    totals = counts.sum(1).tolist()
    wrong = counts.clone()
    wrong.fill_diagonal_(0)
    pairs = [
        Pair(names[target], names[predicted], count, count / totals[target])
        for (target, predicted), count in zip(wrong.nonzero().tolist(), wrong[wrong > 0].tolist(), strict=True)
    ]
    return sorted(pairs, key=lambda pair: -pair.count)


def rows_of(names: Sequence[str], counts: Tensor) -> list[Row]:
    """The rows of the table."""
    totals = counts.sum(1)
    shares = counts.double() / totals.clamp(min=1)[:, None]
    heats, share_heats = _heats(counts.double()), _heats(shares)
    rows = []
    for target, name in enumerate(names):
        cells = [
            Cell(int(count), percent(share), heat, share_heat)
            for count, share, heat, share_heat in zip(
                counts[target].tolist(),
                shares[target].tolist(),
                heats[target].tolist(),
                share_heats[target].tolist(),
                strict=True,
            )
        ]
        total = int(totals[target])
        rows.append(Row(target, name, cells, total, percent(float(shares[target, target])) if total else "–"))
    return rows


def _heats(values: Tensor) -> Tensor:
    """Each value as a share of the largest on the diagonal, or of the largest beside it, with two digits."""
    on = torch.eye(len(values), dtype=torch.bool)
    largest = torch.where(on, values[on].max(), torch.where(on, 0, values).max())
    return (values / largest.clamp(min=1e-12)).mul(100).ceil() / 100


def _end(run: ReportedRun) -> str:
    """How the end of a word is written, in a sentence."""
    is_words = isinstance(run.dataset, TextDataset)
    return f" The sign {sign(run.loaded.vocabulary.itos[0])} is the end of a word." if is_words else ""


def _names(run: ReportedRun, classes: Sequence[int]) -> list[str]:
    """What some classes are called, as it can be shown."""
    dataset = run.dataset
    if isinstance(dataset, CorpusDataset) and dataset.tokenizer is not None:
        codec = TokenizerCodec(dataset.tokenizer, f"the tokenizer of {maker(dataset)}")
        return [sign(codec.decode([number]) if number else "") for number in classes]
    is_text = not isinstance(dataset, TensorDataset)
    names = class_names(run.loaded.vocabulary.itos if is_text else run.loaded.checked.classes, max(classes) + 1)
    return [sign(names[number]) if is_text else label(names[number]) for number in classes]
