"""The keys of `--set`: the arguments of the model, the dataset and whatever else is on the command line."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from typing import Any

from zoo.cli.completion.signatures import Argument, arguments_of, returns_of
from zoo.plugin.registry import Entry, KindRegistry, Registry
from zoo.plugin.specs import GENERATE_INPUTS

_OF_LOSS = ("reduction", "x", "model")  # what zoo gives a loss beside the output and the target
_OF_CLASSES = {"CorpusDataset": ("shuffle_seed",), "TensorDataset": ("split", "shuffle_seed", "evaluate")}


def settings(registry: Registry, command: str, given: Mapping[str, Any]) -> Iterator[tuple[str, Argument]]:
    """What `--set` takes, by key.

    Args:
        registry: of all plugins.
        command: the name of the command.
        given: what else is on the command line, by parameter.
    """
    model = _entry(registry.models, given.get("model"))
    if command == "sample":
        yield from _of_generate(_entry(registry.models, given.get("run")))
        return
    if model is not None:
        yield from _named(model, (*model.spec.inputs, *model.spec.fitted))
        yield from _of_loss(model)
    yield from _of_data(_entry(registry.datasets, _chosen(given, model, "dataset")))
    optimizer = _entry(registry.optimizers, _chosen(given, model, "optimizer"))
    if optimizer is not None:
        yield from _named(optimizer, optimizer.spec.inputs)
    for name in given.get("log") or ():
        logger = _entry(registry.loggers, name)
        if logger is not None:
            yield from _named(logger, logger.spec.inputs)


def _chosen(given: Mapping[str, Any], model: Entry[Any] | None, kind: str) -> Any:
    """The name of the dataset or optimizer: as it is given, or the preset's, or the model's own."""
    if given.get(kind) is not None or model is None:
        return given.get(kind)
    preset = model.spec.presets.get(given.get("preset") or "")
    own = getattr(preset, kind, None)
    return own if isinstance(own, str) else getattr(model.spec, kind)


def _entry(kind: KindRegistry[Any], name: Any) -> Entry[Any] | None:
    return kind.get(name) if isinstance(name, str) and name in kind else None


def _named(entry: Entry[Any], inputs: Collection[str]) -> Iterator[tuple[str, Argument]]:
    yield from _prefixed(entry.spec.section, arguments_of(entry.spec.factory), inputs)


def _prefixed(
    section: str, arguments: Mapping[str, Argument], inputs: Collection[str]
) -> Iterator[tuple[str, Argument]]:
    for name, argument in arguments.items():
        if name not in inputs:
            yield f"{section}.{name}", argument


def _of_loss(model: Entry[Any]) -> Iterator[tuple[str, Argument]]:
    if model.spec.loss is not None:
        _, _, *others = arguments_of(model.spec.loss).items()
        yield from _prefixed("loss", dict(others), (*_OF_LOSS, *model.spec.inputs))


def _of_generate(model: Entry[Any] | None) -> Iterator[tuple[str, Argument]]:
    if model is not None and model.spec.generate is not None:
        inputs = (*GENERATE_INPUTS, *model.spec.inputs, "classes")
        yield from _prefixed("generate", arguments_of(model.spec.generate), inputs)


def _of_data(dataset: Entry[Any] | None) -> Iterator[tuple[str, Argument]]:
    """Of a dataset, or of a file: those that every dataset of text has, too."""
    own = {} if dataset is None else arguments_of(dataset.spec.factory)
    made = "" if dataset is None else returns_of(dataset.spec.factory).rpartition(".")[2]
    not_its = _OF_CLASSES.get(made, ("evaluate",) if dataset is not None else ())
    shared = {name: one for name, one in arguments_of("zoo.data.loading:arrangement").items() if name not in not_its}
    yield from _prefixed("data", {**own, **shared}, () if dataset is None else dataset.spec.inputs)
