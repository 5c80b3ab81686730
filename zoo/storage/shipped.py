"""The weights that plugins ship, and their metrics, which are read without loading the weights.

A `NAME.json` beside `NAME.safetensors` is the `metrics.json` of the run that made the weights, with optional keys:
`preset`, the run's preset; `novel`, as in `zoo eval --json`; and `over_seeds`, how much the validation loss varies with
the seed: `{"seeds": 10, "sd": 0.0056, "preset": "tuned", "dataset": "names", "sha256": "0a30…"}`.
"""

from __future__ import annotations

import importlib.util
import json
import math
import os
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, NamedTuple

from zoo.errors import CheckpointError, UsageError
from zoo.phrasing import told
from zoo.plugin.calling import is_of_plugin
from zoo.plugin.registry import Entry
from zoo.plugin.specs import ModelSpec

if TYPE_CHECKING:
    from pathlib import Path  # importing it takes as long as reading the metrics of all models

_LARGEST = 1e15  # a number above it means a damaged file


class OverSeeds(NamedTuple):
    """How much the validation loss varies with the seed.

    Attributes:
        seeds: from how many it was measured, at least 2.
        sd: the sample standard deviation over them, in the unit of the loss.
        preset, dataset, sha256: what was trained with, and on.
    """

    seeds: int
    sd: float
    preset: str | None
    dataset: str
    sha256: str


class ShippedMetrics(NamedTuple):
    """How a model's shipped weights were trained, and their losses.

    Attributes:
        dataset: the name of the training data.
        preset: the preset, if known.
        parameters: the number of trained parameters.
        steps: the number of training steps.
        seconds: the training time.
        losses: in `unit` per target, on the full `train`, `val` and `test` splits.
        novel: in nats per target, on the unseen words of `val` and `test`; empty if not known.
        sha256: the digest of the training data; empty if not known.
        unit: `nats`, or the name of another loss.
        metrics: on the validation split, by name.
        over_seeds: how much the validation loss varies with the seed, if known.
    """

    dataset: str
    preset: str | None
    parameters: int
    steps: int
    seconds: float
    losses: Mapping[str, float]
    novel: Mapping[str, float]
    sha256: str = ""
    unit: str = "nats"
    metrics: Mapping[str, float] = {}
    over_seeds: OverSeeds | None = None

    def as_json(self) -> dict[str, Any]:
        """The object in `zoo list --json` and `zoo info --json`, with losses in their unit, and nats in bits, too."""
        return {
            "dataset": self.dataset,
            "preset": self.preset,
            "parameters": self.parameters,
            "steps": self.steps,
            "seconds": self.seconds,
            "losses": self._in_units(self.losses),
            "novel": self._in_units(self.novel),
            "metrics": dict(self.metrics),
        }

    def _in_units(self, losses: Mapping[str, float]) -> dict[str, dict[str, float]]:
        found = {self.unit: dict(losses)}
        return found | ({"bits": {split: bits(loss) for split, loss in losses.items()}} if self.unit == "nats" else {})


def bits(nats: float) -> float:
    """Nats converted to bits."""
    return nats / math.log(2)


def weights_path(entry: Entry[ModelSpec]) -> Path:
    """The path of a model's weights in the package that its spec names, whether or not the file exists.

    Raises:
        UsageError: the spec names no weights.
        CheckpointError: there is no such package.
    """
    from pathlib import Path

    return Path(_path(entry))


def shipped_weights(entry: Entry[ModelSpec]) -> Path:
    """The `.safetensors` file that a model's plugin ships.

    Raises:
        UsageError: the model has no shipped weights.
        CheckpointError: the file is missing from the plugin.
    """
    from pathlib import Path

    return Path(_existing_path(entry))


def _path(entry: Entry[ModelSpec]) -> str:
    name = entry.spec.name
    if entry.spec.weights is None:
        train = told(typed=f"'zoo run {name}'", python=f"zoo.run({name!r})")
        raise UsageError(f"model {name!r} ships no weights: train it with {train}, and name the run's folder")
    package, _, inside = entry.spec.weights.partition(":")
    paths = [os.path.join(folder, inside) for folder in _package_folders(package)]
    if not paths:
        raise CheckpointError(_missing(entry))
    return next(filter(os.path.isfile, paths), paths[0])


def _existing_path(entry: Entry[ModelSpec]) -> str:
    path = _path(entry)
    if not os.path.isfile(path):
        raise CheckpointError(_missing(entry))
    return path


