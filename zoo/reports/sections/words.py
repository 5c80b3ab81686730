"""What the model finds hardest and easiest: words, stretches of running text, or examples, by the loss per target."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from zoo.data.corpus.dataset import CorpusDataset
from zoo.data.tensors import TensorDataset
from zoo.numbers import show_loss
from zoo.plugin.calling import maker
from zoo.reports.chosen import Chosen
from zoo.reports.reported import ReportedRun
from zoo.reports.section import Part
from zoo.reports.showing import SPACE, is_pictures, label, number, numbers_text, one_in, percent, picture_urls, sign
from zoo.training.objective.loss import NATS
from zoo.training.prediction.results import Probabilities
from zoo.training.prediction.tensors import outputs_of
from zoo.training.prediction.tensors import predictions as predictions_of
from zoo.training.text_model import TokenizerCodec

COUNT = 10  # of the hardest, and of the easiest
_MOST_FEATURES = 8  # of an example that are shown


@dataclass(frozen=True)
class TextRow:
    """A word or a stretch of running text.

    Attributes:
        loss: the mean over its targets.
        before, most, after: its signs; `most` is the one that surprised most.
        surprise: that sign with its probability; None where the losses are no log-probabilities of signs.
    """

    loss: str
    before: str
    most: str
    after: str
    surprise: str | None


@dataclass(frozen=True)
class ExampleRow:
    """An example of tensors.

    Attributes:
        number: which one of the split, counted from 0.
        loss: the mean over its targets.
        picture: its input as a `data:` URL; None where that is no picture.
        features: its input as text, where it is no picture.
        target, predicted: the class, or the numbers; None where the targets are the inputs.
        of_target, of_predicted: the probabilities of the two classes; None where there are none.
    """

    number: int
    loss: str
    picture: str | None
    features: str | None
    target: str | None
    predicted: str | None
    of_target: str | None
    of_predicted: str | None


def make(run: ReportedRun) -> Part | None:
    """The two ends of the order by loss; None where the validation split has no item with a loss."""
    chosen = run.chosen
    hardest, easiest = extremes(chosen, COUNT)
    if not hardest:
        return None
    make_rows = _example_rows if chosen.kind == "examples" else _text_rows
    rows = make_rows(run, chosen, [*hardest, *easiest])
    return Part(
        {
            "kind": chosen.kind,
            "told": chosen.told,
            "unit": _unit(run, chosen),
            "tables": {"Hardest": rows[: len(hardest)], "Easiest": rows[len(hardest) :]},
            "has": {name for row in rows for name, value in vars(row).items() if value is not None},
        }
    )


def extremes(chosen: Chosen, count: int) -> tuple[list[int], list[int]]:
    """The items with the highest loss, the highest first, and with the lowest, the lowest first; none is in both.

    Of equal items, as a word that is in the split twice, the first stands for all.
    """
    losses, seen, ordered = chosen.losses, set(), []
    for item in losses.argsort(descending=True, stable=True).tolist():
        key = str(chosen.items[item])
        if key not in seen and math.isfinite(float(losses[item])):
            seen.add(key)
            ordered.append(item)
    hardest = ordered[: min(count, -(-len(ordered) // 2))]
    return hardest, ordered[len(hardest) :][::-1][:count]


def _unit(run: ReportedRun, chosen: Chosen) -> str:
    """What the losses are in, and per what."""
    assert run.objective is not None
    unit = run.objective.loss.unit
    if chosen.kind == "examples" or unit != NATS:
        return unit
    return (
        "nats per token" if isinstance(run.dataset, CorpusDataset) and run.dataset.tokenizer else "nats per character"
    )


def _text_rows(run: ReportedRun, chosen: Chosen, items: Sequence[int]) -> list[TextRow]:
    written = _written(run, chosen)
    rows = []
    losses = chosen.losses
    for item in items:
        signs, each = written(chosen.items[item]), chosen.losses_of(item)
        loss = show_loss(float(losses[item]))
        if len(signs) != len(each):  # a loss of its own that gives one number for all
            rows.append(TextRow(loss, _running(signs), "", "", None))
            continue
        most = int(each.argmax())
        assert run.objective is not None
        known = run.objective.loss.is_cross_entropy
        surprise = f"{signs[most]}: {one_in(-float(each[most]))}" if known else None
        before, after = (_running(part) for part in (signs[:most], signs[most + 1 :]))
        rows.append(TextRow(loss, before, signs[most], after, surprise))
    return rows


def _running(signs: Sequence[str]) -> str:
    """Signs as a text in which spaces are spaces, where lines may break."""
    return "".join(signs).replace(SPACE, " ")


def _written(run: ReportedRun, chosen: Chosen) -> Callable[[Any], list[str]]:
    """What gives the signs of an item, one for each target."""
    if chosen.kind == "words":
        end = sign(run.loaded.vocabulary.itos[0])
        return lambda word: [*map(sign, word), end]
    dataset = run.dataset
    if isinstance(dataset, CorpusDataset) and dataset.tokenizer is not None:
        codec = TokenizerCodec(dataset.tokenizer, f"the tokenizer of {maker(dataset)}")
        return lambda tokens: [sign(codec.decode([token])) for token in tokens]
    itos = run.loaded.vocabulary.itos
    return lambda tokens: [sign(itos[token]) for token in tokens]


def _example_rows(run: ReportedRun, chosen: Chosen, items: Sequence[int]) -> list[ExampleRow]:
    dataset = run.dataset
    assert isinstance(dataset, TensorDataset)
    numbers = [int(chosen.items[item]) for item in items]
    x, y = run.examples["val"].gather(torch.tensor(numbers))
    pictures = picture_urls(x) if is_pictures(x) else [None] * len(x)
    features = [None] * len(x) if is_pictures(x) else _features(run, x)
    losses = chosen.losses[list(items)].tolist()
    found = predictions_of(outputs_of(run.loaded.model, x), dataset.targets, run.loaded.checked.classes)
    said = _said(dataset, found, y)
    return [
        ExampleRow(numbers[i], show_loss(losses[i]), pictures[i], features[i], **said[i]) for i in range(len(items))
    ]


def _said(dataset: TensorDataset, found: Any, y: Tensor) -> list[dict[str, str | None]]:
    """Target and prediction of each example, for people."""
    nothing: dict[str, str | None] = dict.fromkeys(("target", "predicted", "of_target", "of_predicted"))
    if isinstance(found, Probabilities) and y.ndim == 1:
        rows = zip(y.tolist(), found.probabilities, strict=True)
        return [_said_of_classes(found.classes, target, probabilities) for target, probabilities in rows]
    if dataset.targets == "inputs":
        return [nothing] * len(y)
    output = found.probabilities.argmax(-1) if isinstance(found, Probabilities) else found
    fits = isinstance(output, Tensor) and len(output) == len(y)
    return [
        {**nothing, "target": numbers_text(y[i]), "predicted": numbers_text(output[i]) if fits else None}
        for i in range(len(y))
    ]


def _said_of_classes(classes: Sequence[str], target: int, probabilities: Tensor) -> dict[str, str | None]:
    predicted = int(probabilities.argmax())
    known = target >= 0  # it is no target to ignore
    return {
        "target": label(classes[target]) if known else None,
        "predicted": label(classes[predicted]),
        "of_target": percent(float(probabilities[target])) if known else None,
        "of_predicted": percent(float(probabilities[predicted])),
    }


def _features(run: ReportedRun, x: Tensor) -> Sequence[str]:
    """The inputs of examples as text: by the names of the columns where they are known."""
    names = _feature_names(run.loaded.checked.provides.get("columns"))
    if x.ndim != 2 or len(names) != x.shape[1]:
        return [numbers_text(one, _MOST_FEATURES) for one in x]
    return [_named(names, one.tolist()) for one in x]


def _feature_names(columns: Any) -> list[tuple[str, str | None]]:
    """The column of each feature, and the text that the feature stands for; none where they are not known."""
    names: list[tuple[str, str | None]] = []
    for column in columns if isinstance(columns, list) else []:
        if not isinstance(column, dict):
            return []
        texts = column.get("values")
        names += [(str(column.get("name")), text) for text in (texts if isinstance(texts, list) else [None])]
    return names


def _named(names: Sequence[tuple[str, str | None]], values: Sequence[float]) -> str:
    """A row of a table: `age 31, color red, … (20 columns)`."""
    parts = [
        f"{label(name)} {number(value, 4) if text is None else label(str(text))}"
        for (name, text), value in zip(names, values, strict=True)
        if text is None or value
    ]
    more = f", … ({len(parts):,} columns)" if len(parts) > _MOST_FEATURES else ""
    return ", ".join(parts[:_MOST_FEATURES]) + more
