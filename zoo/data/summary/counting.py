"""Counting words and characters, vectorized over all tokens.

Axes: W words, N tokens, V characters of the vocabulary.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

from zoo.data.datasets import TextDataset
from zoo.data.examples import SplitName
from zoo.data.words import Words

if TYPE_CHECKING:
    from numpy.typing import NDArray

_WORDS = 1 << 14  # at once, so that the numbers of their tokens fit into the processor's cache


def fingerprints(words: Words) -> NDArray[Any]:
    """A number for each word, shape (W,): equal words have the same one.

    It is the sum of the tokens, each multiplied by a fixed number that belongs to its position, modulo 2**64. Two
    different words share one by chance about once in 2**56 pairs: not once in a list of a hundred million words.
    """
    import numpy as np

    lengths = words.lengths.astype(np.int64)
    found = np.empty(len(words), np.uint64)
    factors = _factors(int(lengths.max(initial=1)))
    for start in range(0, len(words), _WORDS):
        part = words[start : start + _WORDS]
        sizes = lengths[start : start + _WORDS]
        starts = sizes.cumsum() - sizes
        tokens = part.tokens.astype(np.uint64) + np.uint64(1)
        tokens *= factors[np.arange(len(tokens)) - np.repeat(starts, sizes)]
        found[start : start + len(sizes)] = np.add.reduceat(tokens, starts)
    return found


def _factors(size: int) -> NDArray[Any]:
    """Fixed odd numbers of 64 bits without a pattern: the outputs of SplitMix64 (Steele, Lea and Flood 2014)."""
    import numpy as np

    with np.errstate(over="ignore"):
        z = np.arange(1, size + 1, dtype=np.uint64) * np.uint64(0x9E3779B97F4A7C15)
        z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
        return (z ^ (z >> np.uint64(31))) | np.uint64(1)


def fingerprints_of_splits(dataset: TextDataset) -> tuple[NDArray[Any], dict[SplitName, NDArray[Any]]]:
    """The `fingerprints` of all words in the order of the text, and of those of each split."""
    import numpy as np

    splits = dataset.splits
    marks = fingerprints(splits["train"].all)  # in that order no token has to be moved
    return marks, {name: marks[np.asarray(words.indices)] for name, words in splits.items()}


def found_in_training(marks: Mapping[SplitName, NDArray[Any]]) -> dict[SplitName, int]:
    """How many words of the validation and the test split are also in the training split.

    Args:
        marks: the `fingerprints` of the words of each split.
    """
    import numpy as np

    train = np.sort(marks["train"])
    found: dict[SplitName, int] = {}
    held_out: tuple[SplitName, ...] = ("val", "test")
    for name in held_out:
        wanted = np.sort(marks[name])
        nearest = train[np.searchsorted(train, wanted).clip(max=len(train) - 1)]
        found[name] = int((nearest == wanted).sum())
    return found


def frequencies(words: Words, size: int) -> NDArray[Any]:
    """How often each token occurs, that of a word's end included: shape (V,)."""
    import numpy as np

    total = np.zeros(size, np.int64)
    for tokens in _tokens(words):
        total += np.bincount(tokens, minlength=size)
    return total


def _tokens(words: Words) -> Iterator[NDArray[Any]]:
    for start in range(0, len(words), _WORDS):
        yield words[start : start + _WORDS].tokens


def repeated(words: Words, marks: NDArray[Any], most: int) -> tuple[int, list[tuple[str, int]]]:
    """How many different words there are, and those that occur most often: at most so many, more than once each.

    Args:
        words: all words.
        marks: their `fingerprints`.
        most: how many are wanted.
    """
    import numpy as np

    _, first, counts = np.unique(marks, return_index=True, return_counts=True)
    order = np.lexsort((first, -counts))[:most]  # ties in the order of the words
    return len(counts), [(words[int(first[i])], int(counts[i])) for i in order if counts[i] > 1]
