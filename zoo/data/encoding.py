"""Encoding words as tensors of inputs and targets, vectorized over all characters.

Axes: N examples (one per character and one per word's end), T characters of context, W words, L positions of a padded
word.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NoReturn, Protocol

import numpy as np
import torch
from numpy.typing import NDArray

from zoo.data.examples import TensorExamples
from zoo.data.vocabulary import Vocabulary
from zoo.data.words import WORDS, Words, batches, has_unknown, tokenize
from zoo.errors import DataError
from zoo.memory import fits, show_bytes
from zoo.plugin.specs import Reads
from zoo.text import shown

MAX_CHARACTERS = 10_000  # of a word: each is a step of a recurrent net, for every word of a batch
_EXAMPLES = 1 << 16  # made at once, so that they fit into the processor's cache


class WordList(Protocol):
    """What is asked of a dataset of words: a `zoo.TextDataset`, whose module uses this one."""

    longest_line: int | None

    @property
    def size(self) -> tuple[int, int]: ...
    @property
    def vocabulary(self) -> Vocabulary: ...
    @property
    def max_length(self) -> int: ...


def encode_windows(words: Sequence[str], vocabulary: Vocabulary, context_length: int) -> TensorExamples:
    """For each character and each word's end as a target, the window of `context_length` characters before it.

    `emma` with a context of 3 gives `... -> e`, `..e -> m`, `.em -> m`, `emm -> a` and `mma -> .`.

    Returns:
        x of shape (N, T), y of shape (N,), in the smallest integer type that holds the vocabulary.

    Raises:
        DataError: a word has a character that the vocabulary lacks.
    """
    y = _tokens(words, vocabulary)  # (N,)
    x = np.empty((len(y), context_length), y.dtype)  # (N, T)
    for start in range(0, len(y), _EXAMPLES):
        rows = x[start : start + _EXAMPLES]
        earliest = max(0, start - context_length)
        tokens = np.zeros(context_length + len(rows), y.dtype)  # of these rows and T before them
        tokens[context_length - (start - earliest) :] = y[earliest : start + len(rows)]
        _fill_windows(rows, tokens)
    return TensorExamples(torch.from_numpy(x), torch.from_numpy(y), torch.int64)


def check_sizes(dataset: WordList, reads: Reads, length: int) -> None:
    """Refuse words whose encoded examples this machine has no memory for, before they are made.

    Args:
        dataset: the words.
        reads: the form of a model's inputs.
        length: characters of a window, or positions of a padded sequence.

    Raises:
        DataError: they do not fit, or a word is too long for any model that reads sequences.
    """
    words, tokens = dataset.size
    item = 1 if len(dataset.vocabulary) < 2**8 else 2 if len(dataset.vocabulary) < 2**15 else 4  # bytes of a token
    if reads == "windows":
        needed = tokens * (length + 1) * item
        if not fits(needed):
            raise DataError(
                f"{tokens:,} windows of {length:,} characters take {show_bytes(needed)} of memory, more than this "
                "machine has: give fewer words, or a model with a shorter context"
            )
        return
    longest = dataset.max_length - 1
    where = f"line {dataset.longest_line:,}" if dataset.longest_line is not None else "the longest word"
    needed = 2 * words * length * max(item, 2)
    if longest > MAX_CHARACTERS:
        why = f"a model that reads whole words takes {MAX_CHARACTERS:,} at most"
    elif not fits(needed):
        why = f"padded to that length, {words:,} words take {show_bytes(needed)} of memory, more than this machine has"
    else:
        return
    raise DataError(
        f"{where} has {longest:,} characters: {why}; split it into words, one a line, or train a model that reads "
        "windows"
    )


def _fill_windows(rows: NDArray[Any], tokens: NDArray[Any]) -> None:
    """Fill `rows`, shape (n, T), with the T tokens before each of the last n of `tokens`, shape (T + n,)."""
    n, context_length = rows.shape
    before = np.ones(n, rows.dtype)
    for distance in range(1, context_length + 1):
        # A 0 ends the previous word, so all tokens before a 0 belong to other words and must be 0 in this window.
        before = tokens[context_length - distance :][:n] * (before != 0)
        rows[:, -distance] = before


def encode_sequences(words: Sequence[str], vocabulary: Vocabulary, max_length: int) -> TensorExamples:
    """Each word as one padded sequence: inputs start with the boundary, targets end with it.

    With 6 positions, `emma` gives `.emma.` for x, and `emma.` and one ignored target (-1) for y.

    Returns:
        x of shape (W, L) and y of shape (W, L), padded with 0 and with -1.

    Raises:
        DataError: a word is longer than `max_length - 1`, or has a character that the vocabulary lacks.
    """
    lengths = words.lengths if isinstance(words, Words) else np.array([len(word) + 1 for word in words])  # (W,)
    if int(lengths.max()) > max_length:
        raise DataError(f"the word {shown(words[int(lengths.argmax())])} does not fit in {max_length} positions")
    tokens = _tokens(words, vocabulary)  # (N,)
    y = np.full((len(words), max_length), -1, np.int16 if tokens.dtype == np.uint8 else tokens.dtype)  # (W, L)
    offset = 0
    for start in range(0, len(words), WORDS):
        part = lengths[start : start + WORDS]
        end = offset + int(part.sum())
        y[start : start + WORDS][np.arange(max_length) < part[:, None]] = tokens[offset:end]
        offset = end
    x = np.zeros_like(y)
    np.maximum(y[:, :-1], 0, out=x[:, 1:])
    return TensorExamples(torch.from_numpy(x), torch.from_numpy(y), torch.int64)


def _tokens(words: Sequence[str], vocabulary: Vocabulary) -> NDArray[Any]:
    """The tokens of all words, with a 0 after each: shape (N,)."""
    if isinstance(words, Words):
        tokens = words.tokens_in(vocabulary)
    else:
        chunks = ("\n".join([*batch, ""]) for batch in batches(words, WORDS))
        tokens = tokenize(chunks, sum(map(len, words)) + len(words), vocabulary)
    if has_unknown(tokens):
        _refuse(words, vocabulary)
    return tokens


def _refuse(words: Sequence[str], vocabulary: Vocabulary) -> NoReturn:
    known = set(vocabulary.itos[1:])
    word = next(word for word in words if not known.issuperset(word))
    character = next(c for c in word if c not in known)
    raise DataError(
        f"the word {shown(word)} has {character!r}, which is not in the vocabulary "
        f"{shown(''.join(vocabulary.itos[1:]))}"
    )
