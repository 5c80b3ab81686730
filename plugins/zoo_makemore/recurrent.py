"""makemore's recurrent nets: a state goes along the word, and at each position it predicts what comes next.

- RNN: Elman, "Finding Structure in Time", Cognitive Science 14 (1990); Mikolov, Karafiat, Burget, Cernocky, Khudanpur,
  "Recurrent neural network based language model", Interspeech 2010.
- GRU: Cho and others, "Learning Phrase Representations using RNN Encoder-Decoder", EMNLP 2014.
- LSTM: Hochreiter, Schmidhuber, "Long Short-Term Memory", Neural Computation 9 (1997) 1735-1780.

https://github.com/karpathy/makemore has the first two.

Axes: B words, T positions, E numbers of an embedding, H numbers of a state, S layers, V characters.

Changes from makemore: cells are torch's, which do all positions in one call and have two biases for one. The GRU's
reset gate stands after the product with the state and not before it. The output layer begins small, so that all
characters are as likely. Cells can be stacked, and there can be dropout as Zaremba, Sutskever, Vinyals, "Recurrent
Neural Network Regularization" (2014), have it: of what comes out of each cell, and not along the word. Embeddings are
left whole, unlike theirs: without a part of what the last character is, nets learned more slowly, to no better end.
There can be several nets, which learn apart and whose probabilities are averaged: Hansen, Salamon, "Neural Network
Ensembles", IEEE Transactions on Pattern Analysis and Machine Intelligence 12 (1990).
"""

from __future__ import annotations

import math
from typing import ClassVar

import torch
from torch import Tensor, nn

from zoo_makemore.packing import Packing
from zoo_makemore.parts import Dropout, blank, check_dropout, check_sizes, embedding, linear


class Recurrent(nn.Module):
    """Embeddings, a cell of torch's along the word, and an output layer. The state before a word is learned."""

    cell: ClassVar[type[nn.RNNBase]]
    starts: ClassVar[int] = 1  # tensors that a state is made of

    def __init__(
        self,
        vocab_size: int = 27,
        n_embd: int = 64,
        n_embd2: int = 64,
        n_layer: int = 1,
        dropout: float = 0.0,
        ensemble_size: int = 1,
        generator: torch.Generator | None = None,
    ) -> None:
        """Draw the weights from `generator`.

        Args:
            vocab_size: characters, `.` included.
            n_embd: numbers for each character.
            n_embd2: numbers of the state.
            n_layer: cells, one above the other.
            dropout: the share of each cell's outputs that is left out in training.
            ensemble_size: nets in the ensemble.
            generator: a CPU generator; without one, torch's global generator is used.

        Raises:
            ValueError: a size below 1, or a dropout that is no share.
        """
        super().__init__()
        check_sizes(vocab_size=vocab_size, n_embd=n_embd, n_embd2=n_embd2, n_layer=n_layer, ensemble_size=ensemble_size)
        check_dropout(dropout)
        self.wte = embedding(vocab_size, n_embd, generator)
        self.start = nn.Parameter(torch.zeros(self.starts, n_layer, n_embd2))  # (1 or 2, S, H)
        between = dropout if n_layer > 1 else 0.0  # torch warns of dropout between cells where there is one
        self.rnn = blank(self.cell, n_embd, n_embd2, n_layer, batch_first=True, dropout=between)
        for weight in self.rnn.parameters():
            nn.init.uniform_(weight, -(n_embd2**-0.5), n_embd2**-0.5, generator=generator)  # as torch's cells begin
        self.dropout = Dropout(dropout)
        self.lm_head = linear(n_embd2, vocab_size, generator, gain=0.1)
        sizes = (vocab_size, n_embd, n_embd2, n_layer, dropout)
        self.others = nn.ModuleList(type(self)(*sizes, generator=generator) for _ in range(ensemble_size - 1))

    def forward(self, x: Tensor) -> Tensor:
        """Logits of each next character, shape (B, T, V), for words `x` of shape (B, T).

        Of nets side by side each learns from a part of the batch of its own. Later their probabilities are averaged.
        """
        nets: list[Recurrent] = [self, *self.others]
        if len(nets) == 1:
            return self.logits(x)
        if self.training:
            parts = zip(nets, x.tensor_split(len(nets)), strict=True)
            return torch.cat([net.logits(part) for net, part in parts if len(part)])  # (B, T, V)
        logprobs = torch.stack([net.logits(x).log_softmax(-1) for net in nets])  # (nets, B, T, V)
        return logprobs.logsumexp(0) - math.log(len(nets))

    def logits(self, x: Tensor) -> Tensor:
        """What the first net alone says, shape (B, T, V)."""
        starts = [part[:, None].expand(-1, len(x), -1).contiguous() for part in self.start]  # each (S, B, H)
        packing = Packing(x)
        emb = self.wte(packing.x)  # (B, L, E)
        lengths = packing.lengths.cpu()
        words = nn.utils.rnn.pack_padded_sequence(emb, lengths, batch_first=True, enforce_sorted=False)
        states, _ = self.rnn(words, tuple(starts) if len(starts) > 1 else starts[0])  # (N, H), the longest word first
        logits = states._replace(data=self.lm_head(self.dropout(states.data)))  # (N, V)
        return nn.utils.rnn.pad_packed_sequence(logits, batch_first=True, total_length=x.shape[1])[0]


class RNN(Recurrent):
    """The state is tanh of a layer over the character and the state before."""

    cell = nn.RNN


class GRU(Recurrent):
    """Gates say how much of the state is kept, and how much of it the new one may see."""

    cell = nn.GRU


class LSTM(Recurrent):
    """A second state, to which is only added, and from which gates read."""

    cell = nn.LSTM
    starts = 2
