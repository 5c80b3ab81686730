"""The line that says what was read, at the start of a run."""

from __future__ import annotations

from zoo.data.corpus.dataset import CorpusDataset
from zoo.data.datasets import TextDataset
from zoo.data.kinds import Dataset
from zoo.data.summary.counting import fingerprints_of_splits, found_in_training
from zoo.data.tensors import TensorDataset

_COUNTED = 1_000_000  # words: with more, looking for the same ones in several splits would be noticed


def what_was_read(dataset: Dataset) -> str:
    """What a dataset has in it, in one line: `32,033 words, 26 different characters, the longest 15; …`."""
    if isinstance(dataset, CorpusDataset):
        return _running_text(dataset)
    if dataset.read_as is not None:
        return dataset.read_as
    return _words(dataset) if isinstance(dataset, TextDataset) else _tensors(dataset)


def _running_text(dataset: CorpusDataset) -> str:
    different = f"{dataset.vocab_size - 1:,} different" + (" tokens" if dataset.vocabulary is None else " characters")
    splits = ", ".join(f"{name} {count:,}" for name, count in dataset.counts.items())
    return f"{len(dataset):,} {dataset.unit} of running text, {different}; {splits}"


def _words(dataset: TextDataset) -> str:
    count, _ = dataset.size
    characters = len(dataset.vocabulary) - 1
    text = f"{count:,} words, {characters:,} different characters, the longest word {dataset.max_length - 1:,}"
    if count > _COUNTED:
        return text
    held_out = len(dataset.splits["val"]) + len(dataset.splits["test"])
    share = sum(found_in_training(fingerprints_of_splits(dataset)[1]).values()) / held_out
    return f"{text}; {share:.1%} of validation and test words are also in training"


def _tensors(dataset: TensorDataset) -> str:
    count = sum(dataset.counts.values())
    shape = ", ".join(map(str, dataset.example("train").x.shape[1:]))
    return f"{count:,} examples of shape ({shape}), {dataset.targets_text}"
