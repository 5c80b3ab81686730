"""makemore's causal bag of words: to each position, the mean of all positions up to it is added.

This is causal attention with equal weights. https://github.com/karpathy/makemore

Axes: B words, T positions, E embedding dimensions, V characters.

Changes from makemore: the mean is a cumulative sum divided by a count, not a product with a T x T matrix. The output
layer is initialized with small weights, so that all characters are nearly equally probable; makemore uses torch's
initialization. Dropout is optional.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from zoo_makemore.parts import check_dropout, check_sizes, embedding, linear


def causal_average(x: Tensor) -> Tensor:
    """The mean of each position and all before it: (B, T, E) to (B, T, E)."""
    counts = torch.arange(1, x.shape[1] + 1, device=x.device, dtype=x.dtype)  # (T,)
    return x.cumsum(1) / counts[:, None]


class BoW(nn.Module):
    """Embeddings, their causal mean, and a layer of tanh units, the latter two with residual connections."""

    def __init__(
        self,
        vocab_size: int = 27,
        max_length: int = 16,
        n_embd: int = 64,
        n_embd2: int = 64,
        dropout: float = 0.0,
        generator: torch.Generator | None = None,
    ) -> None:
        """Initialize the weights from `generator`.

        Args:
            vocab_size: characters, the boundary included.
            max_length: positions of a word, its end included; makemore's block_size.
            n_embd: embedding dimensions.
            n_embd2: tanh units.
            dropout: probability of dropping embeddings and tanh units in training.
            generator: a CPU generator; by default torch's global one.

        Raises:
            ValueError: a size below 1, or an invalid dropout.
        """
        super().__init__()
        check_sizes(vocab_size=vocab_size, max_length=max_length, n_embd=n_embd, n_embd2=n_embd2)
        check_dropout(dropout)
        self.wte = embedding(vocab_size, n_embd, generator)
        self.wpe = nn.Parameter(torch.randn(1, max_length, n_embd, generator=generator))
        self.c_fc = linear(n_embd, n_embd2, generator)
        self.c_proj = linear(n_embd2, n_embd, generator)
        self.lm_head = linear(n_embd, vocab_size, generator, gain=0.1)
        self.dropout = nn.Dropout(dropout)

    def forward(self, x: Tensor) -> Tensor:
        """Logits of each next character, shape (B, T, V), for words `x` of shape (B, T)."""
        h = self.dropout(self.wte(x) + self.wpe[:, : x.shape[1]])  # (B, T, E)
        h = h + causal_average(h)
        h = h + self.c_proj(self.dropout(torch.tanh(self.c_fc(h))))
        logits: Tensor = self.lm_head(h)
        return logits
