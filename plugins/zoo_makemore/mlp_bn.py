"""The net of Andrej Karpathy's lecture "Building makemore Part 3: Activations & Gradients, BatchNorm".

The character MLP of part 2, of which nothing is changed but how it begins: weights are scaled so that the tanh units
are neither flat nor idle, their inputs are normalised over the batch, and the last layer begins so small that all
characters are as likely. It starts at a loss of ln V, where part 2's starts at 27.

Lecture: https://www.youtube.com/watch?v=P6sfmUTpUmc
He, Zhang, Ren, Sun, "Delving Deep into Rectifiers", ICCV 2015, for the scale; Ioffe, Szegedy, "Batch Normalization",
ICML 2015.

Axes: B examples, T characters of context, E embedding dimensions, H hidden units, V characters of the vocabulary.

Changes from the lecture: batch norm is torch's, which divides by the deviation without Bessel's correction. Running
means go by 0.01 of a batch and not by 0.001, so that short runs have good ones too.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from zoo_makemore.batch_norm import BatchNorm
from zoo_makemore.parts import check_sizes

_TANH_GAIN = 5 / 3  # tanh makes what it is given smaller; this makes up for it


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
        """Draw the weights from `generator`, in the lecture's order.

        Args:
            vocab_size: characters, `.` included.
            context_length: how many characters are seen; the lecture calls it block_size.
            n_embd: numbers for each character.
            n_hidden: tanh units.
            momentum: how much of a batch's mean and variance goes into the running ones.
            generator: a CPU generator; without one, torch's global generator is used.

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
        h = torch.tanh(self.bn(emb @ self.W1))  # (B, H); batch norm has the bias
        return h @ self.W2 + self.b2
