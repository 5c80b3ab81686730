"""A run as its report needs it: what is in its folder, the model, and its data where that can be found."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

import torch
from torch import Tensor

from zoo.data.download import Fetcher
from zoo.data.examples import SPLITS, Examples, SplitName
from zoo.data.kinds import Dataset, counts_of
from zoo.errors import DataError, ZooError
from zoo.files import kind_of
from zoo.phrasing import option
from zoo.plugin.registry import Registry
from zoo.reports.chosen import Chosen, choose
from zoo.storage import checkpoint
from zoo.storage.config import WEIGHTS_KEY, read_metrics
from zoo.storage.folder import METRICS_FILE, WEIGHTS_FILE
from zoo.storage.history.snapshots import read_snapshots
from zoo.storage.loading import Loaded, load
from zoo.storage.losses import LOSSES_FILE, VALIDATION_FILE, read_evaluations, read_losses
from zoo.text import shown
from zoo.training.evaluation import metrics_of
from zoo.training.objective.objective import Objective

T = TypeVar("T")

NATS = "nats"


class Result(NamedTuple):
    """What the model reaches on a split, or on a part of one.

    Attributes:
        examples: how many there are; None where that is not recorded.
        loss: in the unit of the run.
        metrics: by name; None where one is NaN or infinite.
    """

    examples: int | None
    loss: float
    metrics: Mapping[str, float | None]


@dataclass(frozen=True)
class ReportedRun:
    """A run, as the sections of its report see it.

    Attributes:
        name: that of its folder or file, for people; no two runs of a report have the same.
        loaded: the model, on the CPU and in evaluation mode, with its config. Sections leave it as it is.
        metrics: the content of `metrics.json`; None where there is none of these weights: a lone file, or a run that
            is not finished.
        step_losses: of every step from 0; empty for a lone file.
        evaluations: pairs of step and validation loss, of the evaluations during training.
        seed: of everything that sections draw: samples, a choice of examples.
        registry: where the data is found by name.
        fetch: what downloads it.
        given: the data as the user names it, for a run whose own is not found.
    """

    name: str
    loaded: Loaded
    metrics: Mapping[str, Any] | None
    step_losses: Sequence[float]
    evaluations: Sequence[tuple[int, float]]
    seed: int
    registry: Registry
    fetch: Fetcher
    given: str | None = None

    @classmethod
    def read(
        cls, target: str, name: str, seed: int, registry: Registry, fetch: Fetcher, given: str | None = None
    ) -> ReportedRun:
        """A run folder, a `.safetensors` file, or a model with shipped weights.

        Raises:
            ZooError: as `zoo.storage.loading.load`, and where a file of the folder is damaged.
        """
        loaded = load(target, registry)
        made: dict[str, Any] = {"metrics": None, "step_losses": [], "evaluations": []}
        if loaded.path.name == WEIGHTS_FILE:  # files beside another are not known to be of it
            made = _beside(loaded.path)
        return cls(name, loaded, **made, seed=seed, registry=registry, fetch=fetch, given=given)

    @property
    def folder(self) -> Path:
        """That of the weights."""
        return self.loaded.path.parent

    @property
    def config(self) -> Mapping[str, Any]:
        """As in `config.json`. It may come from anyone: templates escape what they show of it."""
        return self.loaded.config

    @property
    def title(self) -> str:
        """What was trained on what."""
        return f"{self.loaded.entry.spec.name} on {self.config['dataset']['name']}"

    @property
    def unit(self) -> str:
        """What its loss is in."""
        return str(_mapping(self.config.get("loss")).get("unit", NATS))

    @property
    def classes(self) -> int | None:
        """How many targets a model chooses among; None where it does not."""
        checked = self.loaded.checked
        if checked.vocabulary is not None:
            return len(checked.vocabulary)
        if checked.tokenizer_size is not None:
            return checked.tokenizer_size + 1
        known = checked.offered.get("num_classes", len(checked.classes or ()))
        return known if isinstance(known, int) and known > 0 and checked.targets == "classes" else None

    @property
    def counted(self) -> str:
        """What the examples of its splits are, in the plural."""
        checked, reads = self.loaded.checked, self.loaded.entry.spec.reads
        if checked.tokenizer_size is not None:
            return "tokens"
        if checked.vocabulary is None:
            return "examples"
        return "words" if checked.kind != "corpus" and reads == "sequences" else "characters"

    @property
    def uniform_loss(self) -> float | None:
        """The loss of a uniform guess; None where the loss is no cross-entropy in nats."""
        return math.log(self.classes) if self.unit == NATS and self.classes else None

    @cached_property
    def _data(self) -> Dataset | ZooError:
        try:
            return self.loaded.dataset(self.registry, self.fetch)
        except ZooError as error:
            if self.given is None:
                return error
        try:
            data = self.loaded.dataset(self.registry, self.fetch, self.given)
            if data.sha256 != self.loaded.checked.dataset_sha256:
                raise DataError(
                    f"{option('dataset')} {shown(self.given)} is not the data that {self.name} was trained on"
                )
            return data
        except ZooError as error:
            return error

    @property
    def dataset(self) -> Dataset | None:
        """What it was trained on; None where that is not found, see `no_data`."""
        return None if isinstance(self._data, ZooError) else self._data

    @property
    def no_data(self) -> str | None:
        """Why its data is not there, in one line that names the remedy; None where it is."""
        return str(self._data) if isinstance(self._data, ZooError) else None

    @cached_property
    def examples(self) -> Mapping[SplitName, Examples]:
        """Those of its data; without data, none."""
        return {} if self.dataset is None else self.loaded.examples(self.dataset)

    @cached_property
    def chosen(self) -> Chosen:
        """Targets of its validation split with their losses.

        Raises:
            DataError: its data is not there.
            PluginError: its model fails.
        """
        if self.dataset is None or self.objective is None:
            raise DataError(self.no_data)
        return choose(self.loaded, self.dataset, self.objective.loss, lambda: self.examples["val"], self.seed)

    @cached_property
    def objective(self) -> Objective | None:
        """Its loss and metrics; None without data."""
        return None if self.dataset is None else self.loaded.objective(self.registry, self.dataset)

    @cached_property
    def snapshots(self) -> Mapping[int, Tensor]:
        """The embedding table at steps of the training, where the run kept it: shape (V, E), float32.

        Raises:
            CheckpointError: the file is damaged.
        """
        return read_snapshots(self.folder) if self.loaded.path.name == WEIGHTS_FILE else {}

    @cached_property
    def results(self) -> Mapping[str, Result]:
        """Of each split: as recorded, or else evaluated; empty where neither is possible.

        Raises:
            ZooError: the model cannot be evaluated.
        """
        if self.metrics is not None:
            sizes, found = _mapping(self.config["dataset"].get("examples")), _mapping(self.metrics.get("metrics"))
            losses = in_order(self.metrics["losses"])
            return {
                name: Result(_whole(sizes.get(name)), loss, _numbers(found.get(name))) for name, loss in losses.items()
            }
        if self.dataset is None:
            return {}
        return self._evaluated(self.examples, counts_of(self.dataset, self.examples))

    @cached_property
    def unseen(self) -> Mapping[str, Result]:
        """Of the words of validation and test that are not in the training split; empty without data or such words.

        Raises:
            ZooError: the model cannot be evaluated.
        """
        novel = {} if self.dataset is None else self.loaded.novel_examples(self.dataset)
        return self._evaluated(novel, {name: len(split) for name, split in novel.items()})

    def _evaluated(self, splits: Mapping[SplitName, Examples], sizes: Mapping[str, int]) -> dict[str, Result]:
        assert self.objective is not None or not splits
        if self.objective is None:
            return {}
        found = self.loaded.evaluate(splits, torch.device("cpu"), self.objective)
        metrics = metrics_of(found)
        return {name: Result(sizes.get(name), one.loss, metrics[name]) for name, one in found.items()}


def _beside(weights: Path) -> dict[str, Any]:
    """What the folder of a run has beside its weights."""
    folder = weights.parent
    metrics, losses = folder / METRICS_FILE, folder / LOSSES_FILE
    results = None if kind_of(metrics) == "nothing" else read_metrics(metrics)
    own = None if results is None else checkpoint.load(weights).meta["sha256"]
    if results is not None and results.get(WEIGHTS_KEY, own) != own:
        results = None  # of an earlier step: the run was resumed, and is not finished
    return {
        "metrics": results,
        "step_losses": [] if kind_of(losses) == "nothing" else read_losses(losses),
        "evaluations": read_evaluations(folder / VALIDATION_FILE),
    }


def in_order(by_split: Mapping[str, T]) -> dict[str, T]:
    """The same with the splits in their usual order: JSON that zoo writes is sorted."""
    first = [str(split) for split in SPLITS if split in by_split]
    return {split: by_split[split] for split in dict.fromkeys([*first, *by_split])}


# What a file states may be of any type


def _mapping(value: object) -> Mapping[str, Any]:
    return value if isinstance(value, Mapping) else {}


def _whole(value: object) -> int | None:
    return value if type(value) is int else None


def _numbers(value: object) -> dict[str, float | None]:
    return {name: one if type(one) in (int, float) else None for name, one in _mapping(value).items()}
