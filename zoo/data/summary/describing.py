"""What is in a dataset of any kind, as plain data."""

from __future__ import annotations

from typing import Any

from zoo.data.corpus.dataset import CorpusDataset
from zoo.data.datasets import TextDataset
from zoo.data.kinds import Dataset


def describe(dataset: Dataset) -> dict[str, Any]:
    """What is in a dataset, as `zoo data --json` prints it: its kind, its digest, and counts that depend on the kind.

    Every example is counted; what takes longer than a pass over the data is bounded.
    """
    if isinstance(dataset, TextDataset):
        from zoo.data.summary.words import summary as of_words

        return {"kind": "text", "sha256": dataset.sha256, **of_words(dataset)}
    if isinstance(dataset, CorpusDataset):
        from zoo.data.summary.corpus import summary as of_corpus

        return {"kind": "corpus", "sha256": dataset.sha256, **of_corpus(dataset)}
    from zoo.data.summary.tensors import summary as of_tensors

    return {"kind": "tensors", "sha256": dataset.sha256, **of_tensors(dataset)}
