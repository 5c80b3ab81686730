"""The net of Andrej Karpathy's lecture "Building makemore Part 5: Building a WaveNet".

The characters of the context are not merged in one layer, but in a binary tree: pairs of characters, pairs of pairs,
until one vector is left. It is the tree of dilated causal convolutions of van den Oord and others, "WaveNet: A
Generative Model for Raw Audio" (2016), for one position.

Lecture: https://www.youtube.com/watch?v=t3YJ5hKiMQ0

Axes: B examples, T characters of context, E embedding dimensions, H hidden units, V characters of the vocabulary.

Changes from the lecture: the number of layers depends on the context, with 3 for 8 characters as in the lecture. Batch
norm is torch's, and the momentum of its running statistics is 0.01, not 0.1, which is more stable. Dropout is optional.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from zoo_makemore.batch_norm import BatchNorm
from zoo_makemore.parts import check_dropout, check_sizes, embedding, linear


class Merge(nn.Module):
    """Merge pairs of neighbours into one vector each: linear layer, batch norm, tanh."""

    def __init__(self, n_in: int, n_hidden: int, momentum: float, generator: torch.Generator | None) -> None:
        super().__init__()
        self.linear = linear(2 * n_in, n_hidden, generator, bias=False)
        self.bn = BatchNorm(n_hidden, momentum=momentum)

    def forward(self, x: Tensor) -> Tensor:
        """(B, T, n_in) to (B, T / 2, H)."""
        pairs = x.reshape(len(x), x.shape[1] // 2, -1)
        return torch.tanh(self.bn(self.linear(pairs)))


class WaveNet(nn.Module):
    """Embeddings, layers that merge pairs until one vector is left, and an output layer."""

    def __init__(
        self,
        vocab_size: int = 27,
        context_length: int = 8,
        n_embd: int = 24,
        n_hidden: int = 128,
        dropout: float = 0.0,
        momentum: float = 0.01,
        generator: torch.Generator | None = None,
    ) -> None:
        """Initialize the weights from `generator`.

        Args:
            vocab_size: characters, the boundary included.
            context_length: characters of context, a power of 2.
            n_embd: embedding dimensions.
            n_hidden: tanh units of a layer.
            dropout: probability of dropping elements of the last vector in training.
            momentum: weight of a batch's mean and variance in the running ones.
            generator: a CPU generator; by default torch's global one.

        Raises:
            ValueError: a size below 1, a context length that is not a power of 2, or a value out of range.
        """
        super().__init__()
        check_sizes(vocab_size=vocab_size, context_length=context_length, n_embd=n_embd, n_hidden=n_hidden)
        check_dropout(dropout)
        if context_length < 2 or context_length & (context_length - 1):
            raise ValueError(f"context_length must be a power of 2, from 2, got {context_length}")
        if not 0 < momentum <= 1:
            raise ValueError(f"momentum must be above 0 and at most 1, got {momentum}")
        self.context_length = context_length
        self.wte = embedding(vocab_size, n_embd, generator)
        sizes = [n_embd] + [n_hidden] * (context_length.bit_length() - 2)
        self.layers = nn.Sequential(*(Merge(size, n_hidden, momentum, generator) for size in sizes))
        self.dropout = nn.Dropout(dropout)
        self.lm_head = linear(n_hidden, vocab_size, generator, gain=0.1)

    def forward(self, x: Tensor) -> Tensor:
        """Logits of the next character, shape (B, V), for contexts `x` of shape (B, T)."""
        h = self.layers(self.wte(x)).squeeze(1)  # (B, H)
        logits: Tensor = self.lm_head(self.dropout(h))
        return logits
