"""A classifier of sentences by their words. Axes: B sentences, T tokens, E embedding dimensions, K classes."""

from __future__ import annotations

from torch import Tensor, nn


class BagOfWords(nn.Module):
    """The mean embedding of the words of a sentence, and an output layer."""

    def __init__(self, vocab_size: int, num_classes: int, embedding_dim: int = 16) -> None:
        super().__init__()
        self.words = nn.Embedding(vocab_size, embedding_dim, padding_idx=0)
        self.head = nn.Linear(embedding_dim, num_classes)

    def forward(self, x: Tensor) -> Tensor:
        """Logits (B, K) of padded tokens (B, T)."""
        count = (x != 0).sum(1, keepdim=True).clamp(min=1)
        logits: Tensor = self.head(self.words(x).sum(1) / count)
        return logits
