"""Synthetic data: words sampled from a fitted model, trained on beside those of the data.

A net soon memorizes 25,000 words. A model of counts is too simple for that: fitted to the same words, it
supplies as many others as one likes, and a net trained on both overfits less. Huang, Stein, Rubin, Kou, "Catalytic
prior distributions with application to generalized linear models", PNAS 117 (2020), do so for other models; Kim, Rush,
"Sequence-Level Knowledge Distillation" (2016), https://arxiv.org/abs/1606.07947, train nets on sequences that another
model generates.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch

from zoo.data.datasets import TextDataset
from zoo.data.examples import TensorExamples
from zoo.data.kinds import Dataset
from zoo.data.loading import encode, encode_words
from zoo.data.vocabulary import Vocabulary
from zoo.data.words import sha256_of
from zoo.errors import UsageError
from zoo.options.run import RunOptions
from zoo.phrasing import option
from zoo.plugin.registry import Entry
from zoo.plugin.settings import resolve_settings
from zoo.plugin.specs import ModelSpec, Reads
from zoo.training.building import asked_inputs, build_model, context_length, fit_model
from zoo.training.sampling.options import SamplingOptions
from zoo.training.sampling.words import sample

WORDS_FOR_EACH = 8  # sampled for each word of the training split: enough that few are seen often
MOST_WORDS = 1 << 20
_AT_ONCE = 1 << 17
_SEEDS = 1 << 64


@dataclass(frozen=True)
class SyntheticWords:
    """Words that a fitted model supplied.

    Attributes:
        words: none empty, none longer than the longest of the data.
        share: their share of what is trained on.
        vocabulary, max_length: those of the data.
    """

    words: list[str]
    share: float
    vocabulary: Vocabulary
    max_length: int

    @property
    def sha256(self) -> str:
        """Identifies the words, as a dataset's digest identifies its own."""
        return sha256_of(self.words)

    def beside(self, examples: TensorExamples, reads: Reads, context_length: int | None) -> TensorExamples:
        """All that is trained on: real and synthetic examples, each repeated until the share is right.

        Args:
            examples: the training split as the model reads it.
            reads, context_length: how the model reads text.
        """
        length = self.max_length if reads == "sequences" else context_length
        sampled = encode_words({"train": self.words}, reads, length, self.vocabulary)["train"].to(examples.device)
        ratio = len(sampled) * (1 - self.share) / (len(examples) * self.share)
        parts = [examples] * max(1, round(ratio)) + [sampled] * max(1, round(1 / ratio))
        x, y = (torch.cat([getattr(part, name) for part in parts]) for name in "xy")  # (N, T), and (N,) or (N, T)
        return TensorExamples(x, y, examples.x_dtype)


def sample_words(source: Entry[ModelSpec], options: RunOptions, dataset: Dataset) -> SyntheticWords:
    """Fit a model to the training words, and sample others from it.

    Args:
        source: the model, with its default settings.
        options: those of the run: the share of the synthetic words in each batch, and the seed of the sampling.
        dataset: must be text.

    Raises:
        UsageError: the data is not text, the model cannot read it, or no sampled word is of use.
        PluginError: the model fails.
    """
    if not isinstance(dataset, TextDataset):
        raise UsageError(f"{option('synthetic')} is for a dataset of words, and this is none")
    assert options.synthetic_share is not None  # the plan has decided it
    model, longest = _fitted(source, dataset), dataset.max_length
    total = min(WORDS_FOR_EACH * len(dataset.splits["train"]), MOST_WORDS)
    words: list[str] = []
    for number, start in enumerate(range(0, total, _AT_ONCE)):
        sampling = SamplingOptions(seed=(options.seed + number) % _SEEDS)
        count = min(_AT_ONCE, total - start)
        sampled = sample(model, dataset.vocabulary, count, sampling, reads=source.spec.reads, max_length=longest)
        words += [word for word in sampled if 0 < len(word) < longest]  # `max_length` counts a word's end, too
    if not words:
        raise UsageError(
            f"{option('synthetic', source.spec.name)} samples no words that are as short as those of the data"
        )
    return SyntheticWords(words, options.synthetic_share, dataset.vocabulary, longest)


def _fitted(source: Entry[ModelSpec], dataset: TextDataset) -> torch.nn.Module:
    """The model with its default settings, fitted. It has no initial weights, so any seed will do."""
    try:
        model = build_model(source, {**resolve_settings(source, {}), **asked_inputs(source, dataset)}, 0)
    except UsageError as error:  # of a setting, which only those who train the model itself can change
        raise UsageError(f"{option('synthetic', source.spec.name)} cannot read this dataset: {error}") from error
    fit_model(source, model, encode(dataset, source.spec.reads, context_length(model))["train"])
    return model
