"""makemore's MLP: the net of Bengio and others that sees all of the word so far.

The embeddings of the last L characters side by side, a layer of tanh units, and a layer of logits; before the word's
start stand blanks, which have an embedding of their own. After Bengio, Ducharme, Vincent, Jauvin, "A Neural
Probabilistic Language Model", JMLR 3 (2003); https://github.com/karpathy/makemore.

Axes: B words, T positions, L positions of the longest word, E numbers of an embedding, H tanh units, V characters.

Changes from makemore: each character is looked up once, and the L that a position sees are a window over the result,
where makemore looks up L shifted copies of the text. The output layer begins small, so that all characters are as
likely; makemore leaves it to torch. There can be dropout.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from zoo_makemore.parts import check_dropout, check_sizes, embedding, linear


class MLP(nn.Module):
    """Embeddings of all characters so far, one layer of tanh units, one output layer."""

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
            dropout: the share of tanh units that is left out in training.
            generator: a CPU generator; without one, torch's global generator is used.

        Raises:
            ValueError: a size below 1, or a dropout that is no share.
        """
        super().__init__()
        check_sizes(vocab_size=vocab_size, max_length=max_length, n_embd=n_embd, n_embd2=n_embd2)
        check_dropout(dropout)
        self.blank, self.seen = vocab_size, max_length
        self.wte = embedding(vocab_size + 1, n_embd, generator)
        self.hidden = linear(max_length * n_embd, n_embd2, generator)
        self.dropout = nn.Dropout(dropout)
        self.lm_head = linear(n_embd2, vocab_size, generator, gain=0.1)

    def forward(self, x: Tensor) -> Tensor:
        """Logits of each next character, shape (B, T, V), for words `x` of shape (B, T)."""
        emb = self.wte(F.pad(x, (self.seen - 1, 0), value=self.blank))  # (B, L - 1 + T, E)
        windows = emb.unfold(1, self.seen, 1).transpose(2, 3)  # (B, T, L, E)
        h = torch.tanh(self.hidden(windows.flatten(2)))  # (B, T, H)
        logits: Tensor = self.lm_head(self.dropout(h))
        return logits
