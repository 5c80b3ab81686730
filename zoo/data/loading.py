"""Loading datasets, and encoding them as the inputs and targets of a model."""

from __future__ import annotations

import os
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Any, overload

from zoo.ambient.draws import seeded_draws
from zoo.data.corpus.dataset import BLOCK_LENGTH, CorpusDataset
from zoo.data.datasets import LECTURE_SPLIT, TextDataset
from zoo.data.download import Fetcher
from zoo.data.examples import Examples, GatheredExamples, SplitName, TensorExamples
from zoo.data.files.reading import read_file
from zoo.data.files.settings import resolve_file_settings
from zoo.data.kinds import Dataset
from zoo.data.sources.given import Given, Source
from zoo.data.splits import Pair, Split
from zoo.data.tensors import TensorDataset
from zoo.data.vocabulary import Vocabulary
from zoo.errors import DataError, PluginError, UsageError
from zoo.files import check_name, from_person, kind_of
from zoo.phrasing import told
from zoo.plugin.calling import made_by, plugin_call
from zoo.plugin.registry import Entry, Registry
from zoo.plugin.settings import Signature, signature_of
from zoo.plugin.specs import DatasetSpec, Reads
from zoo.text import shown


def arrangement(
    split: tuple[float, float] = LECTURE_SPLIT, shuffle_seed: int | None = None, evaluate: int | None = None
) -> None:
    """The signature of this function declares the settings that every text dataset has.

    `shuffle_seed` is for words, and `evaluate` for running text.
    """


ARRANGEMENT = tuple(Signature(arrangement).settings)  # the names of these settings
_STDIN = "/dev/stdin"  # what `-` names
_NO_WINDOW = "a text model that reads windows needs an attribute 'context_length' of at least 1"


def find_dataset(registry: Registry, name: str | os.PathLike[str]) -> Entry[DatasetSpec] | Path:
    """The registered dataset of that name, or else a file; `-` is standard input.

    For a file named like a dataset, give `./NAME`; for one called `-`, its absolute path.

    Raises:
        UsageError: there is neither.
    """
    if isinstance(name, str) and name in registry.datasets:
        return registry.datasets.get(name)
    path = from_person(_STDIN if name == "-" else name)
    check_name("dataset", path)
    kind = kind_of(path)
    if kind in ("file", "other"):  # perhaps a pipe, as of <(sort words.txt); reading refuses what is neither
        return path
    if kind == "folder":
        raise UsageError(f"dataset {shown(os.fspath(name))} is a folder: name a file in it")
    if len(path.parts) > 1 or path.suffix:
        listed = told(typed="'zoo list datasets'", python="zoo.list_datasets()")
        raise UsageError(f"no file {shown(os.fspath(name))}: name a file, or a dataset of {listed}")
    registry.datasets.get(str(name))  # raises an error that suggests the nearest names
    raise UsageError(f"no dataset {name!r}")


def resolve_data_settings(dataset: Source, given: Mapping[str, object], *, recorded: bool = False) -> dict[str, Any]:
    """The settings of a dataset: all of its function's arguments; those of `arrangement` if given.

    Those of a file are those of its format, and those of a list of words are a file's. `recorded`: they are those of a
    run, and not a person's.

    Raises:
        UsageError: an unknown key, or a value of the wrong type.
    """
    if isinstance(dataset, Path):
        return resolve_file_settings(dataset, given, recorded=recorded)
    if isinstance(dataset, Given):
        values = Signature(arrangement).resolve("data", given, "data that is given in Python")
        return {name: value for name, value in values.items() if name in given}
    own = signature_of(dataset).settings
    signature = Signature(arrangement)
    signature.settings = {**signature.settings, **own}
    values = signature.resolve("data", given, f"dataset {dataset.spec.name!r}")
    return {name: value for name, value in values.items() if name in own or name in given}


def settings_for(source: Source, settings: Mapping[str, Any], kind: str) -> dict[str, Any]:
    """What of the settings of a run's data goes for other data: how it is arranged, and the format of a file.

    Args:
        source: the other data.
        settings: of the run's.
        kind: of the run's, as a config has it.
    """
    kept = {name: value for name, value in settings.items() if name in ARRANGEMENT}
    return kept | {"format": "text"} if isinstance(source, Path) and kind == "corpus" else kept


