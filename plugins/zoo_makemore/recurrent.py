"""makemore's recurrent nets: a hidden state is updated along the word and predicts the next character.

- RNN: Elman, "Finding Structure in Time", Cognitive Science 14 (1990); Mikolov, Karafiat, Burget, Cernocky, Khudanpur,
  "Recurrent neural network based language model", Interspeech 2010.
- GRU: Cho and others, "Learning Phrase Representations using RNN Encoder-Decoder", EMNLP 2014.
- LSTM: Hochreiter, Schmidhuber, "Long Short-Term Memory", Neural Computation 9 (1997) 1735-1780.

https://github.com/karpathy/makemore has the first two.

Axes: B words, T positions, L positions of the longest word, N positions of all words without padding, E embedding
dimensions, H hidden units, S layers, V characters.

Changes from makemore: cells are torch's, which process all positions in one call and have two biases instead of one.
The GRU's reset gate is applied after the product with the state, not before it. The output layer is initialized with
small weights, so that all characters are nearly equally probable. Layers can be stacked. Optional dropout is as in
Zaremba, Sutskever, Vinyals, "Recurrent Neural Network Regularization" (2014), on the outputs of each layer and not
along the word; unlike theirs, not on embeddings, where it made training slower and no better. An optional ensemble
averages the probabilities of independently trained nets: Hansen, Salamon, "Neural Network Ensembles", IEEE Transactions
on Pattern Analysis and Machine Intelligence 12 (1990).
"""

from __future__ import annotations

import math
from typing import ClassVar

import torch
from torch import Tensor, nn

from zoo_makemore.packing import Packing
from zoo_makemore.parts import Dropout, check_dropout, check_sizes, embedding, linear, uninitialized


class Recurrent(nn.Module):
    """Embeddings, recurrent layers, and an output layer. The initial state is learned."""

    cell: ClassVar[type[nn.RNNBase]]
    starts: ClassVar[int] = 1  # the number of tensors in a state

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
        """Initialize the weights from `generator`.

        Args:
            vocab_size: characters, the boundary included.
            n_embd: embedding dimensions.
            n_embd2: hidden units.
            n_layer: recurrent layers.
            dropout: probability of dropping outputs of each layer in training.
            ensemble_size: nets in the ensemble.
            generator: a CPU generator; by default torch's global one.

        Raises:
            ValueError: a size below 1, or an invalid dropout.
        """
        super().__init__()
        check_sizes(vocab_size=vocab_size, n_embd=n_embd, n_embd2=n_embd2, n_layer=n_layer, ensemble_size=ensemble_size)
        check_dropout(dropout)
        self.wte = embedding(vocab_size, n_embd, generator)
        self.start = nn.Parameter(torch.zeros(self.starts, n_layer, n_embd2))  # (1 or 2, S, H)
        between = dropout if n_layer > 1 else 0.0  # torch warns about dropout if there is only one layer
        self.rnn = uninitialized(self.cell, n_embd, n_embd2, n_layer, batch_first=True, dropout=between)
        for weight in self.rnn.parameters():
            nn.init.uniform_(weight, -(n_embd2**-0.5), n_embd2**-0.5, generator=generator)  # as in torch
        self.dropout = Dropout(dropout)
        self.lm_head = linear(n_embd2, vocab_size, generator, gain=0.1)
        sizes = (vocab_size, n_embd, n_embd2, n_layer, dropout)
        self.others = nn.ModuleList(type(self)(*sizes, generator=generator) for _ in range(ensemble_size - 1))

    def forward(self, x: Tensor) -> Tensor:
        """Logits of each next character, shape (B, T, V), for words `x` of shape (B, T).

        In training, each net of an ensemble reads its own part of the batch. In evaluation, probabilities are averaged.
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
        """The logits of the first net alone, shape (B, T, V)."""
        starts = [part[:, None].expand(-1, len(x), -1).contiguous() for part in self.start]  # each (S, B, H)
        start = tuple(starts) if len(starts) > 1 else starts[0]
        packing = Packing(x)
        emb = self.wte(packing.x)  # (B, L, E)
        if packing.lengths is None:  # all positions are there; to pack them, torch would copy lengths to the CPU
            states, _ = self.rnn(emb, start)  # (B, T, H)
            whole: Tensor = self.lm_head(self.dropout(states))
            return whole
        words = nn.utils.rnn.pack_padded_sequence(emb, packing.lengths, batch_first=True, enforce_sorted=False)
        states, _ = self.rnn(words, start)  # (N, H), the longest word first
        logits = states._replace(data=self.lm_head(self.dropout(states.data)))  # (N, V)
        return nn.utils.rnn.pad_packed_sequence(logits, batch_first=True, total_length=x.shape[1])[0]


class RNN(Recurrent):
    """An Elman RNN: the state is tanh of a linear layer of the character and the previous state."""

    cell = nn.RNN


class GRU(Recurrent):
    """A gated recurrent unit: an update gate and a reset gate control the state."""

    cell = nn.GRU


class LSTM(Recurrent):
    """Long short-term memory: gates control what is added to, kept in and read from a cell state."""

    cell = nn.LSTM
    starts = 2
