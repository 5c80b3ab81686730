"""Loading datasets, and encoding them as the inputs and targets of a model."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from zoo.data.datasets import LECTURE_SPLIT, Dataset, Examples, SplitName, TensorDataset, TextDataset
from zoo.data.download import Fetcher
from zoo.data.vocabulary import Vocabulary
from zoo.errors import PluginError, UsageError, ZooError
from zoo.plugin.registry import Entry
from zoo.plugin.settings import Signature
from zoo.plugin.specs import DatasetSpec, Reads

DATASET_INPUTS = ("fetch",)


def arrangement(split: tuple[float, float] = LECTURE_SPLIT, shuffle_seed: int | None = None) -> None:
    """The signature of this function declares the settings that every text dataset has."""


def load_dataset(source: Entry[DatasetSpec] | Path, settings: Mapping[str, Any], fetch: Fetcher) -> Dataset:
    """Read a file, or call a dataset's function.

    Args:
        source: a registered dataset, or a text file.
        settings: the function's own arguments; for text also `split` and `shuffle_seed`.
        fetch: the argument `fetch` of the function, if it has one.

    Raises:
        DataError: the data cannot be read or used.
        UsageError: the function refuses a value, or the dataset has fixed splits, which cannot be changed.
        PluginError: the function fails, or does not return a dataset.
    """
    arranged = {name: settings[name] for name in ("split", "shuffle_seed") if name in settings}
    if isinstance(source, Path):
        dataset: Dataset = TextDataset.from_file(source)
    else:
        signature = Signature(source.factory(), DATASET_INPUTS)
        arguments = {name: value for name, value in settings.items() if name in signature.settings}
        arranged = {name: value for name, value in arranged.items() if name not in arguments}
        if "fetch" in signature.inputs:
            arguments["fetch"] = fetch
        dataset = _call(source, arguments)
    if not arranged:
        return dataset
    if isinstance(dataset, TensorDataset):
        raise UsageError(f"'data.{next(iter(arranged))}': the splits of this dataset are fixed")
    return dataset.arranged(
        split=arranged.get("split", dataset.split),
        shuffle_seed=arranged.get("shuffle_seed", dataset.shuffle_seed),
    )


def model_inputs(dataset: Dataset) -> dict[str, int]:
    """The arguments of a model's constructor that depend on the data, by name."""
    if isinstance(dataset, TextDataset):
        return {"vocab_size": len(dataset.vocabulary), "max_length": dataset.max_length}
    return {"num_features": dataset.num_features, "num_classes": dataset.num_classes}


def encode(
    dataset: Dataset,
    reads: Reads,
    context_length: int | None,
    *,
    vocabulary: Vocabulary | None = None,
    max_length: int | None = None,
) -> dict[SplitName, Examples]:
    """The examples of each split in the form that a model reads.

    Args:
        dataset: words or tensors.
        reads: the form of a text model's inputs.
        context_length: of a model that reads windows.
        vocabulary, max_length: of a trained model; by default those of the dataset.

    Raises:
        DataError: a word does not fit.
        PluginError: a text model that reads windows has no `context_length`.
    """
    if isinstance(dataset, TensorDataset):
        return {name: Examples(x, y, x.dtype) for name, (x, y) in dataset.splits.items()}
    length = max_length or dataset.max_length if reads == "sequences" else context_length
    return encode_words(dataset.splits, reads, length, vocabulary or dataset.vocabulary)


def encode_words(
    splits: Mapping[SplitName, Sequence[str]], reads: Reads, length: int | None, vocabulary: Vocabulary
) -> dict[SplitName, Examples]:
    """The examples of words in the form that a text model reads.

    Args:
        splits: the words of each split.
        reads: the form of the model's inputs.
        length: characters of a window, or positions of a padded sequence.
        vocabulary: of the model.

    Raises:
        DataError: a word does not fit.
        PluginError: a model that reads windows has no `context_length`.
    """
    from zoo.data.encoding import encode_sequences, encode_windows

    if length is None:
        raise PluginError("a text model that reads windows needs an attribute 'context_length' of at least 1")
    encode_split = encode_sequences if reads == "sequences" else encode_windows
    return {name: encode_split(words, vocabulary, length) for name, words in splits.items()}


def _call(entry: Entry[DatasetSpec], arguments: Mapping[str, Any]) -> Dataset:
    try:
        dataset = entry.factory()(**arguments)
    except ZooError:
        raise
    except ValueError as error:
        raise UsageError(f"dataset {entry.spec.name!r}: {error}") from error
    except Exception as error:  # a plugin may raise anything
        raise PluginError(
            f"dataset {entry.spec.name!r} of plugin {entry.plugin} failed: {type(error).__name__}: {error}"
        ) from error
    if not isinstance(dataset, TextDataset | TensorDataset):
        raise PluginError(
            f"dataset {entry.spec.name!r} of plugin {entry.plugin} returned a {type(dataset).__name__}, "
            "not a zoo.TextDataset or a zoo.TensorDataset"
        )
    return dataset
