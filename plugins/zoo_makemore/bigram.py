"""The bigram net of Andrej Karpathy's lecture "The spelled-out intro to language modeling: building makemore".

A table has a row of logits for each character; the output is the row of the last character. Training converges to the
frequencies of pairs of characters.

Lecture: https://www.youtube.com/watch?v=PaCmpygFfXo

Axes: B examples, V characters of the vocabulary.

Changes from the lecture: the row is looked up, where the lecture multiplies the table by a one-hot vector. The logits
are initialized to 0, as in makemore.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from zoo_makemore.parts import check_sizes


class Bigram(nn.Module):
    """A table of logits."""

    context_length = 1

    def __init__(self, vocab_size: int = 27) -> None:
        """Initialize all logits to 0.

        Raises:
            ValueError: a size below 1.
        """
        super().__init__()
        check_sizes(vocab_size=vocab_size)
        self.logits = nn.Parameter(torch.zeros(vocab_size, vocab_size))  # (V, V)

    def forward(self, x: Tensor) -> Tensor:
        """Logits of the next character, shape (B, V), for contexts `x` of shape (B, 1)."""
        return self.logits[x[:, -1]]
