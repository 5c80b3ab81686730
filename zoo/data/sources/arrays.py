"""A split of a dataset as two tensors, X and Y, for code of one's own: `data.tensors("train")`.

Axes: N examples, T characters of context, W words, L positions of a padded word or of a block.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, get_args

import torch
from torch import Tensor

from zoo.data.corpus.examples import CorpusBlocks, CorpusWindows, RunningText
from zoo.data.encoding import WordList, check_sizes, encode_sequences, encode_windows
from zoo.data.splits import Pair, Split, SplitName, checked
from zoo.data.words import Words
from zoo.errors import DataError, UnknownNameError, UsageError, suggest
from zoo.memory import fits, show_bytes
from zoo.numbers import show_value
from zoo.options.values import plain
from zoo.plugin.specs import Reads

_INT64 = 8  # bytes
_POSITIONS = 1 << 20  # that are made at once of running text


def of_words(
    dataset: WordList,
    splits: Mapping[SplitName, Words],
    split: str,
    context_length: int,
    reads: str,
    max_length: int | None,
) -> tuple[Tensor, Tensor]:
    """X (N, T) and Y (N,), or X (W, L) and Y (W, L), of a split of words; see `TextDataset.tensors`."""
    words = splits[_known(split, splits)]
    if _checked_reads(reads) == "sequences":
        length = dataset.max_length if max_length is None else _positive("max_length", max_length)
        check_sizes(dataset, "sequences", length)
        examples = encode_sequences(words, dataset.vocabulary, length)
    else:
        length = _positive("context_length", context_length)
        check_sizes(dataset, "windows", length)
        examples = encode_windows(words, dataset.vocabulary, length)
    x, y = examples.x, examples.y
    _check_memory(x.numel() + y.numel())
    return x.long(), y.long()


def of_running_text(
    dataset: RunningText, split: str, context_length: int, reads: str, max_length: int
) -> tuple[Tensor, Tensor]:
    """X (N, T) and Y (N,), or X (N, L) and Y (N, L), of a split of running text; see `CorpusDataset.tensors`."""
    positions = dataset.splits[_known(split, dataset.splits)]
    blocks = _checked_reads(reads) == "sequences"
    length = _positive("max_length", max_length) if blocks else _positive("context_length", context_length)
    if length > len(dataset):
        what = f"{'max_length' if blocks else 'context_length'}={length:,}"
        raise UsageError(f"{what} is longer than the text, which has {len(dataset):,} {dataset.unit}")
    kind = CorpusBlocks if blocks else CorpusWindows
    examples = kind(dataset.tokens, positions.start, positions.stop, length)
    n = -(-len(positions) // length) if blocks else len(positions)
    _check_memory(n * (length + examples.target_size))
    x = torch.empty((n, length), dtype=torch.int64)
    y = torch.empty((n, length) if blocks else n, dtype=torch.int64)
    first = 0
    for some_x, some_y in examples.in_order(max(1, _POSITIONS // length)):
        rows = slice(first, first + len(some_x))
        x[rows], y[rows] = some_x, some_y
        first += len(some_x)
    return x, y


def of_tensors(splits: Mapping[SplitName, Pair | Split], split: str) -> tuple[Tensor, Tensor]:
    """X (N, ...) and Y (N, ...) of a split of tensors; see `TensorDataset.tensors`."""
    name = _known(split, splits)
    found = splits[name]
    if isinstance(found, Pair):
        return found.x, found.y
    x, y = checked(name, found, torch.arange(1))
    one = x.numel() * x.itemsize + (0 if y is None else y.numel() * y.itemsize)
    _check_memory(one * len(found), item=1)
    x, y = checked(name, found, torch.arange(len(found)))
    return x, x if y is None else y


def _known(split: Any, splits: Mapping[SplitName, Any]) -> SplitName:
    for name in splits:
        if split == name:
            return name
    raise UnknownNameError(f"this dataset has no split {show_value(split)}; {suggest(str(split), splits)}")


def _checked_reads(reads: Any) -> Reads:
    for known in get_args(Reads):
        if reads == known:
            form: Reads = known
            return form
    choices = " or ".join(map(repr, get_args(Reads)))
    raise UsageError(f"reads must be {choices}, got {show_value(reads)}")


def _positive(name: str, value: Any) -> int:
    value = plain(value)
    if type(value) is not int or value < 1:
        raise UsageError(f"{name} must be a whole number from 1, got {show_value(value)}")
    return value


def _check_memory(numbers: int, item: int = _INT64) -> None:
    """Refuse tensors of so many numbers that this machine has no memory for."""
    if not fits(numbers * item):
        raise DataError(
            f"tensors of this split take {show_bytes(numbers * item)} of memory, more than this machine has: "
            "zoo.run makes its examples batch by batch"
        )
