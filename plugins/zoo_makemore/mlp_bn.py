"""The net of Andrej Karpathy's lecture "Building makemore Part 3: Activations & Gradients, BatchNorm".

The character MLP of part 2 with a better initialization: weights are scaled so that the tanh units are not saturated,
their inputs are batch-normalized, and the output layer starts with small weights, so that all characters are nearly
equally probable. The initial loss is ln V, that of part 2 is 27.

Lecture: https://www.youtube.com/watch?v=P6sfmUTpUmc
He, Zhang, Ren, Sun, "Delving Deep into Rectifiers", ICCV 2015, for the scale; Ioffe, Szegedy, "Batch Normalization",
ICML 2015.

Axes: B examples, T characters of context, E embedding dimensions, H hidden units, V characters of the vocabulary.

Changes from the lecture: batch norm is torch's, which divides by the standard deviation without Bessel's correction.
The momentum of the running statistics is 0.01, not 0.001, so that they are accurate after short runs too.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from zoo_makemore.batch_norm import BatchNorm
from zoo_makemore.parts import check_sizes

_TANH_GAIN = 5 / 3  # compensates for the smaller variance after tanh


class MLPBatchNorm(nn.Module):
    """Embedding table, one hidden layer of tanh units with batch norm, one output layer."""

    def __init__(
        self,
        vocab_size: int = 27,
        context_length: int = 3,
        n_embd: int = 10,
        n_hidden: int = 200,
        momentum: float = 0.01,
        generator: torch.Generator | None = None,
    ) -> None:
        """Initialize the weights from `generator`, in the lecture's order.

        Args:
            vocab_size: characters, the boundary included.
            context_length: characters of context; the lecture's block_size.
            n_embd: embedding dimensions.
            n_hidden: tanh units.
            momentum: weight of a batch's mean and variance in the running ones.
            generator: a CPU generator; by default torch's global one.

        Raises:
            ValueError: a size below 1, or a momentum outside 0 to 1.
        """
        super().__init__()
        check_sizes(vocab_size=vocab_size, context_length=context_length, n_embd=n_embd, n_hidden=n_hidden)
        if not 0 < momentum <= 1:
            raise ValueError(f"momentum must be above 0 and at most 1, got {momentum}")
        self.context_length = context_length
        g, n_in = generator, context_length * n_embd
        self.C = nn.Parameter(torch.randn((vocab_size, n_embd), generator=g))
        self.W1 = nn.Parameter(torch.randn((n_in, n_hidden), generator=g) * _TANH_GAIN / n_in**0.5)
        self.bn = BatchNorm(n_hidden, momentum=momentum)
        self.W2 = nn.Parameter(torch.randn((n_hidden, vocab_size), generator=g) * 0.01)
        self.b2 = nn.Parameter(torch.zeros(vocab_size))

    def forward(self, x: Tensor) -> Tensor:
        """Logits of the next character, shape (B, V), for contexts `x` of shape (B, T)."""
        emb = self.C[x].flatten(1)  # (B, T * E)
        h = torch.tanh(self.bn(emb @ self.W1))  # (B, H); the bias is that of batch norm
        return h @ self.W2 + self.b2
