"""Data that Python code gives: a list of words, or a dataset that it has made or loaded."""

from __future__ import annotations

import copy
import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeAlias

from zoo.data.corpus.dataset import CorpusDataset
from zoo.data.datasets import LECTURE_SPLIT, TextDataset
from zoo.data.kinds import Dataset, kind_of_data
from zoo.data.summary.other_kinds import doubts
from zoo.data.tensors import TensorDataset
from zoo.errors import DataError, UsageError
from zoo.numbers import show_value
from zoo.plugin.registry import Entry
from zoo.plugin.specs import DatasetSpec

PYTHON = "python"  # what a config records as the source of such data
ACCEPTED = "a dataset's name, a file, a list of words, or a dataset such as a zoo.TextDataset"
_NAMES = {"text": "words", "corpus": "text", "tensors": "tensors"}  # what data is called that has no name


@dataclass(frozen=True, eq=False)
class Given:
    """Data that is nowhere but in the memory of the process that gave it.

    Attributes:
        dataset: the data.
        arranged: it is split and shuffled as it is to be. A list of words is not: settings do that, as for a file.
    """

    dataset: Dataset
    arranged: bool = True

    @property
    def name(self) -> str:
        """What a config calls it."""
        return _NAMES[kind_of_data(self.dataset)]


Source: TypeAlias = Entry[DatasetSpec] | Path | Given


def is_name(given: object) -> bool:
    """Whether what was given as a dataset is the name of one, or a path."""
    return isinstance(given, str | os.PathLike)


def is_data(given: object) -> bool:
    """Whether it is a dataset that was made already."""
    return isinstance(given, TextDataset | CorpusDataset | TensorDataset)


def data_of(dataset: Dataset) -> Given:
    """A dataset as it is now."""
    if isinstance(dataset, TensorDataset):  # whose tensors may have been changed since it took their digest
        dataset = copy.copy(dataset)
        vars(dataset).pop("num_classes", None)
        dataset.sha256 = dataset.values_sha256()
    return Given(dataset)


def words_of(given: object) -> Given:
    """The data of a list of words, checked as the words of a file are.

    Raises:
        DataError: they are too few, or one is invalid, or many have control characters.
        UsageError: it is no list of texts.
    """
    words = _texts(given)
    try:
        dataset = TextDataset(words)
        dataset.notices = tuple(doubts(dataset.splits["train"].all, dataset.vocabulary))
    except DataError as error:
        raise DataError(f"the list of words: {error}") from error
    return Given(dataset, arranged=False)


def _texts(given: Any) -> list[str]:
    """A list of the texts that were given.

    Raises:
        UsageError: they are something else.
    """
    told = show_value(given) if isinstance(given, bool | int | float | bytes | None) else f"a {_class_of(given)}"
    if isinstance(given, set | frozenset):
        raise UsageError("a set of words has another order in every process: give sorted(words)")
    if isinstance(given, Iterator):
        raise UsageError(f"dataset cannot be {told}, which can be read only once: give a list, as list(words) makes it")
    if isinstance(given, type) or callable(given):
        raise UsageError(f"dataset must be {ACCEPTED}, got {told}: call it, and give what it returns")
    values = given
    if getattr(given, "ndim", 1) == 1 and callable(getattr(given, "tolist", None)):  # an array, or a column of a table
        values = given.tolist()
    if not isinstance(values, Sequence) or isinstance(values, bytes | bytearray | memoryview):
        raise UsageError(f"dataset must be {ACCEPTED}, got {told}{_remedy(given)}")
    for index, word in enumerate(values):
        if not isinstance(word, str):
            raise UsageError(
                f"a list of words has texts, and item {index:,} of this {type(given).__name__} is "
                f"{show_value(word)}{_remedy(given)}"
            )
    return list(values)


def _class_of(given: object) -> str:
    kind = given if isinstance(given, type) else type(given)
    module = kind.__module__.partition(".")[0]
    return kind.__name__ if module in ("builtins", "zoo") else f"{module} {kind.__name__}"


def _remedy(given: object) -> str:
    """What to do about the kinds of object that people have at hand."""
    if isinstance(given, Mapping):
        return ": give list(words), or its splits as zoo.TensorDataset(train, val, test)"
    if type(given).__name__ == "DataFrame":
        return ": give a column of words, as frame['name'].tolist(), or arrays as zoo.TensorDataset(train, val, test)"
    if hasattr(given, "dtype") or (isinstance(given, Sequence) and not isinstance(given, bytes | bytearray)):
        return ": numbers are given as zoo.TensorDataset(train, val, test), each split a pair (X, Y)"
    return ""


def arrangement_of(dataset: Dataset) -> dict[str, Any]:
    """How a dataset is split, shuffled and evaluated, as settings, as far as that is not the default."""
    if isinstance(dataset, TensorDataset):
        return {}
    values: dict[str, Any] = {"split": dataset.split}
    if isinstance(dataset, TextDataset):
        values["shuffle_seed"] = dataset.shuffle_seed
    else:
        values["evaluate"] = dataset.evaluate
    return {name: value for name, value in values.items() if value is not None and not _is_default(name, value)}


def _is_default(name: str, value: Any) -> bool:
    return name == "split" and tuple(value) == LECTURE_SPLIT


def state_of(dataset: Dataset) -> object:
    """What a caller can change of a dataset: equal states are the same data. That of tensors takes a pass over them."""
    if isinstance(dataset, TensorDataset):
        return dataset.values_sha256(), dataset.targets, dataset.provides, dataset.classes, dataset.augment
    return dataset.sha256, arrangement_of(dataset)
