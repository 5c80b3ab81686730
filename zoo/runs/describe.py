"""`config.json`: everything that made a run, as plain data. `zoo.storage.config` reads it back."""

from __future__ import annotations

import dataclasses
import functools
import platform
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from zoo.data.corpus.dataset import CorpusDataset
from zoo.data.examples import Examples, SplitName
from zoo.data.finding import file_name
from zoo.data.kinds import Dataset, counts_of, kind_of_data, vocabulary_of
from zoo.data.sources.given import PYTHON, Given, Source
from zoo.data.tensors import TensorDataset
from zoo.options.declaration import declared
from zoo.options.run import RunOptions
from zoo.plugin.registry import DISTRIBUTION, Entry
from zoo.plugin.specs import Spec
from zoo.runs.plan import RunPlan
from zoo.training.objective.objective import Objective
from zoo.training.synthetic import SyntheticWords

if TYPE_CHECKING:
    import torch


def make_config(
    plan: RunPlan,
    source: Source,
    dataset: Dataset,
    examples: Mapping[SplitName, Examples],
    synthetic: SyntheticWords | None,
    inputs: Mapping[str, Any],
    objective: Objective,
    parameters: int,
    device: torch.device,
) -> dict[str, Any]:
    """Describe a run. It has no time, so that the same run gives the same bytes, and no path of this machine.

    Args:
        plan: what was planned, with the device, the engine and the threads that were chosen.
        source: where the data came from, which is the plan's fallback where that was used.
        dataset, examples: the data.
        synthetic: the synthetic words trained on.
        inputs: what the data decided about the model.
        objective: the loss and the metrics.
        parameters: how many parameters were trained.
        device: where it is trained.
    """
    vocabulary = vocabulary_of(dataset)
    return {
        "model": {
            **_origin(plan.model),
            "hyperparameters": plan.model_settings,
            "inputs": dict(inputs),
            "parameters": parameters,
        },
        "dataset": {
            **_source(source),
            "kind": kind_of_data(dataset),
            "sha256": dataset.sha256,
            "settings": plan.data_settings,
            "examples": counts_of(dataset, examples),
            "vocabulary": None if vocabulary is None else list(vocabulary),
            **(_of_tensors(dataset) if isinstance(dataset, TensorDataset) else _tokenizer(dataset)),
        },
        "loss": objective.as_config(),
        "metrics": objective.metrics.names(),
        "optimizer": {**_origin(plan.optimizer), "hyperparameters": plan.optimizer_settings},
        "training": {**recorded(plan.options), **_synthetic(plan, synthetic)},
        "versions": versions(device),
    }


def _source(source: Source) -> dict[str, Any]:
    """A registered dataset, the name of a file, or that the data was given in Python."""
    if isinstance(source, Entry):
        return _origin(source)
    if isinstance(source, Given):
        return {"name": source.name, "plugin": None, "given_in": PYTHON}
    return {"name": file_name(source), "plugin": None}


def _of_tensors(dataset: TensorDataset) -> dict[str, Any]:
    """What a checkpoint must know of data that is not text: as far as there is any of it."""
    known = {"classes": dataset.classes, "provides": dataset.provides, "sha256_covers": dataset.digest_covers}
    return {"targets": dataset.targets, **{name: value for name, value in known.items() if value}}


def _tokenizer(dataset: Dataset) -> dict[str, Any]:
    """The name and size of the tokenizer of running text, where it has one."""
    info = dataset.tokenizer_info if isinstance(dataset, CorpusDataset) else None
    return {} if info is None else {"tokenizer": info}


def recorded(options: RunOptions) -> dict[str, Any]:
    """The options that a config records, as plain data."""
    values = {name: getattr(options, name) for name, one in declared(RunOptions).items() if one.option.recorded}
    return {
        name: dataclasses.asdict(value) if dataclasses.is_dataclass(value) and not isinstance(value, type) else value
        for name, value in values.items()
    }


def versions(device: torch.device) -> dict[str, str]:
    """The versions that the result of a run may depend on; on CUDA also the card, which rounds in its own way."""
    import torch

    from zoo import cuda

    found = {
        "zoo": _own_version(),
        "torch": str(torch.__version__),
        "python": platform.python_version(),
    }
    if not cuda.holds(device):
        return found
    kind, _, version = cuda.platform().partition(" ")
    return {**found, "gpu": cuda.name(device), kind.lower(): version}


@functools.cache  # parsing it takes a millisecond, which each of many small runs would pay
def _own_version() -> str:
    """That of the code that runs, whatever is installed while it does."""
    from importlib import metadata

    return metadata.version(DISTRIBUTION)


def _synthetic(plan: RunPlan, words: SyntheticWords | None) -> dict[str, Any]:
    """The model that the words come from, its plugin, and the number and digest of the words."""
    if plan.synthetic is None or words is None:
        return {}
    return {"synthetic": {**_origin(plan.synthetic), "words": len(words.words), "sha256": words.sha256}}


def _origin(entry: Entry[Any]) -> dict[str, Any]:
    """A name, and the plugin that supplied it. Never a path: a checkpoint must not say what is imported."""
    spec: Spec = entry.spec
    plugin = {"distribution": entry.plugin.distribution, "version": entry.plugin.version}
    return {"name": spec.name, "plugin": plugin}
