"""A small recurrent net that reads a word from its start and predicts each next character.

Axes: B words, T positions, E embedding dimensions, H hidden units, V characters of the vocabulary.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn


class TinyGRU(nn.Module):
    """Embeddings of character and position, one GRU layer, one output layer."""

    def __init__(
        self,
        vocab_size: int,
        max_length: int,
        embedding_dim: int = 16,
        hidden_size: int = 32,
        dropout: float = 0.1,
    ) -> None:
        """Make the layers with torch's own initialisation.

        Args:
            vocab_size: characters, `.` included.
            max_length: positions of the longest word, its end included.
            embedding_dim: numbers for each character, and for each position.
            hidden_size: units of the GRU.
            dropout: the share of hidden units left out at random in training.
        """
        super().__init__()
        self.characters = nn.Embedding(vocab_size, embedding_dim)
        self.positions = nn.Embedding(max_length, embedding_dim)
        self.gru = nn.GRU(embedding_dim, hidden_size, batch_first=True)
        self.dropout = nn.Dropout(dropout)
        self.head = nn.Linear(hidden_size, vocab_size)

    def forward(self, x: Tensor) -> Tensor:
        """Logits of the character after each position, shape (B, T, V), for words `x` of shape (B, T)."""
        position = torch.arange(x.shape[1], device=x.device)  # (T,)
        embedded = self.characters(x) + self.positions(position)  # (B, T, E)
        hidden, _ = self.gru(embedded)  # (B, T, H)
        logits: Tensor = self.head(self.dropout(hidden))
        return logits
