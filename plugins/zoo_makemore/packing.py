"""A batch of words of different lengths, without its padding.

In a batch of names, padded to the longest there is, more than half of the places are padding. What is done to each
place by itself needs none of it: here the places that count are laid side by side, and put back where places must see
each other. Known from BERT as unpadding: Zeng and others, "Boosting Distributed Training Performance of the Unpadded
BERT Model" (2022), https://arxiv.org/abs/2208.08124

Axes: B words, T positions, L positions up to the last that counts in any of the words, N positions that count, over all
words.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F


class Packing:
    """Where the characters of a batch stand: up to each word's last that is not 0, and at least at the first place.

    Only on the CPU, where numbers that are not computed are time that is saved: a GPU would have to be waited for to
    know how many places there are, and torch's compiler to guess it. Elsewhere all places count.

    Attributes:
        x: the words without the places that count in none of them, shape (B, L).
        positions: of each place that counts in its word, shape (N,).
        lengths: how many places count in each word, shape (B,).
    """

    def __init__(self, x: Tensor) -> None:
        """Look for the places that count in words `x`, shape (B, T)."""
        B, self._total = x.shape
        self._places: Tensor | None = None
        self.x = x
        if x.device.type == "cpu" and not torch.compiler.is_compiling():
            numbers = torch.arange(1, self._total + 1)  # (T)
            self.lengths = torch.where(x != 0, numbers, 1).amax(1)
            longest = int(self.lengths.max())
            self.x = x[:, :longest]
            self._places = (numbers[:longest] <= self.lengths[:, None]).flatten().nonzero().flatten()  # (N)
            self.positions = self._places % longest
        else:
            self.lengths = torch.full((B,), self._total, device=x.device)
            self.positions = torch.arange(self._total, device=x.device).repeat(B)

    def pack(self, x: Tensor) -> Tensor:
        """(B, L, ...) to (N, ...)."""
        flat = x.flatten(0, 1)
        return flat if self._places is None else flat.index_select(0, self._places)

    def pad(self, packed: Tensor) -> Tensor:
        """(N, ...) to (B, L, ...), with 0 in places of padding."""
        if self._places is not None:
            padded = packed.new_zeros(self.x.numel(), *packed.shape[1:])
            packed = padded.index_copy(0, self._places, packed)
        return packed.view(*self.x.shape, *packed.shape[1:])

    def logits(self, packed: Tensor) -> Tensor:
        """(N, V) to (B, T, V), for all places of the words that were given."""
        return F.pad(self.pad(packed), (0, 0, 0, self._total - self.x.shape[1]))
