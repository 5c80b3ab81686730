"""The kinds of dataset."""

from __future__ import annotations

from typing import TypeAlias

from zoo.data.datasets import TextDataset
from zoo.data.tensors import TensorDataset

Dataset: TypeAlias = TextDataset | TensorDataset
