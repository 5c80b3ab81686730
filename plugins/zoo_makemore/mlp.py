"""makemore's MLP: the net of Bengio and others with all characters of the word so far as its context.

The concatenated embeddings of the last M characters, a layer of tanh units, and an output layer. Positions before the
word's start have a blank token with an embedding of its own. After Bengio, Ducharme, Vincent, Jauvin, "A Neural
Probabilistic Language Model", JMLR 3 (2003); https://github.com/karpathy/makemore.

Axes: B words, T positions, L positions of the longest word of a batch, N positions of all words without padding, M
positions of context, E embedding dimensions, H tanh units, V characters.

Changes from makemore: makemore looks up M shifted copies of the text and multiplies them by the weights; here the
products of all characters are computed first, and then looked up. The output layer is initialized with small weights,
so that all characters are nearly equally probable; makemore uses torch's initialization. Dropout is optional.
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
        """Initialize the weights from `generator`.

        Args:
            vocab_size: characters, the boundary included.
            max_length: positions of a word, its end included; makemore's block_size.
            n_embd: embedding dimensions.
            n_embd2: tanh units.
            dropout: probability of dropping tanh units in training.
            generator: a CPU generator; by default torch's global one.

        Raises:
            ValueError: a size below 1, or an invalid dropout.
        """
        super().__init__()
        check_sizes(vocab_size=vocab_size, max_length=max_length, n_embd=n_embd, n_embd2=n_embd2)
        check_dropout(dropout)
        self.blank, self.context = vocab_size, max_length
        self.wte = embedding(vocab_size + 1, n_embd, generator)
        self.hidden = linear(max_length * n_embd, n_embd2, generator)
        self.dropout = Dropout(dropout)
        self.lm_head = linear(n_embd2, vocab_size, generator, gain=0.1)

    def forward(self, x: Tensor) -> Tensor:
        """Logits of each next character, shape (B, T, V), for words `x` of shape (B, T)."""
        packing = Packing(x)
        blanks = F.pad(packing.x, (self.context - 1, 0), value=self.blank)  # (B, M - 1 + L)
        windows = packing.pack(blanks.unfold(1, self.context, 1))  # (N, M)
        h = torch.tanh(self.hidden_of(windows))  # (N, H)
        return packing.logits(self.lm_head(self.dropout(h)))

    def hidden_of(self, windows: Tensor) -> Tensor:
        """The hidden layer before tanh, shape (N, H), for windows of shape (N, M).

        Each character adds the product of its embedding and the weights of its position. There are only M * (V + 1)
        such products, which are computed once and looked up.
        """
        weights = self.hidden.weight.view(len(self.hidden.weight), self.context, -1)  # (H, M, E)
        products = self.wte.weight @ weights.permute(1, 2, 0)  # (M, V + 1, H)
        first = torch.arange(self.context, device=windows.device) * products.shape[1]  # (M)
        return F.embedding_bag(first + windows, products.flatten(0, 1), mode="sum") + self.hidden.bias
