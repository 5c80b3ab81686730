"""The model and the optimizer."""

import torch
from torch import Tensor, nn


class Bigram(nn.Module):
    """A softmax table over the character before."""

    context_length = 1

    def __init__(self, vocab_size: int) -> None:
        super().__init__()
        self.logits = nn.Embedding(vocab_size, vocab_size)

    def forward(self, x: Tensor) -> Tensor:
        logits: Tensor = self.logits(x[:, 0])
        return logits


class SGD(torch.optim.SGD):
    """torch's own, under a name that is taken."""
