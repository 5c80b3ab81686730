"""Training on words that a teacher draws, beside those of the data.

A net soon knows a few thousand words by heart. A model of counts is too simple for that: fitted to the same words, it
draws as many others as one likes, and a net that learns from both is held to what the counts know wherever the words
say little. Huang, Stein, Rubin, Kou, "Catalytic prior distributions with application to generalized linear models",
PNAS 117 (2020), do so for other models; Kim, Rush, "Sequence-Level Knowledge Distillation" (2016),
https://arxiv.org/abs/1606.07947, let nets learn from what a teacher writes.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch

from zoo.data.datasets import Dataset, Examples, TextDataset
from zoo.data.loading import encode, encode_words
from zoo.data.vocabulary import Vocabulary
from zoo.data.words import sha256_of
from zoo.errors import UsageError
from zoo.plugin.registry import Entry
from zoo.plugin.settings import Signature
from zoo.plugin.specs import ModelSpec, Reads
from zoo.runs.plan import MODEL_INPUTS, Teaching
from zoo.training.building import asked_inputs, build_model, context_length, fit_model
from zoo.training.sampling import SamplingOptions, sample

WORDS_FOR_EACH = 8  # that the teacher draws for each word of the training split: enough that few are seen often
MOST_WORDS = 1 << 20
_AT_ONCE = 1 << 17
_SEEDS = 1 << 64


@dataclass(frozen=True)
class Lesson:
    """What a teacher has to say.

    Attributes:
        words: those that it drew, none empty, none longer than the longest of the data.
        share: their share of what is trained on.
        vocabulary, max_length: those of the data.
    """

    words: list[str]
    share: float
    vocabulary: Vocabulary
    max_length: int

    @property
    def sha256(self) -> str:
        """Identifies the words, as the data's digest does those of the data."""
        return sha256_of(self.words)

    def beside(self, examples: Examples, reads: Reads, context_length: int | None) -> Examples:
        """All that is trained on: the data's own examples and the teacher's, each as often as makes the share right.

        Args:
            examples: the training split as the model reads it.
            reads, context_length: how it does so.
        """
        length = self.max_length if reads == "sequences" else context_length
        drawn = encode_words({"train": self.words}, reads, length, self.vocabulary)["train"].to(examples.y.device)
        ratio = len(drawn) * (1 - self.share) / (len(examples) * self.share)
        parts = [examples] * max(1, round(ratio)) + [drawn] * max(1, round(1 / ratio))
        x, y = (torch.cat([getattr(part, name) for part in parts]) for name in "xy")  # (N, T), and (N,) or (N, T)
        return Examples(x, y, examples.x_dtype)


def prepare_lesson(teaching: Teaching, dataset: Dataset, seed: int) -> Lesson:
    """Fit the teacher to the training words, and let it draw.

    Args:
        teaching: who teaches, and how much.
        dataset: must be text.
        seed: of what is drawn.

    Raises:
        UsageError: the data is no text, the teacher cannot read it, or draws no word that is of use.
        PluginError: the teacher fails.
    """
    if not isinstance(dataset, TextDataset):
        raise UsageError("--teacher is for words, and this dataset is not text")
    entry = teaching.teacher
    model, longest = _fitted(entry, dataset), dataset.max_length
    wanted = min(WORDS_FOR_EACH * len(dataset.splits["train"]), MOST_WORDS)
    words: list[str] = []
    for number, start in enumerate(range(0, wanted, _AT_ONCE)):
        options = SamplingOptions(seed=(seed + number) % _SEEDS)
        count = min(_AT_ONCE, wanted - start)
        drawn = sample(model, dataset.vocabulary, count, options, reads=entry.spec.reads, max_length=longest)
        words += [word for word in drawn if 0 < len(word) < longest]  # `max_length` counts a word's end, too
    if not words:
        raise UsageError(f"--teacher {entry.spec.name} draws no words that are as short as those of the data")
    return Lesson(words, teaching.share, dataset.vocabulary, longest)


def _fitted(entry: Entry[ModelSpec], dataset: TextDataset) -> torch.nn.Module:
    """The teacher with its own settings. It has no weights to draw: any seed will do."""
    settings = Signature(entry.factory(), MODEL_INPUTS).resolve("model", {})
    try:
        model = build_model(entry, {**settings, **asked_inputs(entry, dataset)}, 0)
    except UsageError as error:  # of a setting, which only those who train the model itself can change
        raise UsageError(f"--teacher {entry.spec.name} cannot read this dataset: {error}") from error
    fit_model(entry, model, encode(dataset, entry.spec.reads, context_length(model))["train"])
    return model
