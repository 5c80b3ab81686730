"""The character MLP of Andrej Karpathy's lecture "Building makemore Part 2: MLP".

The characters of the context are embedded, and a hidden layer of tanh units and an output layer predict the next
character, after Bengio, Ducharme, Vincent and Jauvin, "A Neural Probabilistic Language Model", JMLR 3 (2003).

Lecture: https://www.youtube.com/watch?v=TCH_1BHY58I

Axes: B examples, T characters of context, E embedding dimensions, H hidden units, V characters of the vocabulary.

Changes from the lecture: the net is an `nn.Module`, and its sizes are arguments. Names, order of creation and
arithmetic are the lecture's, so the same seed gives the same weights and losses.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn


class MLPChar(nn.Module):
    """Embedding table, one hidden layer of tanh units, one output layer; initialized from a normal distribution."""

    def __init__(
        self,
        vocab_size: int = 27,
        context_length: int = 3,
        embedding_dim: int = 10,
        hidden_size: int = 200,
        generator: torch.Generator | None = None,
        scaled_init: bool = False,
    ) -> None:
        """Initialize the weights from `generator`, in the lecture's order.

        Args:
            vocab_size: characters, the boundary included.
            context_length: characters of context; the lecture's block_size.
            embedding_dim: embedding dimensions.
            hidden_size: tanh units.
            generator: a CPU generator; by default torch's global one.
            scaled_init: Kaiming-scaled initialization as in the lecture's part 3,
                https://www.youtube.com/watch?v=P6sfmUTpUmc, with which tanh units are not saturated and all characters
                are nearly equally probable.

        Raises:
            ValueError: a size below 1.
        """
        super().__init__()
        for name, size in [
            ("vocab_size", vocab_size),
            ("context_length", context_length),
            ("embedding_dim", embedding_dim),
            ("hidden_size", hidden_size),
        ]:
            if size < 1:
                raise ValueError(f"{name} must be at least 1, got {size}")
        self.context_length = context_length
        g = generator
        self.C = nn.Parameter(torch.randn((vocab_size, embedding_dim), generator=g))
        self.W1 = nn.Parameter(torch.randn((context_length * embedding_dim, hidden_size), generator=g))
        self.b1 = nn.Parameter(torch.randn(hidden_size, generator=g))
        self.W2 = nn.Parameter(torch.randn((hidden_size, vocab_size), generator=g))
        self.b2 = nn.Parameter(torch.randn(vocab_size, generator=g))
        if scaled_init:
            self._scale()

    @torch.no_grad()
    def _scale(self) -> None:
        self.W1.mul_((5 / 3) / self.W1.shape[0] ** 0.5)  # Kaiming's standard deviation, with the gain of tanh
        self.b1.mul_(0.01)
        self.W2.mul_(0.01)
        self.b2.zero_()

    def forward(self, x: Tensor) -> Tensor:
        """Logits of the next character, shape (B, V), for contexts `x` of shape (B, T)."""
        C, W1, b1, W2, b2 = self._weights()
        emb = C[x]  # (B, T, E)
        h = torch.tanh(emb.view(-1, W1.shape[0]) @ W1 + b1)  # (B, H)
        logits = h @ W2 + b2  # (B, V)
        return logits

    def _weights(self) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor]:
        """All parameters. Looking up each as an attribute would take a twentieth of a training step."""
        own: dict[str, Any] = self._parameters
        try:
            return own["C"], own["W1"], own["b1"], own["W2"], own["b2"]
        except KeyError:  # torch.nn.utils.parametrize or prune has replaced one
            return self.C, self.W1, self.b1, self.W2, self.b2