def load_dataset(
    source: Source,
    settings: Mapping[str, Any],
    fetch: Fetcher,
    *,
    sha256: str | None = None,
    like: Mapping[str, Any] | None = None,
) -> Dataset:
    """Read a file, call a dataset's function, or take data that was given in Python.

    Args:
        source: a registered dataset, a file, or data.
        settings: the function's own arguments; for text also `split` and `shuffle_seed`; those of a file's format.
        fetch: the argument `fetch` of the function, if it has one.
        sha256: the digest that the file must have, where a checkpoint states its path.
        like: what the data of a trained model provides, and its classes: a table then has the same features.

    Raises:
        ChangedDataError: the file has another digest.
        DataError: the data cannot be read or used.
        UsageError: the function refuses a value, or the dataset has fixed splits, which cannot be changed.
        PluginError: the function fails, or does not return a dataset.
    """
    if isinstance(source, Path):
        return read_file(source, settings, sha256=sha256, like=like)
    if isinstance(source, Given):
        return source.dataset if source.arranged else _arranged(source.dataset, settings)
    signature = signature_of(source)
    arguments = {name: value for name, value in settings.items() if name in signature.settings}
    arranged = {name: settings[name] for name in ARRANGEMENT if name in settings and name not in arguments}
    if "fetch" in signature.inputs:
        arguments["fetch"] = fetch
    dataset = _call(source, arguments)
    return _arranged(dataset, arranged) if arranged else dataset


def _arranged(dataset: Dataset, arranged: Mapping[str, Any]) -> Dataset:
    """A dataset that is split, shuffled or evaluated in another way.

    Raises:
        UsageError: that cannot be for data of its kind.
    """
    if isinstance(dataset, TensorDataset):
        raise UsageError(f"'data.{next(iter(arranged))}': the splits of this dataset are fixed")
    if isinstance(dataset, CorpusDataset):
        if arranged.get("shuffle_seed") is not None:
            raise UsageError("'data.shuffle_seed': running text is split by position, and not shuffled")
        evaluate = arranged.get("evaluate", dataset.evaluate)
        return dataset.arranged(split=arranged.get("split"), evaluate=evaluate)
    if arranged.get("evaluate") is not None:
        raise UsageError("'data.evaluate' is for running text: of words all targets are evaluated")
    return dataset.arranged(
        split=arranged.get("split", dataset.split),
        shuffle_seed=arranged.get("shuffle_seed", dataset.shuffle_seed),
    )


def model_inputs(dataset: Dataset, asked: Collection[str]) -> dict[str, Any]:
    """What the data decides about a model, of the names that are asked for.

    Running text has no longest word: the positions of its blocks are the model's setting `max_length`.

    Raises:
        DataError: it is asked for, and cannot be known.
    """
    if isinstance(dataset, CorpusDataset):
        return {"vocab_size": dataset.vocab_size}
    if isinstance(dataset, TextDataset):
        return {"vocab_size": len(dataset.vocabulary), "max_length": dataset.max_length}
    own = ["num_features", "num_classes" if dataset.targets == "classes" else "num_outputs"]
    return {name: getattr(dataset, name) for name in own if name in asked} | dataset.provides


def provided_names(dataset: Dataset) -> Collection[str]:
    """The names of what a dataset provides besides what is known of every one of its kind."""
    return dataset.provides if isinstance(dataset, TensorDataset) else ()


def offered_values(dataset: Dataset) -> dict[str, Any]:
    """What a loss or a metric may ask for by name: what is known of the data, and what it provides."""
    if isinstance(dataset, CorpusDataset):
        return {"vocab_size": dataset.vocab_size, "num_classes": dataset.vocab_size}
    if isinstance(dataset, TextDataset):
        return {"vocab_size": len(dataset.vocabulary), "num_classes": len(dataset.vocabulary)}
    known: dict[str, Any] = {} if dataset.classes is None else {"classes": dataset.classes}
    if dataset.targets == "classes" and (dataset.classes is not None or dataset.in_memory):
        known["num_classes"] = dataset.num_classes
    elif dataset.targets != "classes":
        known["num_outputs"] = dataset.num_outputs
    return {**known, **dataset.provides}


