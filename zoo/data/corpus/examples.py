"""Examples of running text: windows for models that predict one character, blocks for models of sequences.

Axes: N examples, T characters of context, L positions of a block.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any, Protocol, Self

import torch
from torch import Tensor

from zoo.data.corpus.tokens import Tokens, TokensInMemory, TranslatedTokens
from zoo.data.examples import Examples, SplitName, TensorExamples
from zoo.data.vocabulary import Vocabulary
from zoo.errors import DataError
from zoo.plugin.specs import Reads
from zoo.text import shown

_FEW = 1 << 26  # bytes of all windows of a text that is served as tensors


class RunningText(Protocol):
    """What is asked of running text: a `zoo.CorpusDataset`, whose module uses this one."""

    tokens: Tokens
    vocabulary: Vocabulary | None
    evaluate: int | None

    @property
    def splits(self) -> dict[SplitName, range]: ...
    @property
    def unit(self) -> str: ...
    def __len__(self) -> int: ...


@dataclass(frozen=True, repr=False)
class _OfCorpus:
    """A split of running text.

    Attributes:
        tokens: of the whole text.
        start, stop: the positions of the split in the text.
        length: how many characters an input has: T of windows, L of blocks.
        evaluate: how many targets an evaluation takes, from the first on; None for all.
    """

    tokens: Tokens
    start: int
    stop: int
    length: int
    evaluate: int | None = None

    def __repr__(self) -> str:
        where = f"characters {self.start:,} to {self.stop:,}"
        return f"<{type(self).__name__} of length {self.length:,}, {where} on {self.device}>"

    @property
    def device(self) -> torch.device:
        return self.tokens.device

    @property
    def input_size(self) -> int:
        return self.length

    def to(self, device: Any) -> Self:
        return replace(self, tokens=self.tokens.to(device))


@dataclass(frozen=True, repr=False)
class CorpusWindows(_OfCorpus):
    """Each character of a split as a target, with the `length` characters of the text before it.

    The context of the first targets of validation and test is the end of the split before. Before the text there is
    token 0.
    """

    @property
    def target_size(self) -> int:
        return 1

    def __len__(self) -> int:
        return self.stop - self.start

    def gather(self, indices: Tensor) -> tuple[Tensor, Tensor]:
        rows = self.tokens.rows(indices.flatten() + (self.start - self.length), self.length + 1)
        rows = rows.view(*indices.shape, self.length + 1)
        return _copy(rows[..., :-1]), rows[..., -1].contiguous()

    @property
    def rows(self) -> int:
        """How many examples `in_order` has."""
        return len(self) if self.evaluate is None else min(self.evaluate, len(self))

    def in_order(self, size: int) -> Iterator[tuple[Tensor, Tensor]]:
        for first in range(0, self.rows, size):
            yield self.gather(torch.arange(first, min(first + size, self.rows)))


@dataclass(frozen=True, repr=False)
class CorpusBlocks(_OfCorpus):
    """Blocks of `length` positions, each with its character's successor as target.

    A block for training starts at any target of the split that has enough after it. The first input of a block is the
    character before its first target: token 0 at the start of the text. An evaluation takes consecutive blocks, so that
    each target is counted once; the last one is padded with token 0 and targets of -1, as words are.
    """

    @property
    def target_size(self) -> int:
        return self.length

    def __len__(self) -> int:
        return max(1, self.stop - self.start - self.length + 1)

    def gather(self, indices: Tensor) -> tuple[Tensor, Tensor]:
        x, y = self._blocks(indices.flatten() + self.start, self.stop)
        return x.view(*indices.shape, self.length), y.view(*indices.shape, self.length)

    @property
    def _evaluated_to(self) -> int:
        return self.stop if self.evaluate is None else min(self.start + self.evaluate, self.stop)

    @property
    def rows(self) -> int:
        """How many blocks `in_order` has."""
        return -(-(self._evaluated_to - self.start) // self.length)

    def in_order(self, size: int) -> Iterator[tuple[Tensor, Tensor]]:
        stop = self._evaluated_to
        for first in range(self.start, stop, size * self.length):
            yield self._blocks(torch.arange(first, min(first + size * self.length, stop), self.length), stop)

    def _blocks(self, starts: Tensor, stop: int) -> tuple[Tensor, Tensor]:
        """The blocks whose first targets are at `starts`, shape (n,), and whose targets are before `stop`."""
        rows = self.tokens.rows(starts - 1, self.length + 1)
        x, y = _copy(rows[:, :-1]), rows[:, 1:].contiguous()
        if len(starts) and int(starts.max()) + self.length > stop:
            left = (stop - starts).to(rows.device)[:, None]  # targets of each block
            padding = torch.arange(self.length, device=rows.device) >= left
            x[padding], y[padding] = 0, -1
        return x, y


def encode_corpus(
    dataset: RunningText, reads: Reads, length: int, vocabulary: Vocabulary | None
) -> dict[SplitName, Examples]:
    """The examples of each split of running text.

    Args:
        dataset: the text.
        reads: the form of the model's inputs.
        length: characters of a window, or positions of a block.
        vocabulary: of the model, where it was trained on another text.

    Raises:
        DataError: the text has a character that the vocabulary lacks, or is shorter than one example.
    """
    if length > len(dataset):
        what, setting = ("blocks", "model.max_length") if reads == "sequences" else ("contexts", "model.context_length")
        raise DataError(
            f"{what} of {length:,} positions are longer than the text, which has {len(dataset):,} {dataset.unit}: "
            f"choose a smaller {setting}"
        )
    tokens = _in_vocabulary(dataset, vocabulary)
    if reads == "windows" and dataset.evaluate is None and isinstance(tokens, TokensInMemory):
        tensor = tokens.tensor
        if len(tensor) * length * tensor.itemsize <= _FEW:
            return _windows_in_memory(tensor, dataset.splits, length)
    kind = CorpusBlocks if reads == "sequences" else CorpusWindows
    return {
        name: kind(tokens, positions.start, positions.stop, length, dataset.evaluate)
        for name, positions in dataset.splits.items()
    }


def _copy(x: Tensor) -> Tensor:
    """Inputs that share no memory with the targets: a single row would."""
    return x.clone(memory_format=torch.contiguous_format)


def _windows_in_memory(tensor: Tensor, splits: Mapping[SplitName, range], length: int) -> dict[SplitName, Examples]:
    """The windows of a small text, as views of its tokens, which take no memory until they are copied to a device.

    Equal windows are then evaluated once, and models can be fitted to them.
    """
    padded = torch.cat([tensor.new_zeros(length), tensor[1:]])  # of T zeros and N tokens
    windows = padded.unfold(0, length, 1)  # (N + 1, T)
    return {
        name: TensorExamples(
            windows[positions.start : positions.stop],
            tensor[1:][positions.start : positions.stop],
            torch.int64,
        )
        for name, positions in splits.items()
    }


def _in_vocabulary(dataset: RunningText, vocabulary: Vocabulary | None) -> Tokens:
    own = dataset.vocabulary
    if vocabulary is None or own is None or own == vocabulary:
        return dataset.tokens
    missing = [character for character in own.itos[1:] if character not in vocabulary.stoi]
    if missing:
        more = f" and {len(missing) - 1} more" if len(missing) > 1 else ""
        raise DataError(
            f"the text has {missing[0]!r}{more}, which is not in the vocabulary {shown(''.join(vocabulary.itos[1:]))}"
        )
    table = torch.tensor([0, *(vocabulary.stoi[character] for character in own.itos[1:])])
    return TranslatedTokens(dataset.tokens, table)
