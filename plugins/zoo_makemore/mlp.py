"""makemore's MLP: the net of Bengio and others that sees all of the word so far.

The embeddings of the last M characters side by side, a layer of tanh units, and a layer of logits; before the word's
start stand blanks, which have an embedding of their own. After Bengio, Ducharme, Vincent, Jauvin, "A Neural
Probabilistic Language Model", JMLR 3 (2003); https://github.com/karpathy/makemore.

Axes: B words, T positions, L positions of the longest word of a batch, N positions that count, over all words of the
batch, M positions that are seen, E numbers of an embedding, H tanh units, V characters.

Changes from makemore: makemore looks up M shifted copies of the text, and multiplies them by the weights; here the
products of all characters are made first, and then looked up. The output layer begins small, so that all characters are
as likely; makemore leaves it to torch. There can be dropout.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from zoo_makemore.packing import Packing
from zoo_makemore.parts import Dropout, check_dropout, check_sizes, embedding, linear


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
        self.dropout = Dropout(dropout)
        self.lm_head = linear(n_embd2, vocab_size, generator, gain=0.1)

    def forward(self, x: Tensor) -> Tensor:
        """Logits of each next character, shape (B, T, V), for words `x` of shape (B, T)."""
        packing = Packing(x)
        blanks = F.pad(packing.x, (self.seen - 1, 0), value=self.blank)  # (B, M - 1 + L)
        windows = packing.pack(blanks.unfold(1, self.seen, 1))  # (N, M)
        h = torch.tanh(self.hidden_of(windows))  # (N, H)
        return packing.logits(self.lm_head(self.dropout(h)))

    def hidden_of(self, windows: Tensor) -> Tensor:
        """What the hidden layer makes of the embeddings of windows (N, M), shape (N, H).

        Each character at each place adds its embedding times a part of the weights. Of these products there are few,
        which are made once, and looked up.
        """
        weights = self.hidden.weight.view(len(self.hidden.weight), self.seen, -1)  # (H, M, E)
        products = self.wte.weight @ weights.permute(1, 2, 0)  # (M, V + 1, H)
        first = torch.arange(self.seen, device=windows.device) * products.shape[1]  # (M)
        return F.embedding_bag(first + windows, products.flatten(0, 1), mode="sum") + self.hidden.bias
