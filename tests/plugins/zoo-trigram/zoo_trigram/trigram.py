"""The trigram model: a table with the probability of a character given the two before it.

Axes: B examples, V characters of the vocabulary.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn


class Trigram(nn.Module):
    """A table of logits `W[first, second]` for the character that follows."""

    context_length = 2

    def __init__(
        self, vocab_size: int = 27, init_scale: float = 0.01, generator: torch.Generator | None = None
    ) -> None:
        """Draw the table.

        Args:
            vocab_size: characters, `.` included.
            init_scale: standard deviation of the logits at the start; at 0 all characters are equally likely.
            generator: a CPU generator; without one, torch's global generator is used.

        Raises:
            ValueError: `init_scale` is negative or not finite.
        """
        super().__init__()
        if not 0 <= init_scale < math.inf:
            raise ValueError(f"init_scale must be 0 or above, got {init_scale}")
        shape = (vocab_size, vocab_size, vocab_size)
        self.W = nn.Parameter(init_scale * torch.randn(shape, generator=generator))

    def forward(self, x: Tensor) -> Tensor:
        """Logits of the next character, shape (B, V), for pairs of characters `x` of shape (B, 2)."""
        first, second = x.unbind(dim=1)
        return self.W[first, second]
