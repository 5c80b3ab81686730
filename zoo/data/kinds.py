"""The kinds of dataset, and what the rest of zoo asks of any of them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TypeAlias

from zoo.data.corpus.dataset import CorpusDataset
from zoo.data.datasets import TextDataset
from zoo.data.examples import Examples, SplitName, counts
from zoo.data.tensors import Targets, TensorDataset
from zoo.data.vocabulary import Vocabulary

Dataset: TypeAlias = TextDataset | CorpusDataset | TensorDataset

_NAMES = {TextDataset: "text", CorpusDataset: "corpus", TensorDataset: "tensors"}


def kind_of_data(dataset: Dataset) -> str:
    """The kind that a config records: `text` (words), `corpus` (running text) or `tensors`."""
    return next(name for kind, name in _NAMES.items() if isinstance(dataset, kind))


def is_text(dataset: Dataset) -> bool:
    """Whether its targets are characters, or a tokenizer's tokens."""
    return not isinstance(dataset, TensorDataset)


def vocabulary_of(dataset: Dataset) -> Vocabulary | None:
    """The characters of text; None for tensors, and for text that a tokenizer encodes."""
    return None if isinstance(dataset, TensorDataset) else dataset.vocabulary


def targets_of(dataset: Dataset) -> Targets:
    """What a model is to predict: `classes`, `numbers`, or the `inputs` themselves where there are no targets."""
    return dataset.targets if isinstance(dataset, TensorDataset) else "classes"


def counts_of(dataset: Dataset, examples: Mapping[SplitName, Examples]) -> dict[str, int]:
    """The number of examples of each split; of running text its targets: a block may start at nearly each of them."""
    return dataset.counts if isinstance(dataset, CorpusDataset) else counts(examples)


def evaluated_of(dataset: Dataset) -> dict[str, dict[str, int]]:
    """`{"evaluated": ...}` for a result: the targets of each split that are evaluated, where they are limited."""
    limited = dataset.evaluated if isinstance(dataset, CorpusDataset) else None
    return {} if limited is None else {"evaluated": limited}
