"""Sampling words from models with known probabilities."""

from __future__ import annotations

import math
from collections import Counter

import pytest
import torch
from torch import Tensor, nn

from zoo import PluginError, TextDataset, UsageError, Vocabulary
from zoo.training.sampling import words as sampling
from zoo.training.sampling.options import SamplingOptions
from zoo.training.sampling.words import LONGEST_WORD, found_in, sample

ABCD = Vocabulary("abcd")
NEVER = -math.inf


class Fixed(nn.Module):
    """The same logits for every input; `seen` has the inputs."""

    def __init__(self, logits: list[float], context_length: int | None = 3) -> None:
        super().__init__()
        self.logits = torch.tensor(logits)
        self.context_length = context_length
        self.seen: list[Tensor] = []

    def forward(self, x: Tensor) -> Tensor:
        self.seen.append(x)
        return self.logits.expand(len(x), -1)


class FixedSequence(Fixed):
    """As `Fixed`, with logits at each position; only the last ones are meaningful."""

    def forward(self, x: Tensor) -> Tensor:
        last = super().forward(x)
        return torch.cat([torch.full((len(x), x.shape[1] - 1, len(self.logits)), 1e9), last[:, None]], dim=1)


class Alphabet(nn.Module):
    """After `.` comes a, after a comes b, and so on; after d the word ends."""

    context_length = 2

    def forward(self, x: Tensor) -> Tensor:
        return 50.0 * torch.nn.functional.one_hot((x[:, -1] + 1) % 5, 5).float()


UNEVEN = [0.0, 1.0, -0.5, 0.3, 2.0]


def samples(model: nn.Module, n: int = 50, **options: object) -> list[str]:
    return sample(model, ABCD, n, SamplingOptions(**options))  # type: ignore[arg-type]


class Elsewhere(Alphabet):
    """It is on another device, whose inputs must be there, too."""

    def __init__(self) -> None:
        super().__init__()
        self.W = nn.Parameter(torch.zeros(1, device="meta"))

    def forward(self, x: Tensor) -> Tensor:
        assert x.device.type == "meta"
        return torch.tensor([50.0, 0, 0, 0, 0]).expand(len(x), -1)


def test_a_model_on_another_device_gets_its_inputs_there() -> None:
    """`Loaded.evaluate` leaves it where it was evaluated."""
    assert samples(Elsewhere(), 3) == [""] * 3


def test_n_words_are_sampled() -> None:
    assert len(samples(Fixed(UNEVEN), 7)) == 7


def test_the_next_character_depends_on_the_context() -> None:
    assert samples(Alphabet(), 3) == ["abcd"] * 3


@pytest.mark.parametrize("seed", [0, 1, 2**64 - 1])
def test_the_same_seed_samples_the_same_words(seed: int) -> None:
    assert samples(Fixed(UNEVEN), seed=seed) == samples(Fixed(UNEVEN), seed=seed)


def test_another_seed_samples_other_words() -> None:
    assert samples(Fixed(UNEVEN), seed=1) != samples(Fixed(UNEVEN), seed=2)


def test_the_lectures_seed_is_the_default() -> None:
    assert samples(Fixed(UNEVEN)) == samples(Fixed(UNEVEN), seed=2147483647 + 10)


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_temperature_0_is_greedy_for_any_seed(seed: int) -> None:
    assert samples(Fixed([0.9, 0.0, 1.0, 0.5, 0.2]), 2, temperature=0, seed=seed) == ["b" * LONGEST_WORD] * 2


@pytest.mark.parametrize("temperature", [0.5, 1.0, 100.0])
def test_top_1_is_greedy_at_any_temperature(temperature: float) -> None:
    words = samples(Fixed([0.9, 0.0, 1.0, 0.5, 0.2]), 2, top_k=1, temperature=temperature)
    assert words == ["b" * LONGEST_WORD] * 2


@pytest.mark.parametrize("temperature", [1e-6, 1e-30, 1e-38, 1e-45, 5e-324])
def test_a_temperature_just_above_0_is_greedy_too(temperature: float) -> None:
    assert samples(Fixed([9.0, 0.0, 10.0, 5.0, 2.0]), 2, temperature=temperature) == ["b" * LONGEST_WORD] * 2


@pytest.mark.parametrize("top_k", [5, 6, 1000])
def test_a_top_k_of_all_characters_or_more_changes_nothing(top_k: int) -> None:
    assert samples(Fixed(UNEVEN), top_k=top_k) == samples(Fixed(UNEVEN))


@pytest.mark.parametrize("top_k", [1, 2, 3, 4])
def test_top_k_samples_at_most_k_characters_even_with_ties(top_k: int) -> None:
    words = samples(Fixed([NEVER, 1.0, 1.0, 1.0, 1.0]), 100, top_k=top_k)
    assert len(set("".join(words))) == top_k


def test_top_k_keeps_the_most_probable() -> None:
    words = samples(Fixed([NEVER, 0.1, 3.0, 0.2, 2.9]), 100, top_k=2)
    assert set("".join(words)) == {"b", "d"}


