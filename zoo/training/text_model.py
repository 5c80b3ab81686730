"""A trained model of text as sampling and prediction see it: its tokens, what it reads of them, and its logits.

Axes: N texts, T positions that the model reads at once, V tokens of the vocabulary, C tokens of a text.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import torch
from torch import Tensor, nn

from zoo.data.vocabulary import NEWLINE, START
from zoo.errors import PluginError, UsageError, ZooError
from zoo.plugin.calling import maker, plugin_errors
from zoo.plugin.specs import Reads
from zoo.text import shown
from zoo.training.building import evaluating
from zoo.training.evaluation import batch_size_of
from zoo.training.objective.cross_entropy import IGNORED, full_precision


class Codec(Protocol):
    """Text to tokens and back. `zoo.Vocabulary` is one: each character is a token. Token 0 is where a text starts."""

    @property
    def itos(self) -> Sequence[str]:
        """How each token is written, shape (V,)."""

    def __len__(self) -> int:
        """V."""

    def encode(self, text: str) -> list[int]:
        """Raises UsageError: the text has something that has no token."""

    def decode(self, numbers: Sequence[int]) -> str: ...


@dataclass(frozen=True)
class TokenizerCodec:
    """A tokenizer with `encode`, `decode` and `vocab_size`; its ids are tokens from 1.

    Attributes:
        tokenizer: a plugin's.
        who: whose code that is, for messages.
    """

    tokenizer: Any
    who: str

    @property
    def itos(self) -> list[str]:
        return [START, *(self.decode([token]) for token in range(1, len(self)))]

    def __len__(self) -> int:
        return 1 + int(self.tokenizer.vocab_size)

    def encode(self, text: str) -> list[int]:
        with plugin_errors(self.who, "fails", refused=self.who):
            tokens = [1 + int(number) for number in self.tokenizer.encode(text)]
        if any(not 0 < token < len(self) for token in tokens):
            raise PluginError(f"{self.who} encodes {shown(text)} with ids that are not below its vocab_size")
        return tokens

    def decode(self, numbers: Sequence[int]) -> str:
        with plugin_errors(self.who, "fails"):
            return str(self.tokenizer.decode([number - 1 for number in numbers]))


@dataclass(frozen=True)
class TextModel:
    """A trained model of text.

    Attributes:
        module: on any device. It is left as it was.
        codec: its vocabulary, or the tokenizer of its data.
        reads: the form of its inputs, as in its spec.
        length: of its windows, or the most positions that it can read.
        running: whether it was trained on running text, and not on words.
    """

    module: nn.Module
    codec: Codec
    reads: Reads
    length: int
    running: bool

    @property
    def device(self) -> torch.device:
        found = next(itertools.chain(self.module.parameters(), self.module.buffers()), None)
        return torch.device("cpu") if found is None else found.device

    def context(self, text: str, what: str = "the prefix") -> list[int]:
        """What the model reads of a text to predict what follows it.

        A word, and the window of a running text, has token 0 before it. A block of running text begins anywhere in it.
        Of an empty running text the context is a newline, where the vocabulary has one: a text that begins a line.

        Raises:
            UsageError: it has a character that the vocabulary lacks; or, of a word, it is too long.
        """
        tokens = self.codec.encode(text)
        if self.running and not tokens:
            tokens = self.codec.encode(NEWLINE) if NEWLINE in self.codec.itos else [0]
        if self.reads == "windows":
            return ([0] * self.length + tokens)[-self.length :]
        if self.running:
            return tokens[-self.length :]
        if len(tokens) >= self.length:
            raise UsageError(f"{what} {shown(text)} is too long: at most {self.length - 1} characters")
        return [0, *tokens]

    def next_logits(self, x: Tensor) -> Tensor:
        """The logits of what follows each context (N, T): shape (N, V), on the CPU.

        To be called while `evaluating`, without gradients.

        Raises:
            PluginError: the model fails.
        """
        with plugin_errors(maker(self.module), "fails on a text"):
            logits = self.module(x.to(self.device)).cpu()  # (N, V), or (N, T, V)
        last: Tensor = logits if logits.ndim == 2 else logits[:, -1]
        return last[:, : len(self.codec)]  # a model may have spare logits

    @torch.no_grad()
    def next_probabilities(self, contexts: Sequence[list[int]]) -> Tensor:
        """The probabilities of what follows each context: shape (N, V), float64.

        Raises:
            ZooError: they are NaN or infinite.
            PluginError: the model fails.
        """
        found = torch.empty(len(contexts), len(self.codec), dtype=torch.float64)
        with evaluating(self.module):
            for rows in self._alike(contexts):
                x = torch.tensor([contexts[row] for row in rows])
                found[rows] = self.next_logits(x).double().softmax(1)
        if not found.isfinite().all():
            raise ZooError("cannot predict with this model: its logits are NaN or infinite")
        return found

    def _alike(self, contexts: Sequence[list[int]]) -> Iterator[list[int]]:
        """Batches of the indices of contexts of the same length, so that nothing is padded."""
        lengths = [len(context) for context in contexts]
        for length in sorted(set(lengths)):
            rows = [row for row, other in enumerate(lengths) if other == length]
            size = batch_size_of(self.module, length)
            for start in range(0, len(rows), size):
                yield rows[start : start + size]

    @torch.no_grad()
    def log_likelihoods(self, text: str) -> Tensor:
        """The log-probability of each token of a text, in nats: shape (C,), float64. Of a word also that of its end.

        Text is read as it is in an evaluation: with nothing before it, and in blocks that do not overlap where the
        model reads blocks.

        Raises:
            UsageError: as `context`.
            PluginError: the model fails.
        """
        tokens = self.codec.encode(text) + [0] * (not self.running)
        if not tokens:
            raise UsageError("an empty text has no likelihood: give at least one character")
        if not self.running and self.reads == "sequences" and len(tokens) > self.length:
            raise UsageError(f"the word {shown(text)} is too long: at most {self.length - 1} characters")
        x, y = self._blocks(tokens) if self.reads == "sequences" else self._windows(tokens)
        found = torch.empty(y.shape, dtype=torch.float64)
        size = batch_size_of(self.module, x.shape[1])
        with evaluating(self.module), plugin_errors(maker(self.module), "fails on a text"):
            for start in range(0, len(x), size):
                part = slice(start, start + size)
                logits = full_precision(self.module(x[part].contiguous().to(self.device)).cpu()).double()
                targets = y[part].clamp(min=0)[..., None]
                found[part] = logits.log_softmax(-1).gather(-1, targets)[..., 0]
        return found[y != IGNORED]

    def _windows(self, tokens: list[int]) -> tuple[Tensor, Tensor]:
        """Windows (C, T) and targets (C,)."""
        padded = torch.tensor([0] * self.length + tokens)
        return padded[:-1].unfold(0, self.length, 1), torch.tensor(tokens)

    def _blocks(self, tokens: list[int]) -> tuple[Tensor, Tensor]:
        """Blocks that follow each other, and their targets: both (N, T); the last ones are ignored targets."""
        length = self.length if self.running else len(tokens)
        size = -(-len(tokens) // length) * length
        x = torch.tensor([0, *tokens[:-1]] + [0] * (size - len(tokens)))
        y = torch.tensor(tokens + [IGNORED] * (size - len(tokens)))
        return x.view(-1, length), y.view(-1, length)