def encode_tensors(dataset: TensorDataset, floats: Any = None, who: str = "the dataset") -> dict[SplitName, Examples]:
    """The examples of each split. Whole numbers of the inputs stay what they are.

    Args:
        dataset: tensors, or splits outside memory.
        floats: the type of floating-point inputs and targets in a batch; by default float32.
        who: whose code gathers them, for messages.
    """
    import torch

    floats = floats or torch.float32
    return {name: _examples(name, split, dataset, floats, who) for name, split in dataset.splits.items()}


def _examples(name: SplitName, split: Pair | Split, dataset: TensorDataset, floats: Any, who: str) -> Examples:
    import torch

    x, y = dataset.example(name)
    x_dtype = floats if x.is_floating_point() else x.dtype
    y = x if y is None else y
    y_dtype = x_dtype if y is x else floats if y.is_floating_point() else None
    if isinstance(split, Pair):
        return TensorExamples(split.x, split.y, x_dtype, y_dtype)
    return GatheredExamples(split, who, name, (x[:1], y[:1]), x_dtype, y_dtype, torch.device("cpu"))


@overload
def encode(
    dataset: TextDataset,
    reads: Reads,
    context_length: int | None,
    *,
    vocabulary: Vocabulary | None = None,
    max_length: int | None = None,
) -> dict[SplitName, TensorExamples]: ...
@overload
def encode(
    dataset: Dataset,
    reads: Reads,
    context_length: int | None,
    *,
    vocabulary: Vocabulary | None = None,
    max_length: int | None = None,
) -> Mapping[SplitName, Examples]: ...
def encode(
    dataset: Dataset,
    reads: Reads,
    context_length: int | None,
    *,
    vocabulary: Vocabulary | None = None,
    max_length: int | None = None,
) -> Mapping[SplitName, Examples]:
    """The examples of each split in the form that a model reads.

    Args:
        dataset: words, running text or tensors.
        reads: the form of a text model's inputs.
        context_length: of a model that reads windows.
        vocabulary: of a trained model; by default that of the dataset.
        max_length: of a trained model, by default that of words; for running text the positions of a block, 64 by
            default.

    Raises:
        DataError: a word does not fit, or the text has a character that the vocabulary lacks.
        PluginError: a text model that reads windows has no `context_length`.
    """
    from zoo.data.encoding import check_sizes

    if isinstance(dataset, TensorDataset):
        return encode_tensors(dataset)
    if isinstance(dataset, CorpusDataset):
        from zoo.data.corpus.examples import encode_corpus

        length = (max_length or BLOCK_LENGTH) if reads == "sequences" else context_length
        if length is None:
            raise PluginError(_NO_WINDOW)
        return encode_corpus(dataset, reads, length, vocabulary)
    length = max_length or dataset.max_length if reads == "sequences" else context_length
    if length is not None:
        check_sizes(dataset, reads, length)
    return encode_words(dataset.splits, reads, length, vocabulary or dataset.vocabulary)


def encode_words(
    splits: Mapping[SplitName, Sequence[str]], reads: Reads, length: int | None, vocabulary: Vocabulary
) -> dict[SplitName, TensorExamples]:
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
        raise PluginError(_NO_WINDOW)
    encode_split = encode_sequences if reads == "sequences" else encode_windows
    return {name: encode_split(words, vocabulary, length) for name, words in splits.items()}


def _call(entry: Entry[DatasetSpec], arguments: Mapping[str, Any]) -> Dataset:
    factory = entry.factory()
    try:
        with plugin_call(entry.who, "failed", refused=entry.title), seeded_draws(0):
            dataset = factory(**arguments)
    except DataError as error:  # what a dataset says of its words does not name it
        if type(error) is not DataError:
            raise
        raise DataError(f"{entry.title}: {error}") from error
    if not isinstance(dataset, TextDataset | CorpusDataset | TensorDataset):
        kinds = "a zoo.TextDataset, a zoo.CorpusDataset or a zoo.TensorDataset"
        raise PluginError(f"{entry.who} returned a {type(dataset).__name__}, not {kinds}")
    return made_by(entry.who, dataset)
