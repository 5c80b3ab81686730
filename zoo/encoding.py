"""Words to tensors, in a few passes over all characters at once.

Axes: N examples (one a character, one for each word's end), T context length, W words, L positions of a padded word.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from zoo.datasets import Examples, chunks
from zoo.errors import DataError
from zoo.vocabulary import BOUNDARY, Vocabulary

_CHUNK = 1 << 16  # words encoded in one go: their text takes 4 bytes a character while it lasts


def encode_windows(words: Sequence[str], vocabulary: Vocabulary, context_length: int) -> Examples:
    """Each character, and each word's end, as a target, with the `context_length` characters before it.

    `emma` with a context of 3 gives `... -> e`, `..e -> m`, `.em -> m`, `emm -> a` and `mma -> .`.

    Returns:
        x of shape (N, T), y of shape (N,), in the smallest integer type that holds the vocabulary.

    Raises:
        DataError: a word has a character that the vocabulary lacks.
    """
    y = _tokens(words, vocabulary)  # (N,)
    x = y.new_zeros(len(y), context_length)  # (N, T)
    before = y
    for back in range(1, context_length + 1):
        # What stands `back` places before. A word's first place follows the 0 that ends the word before it, and from
        # there on everything further back is 0 too: letters are never 0, so a 0 means the word's start was reached.
        shifted = torch.zeros_like(y)
        shifted[back:] = y[:-back]
        before = shifted if back == 1 else shifted.mul_(before != 0)
        x[:, -back] = before
    return Examples(x, y, torch.int64)


def encode_sequences(words: Sequence[str], vocabulary: Vocabulary, max_length: int) -> Examples:
    """Each word as one padded sequence: inputs start with the boundary, targets end with it.

    `emma` in 6 positions gives `.emma.` for x, and `emma.` and one ignored position (-1) for y.

    Returns:
        x of shape (W, L) and y of shape (W, L), padded with 0 and with -1.

    Raises:
        DataError: a word is longer than `max_length - 1`, or has a character that the vocabulary lacks.
    """
    lengths = torch.tensor([len(word) + 1 for word in words])  # (W,), with the end
    longest = int(lengths.max())
    if longest > max_length:
        raise DataError(f"the word {words[int(lengths.argmax())]!r} does not fit in {max_length} positions")
    tokens = _tokens(words, vocabulary)  # (N,)
    signed = torch.int16 if tokens.dtype == torch.uint8 else tokens.dtype  # -1 must fit
    y = torch.full((len(words), max_length), -1, dtype=signed)  # (W, L)
    y[torch.arange(max_length) < lengths[:, None]] = tokens.to(signed)
    x = torch.zeros_like(y)
    x[:, 1:] = y[:, :-1].clamp(min=0)
    return Examples(x, y, torch.int64)


def _tokens(words: Sequence[str], vocabulary: Vocabulary) -> Tensor:
    """The numbers of all characters, a 0 after each word: shape (N,)."""
    table = _table(vocabulary)
    tokens = torch.empty(sum(map(len, words)) + len(words), dtype=table.dtype)
    missing = torch.iinfo(table.dtype).max
    position = 0
    for chunk in chunks(words, _CHUNK):
        text = "\n".join(chunk) + "\n"
        codes = torch.frombuffer(bytearray(text.encode("utf-32-le", "surrogatepass")), dtype=torch.int32)
        codes.clamp_(max=len(table) - 1)
        part = tokens[position : position + len(codes)]
        torch.index_select(table, 0, codes, out=part)
        if int(part.max()) == missing:
            _refuse(chunk, vocabulary)
        position += len(codes)
    return tokens


def _table(vocabulary: Vocabulary) -> Tensor:
    """The number of each code point; the type's largest value for those without one, and for all beyond the table."""
    size = len(vocabulary)
    dtype = torch.uint8 if size < 2**8 else torch.int16 if size < 2**15 else torch.int32
    codes = [ord(character) for character in vocabulary.itos[1:]]
    table = torch.full((max([*codes, ord("\n")]) + 2,), torch.iinfo(dtype).max, dtype=dtype)
    table[ord("\n")] = 0
    table[codes] = torch.arange(1, size).to(dtype)
    return table


def _refuse(words: Sequence[str], vocabulary: Vocabulary) -> None:
    known = set(vocabulary.itos[1:])
    word = next(word for word in words if not known.issuperset(word))
    character = next(c for c in word if c not in known)
    raise DataError(
        f"the word {word!r} has {character!r}, which is not in the vocabulary {''.join(vocabulary.itos[1:])!r}"
        if BOUNDARY not in word
        else f"the word {word!r} has {BOUNDARY!r}, which marks where words start and end"
    )
