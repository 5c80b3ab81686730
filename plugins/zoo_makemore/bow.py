"""makemore's causal bag of words: each position adds the average of what stands before it, and itself.

The simplest way to let positions see each other: attention that attends to all of them alike.
https://github.com/karpathy/makemore

Axes: B words, T positions, L positions of the longest word, E numbers of an embedding, H tanh units, V characters.

Changes from makemore: the average is a running sum over a count, and not a product with a T x T matrix. The output
layer begins small, so that all characters are as likely; makemore leaves it to torch. There can be dropout.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from zoo_makemore.parts import check_dropout, check_sizes, embedding, linear


def causal_average(x: Tensor) -> Tensor:
    """The mean of each position and all before it: shape (B, T, E), as `x` has."""
    counts = torch.arange(1, x.shape[1] + 1, device=x.device, dtype=x.dtype)  # (T,)
    return x.cumsum(1) / counts[:, None]


class BoW(nn.Module):
    """Embeddings and their causal average, a layer of tanh units; both are added to their input."""

    def __init__(
        self,
        vocab_size: int = 27,
        max_length: int = 16,
        n_embd: int = 64,
        n_embd2: int = 64,
        dropout: float = 0.0,
        generator: torch.Generator | None = None,
    ) -> None:
        """Draw the weights from `generator`.

        Args:
            vocab_size: characters, `.` included.
            max_length: positions of a word, its end included; makemore's block_size.
            n_embd: numbers for each character.
            n_embd2: tanh units.
            dropout: the share of embeddings and of tanh units that is left out in training.
            generator: a CPU generator; without one, torch's global generator is used.

        Raises:
            ValueError: a size below 1, or a dropout that is no share.
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
