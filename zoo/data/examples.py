"""What a split looks like to training and evaluation: examples that are gathered by index, and read in order."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, Protocol, TypeAlias

if TYPE_CHECKING:
    import torch
    from torch import Tensor

SplitName: TypeAlias = Literal["train", "val", "test"]
SPLITS: tuple[SplitName, ...] = ("train", "val", "test")


class Examples(Protocol):
    """The inputs and targets of a split, wherever they are kept.

    A batch is a function of the indices of its examples alone, so that nothing about the data has to be saved for a
    run to be resumed exactly.
    """

    @property
    def device(self) -> torch.device:
        """Where batches are made."""

    @property
    def input_size(self) -> int:
        """How many numbers the input of one example has."""

    @property
    def target_size(self) -> int:
        """How many numbers the target of one example has."""

    def __len__(self) -> int:
        """How many examples batches are sampled from."""

    def to(self, device: Any) -> Examples:
        """The same examples, with batches made on `device`."""

    def gather(self, indices: Tensor) -> tuple[Tensor, Tensor]:
        """The examples at `indices`, of any shape and on the CPU or the device; it replaces N in the shapes of x, y."""

    def in_order(self, size: int) -> Iterator[tuple[Tensor, Tensor]]:
        """What the split is evaluated on, in batches of at most `size` examples: each target once."""


@dataclass(frozen=True)
class TensorExamples:
    """Examples in memory.

    Text is stored in the smallest integer type that holds the vocabulary, and converted batch by batch.

    Attributes:
        x: inputs, shape (N, ...).
        y: targets, shape (N,) or (N, T).
        x_dtype: the type to which batches of inputs are converted.
    """

    x: Tensor
    y: Tensor
    x_dtype: Any  # torch.dtype

    @property
    def device(self) -> torch.device:
        return self.y.device

    @property
    def input_size(self) -> int:
        return self.x[0].numel()

    @property
    def target_size(self) -> int:
        return self.y[0].numel()

    def __len__(self) -> int:
        return len(self.y)

    def to(self, device: Any) -> TensorExamples:
        return TensorExamples(self.x.to(device), self.y.to(device), self.x_dtype)

    def gather(self, indices: Tensor) -> tuple[Tensor, Tensor]:
        from zoo import cuda  # here, because it imports torch

        flat = (cuda.copied(indices, self.device) if indices.device.type == "cpu" else indices).flatten()
        x = self.x.index_select(0, flat).to(self.x_dtype).view(*indices.shape, *self.x.shape[1:])
        y = self.y.index_select(0, flat).long().view(*indices.shape, *self.y.shape[1:])
        return x, y

    def in_order(self, size: int) -> Iterator[tuple[Tensor, Tensor]]:
        for start in range(0, len(self), size):
            yield self.x[start : start + size].to(self.x_dtype), self.y[start : start + size].long()


def counts(examples: Mapping[SplitName, Examples]) -> dict[str, int]:
    """The number of examples in each split."""
    return {name: len(split) for name, split in examples.items()}