def has_weights(entry: Entry[ModelSpec]) -> bool:
    """Whether a model has shipped weights and their file exists."""
    try:
        _existing_path(entry)
    except (OSError, UsageError, CheckpointError):
        return False
    return True


def can_sample(entry: Entry[ModelSpec]) -> bool:
    """Whether the weights that a model ships can be sampled: those of a model of text, or with its own `generate`.

    Of a damaged file that is not known: `zoo sample` says what is wrong with it.
    """
    from zoo.storage.checkpoint import load_meta  # imports torch

    if entry.spec.generate is not None:
        return True
    try:
        dataset = load_meta(weights_path(entry))["config"]["dataset"]
        return dataset["vocabulary"] is not None or dataset.get("kind") == "corpus"
    except (UsageError, CheckpointError, KeyError, TypeError, AttributeError):
        return True


def shipped_metrics(entry: Entry[ModelSpec]) -> ShippedMetrics | None:
    """The metrics of a model's shipped weights.

    None without weights or metrics, and also if the metrics are damaged or belong to another model: lists of models
    must not fail because of them.
    """
    try:
        with open(os.path.splitext(_existing_path(entry))[0] + ".json", "rb") as file:
            return _parse_metrics(json.load(file), entry.spec.name)
    except (OSError, ValueError, RecursionError, UsageError, CheckpointError):
        return None


def _missing(entry: Entry[ModelSpec]) -> str:
    return f"the weights of model {entry.spec.name!r}, {entry.spec.weights}, are missing from {entry.plugin}"


def _package_folders(package: str) -> list[str]:
    """The folders of a package, without importing it: `importlib.resources` would take longer than `zoo list` may."""
    try:
        found = importlib.util.find_spec(package)
    except BaseException as error:  # for `a.b`, find_spec imports `a`, which may raise anything
        if not is_of_plugin(error):
            raise
        return []
    return list((found and found.submodule_search_locations) or ())


def _parse_metrics(raw: object, model: str) -> ShippedMetrics:
    """Check the content of a `metrics.json`. Raises ValueError if it is invalid or of another model."""
    metrics = _mapping(raw)
    if metrics.get("model") != model:
        raise ValueError("the metrics belong to another model")
    preset = metrics.get("preset")
    novel = _mapping(_mapping(metrics.get("novel", {})).get("losses", {}))
    losses = _mapping(metrics.get("losses"))
    # Running text may be without a test split.
    splits = {"train", "val", *_mapping(_mapping(metrics.get("dataset")).get("examples", {"test": None}))}
    measured = _mapping(_mapping(metrics.get("metrics", {})).get("val", {}))
    return ShippedMetrics(
        dataset=_text(_mapping(metrics.get("dataset")).get("name")),
        sha256=_text(_mapping(metrics.get("dataset")).get("sha256", "")),
        preset=None if preset is None else _text(preset),
        parameters=int(_number(metrics.get("parameters"))),
        steps=int(_number(metrics.get("steps"))),
        seconds=_number(_mapping(metrics.get("seconds")).get("train")),
        losses={split: _any_number(losses.get(split)) for split in ("train", "val", "test") if split in splits},
        novel={split: _number(novel[split]) for split in ("val", "test") if novel.get(split) is not None},
        unit=_text(metrics.get("loss_unit", "nats")),
        metrics={_text(name): _any_number(value) for name, value in measured.items() if value is not None},
        over_seeds=None if "over_seeds" not in metrics else _over_seeds(_mapping(metrics["over_seeds"])),
    )


def _over_seeds(found: Mapping[str, object]) -> OverSeeds:
    seeds, preset = int(_number(found.get("seeds"))), found.get("preset")
    if seeds < 2:
        raise ValueError(f"{seeds} seeds have no spread")
    return OverSeeds(
        seeds,
        _number(found.get("sd")),
        None if preset is None else _text(preset),
        _text(found.get("dataset")),
        _text(found.get("sha256")),
    )


def _mapping(value: object) -> Mapping[str, object]:
    if not isinstance(value, dict):
        raise ValueError(f"{value!r} is not an object")
    return value


def _text(value: object) -> str:
    if not isinstance(value, str) or not value.isprintable():
        raise ValueError(f"{value!r} is not a name")
    return value


def _number(value: object) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value <= _LARGEST:
        raise ValueError(f"{value!r} is not a metric")
    return value


def _any_number(value: object) -> float:
    """A loss or a metric, which may be negative."""
    if isinstance(value, int | float) and value < 0:
        return -_number(-value)
    return _number(value)
