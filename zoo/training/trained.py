"""A trained model, and what it is for: samples and predictions."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, Literal

import torch
from torch import nn

from zoo import stages
from zoo.ambient import in_neutral_state
from zoo.data.encoding import MAX_CHARACTERS
from zoo.data.tensors import Targets
from zoo.data.vocabulary import Vocabulary
from zoo.errors import MORE, UsageError, memory_errors, warn
from zoo.numbers import show_value
from zoo.phrasing import told
from zoo.plugin.registry import Entry
from zoo.plugin.settings import split_sections
from zoo.plugin.specs import ModelSpec
from zoo.training.building import window_length
from zoo.training.device import threads
from zoo.training.prediction.results import Likelihood, Probabilities
from zoo.training.prediction.tensors import inputs_of, outputs_of, predictions
from zoo.training.sampling.generating import SECTION, generate
from zoo.training.sampling.options import SamplingOptions, drawn_seed
from zoo.training.sampling.request import Kind, Sampled, SampleRequest
from zoo.training.sampling.running_text import LENGTH, sample_text
from zoo.training.sampling.words import LONGEST_WORD, choose, sample
from zoo.training.text_model import Codec, TextModel


@dataclass(frozen=True)
class TrainedOn:
    """What samples and predictions need to know of a model's training.

    Attributes:
        text: whether it was trained on words, on running text, or on none.
        codec: makes tokens of its text.
        max_length: the most positions that a model of sequences can read; None for any number.
        words: those of its data.
        targets: what a model of tensors predicts.
        classes: the names of its classes, where they have any.
        features: how many numbers each of its inputs has, where that is known.
        offered: what its `generate` may ask for by name.
        threads: with which it computes: another number may give other last digits.
    """

    text: Literal["words", "text"] | None
    codec: Callable[[], Codec]
    max_length: int | None
    words: Callable[[], Collection[str]]
    targets: Targets
    classes: Sequence[str] | None
    features: int | None
    offered: Mapping[str, Any]
    threads: int


class Trained:
    """A trained model.

    Attributes:
        model: on any device. It is left as it was.
        entry: its spec and plugin.
    """

    model: nn.Module
    entry: Entry[ModelSpec]

    @property
    def _trained_on(self) -> TrainedOn:
        raise NotImplementedError

    @property
    def reads_text(self) -> bool:
        """Whether it is a model of text."""
        return self._trained_on.text is not None

    @property
    def samples_words(self) -> bool:
        """Whether what is sampled from it are words, which its data may have."""
        return self._kind == "words"

    @property
    def _kind(self) -> Kind | None:
        """What can be sampled from it; None if nothing."""
        return "generate" if self.entry.spec.generate is not None else self._trained_on.text

    def sample(
        self,
        n: int | None = None,
        *,
        seed: int | None = None,
        temperature: float | None = None,
        top_k: int | None = None,
        prefix: str | None = None,
        new: bool = False,
        unique: bool = False,
        prompt: str | None = None,
        length: int | None = None,
        settings: Mapping[str, object] | None = None,
    ) -> Any:
        """Sample from the model: 20 words, one running text, or 20 of what the `generate` of its spec makes.

        The arguments are those of `zoo.training.sampling.request.SampleRequest`. Without a seed, each call samples
        something else.

        Returns:
            A list of words or texts; or pictures, a tensor of shape (N, H, W) or (N, 3, H, W) in 0..1. Where only new
            or unique words are wanted and the model has no more of them, fewer, with a warning.

        Raises:
            UsageError: the model cannot be sampled from, or an option is out of range or not for it.
            DataError: new words are wanted, and the data is not there to compare with.
            PluginError: the model fails.
            ZooError: its logits are NaN or infinite.
        """
        seed = drawn_seed() if seed is None else seed
        asked = (n, temperature, top_k, prefix, new, unique, prompt, length)
        sampled = self.sampled(SampleRequest(seed, *asked, settings=settings or {}))
        if sampled.missing is not None:
            warn(sampled.missing)
        return sampled.samples

    @in_neutral_state
    @memory_errors(MORE)
    @stages.within("Sampling")
    def sampled(self, request: SampleRequest, known: Callable[[], Collection[str]] | None = None) -> Sampled:
        """`sample`, for a request; `known` gives the words that are not new, by default those of the model's data."""
        on, kind = self._trained_on, self._kind
        if kind is None:
            others = told(typed="'zoo predict' and 'zoo eval' are for it", python="predict() and evaluate() are for it")
            raise UsageError(
                f"{self.entry.title} was not trained on text, and its spec has no 'generate': there is nothing to "
                f"sample; {others}"
            )
        request.check(kind, self.entry.title)
        n, options = request.count(kind), request.options
        with threads(on.threads):
            if kind == "generate":
                settings = split_sections(request.settings, (SECTION,))[SECTION]
                made = generate(self.entry, self.model, n, options.seed, settings, on.offered)
                return Sampled(made, kind, n)
            if kind == "text":
                length = LENGTH if request.length is None else request.length
                return Sampled(sample_text(self.as_text(), n, length, options), kind, n)
            draw = self._sampling_words(options)
            if not (request.new or request.unique):
                return Sampled(draw(n), kind, n)
            unlike = (known or on.words)() if request.new else ()
            words, tries = choose(draw, n, unlike=unlike, unique=request.unique)
            return Sampled(words, kind, n, tries)

    def _sampling_words(self, options: SamplingOptions) -> Callable[[int], list[str]]:
        """What samples so many words, more of them with each call."""
        text = self.as_text()
        assert isinstance(text.codec, Vocabulary)
        generator = torch.Generator().manual_seed(options.seed)
        given: Any = {"reads": text.reads, "max_length": text.length if text.reads == "sequences" else LONGEST_WORD}
        return partial(sample, text.module, text.codec, options=options, generator=generator, **given)

    @in_neutral_state
    @memory_errors(MORE)
    @stages.within("Predicting")
    def predict(self, inputs: Any) -> Any:
        """What the model says of inputs.

        Args:
            inputs: of a model of text: a text, or a list of texts, of each of which it predicts the next character. Of
                any other: its inputs, of shape (N, ...), as a tensor, an array or nested lists.

        Returns:
            `zoo.training.prediction.results.Probabilities` of characters or classes. Of a model whose targets are
            numbers, or the inputs themselves, its output: a tensor (N, ...), or what else its `forward` returns.

        Raises:
            UsageError: the inputs do not fit, or a text has a character that the vocabulary lacks.
            PluginError: the model fails.
            ZooError: what it computes is NaN or infinite.
        """
        on = self._trained_on
        with threads(on.threads):
            if on.text is not None:
                model = self.as_text()
                contexts = [model.context(text) for text in _texts(inputs)]
                return Probabilities(model.next_probabilities(contexts), tuple(model.codec.itos))
            x = inputs_of(inputs, self.model, on.features)
            return predictions(outputs_of(self.model, x), on.targets, on.classes)

    @in_neutral_state
    @memory_errors(MORE)
    @stages.within("Predicting")
    def likelihood(self, texts: str | Sequence[str]) -> list[Likelihood]:
        """How probable words, or running texts, are for a model of text.

        The sum over the words of a split, divided by the sum of their counts, is minus the loss of the split.

        Raises:
            UsageError: it is no model of text; or a text has a character that the vocabulary lacks, or is too long.
            PluginError: the model fails.
        """
        on = self._trained_on
        if on.text is None:
            raise UsageError(f"{self.entry.title} was not trained on text: it knows no likelihood of one")
        with threads(on.threads):
            model = self.as_text()
            found = [(text, model.log_likelihoods(text)) for text in _texts(texts)]
        return [Likelihood(text, float(logprobs.sum()), len(logprobs)) for text, logprobs in found]

    def as_text(self) -> TextModel:
        """A model of text with its tokens and what it reads of them."""
        on, reads = self._trained_on, self.entry.spec.reads
        length = window_length(self.model) if reads == "windows" else on.max_length or MAX_CHARACTERS
        return TextModel(self.model, on.codec(), reads, length, on.text == "text")


def _texts(given: Any) -> list[str]:
    texts = [given] if isinstance(given, str) else given
    if not isinstance(texts, Sequence) or not texts or not all(isinstance(text, str) for text in texts):
        raise UsageError(f"a model of text takes a text, or a list of texts, got {show_value(given)}")
    return list(texts)
