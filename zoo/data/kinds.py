"""The kinds of dataset."""

from __future__ import annotations

from typing import TypeAlias

from zoo.data.datasets import TextDataset
from zoo.data.tensors import Targets, TensorDataset

Dataset: TypeAlias = TextDataset | TensorDataset


def is_text(dataset: Dataset) -> bool:
    """Whether its targets are characters."""
    return not isinstance(dataset, TensorDataset)


def targets_of(dataset: Dataset) -> Targets:
    """What a model is to predict: `classes`, `numbers`, or the `inputs` themselves where there are no targets."""
    return dataset.targets if isinstance(dataset, TensorDataset) else "classes"
