"""Sampling running text, and only some words, from models with known probabilities."""

from __future__ import annotations

import math
from collections.abc import Iterator
from itertools import cycle

import pytest
import torch
from torch import Tensor, nn

from zoo import UsageError, ZooError
from zoo.data.vocabulary import START, Vocabulary
from zoo.training.sampling.options import SamplingOptions, drawn_seed
from zoo.training.sampling.running_text import sample_text
from zoo.training.sampling.words import choose
from zoo.training.text_model import TextModel

ABC = Vocabulary("abc\n", START)
NEVER = -math.inf


class Following(nn.Module):
    """After each character comes the next one of the vocabulary, and after the last one the first; `seen` is read."""

    def __init__(self, sequences: bool) -> None:
        super().__init__()
        self.sequences = sequences
        self.seen: list[list[list[int]]] = []

    def forward(self, x: Tensor) -> Tensor:
        self.seen.append(x.tolist())
        logits = 60.0 * torch.nn.functional.one_hot(x % 4 + 1, 5).float()
        return logits if self.sequences else logits[:, -1]


def text_model(module: nn.Module, *, sequences: bool, length: int = 4) -> TextModel:
    return TextModel(module, ABC, "sequences" if sequences else "windows", length, True)


@pytest.mark.parametrize("length", [1, 2, 7, 30])
@pytest.mark.parametrize("prompt", ["", "a", "ab", "abcabcabc", "\n\n"])
@pytest.mark.parametrize("sequences", [True, False])
def test_a_text_goes_on_after_the_prompt(sequences: bool, prompt: str, length: int) -> None:
    module = Following(sequences)
    texts = sample_text(text_model(module, sequences=sequences), 2, length, SamplingOptions(prefix=prompt, seed=1))
    alphabet = ABC.itos[1:]
    start = alphabet.index(prompt[-1] if prompt else "\n") + 1
    expected = prompt + "".join(alphabet[(start + i) % 4] for i in range(length))
    assert texts == [expected] * 2
    widths = [len(x[0]) for x in module.seen]
    assert widths == ([4] * length if not sequences else [min(4, max(1, len(prompt)) + i) for i in range(length)])
    assert module.seen[-1][0][-1] == ABC.stoi[texts[0][-2] if len(texts[0]) > 1 else "\n"]


class Fixed(nn.Module):
    """The same logits for every input."""

    def __init__(self, logits: list[float]) -> None:
        super().__init__()
        self.logits = torch.tensor(logits)

    def forward(self, x: Tensor) -> Tensor:
        return self.logits.expand(len(x), -1)


def test_token_0_and_spare_logits_are_never_sampled() -> None:
    model = text_model(Fixed([90.0, 0.0, 0.0, 0.0, 0.0, 90.0]), sequences=False)
    for options in (SamplingOptions(seed=1), SamplingOptions(temperature=0), SamplingOptions(top_k=2, seed=1)):
        [text] = sample_text(model, 1, 300, options)
        assert len(text) == 300
        assert set(text) <= set("abc\n")


@pytest.mark.parametrize("option", ["temperature", "top_k", "seed"])
def test_options_are_those_of_words(option: str) -> None:
    model = text_model(Fixed([0.0, 0.1, 0.2, 0.3, 0.4]), sequences=False)

    def sampled(**options: float) -> list[str]:
        return sample_text(model, 2, 200, SamplingOptions(**options))  # type: ignore[arg-type]

    if option == "seed":
        assert sampled(seed=1) == sampled(seed=1) != sampled(seed=2)
    else:
        assert sampled(**{option: 0 if option == "temperature" else 1}) == ["c" * 200] * 2


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((0, 5, ""), "the number of samples must be at least 1, got 0"),
        ((1, 0, ""), "the length must be at least 1, got 0"),
        ((1, 10**20, ""), "the length must be at most 1,000,000,000, got"),
        ((10**20, 1, ""), "the number of samples must be at most 1,000,000,000, got"),
        ((1, 2.5, ""), r"the length must be a whole number, got 2\.5"),
        ((1, 5, "axb"), "'axb' has 'x', which is not in the vocabulary"),
    ],
)
def test_what_is_out_of_range_is_refused(arguments: tuple[int, int, str], message: str) -> None:
    n, length, prompt = arguments
    with pytest.raises(UsageError, match=message):
        sample_text(text_model(Following(True), sequences=True), n, length, SamplingOptions(prefix=prompt))


def test_logits_that_are_nan_are_told() -> None:
    with pytest.raises(ZooError, match="its logits are NaN or infinite"):
        sample_text(text_model(Fixed([math.nan] * 5), sequences=False), 1, 5, SamplingOptions())


def test_without_a_newline_a_text_starts_at_token_0() -> None:
    module = Following(True)
    model = TextModel(module, Vocabulary("abcd", START), "sequences", 4, True)
    assert sample_text(model, 1, 2, SamplingOptions()) == ["ab"]
    assert module.seen[0] == [[0]]


def test_a_drawn_seed_is_another_each_time() -> None:
    assert len({drawn_seed() for _ in range(20)}) > 15


class Drawing:
    """Draws words of a cycle; `asked` has how many at a time."""

    def __init__(self, *words: str) -> None:
        self._words: Iterator[str] = cycle(words)
        self.asked: list[int] = []

    def __call__(self, n: int) -> list[str]:
        self.asked.append(n)
        return [next(self._words) for _ in range(n)]


@pytest.mark.parametrize("unique", [False, True])
@pytest.mark.parametrize("unlike", [(), ("b",), ("a", "b", "c")])
@pytest.mark.parametrize("n", [1, 2, 3, 20])
def test_only_the_wanted_words_are_chosen(unique: bool, unlike: tuple[str, ...], n: int) -> None:
    draw = Drawing("a", "", "b", "c")
    words, tries = choose(draw, n, unlike=unlike, unique=unique)
    wanted = [word for word in "abc" if word not in unlike]
    possible = 0 if not wanted else min(n, len(wanted)) if unique else n
    assert words == (wanted * n)[:possible]
    assert draw.asked[0] == n
    assert sum(draw.asked) == tries <= max(1000, 100 * n)
    assert (tries == max(1000, 100 * n)) == (possible < n)
