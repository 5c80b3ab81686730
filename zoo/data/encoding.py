"""Words to tensors, in a few passes over all characters at once.

Axes: N examples (one a character, one for each word's end), T context length, W words, L positions of a padded word.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NoReturn

import numpy as np
import torch
from numpy.typing import NDArray

from zoo.data.datasets import Examples
from zoo.data.vocabulary import BOUNDARY, Vocabulary
from zoo.data.words import WORDS, Words, chunks, missing, numbered
from zoo.errors import DataError

_EXAMPLES = 1 << 16  # made in one go, so that they are made in the cache


def encode_windows(words: Sequence[str], vocabulary: Vocabulary, context_length: int) -> Examples:
    """Each character, and each word's end, as a target, with the `context_length` characters before it.

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
        shown = np.zeros(context_length + len(rows), y.dtype)  # the tokens that these rows see, 0 before the first
        shown[context_length - (start - earliest) :] = y[earliest : start + len(rows)]
        _fill_windows(rows, shown)
    return Examples(torch.from_numpy(x), torch.from_numpy(y), torch.int64)


def _fill_windows(rows: NDArray[Any], shown: NDArray[Any]) -> None:
    """Rows (n, T) of what stands before the last n of the tokens shown, (T + n,)."""
    n, context_length = rows.shape
    before = np.ones(n, rows.dtype)
    for back in range(1, context_length + 1):
        # What stands `back` places before. A word's first place follows the 0 that ends the word before it, and from
        # there on everything further back is 0 too: letters are never 0, so a 0 means the word's start was reached.
        before = shown[context_length - back :][:n] * (before != 0)
        rows[:, -back] = before


def encode_sequences(words: Sequence[str], vocabulary: Vocabulary, max_length: int) -> Examples:
    """Each word as one padded sequence: inputs start with the boundary, targets end with it.

    `emma` in 6 positions gives `.emma.` for x, and `emma.` and one ignored position (-1) for y.

    Returns:
        x of shape (W, L) and y of shape (W, L), padded with 0 and with -1.

    Raises:
        DataError: a word is longer than `max_length - 1`, or has a character that the vocabulary lacks.
    """
    lengths = words.lengths if isinstance(words, Words) else np.array([len(word) + 1 for word in words])  # (W,)
    if int(lengths.max()) > max_length:
        raise DataError(f"the word {words[int(lengths.argmax())]!r} does not fit in {max_length} positions")
    tokens = _tokens(words, vocabulary)  # (N,)
    y = np.full((len(words), max_length), -1, np.int16 if tokens.dtype == np.uint8 else tokens.dtype)  # (W, L)
    place = 0
    for start in range(0, len(words), WORDS):
        some = lengths[start : start + WORDS]
        end = place + int(some.sum())
        y[start : start + WORDS][np.arange(max_length) < some[:, None]] = tokens[place:end]
        place = end
    x = np.zeros_like(y)
    np.maximum(y[:, :-1], 0, out=x[:, 1:])
    return Examples(torch.from_numpy(x), torch.from_numpy(y), torch.int64)


def _tokens(words: Sequence[str], vocabulary: Vocabulary) -> NDArray[Any]:
    """The numbers of all characters, a 0 after each word: shape (N,)."""
    if isinstance(words, Words):
        tokens = words.numbers(vocabulary)
    else:
        pieces = ("\n".join([*some, ""]) for some in chunks(words, WORDS))
        tokens = numbered(pieces, sum(map(len, words)) + len(words), vocabulary)
    if missing(tokens):
        _refuse(words, vocabulary)
    return tokens


def _refuse(words: Sequence[str], vocabulary: Vocabulary) -> NoReturn:
    known = set(vocabulary.itos[1:])
    word = next(word for word in words if not known.issuperset(word))
    character = next(c for c in word if c not in known)
    raise DataError(
        f"the word {word!r} has {character!r}, which is not in the vocabulary {''.join(vocabulary.itos[1:])!r}"
        if BOUNDARY not in word
        else f"the word {word!r} has {BOUNDARY!r}, which marks where words start and end"
    )