def test_every_word_starts_with_the_prefix() -> None:
    assert {word[:3] for word in samples(Fixed(UNEVEN), prefix="dab")} == {"dab"}


def test_the_model_reads_the_prefix() -> None:
    assert samples(Alphabet(), 2, prefix="ac") == ["acd"] * 2


def test_a_prefix_shorter_than_the_context_has_boundaries_before_it() -> None:
    model = Fixed([50.0, 0.0, 0.0, 0.0, 0.0])
    samples(model, 1, prefix="ad")
    assert model.seen[0].tolist() == [[0, 1, 4]]


@pytest.mark.parametrize(("prefix", "bad"), [("abz", "'z'"), ("A", "'A'"), ("a.b", "'.'"), ("ä", "'ä'")])
def test_a_prefix_with_an_unknown_character_is_refused_by_name(prefix: str, bad: str) -> None:
    with pytest.raises(UsageError, match=f"{prefix!r} has {bad}, which is not in the vocabulary 'abcd'"):
        samples(Fixed(UNEVEN), prefix=prefix)


@pytest.mark.parametrize(("length", "fits"), [(LONGEST_WORD - 1, True), (LONGEST_WORD, False)])
def test_a_prefix_must_leave_room_for_a_character(length: int, fits: bool) -> None:
    if fits:
        assert len(samples(Fixed(UNEVEN), 1, prefix="a" * length)[0]) in (length, length + 1)
    else:
        with pytest.raises(UsageError, match=f"is too long: at most {LONGEST_WORD - 1} characters"):
            samples(Fixed(UNEVEN), 1, prefix="a" * length)


@pytest.mark.parametrize("prefix", ["", "abc"])
def test_a_word_that_never_ends_is_truncated(prefix: str) -> None:
    assert {len(word) for word in samples(Fixed([NEVER, 1.0, 1.0, 1.0, 1.0]), prefix=prefix)} == {LONGEST_WORD}


def test_a_model_that_ends_at_once_samples_empty_words() -> None:
    assert samples(Fixed([0.0, NEVER, NEVER, NEVER, NEVER]), 3) == ["", "", ""]


def test_sampling_ends_with_the_last_word() -> None:
    model = Fixed([0.0, NEVER, NEVER, NEVER, NEVER])
    samples(model, 3)
    assert len(model.seen) == 1


def test_a_finished_word_is_not_continued() -> None:
    model = Fixed([0.0, 0.0, 0.0, 0.0, 0.0], context_length=200)
    words = samples(model)
    shown = [["".join(ABCD.itos[i] for i in row if i) for row in x.tolist()] for x in model.seen]
    assert shown == [[word[:t] for word in words if len(word) >= t] for t in range(len(shown))]


@pytest.mark.parametrize("context_length", [1, 2, 3, 8])
def test_a_model_of_windows_reads_its_own_context_length(context_length: int) -> None:
    model = Fixed(UNEVEN, context_length)
    samples(model)
    assert model.seen[0].shape == (50, context_length)
    assert {x.shape[1] for x in model.seen} == {context_length}


class Following(Fixed):
    """What follows depends on the two tokens before, and on which row of the batch it is on nothing."""

    def forward(self, x: Tensor) -> Tensor:
        super().forward(x)
        return torch.sin((7 * x[:, -2:-1] + 3 * x[:, -1:] + torch.arange(5)).float())


def test_equal_windows_of_many_words_are_evaluated_once(monkeypatch: pytest.MonkeyPatch) -> None:
    each, once = Following(UNEVEN), Following(UNEVEN)
    words = samples(each, 3000)
    monkeypatch.setattr(sampling, "_MANY", 1)
    assert samples(once, 3000) == words
    assert max(len(x) for x in each.seen) == 3000
    for x in once.seen:
        assert len(x) == len({tuple(row) for row in x.tolist()}) <= 5**3


def test_windows_too_long_for_integer_keys_are_not_merged(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sampling, "_MANY", 1)
    model = Fixed(UNEVEN, context_length=27)  # 5 ** 27 is above 2 ** 62
    words = samples(model)
    assert [len(x) for x in model.seen] == [sum(len(word) >= t for word in words) for t in range(len(model.seen))]


@pytest.mark.parametrize("drawn", [0.0, 0.5, 1 - 2**-53])
def test_characters_of_probability_0_are_never_sampled(monkeypatch: pytest.MonkeyPatch, drawn: float) -> None:
    monkeypatch.setattr(torch, "rand", lambda *_, **__: torch.full((1, 1), drawn, dtype=torch.float64))
    assert samples(Fixed([NEVER, NEVER, 0.1, 0.3, NEVER]), 1)[0][0] in "bc"


