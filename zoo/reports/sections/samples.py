"""What the model samples: words in three groups (in the training split, held out, new), running text, or pictures."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from torch import Tensor

from zoo.data.datasets import TextDataset
from zoo.errors import ZooError
from zoo.plots.pictures import png_grid
from zoo.reports.reported import ReportedRun
from zoo.reports.section import Part
from zoo.reports.showing import one_in, percent, plural, png_url
from zoo.text import visible
from zoo.training.sampling.request import SampleRequest
from zoo.training.sampling.words import found_in

WORDS = 60
_CHARACTERS = 500  # of running text
_OTHERS = 20  # of what a model's own `generate` makes
_LARGEST_PNG = 200_000  # bytes
_GROUPS = {"In the training split": ("train",), "Held out": ("val", "test"), "New": ("new", "empty")}


@dataclass(frozen=True)
class Word:
    """A word that was sampled.

    Attributes:
        text: as it can be shown.
        times: how often it was sampled.
        likelihood: its probability in words; None where it has none.
    """

    text: str
    times: int
    likelihood: str | None


@dataclass(frozen=True)
class Group:
    """Words that are alike in where they are found: the most probable first."""

    title: str
    words: Sequence[Word]
    count: int
    share: str


def make(run: ReportedRun) -> Part | None:
    """What a run samples; None where nothing can be sampled from its model."""
    if not run.loaded.reads_text and run.loaded.entry.spec.generate is None:
        return None
    if run.loaded.samples_words:
        return _of_words(run)
    if run.loaded.entry.spec.generate is None:
        request = SampleRequest(run.seed, length=_CHARACTERS)
        (text,) = run.loaded.sampled(request).samples
        return _part(run, text=_lines(text))
    return _of_generate(run)


def group_words(words: Sequence[str], run: ReportedRun) -> list[Group]:
    """Words sorted by where they are found: in the training split, held out (in validation or test only), or nowhere.

    Without the data all are in one group.
    """
    dataset = run.dataset
    if not isinstance(dataset, TextDataset):
        return [_group("", words, words, run)]
    groups: dict[str, list[str]] = {title: [] for title in _GROUPS}
    for word, place in zip(words, found_in(words, dataset), strict=True):
        groups[next(title for title, places in _GROUPS.items() if place in places)].append(word)
    return [_group(title, found, words, run) for title, found in groups.items()]


def _group(title: str, found: Sequence[str], words: Sequence[str], run: ReportedRun) -> Group:
    likelihoods = {word: _log_probability(word, run) for word in set(found)}
    times = Counter(found)
    ordered = sorted(times, key=lambda word: (likelihoods[word] is None, -(likelihoods[word] or 0.0), word))
    shown = []
    for word in ordered:
        logprob = likelihoods[word]
        shown.append(Word(visible(word), times[word], None if logprob is None else one_in(logprob)))
    return Group(title, shown, len(found), percent(len(found) / len(words)))


def _log_probability(word: str, run: ReportedRun) -> float | None:
    try:
        return run.loaded.likelihood([word])[0].nats
    except ZooError:  # it is longer than the words that the model can read
        return None


def _of_words(run: ReportedRun) -> Part:
    words = run.loaded.sampled(SampleRequest(run.seed, n=WORDS)).samples
    assert isinstance(words, list)
    return _part(run, groups=group_words(words, run), count=plural(len(words), "word"), no_data=run.no_data)


def _of_generate(run: ReportedRun) -> Part:
    count = _OTHERS
    while True:
        samples = run.loaded.sampled(SampleRequest(run.seed, n=count)).samples
        if not isinstance(samples, Tensor):
            return _part(run, texts=[_lines(text) for text in samples])
        png = png_grid(samples.numpy())
        if len(png) <= _LARGEST_PNG or count == 1:
            return _part(run, picture=png_url(png), count=plural(count, "picture"))
        count = max(1, count // 2)


def _lines(text: str) -> str:
    """A text of several lines as it can be shown."""
    return "\n".join(map(visible, text.split("\n")))


def _part(run: ReportedRun, **values: object) -> Part:
    empty = {"groups": None, "text": None, "texts": None, "picture": None, "count": "", "no_data": None}
    return Part({**empty, **values, "seed": run.seed})
