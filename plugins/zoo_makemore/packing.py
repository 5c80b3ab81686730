"""Removing and restoring the padding of a batch of words.

More than half of the positions in a batch of padded names are padding. Position-wise layers do not need it: they run on
the packed positions of all words, and the padding is restored where positions interact. This is the unpadding of Zeng
and others, "Boosting Distributed Training Performance of the Unpadded BERT Model" (2022),
https://arxiv.org/abs/2208.08124

Axes: B words, T positions, L positions of the longest word, N positions of all words without padding.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F


class Packing:
    """The positions of a batch without padding: each word up to its last token that is not 0, at least one position.

    Padding is removed only on the CPU. Elsewhere N would have to be waited for, and torch's compiler does not know it:
    all T positions are kept there, and L is T. Nothing is copied where there is no padding, as in blocks of running
    text.

    Attributes:
        x: the words without positions that are padding in all of them, shape (B, L).
        lengths: the number of positions of each word, shape (B,); None where padding is not looked for.
    """

    def __init__(self, x: Tensor) -> None:
        """Find the padding of words `x`, shape (B, T)."""
        self._total = x.shape[1]
        self._indices: Tensor | None = None  # of the packed positions in the flattened batch, shape (N,)
        self.lengths: Tensor | None = None
        self.x = x
        if x.device.type == "cpu" and not torch.compiler.is_compiling():
            counts = torch.arange(1, self._total + 1)  # (T)
            self.lengths = torch.where(x != 0, counts, 1).amax(1)
            longest = int(self.lengths.max())
            self.x = x[:, :longest]
            if int(self.lengths.min()) < longest:
                self._indices = (counts[:longest] <= self.lengths[:, None]).flatten().nonzero().flatten()  # (N)

    @property
    def whole(self) -> bool:
        """Whether all positions are kept: N is B * L."""
        return self._indices is None

    def pack(self, x: Tensor) -> Tensor:
        """(B, L, ...) to (N, ...)."""
        flat = x.flatten(0, 1)
        return flat if self._indices is None else flat.index_select(0, self._indices)

    def add_positions(self, packed: Tensor, table: Tensor) -> Tensor:
        """Add to each packed position (N, E) the row of its position in its word, of a table of at least (L, E).

        Where padding is not looked for, the gradient of the table is a sum over words. That of looked-up rows is a
        scatter-add, which adds in no fixed order on a GPU.
        """
        length = self.x.shape[1]
        if self.lengths is None:
            return (self.pad(packed) + table[:length]).flatten(0, 1)
        indices = torch.arange(len(packed)) if self._indices is None else self._indices
        return packed + table.index_select(0, indices % length)

    def pad(self, packed: Tensor) -> Tensor:
        """(N, ...) to (B, L, ...), with 0 for padding."""
        if self._indices is not None:
            padded = packed.new_zeros(self.x.numel(), *packed.shape[1:])
            packed = padded.index_copy(0, self._indices, packed)
        return packed.view(*self.x.shape, *packed.shape[1:])

    def logits(self, packed: Tensor) -> Tensor:
        """(N, V) to (B, T, V), with 0 for padding."""
        padded, missing = self.pad(packed), self._total - self.x.shape[1]
        return F.pad(padded, (0, 0, 0, missing)) if missing else padded
