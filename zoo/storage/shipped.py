"""The weights that plugins ship, and their figures: what is known of them without loading them.

Beside `NAME.safetensors` may stand `NAME.json`: the `metrics.json` of the run that made the weights, with two things
more where they are known, the run's `preset` and what `zoo eval --json` has under `novel`.
"""

from __future__ import annotations

import importlib.util
import json
import math
import os
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, NamedTuple

from zoo.errors import CheckpointError, UsageError
from zoo.plugin.registry import Entry
from zoo.plugin.specs import ModelSpec

if TYPE_CHECKING:
    from pathlib import Path  # which takes as long to import as it takes to find all figures

_LARGEST = 1e15  # of any figure: what is beyond, or no number, is a damaged file's


class Figures(NamedTuple):
    """How a model's shipped weights were made, and how good they are.

    Attributes:
        dataset: the name of the data that they were trained on.
        preset: the preset that they were trained with, if it is known.
        parameters: how many numbers were trained.
        steps: how many steps they were trained for.
        seconds: how long that took.
        losses: nats per target, over the whole of `train`, `val` and `test`.
        novel: the same over the held-out words never seen in training, of `val` and `test`; empty if not known.
    """

    dataset: str
    preset: str | None
    parameters: int
    steps: int
    seconds: float
    losses: Mapping[str, float]
    novel: Mapping[str, float]

    def as_json(self) -> dict[str, Any]:
        """As `zoo list --json` and `zoo info --json` have them, the losses in nats and in bits."""
        return {
            "dataset": self.dataset,
            "preset": self.preset,
            "parameters": self.parameters,
            "steps": self.steps,
            "seconds": self.seconds,
            "losses": _in_both(self.losses),
            "novel": _in_both(self.novel),
        }


def bits(nats: float) -> float:
    """A loss in bits."""
    return nats / math.log(2)


def place(entry: Entry[ModelSpec]) -> Path:
    """Where the weights of a model are, or would be, in the package that its spec names.

    Raises:
        UsageError: the spec names none.
        CheckpointError: there is no such package.
    """
    from pathlib import Path

    return Path(_place(entry))


def shipped(entry: Entry[ModelSpec]) -> Path:
    """The `.safetensors` file that a model's plugin ships.

    Raises:
        UsageError: it ships none.
        CheckpointError: the file is missing from the plugin.
    """
    from pathlib import Path

    return Path(_shipped(entry))


def _place(entry: Entry[ModelSpec]) -> str:
    name = entry.spec.name
    if entry.spec.weights is None:
        raise UsageError(f"model {name!r} ships no weights: train it with 'zoo run {name}', and name the run's folder")
    package, _, inside = entry.spec.weights.partition(":")
    places = [os.path.join(folder, inside) for folder in _folders(package)]
    if not places:
        raise CheckpointError(_missing(entry))
    return next(filter(os.path.isfile, places), places[0])


def _shipped(entry: Entry[ModelSpec]) -> str:
    path = _place(entry)
    if not os.path.isfile(path):
        raise CheckpointError(_missing(entry))
    return path


def has_weights(entry: Entry[ModelSpec]) -> bool:
    """Whether a model comes with weights, and they are there."""
    try:
        _shipped(entry)
    except (OSError, UsageError, CheckpointError):
        return False
    return True


def figures(entry: Entry[ModelSpec]) -> Figures | None:
    """The figures that stand beside a model's shipped weights.

    None where there are no weights or no figures, and also where these are damaged or another model's: a list of what
    there is goes on without them.
    """
    try:
        with open(os.path.splitext(_shipped(entry))[0] + ".json", "rb") as file:
            return _figures(json.load(file), entry.spec.name)
    except (OSError, ValueError, RecursionError, UsageError, CheckpointError):
        return None


def _missing(entry: Entry[ModelSpec]) -> str:
    return f"the weights of model {entry.spec.name!r}, {entry.spec.weights}, are missing from {entry.plugin}"


def _folders(package: str) -> list[str]:
    """The folders of a package, without importing it. `importlib.resources` takes longer than all of `zoo list` may."""
    try:
        found = importlib.util.find_spec(package)
    except Exception:  # of `a.b` it imports `a`, which may raise anything
        return []
    return list((found and found.submodule_search_locations) or ())


def _figures(raw: object, model: str) -> Figures:
    """Raises ValueError where it is not what `metrics.json` of that model may hold."""
    metrics = _mapping(raw)
    if metrics.get("model") != model:
        raise ValueError("the figures are another model's")
    preset = metrics.get("preset")
    novel = _mapping(_mapping(metrics.get("novel", {})).get("losses", {}))
    losses = _mapping(metrics.get("losses"))
    return Figures(
        dataset=_text(_mapping(metrics.get("dataset")).get("name")),
        preset=None if preset is None else _text(preset),
        parameters=int(_number(metrics.get("parameters"))),
        steps=int(_number(metrics.get("steps"))),
        seconds=_number(_mapping(metrics.get("seconds")).get("train")),
        losses={split: _number(losses.get(split)) for split in ("train", "val", "test")},
        novel={split: _number(novel[split]) for split in ("val", "test") if novel.get(split) is not None},
    )


def _mapping(value: object) -> Mapping[str, object]:
    if not isinstance(value, dict):
        raise ValueError(f"{value!r} is no object")
    return value


def _text(value: object) -> str:
    if not isinstance(value, str) or not value.isprintable():
        raise ValueError(f"{value!r} is no name")
    return value


def _number(value: object) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value <= _LARGEST:
        raise ValueError(f"{value!r} is no figure")
    return value


def _in_both(nats: Mapping[str, float]) -> dict[str, dict[str, float]]:
    return {"nats": dict(nats), "bits": {split: bits(loss) for split, loss in nats.items()}}
