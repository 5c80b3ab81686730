"""What is in running text: the numbers of `zoo data`.

Axes: N tokens, V tokens of the vocabulary.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from zoo.data.corpus.dataset import CorpusDataset

if TYPE_CHECKING:
    from numpy.typing import NDArray

_AT_ONCE = 1 << 20  # tokens, so that a text of any size takes bounded memory


def summary(dataset: CorpusDataset) -> dict[str, Any]:
    """All that `zoo data --json` says of running text."""
    counts = _counts(dataset)  # (V,)
    found: dict[str, Any] = {
        "unit": dataset.unit,
        "counts": {"total": len(dataset), **dataset.counts},
        "vocabulary": {"size": dataset.vocab_size, "used": int((counts > 0).sum()), "frequencies": []},
    }
    vocabulary = dataset.vocabulary
    if vocabulary is None:
        return found
    order = sorted(range(1, len(counts)), key=lambda token: (-int(counts[token]), token))
    frequencies = [{"character": vocabulary.itos[token], "count": int(counts[token])} for token in order]
    found["vocabulary"]["frequencies"] = frequencies
    found["lines"] = next((one["count"] for one in frequencies if one["character"] == "\n"), 0)
    return found


def _counts(dataset: CorpusDataset) -> NDArray[Any]:
    """How often each token occurs, shape (V,)."""
    import numpy as np
    import torch

    counts = np.zeros(dataset.vocab_size, np.int64)
    for start in range(0, len(dataset), _AT_ONCE):
        length = min(_AT_ONCE, len(dataset) - start)
        part = dataset.tokens.rows(torch.tensor([start]), length)[0]
        counts += np.bincount(part.numpy(), minlength=dataset.vocab_size)
    return counts
