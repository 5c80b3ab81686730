"""What a split looks like to training and evaluation: examples that are gathered by index, and read in order."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Protocol

from zoo.data.splits import SPLITS as SPLITS
from zoo.data.splits import Split, checked
from zoo.data.splits import SplitName as SplitName
from zoo.plugin.calling import plugin_errors

if TYPE_CHECKING:
    import torch
    from torch import Tensor


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


@dataclass(frozen=True, repr=False)
class TensorExamples:
    """Examples in memory.

    Text is stored in the smallest integer type that holds the vocabulary, and converted batch by batch.

    Attributes:
        x: inputs, shape (N, ...).
        y: targets, shape (N, ...); x itself where there are none.
        x_dtype: the type to which batches of inputs are converted.
        y_dtype: the type to which batches of targets are converted; None for int64.
    """

    x: Tensor
    y: Tensor
    x_dtype: Any  # torch.dtype
    y_dtype: Any = None

    def __repr__(self) -> str:
        return f"<TensorExamples x {tuple(self.x.shape)}, y {tuple(self.y.shape)} on {self.device}>"

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
        x = self.x.to(device)
        return TensorExamples(x, x if self.y is self.x else self.y.to(device), self.x_dtype, self.y_dtype)

    def gather(self, indices: Tensor) -> tuple[Tensor, Tensor]:
        from zoo import cuda  # here, because it imports torch

        flat = (cuda.copied(indices, self.device) if indices.device.type == "cpu" else indices).flatten()
        x = self.x.index_select(0, flat).to(self.x_dtype).view(*indices.shape, *self.x.shape[1:])
        y = self._converted(self.y.index_select(0, flat)).view(*indices.shape, *self.y.shape[1:])
        return x, y

    def in_order(self, size: int) -> Iterator[tuple[Tensor, Tensor]]:
        for start in range(0, len(self), size):
            part = slice(start, start + size)
            yield self._copied(self.x[part], self.x_dtype), self._copied(self.y[part], self.y_dtype)

    def _copied(self, part: Tensor, dtype: Any) -> Tensor:
        """A part that a model may change in place, laid out row by row, as the batches of training are."""
        import torch

        return part.to(dtype or torch.int64, copy=True, memory_format=torch.contiguous_format)

    def _converted(self, y: Tensor) -> Tensor:
        import torch

        return y.to(self.y_dtype or torch.int64)


@dataclass(frozen=True, repr=False)
class GatheredExamples:
    """Examples of a split outside memory, gathered for each block of steps.

    Attributes:
        split: has `gather`.
        who: whose code that is, for messages.
        name: of the split.
        like: one example, with batch dimension: x of shape (1, ...), and y.
        x_dtype, y_dtype: as of `TensorExamples`.
        device: where batches are made.
    """

    split: Split
    who: str
    name: SplitName
    like: tuple[Tensor, Tensor]
    x_dtype: Any
    y_dtype: Any
    device: torch.device

    def __repr__(self) -> str:
        x, y = ((len(self), *part.shape[1:]) for part in self.like)
        return f"<GatheredExamples of {self.name}: x {x}, y {y} on {self.device}>"

    @property
    def input_size(self) -> int:
        return self.like[0].numel()

    @property
    def target_size(self) -> int:
        return self.like[1].numel()

    def __len__(self) -> int:
        return len(self.split)

    def to(self, device: Any) -> GatheredExamples:
        import torch

        return replace(self, device=torch.device(device))

    def gather(self, indices: Tensor) -> tuple[Tensor, Tensor]:
        flat = indices.flatten().cpu()
        with plugin_errors(self.who, f"cannot gather examples of the {self.name} split"):
            x, y = checked(self.name, self.split, flat)
        x = self._ready(x, self.x_dtype, indices.shape)
        return x, x if y is None else self._ready(y, self.y_dtype, indices.shape)

    def in_order(self, size: int) -> Iterator[tuple[Tensor, Tensor]]:
        import torch

        for start in range(0, len(self), size):
            yield self.gather(torch.arange(start, min(start + size, len(self))))

    def _ready(self, part: Tensor, dtype: Any, shape: torch.Size) -> Tensor:
        from zoo import cuda  # here, because it imports torch

        part = part.long() if dtype is None else part.to(dtype)
        return cuda.copied(part.contiguous(), self.device).view(*shape, *part.shape[1:])


def counts(examples: Mapping[SplitName, Examples]) -> dict[str, int]:
    """The number of examples in each split."""
    return {name: len(split) for name, split in examples.items()}