@pytest.mark.parametrize("context_length", [None, 0, -1, 2.5, "3"])
def test_a_model_of_windows_without_a_context_length_is_an_error_of_its_plugin(context_length: object) -> None:
    model = Fixed(UNEVEN)
    model.context_length = context_length  # type: ignore[assignment]
    with pytest.raises(PluginError, match="Fixed reads windows, and has no 'context_length' of at least 1"):
        samples(model)


def test_a_model_of_sequences_reads_the_full_prefix() -> None:
    model = FixedSequence([NEVER, 1.0, NEVER, NEVER, NEVER], context_length=None)
    assert sample(model, ABCD, 1, SamplingOptions(prefix="d"), reads="sequences", max_length=4) == ["daaa"]
    assert [x.tolist() for x in model.seen] == [[[0, 4]], [[0, 4, 1]], [[0, 4, 1, 1]]]


def test_a_model_of_sequences_never_reads_more_than_max_length() -> None:
    model = FixedSequence([NEVER, 1.0, 1.0, 1.0, 1.0], context_length=None)
    sample(model, ABCD, 5, SamplingOptions(), reads="sequences", max_length=6)
    assert max(x.shape[1] for x in model.seen) == 6


def test_a_prefix_must_fit_the_positions_of_a_model_of_sequences() -> None:
    with pytest.raises(UsageError, match="the prefix 'abcd' is too long: at most 3 characters"):
        sample(FixedSequence(UNEVEN), ABCD, 5, SamplingOptions(prefix="abcd"), reads="sequences", max_length=4)


def test_windows_and_sequences_with_the_same_logits_give_the_same_words() -> None:
    words = sample(FixedSequence(UNEVEN, None), ABCD, 50, SamplingOptions(), reads="sequences")
    assert words == samples(Fixed(UNEVEN))


@pytest.mark.parametrize("temperature", [0.5, 1.0, 2.0])
@pytest.mark.parametrize("top_k", [None, 3])
def test_characters_have_the_expected_frequencies(temperature: float, top_k: int | None) -> None:
    n = 20_000
    options = SamplingOptions(temperature, top_k, seed=1)
    words = sample(FixedSequence(UNEVEN), ABCD, n, options, reads="sequences", max_length=1)
    found = Counter(word or "." for word in words)
    weights = [math.exp(logit / temperature) for logit in UNEVEN]
    floor = sorted(weights)[-top_k] if top_k else 0.0
    total = sum(weight for weight in weights if weight >= floor)
    for character, weight in zip(ABCD, weights, strict=True):
        p = weight / total if weight >= floor else 0.0
        assert abs(found[character] / n - p) <= 4 * math.sqrt(p * (1 - p) / n)


def test_spare_logits_are_never_sampled() -> None:
    words = samples(Fixed([*UNEVEN, 9.0, 9.0, 9.0]))
    assert set("".join(words)) <= set("abcd")


@pytest.mark.parametrize("training", [True, False])
def test_a_model_is_sampled_in_evaluation_mode_and_left_as_it_was(training: bool) -> None:
    modes: set[bool] = set()
    model = Fixed(UNEVEN).train(training)
    model.register_forward_pre_hook(lambda module, _: modes.add(module.training))
    samples(model)
    assert modes == {False}
    assert model.training is training


@pytest.mark.parametrize("n", [0, -1])
def test_n_must_be_at_least_1(n: int) -> None:
    with pytest.raises(UsageError, match=f"the number of samples must be at least 1, got {n}"):
        samples(Fixed(UNEVEN), n)


@pytest.mark.parametrize(
    ("option", "value", "message"),
    [
        ("temperature", -0.1, "the temperature must be 0 or above, got -0.1"),
        ("temperature", math.nan, "the temperature must be 0 or above, got nan"),
        ("temperature", math.inf, "the temperature must be 0 or above, got inf"),
        ("top_k", 0, "top-k must be at least 1, got 0"),
        ("top_k", -3, "top-k must be at least 1, got -3"),
        ("seed", -1, "the seed must be from 0 to 2**64 - 1, got -1"),
        ("seed", 2**64, f"the seed must be from 0 to 2**64 - 1, got {2**64}"),
    ],
)
def test_an_option_out_of_range_is_refused_by_value(option: str, value: float, message: str) -> None:
    with pytest.raises(UsageError) as caught:
        SamplingOptions(**{option: value})  # type: ignore[arg-type]
    assert str(caught.value) == message


WORDS = TextDataset(["ab", "ba", "ca", "da", "ab", "cab", "dab", "ca", "bad", "cad"])


@pytest.mark.parametrize(
    ("word", "split"),
    [
        ("ab", "train"),
        ("dab", "train"),
        ("ca", "train"),
        ("bad", "val"),
        ("cad", "test"),
        ("abc", "new"),
        ("", "empty"),
    ],
)
def test_a_word_is_found_in_the_first_split_that_has_it(word: str, split: str) -> None:
    assert found_in([word], WORDS) == [split]


def test_found_in_keeps_the_order_of_the_words() -> None:
    assert found_in(iter(["abc", "cad", "ab"]), WORDS) == ["new", "test", "train"]
