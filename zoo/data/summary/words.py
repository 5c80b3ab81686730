"""What is in a list of words: the numbers of `zoo data`.

Axes: W words, N tokens, V characters of the vocabulary.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from zoo.data.datasets import TextDataset
from zoo.data.summary.counting import fingerprints_of_splits, found_in_training, frequencies, repeated
from zoo.data.words import Words

if TYPE_CHECKING:
    from numpy.typing import NDArray

RARE = 10  # a character with fewer occurrences is rare
REPEATED = 20  # words that are listed with how often they occur


def summary(dataset: TextDataset) -> dict[str, Any]:
    """All that `zoo data --json` says of words."""
    words = dataset.splits["train"].all
    whole, marks = fingerprints_of_splits(dataset)
    different, most = repeated(words, whole, REPEATED)
    counts = frequencies(words, len(dataset.vocabulary))
    found = found_in_training(marks)
    held_out = len(marks["val"]) + len(marks["test"])
    return {
        "words": _sizes({name: len(part) for name, part in dataset.splits.items()}),
        "characters": _sizes({name: int(part.lengths.sum()) - len(part) for name, part in dataset.splits.items()}),
        "vocabulary": _vocabulary(dataset, counts),
        "lengths": _lengths(words),
        "duplicates": {
            "different": different,
            "repeated": [{"word": word, "count": count} for word, count in most],
            "within": {
                "total": len(words) - different,
                **{name: len(part) - _distinct(part) for name, part in marks.items()},
            },
            "also_in_training": {**_sizes(found), "share": sum(found.values()) / held_out},
        },
        "rare": _rare(words, counts, dataset),
        "unicode": _unicode(words, dataset),
    }


def _sizes(splits: Mapping[Any, int]) -> dict[str, int]:
    return {"total": sum(splits.values()), **splits}


def _distinct(marks: NDArray[Any]) -> int:
    import numpy as np

    return len(np.unique(marks))


def _vocabulary(dataset: TextDataset, counts: NDArray[Any]) -> dict[str, Any]:
    """The boundary first, then the characters, the most frequent first."""
    import numpy as np

    itos = dataset.vocabulary.itos
    order = [0, *(int(i) + 1 for i in np.argsort(-counts[1:], kind="stable"))]
    return {
        "size": len(itos),
        "boundary": dataset.vocabulary.boundary,
        "frequencies": [{"character": itos[i], "count": int(counts[i])} for i in order],
    }


def _lengths(words: Words) -> dict[str, Any]:
    """In characters, without the end of a word."""
    import numpy as np

    lengths = words.lengths.astype(np.int64) - 1
    return {
        "min": int(lengths.min()),
        "median": float(np.median(lengths)),
        "mean": float(lengths.mean()),
        "max": int(lengths.max()),
        "shortest": words[int(lengths.argmin())],
        "longest": words[int(lengths.argmax())],
    }


def _rare(words: Words, counts: NDArray[Any], dataset: TextDataset) -> list[dict[str, Any]]:
    """The characters that occur fewer than `RARE` times, the rarest first, each with the first word that has it."""
    import numpy as np

    rare = [int(i) + 1 for i in np.flatnonzero(counts[1:] < RARE)]
    if not rare:
        return []
    tokens = words.tokens
    first = np.full(len(counts), -1, np.int64)
    for end in range(len(tokens), 0, -(1 << 20)):  # from the end: what is assigned last is the first occurrence
        start = max(0, end - (1 << 20))
        first[tokens[start:end][::-1]] = np.arange(end - 1, start - 1, -1)
    at = np.searchsorted(words.text.bounds, first[rare], side="right") - 1
    found = [
        {"character": dataset.vocabulary.itos[token], "count": int(counts[token]), "word": words[int(word)]}
        for token, word in zip(rare, at, strict=True)
    ]
    return sorted(found, key=lambda one: int(one["count"]))


def _unicode(words: Words, dataset: TextDataset) -> dict[str, Any]:
    """The form of the words, how many are not composed (NFC), and how many words fewer there were if all were."""
    characters = dataset.vocabulary.itos[1:]
    if all(map(str.isascii, characters)):
        return {"form": "ASCII", "decomposed": 0, "would_merge": 0}
    decomposed = [word for word in words if not unicodedata.is_normalized("NFC", word)]
    if not decomposed:
        return {"form": "NFC", "decomposed": 0, "would_merge": 0}
    different = set(decomposed)
    composed = {unicodedata.normalize("NFC", word) for word in different}
    others = composed.intersection(words)  # a composed word is never one of the decomposed ones
    form = "NFD" if all(unicodedata.is_normalized("NFD", word) for word in words) else "mixed"
    merged = len(different) - len(composed) + len(others)
    return {"form": form, "decomposed": len(decomposed), "would_merge": merged}
