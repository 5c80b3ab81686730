"""Drawing words from a model, of which the probabilities are known."""

from __future__ import annotations

import math
from collections import Counter

import pytest
import torch
from torch import Tensor, nn

from zoo import PluginError, TextDataset, UsageError, Vocabulary
from zoo.training import sampling
from zoo.training.sampling import LONGEST_WORD, SamplingOptions, sample, whereabouts

ABCD = Vocabulary("abcd")
NEVER = -math.inf


class Fixed(nn.Module):
    """The same logits whatever came before; what it is served is kept in `seen`."""

    def __init__(self, logits: list[float], context_length: int | None = 3) -> None:
        super().__init__()
        self.logits = torch.tensor(logits)
        self.context_length = context_length
        self.seen: list[Tensor] = []

    def forward(self, x: Tensor) -> Tensor:
        self.seen.append(x)
        return self.logits.expand(len(x), -1)


class FixedSequence(Fixed):
    """As `Fixed`, with logits at each position, of which all but the last are nonsense."""

    def forward(self, x: Tensor) -> Tensor:
        last = super().forward(x)
        return torch.cat([torch.full((len(x), x.shape[1] - 1, len(self.logits)), 1e9), last[:, None]], dim=1)


class Alphabet(nn.Module):
    """After `.` comes a, after a comes b, and so on; after d the word ends."""

    context_length = 2

    def forward(self, x: Tensor) -> Tensor:
        return 50.0 * torch.nn.functional.one_hot((x[:, -1] + 1) % 5, 5).float()


UNEVEN = [0.0, 1.0, -0.5, 0.3, 2.0]


def draw(model: nn.Module, n: int = 50, **options: object) -> list[str]:
    return sample(model, ABCD, n, SamplingOptions(**options))  # type: ignore[arg-type]


def test_as_many_words_are_drawn_as_were_asked_for() -> None:
    assert len(draw(Fixed(UNEVEN), 7)) == 7


def test_what_came_before_decides_what_comes_next() -> None:
    assert draw(Alphabet(), 3) == ["abcd"] * 3


@pytest.mark.parametrize("seed", [0, 1, 2**64 - 1])
def test_one_seed_draws_the_same_words_again(seed: int) -> None:
    assert draw(Fixed(UNEVEN), seed=seed) == draw(Fixed(UNEVEN), seed=seed)


def test_another_seed_draws_other_words() -> None:
    assert draw(Fixed(UNEVEN), seed=1) != draw(Fixed(UNEVEN), seed=2)


def test_the_lectures_seed_is_the_default() -> None:
    assert draw(Fixed(UNEVEN)) == draw(Fixed(UNEVEN), seed=2147483647 + 10)


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_temperature_0_takes_the_likeliest_whatever_the_seed(seed: int) -> None:
    assert draw(Fixed([0.9, 0.0, 1.0, 0.5, 0.2]), 2, temperature=0, seed=seed) == ["b" * LONGEST_WORD] * 2


@pytest.mark.parametrize("temperature", [0.5, 1.0, 100.0])
def test_top_1_takes_the_likeliest_whatever_the_temperature(temperature: float) -> None:
    words = draw(Fixed([0.9, 0.0, 1.0, 0.5, 0.2]), 2, top_k=1, temperature=temperature)
    assert words == ["b" * LONGEST_WORD] * 2


@pytest.mark.parametrize("temperature", [1e-6, 1e-30, 1e-38, 1e-45, 5e-324])
def test_a_temperature_just_above_0_takes_the_likeliest_too(temperature: float) -> None:
    assert draw(Fixed([9.0, 0.0, 10.0, 5.0, 2.0]), 2, temperature=temperature) == ["b" * LONGEST_WORD] * 2


@pytest.mark.parametrize("top_k", [5, 6, 1000])
def test_a_top_k_of_all_characters_or_more_changes_nothing(top_k: int) -> None:
    assert draw(Fixed(UNEVEN), top_k=top_k) == draw(Fixed(UNEVEN))


@pytest.mark.parametrize("top_k", [1, 2, 3, 4])
def test_top_k_draws_no_more_than_k_characters_even_where_all_are_tied(top_k: int) -> None:
    words = draw(Fixed([NEVER, 1.0, 1.0, 1.0, 1.0]), 100, top_k=top_k)
    assert len(set("".join(words))) == top_k


def test_top_k_keeps_the_likeliest() -> None:
    words = draw(Fixed([NEVER, 0.1, 3.0, 0.2, 2.9]), 100, top_k=2)
    assert set("".join(words)) == {"b", "d"}


def test_every_word_starts_with_the_prefix() -> None:
    assert {word[:3] for word in draw(Fixed(UNEVEN), prefix="dab")} == {"dab"}


def test_the_model_is_served_the_prefix() -> None:
    assert draw(Alphabet(), 2, prefix="ac") == ["acd"] * 2


def test_a_prefix_shorter_than_the_context_has_boundaries_before_it() -> None:
    model = Fixed([50.0, 0.0, 0.0, 0.0, 0.0])
    draw(model, 1, prefix="ad")
    assert model.seen[0].tolist() == [[0, 1, 4]]


@pytest.mark.parametrize(("prefix", "bad"), [("abz", "'z'"), ("A", "'A'"), ("a.b", "'.'"), ("ä", "'ä'")])
def test_a_prefix_with_an_unknown_character_is_refused_by_name(prefix: str, bad: str) -> None:
    with pytest.raises(UsageError, match=f"{prefix!r} has {bad}, which is not among 'abcd'"):
        draw(Fixed(UNEVEN), prefix=prefix)


@pytest.mark.parametrize(("length", "fits"), [(LONGEST_WORD - 1, True), (LONGEST_WORD, False)])
def test_a_prefix_must_leave_room_for_a_character(length: int, fits: bool) -> None:
    if fits:
        assert len(draw(Fixed(UNEVEN), 1, prefix="a" * length)[0]) in (length, length + 1)
    else:
        with pytest.raises(UsageError, match=f"is too long: at most {LONGEST_WORD - 1} characters"):
            draw(Fixed(UNEVEN), 1, prefix="a" * length)


@pytest.mark.parametrize("prefix", ["", "abc"])
def test_a_word_that_never_ends_is_cut(prefix: str) -> None:
    assert {len(word) for word in draw(Fixed([NEVER, 1.0, 1.0, 1.0, 1.0]), prefix=prefix)} == {LONGEST_WORD}


def test_a_model_that_ends_at_once_draws_empty_words() -> None:
    assert draw(Fixed([0.0, NEVER, NEVER, NEVER, NEVER]), 3) == ["", "", ""]


def test_drawing_ends_with_the_last_word() -> None:
    model = Fixed([0.0, NEVER, NEVER, NEVER, NEVER])
    draw(model, 3)
    assert len(model.seen) == 1


def test_a_word_that_has_ended_is_not_gone_on_with() -> None:
    model = Fixed([0.0, 0.0, 0.0, 0.0, 0.0], context_length=200)
    words = draw(model)
    shown = [["".join(ABCD.itos[i] for i in row if i) for row in x.tolist()] for x in model.seen]
    assert shown == [[word[:t] for word in words if len(word) >= t] for t in range(len(shown))]


@pytest.mark.parametrize("context_length", [1, 2, 3, 8])
def test_a_model_of_windows_is_served_its_own_context_length(context_length: int) -> None:
    model = Fixed(UNEVEN, context_length)
    draw(model)
    assert model.seen[0].shape == (50, context_length)
    assert {x.shape[1] for x in model.seen} == {context_length}


class Following(Fixed):
    """What follows depends on the two tokens before, and on which row of the batch it is on nothing."""

    def forward(self, x: Tensor) -> Tensor:
        super().forward(x)
        return torch.sin((7 * x[:, -2:-1] + 3 * x[:, -1:] + torch.arange(5)).float())


def test_of_very_many_words_equal_windows_are_served_once(monkeypatch: pytest.MonkeyPatch) -> None:
    each, once = Following(UNEVEN), Following(UNEVEN)
    words = draw(each, 3000)
    monkeypatch.setattr(sampling, "_MANY", 1)
    assert draw(once, 3000) == words
    assert max(len(x) for x in each.seen) == 3000
    for x in once.seen:
        assert len(x) == len({tuple(row) for row in x.tolist()}) <= 5**3


def test_windows_too_long_to_be_numbered_are_served_as_they_are(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sampling, "_MANY", 1)
    model = Fixed(UNEVEN, context_length=27)  # 5 ** 27 is above 2 ** 62
    words = draw(model)
    assert [len(x) for x in model.seen] == [sum(len(word) >= t for word in words) for t in range(len(model.seen))]


@pytest.mark.parametrize("drawn", [0.0, 0.5, 1 - 2**-53])
def test_what_has_no_probability_is_never_drawn(monkeypatch: pytest.MonkeyPatch, drawn: float) -> None:
    monkeypatch.setattr(torch, "rand", lambda *_, **__: torch.full((1, 1), drawn, dtype=torch.float64))
    assert draw(Fixed([NEVER, NEVER, 0.1, 0.3, NEVER]), 1)[0][0] in "bc"


@pytest.mark.parametrize("context_length", [None, 0, -1, 2.5, "3"])
def test_a_model_of_windows_without_a_context_length_is_an_error_of_its_plugin(context_length: object) -> None:
    model = Fixed(UNEVEN)
    model.context_length = context_length  # type: ignore[assignment]
    with pytest.raises(PluginError, match="Fixed reads windows, but has no attribute 'context_length'"):
        draw(model)


def test_a_model_of_sequences_is_served_all_that_came_before() -> None:
    model = FixedSequence([NEVER, 1.0, NEVER, NEVER, NEVER], context_length=None)
    assert sample(model, ABCD, 1, SamplingOptions(prefix="d"), reads="sequences", max_length=4) == ["daaa"]
    assert [x.tolist() for x in model.seen] == [[[0, 4]], [[0, 4, 1]], [[0, 4, 1, 1]]]


def test_a_model_of_sequences_never_sees_more_positions_than_it_has() -> None:
    model = FixedSequence([NEVER, 1.0, 1.0, 1.0, 1.0], context_length=None)
    sample(model, ABCD, 5, SamplingOptions(), reads="sequences", max_length=6)
    assert max(x.shape[1] for x in model.seen) == 6


def test_a_prefix_must_fit_the_positions_of_a_model_of_sequences() -> None:
    with pytest.raises(UsageError, match="the prefix 'abcd' is too long: at most 3 characters"):
        sample(FixedSequence(UNEVEN), ABCD, 5, SamplingOptions(prefix="abcd"), reads="sequences", max_length=4)


def test_windows_and_sequences_with_the_same_logits_give_the_same_words() -> None:
    words = sample(FixedSequence(UNEVEN, None), ABCD, 50, SamplingOptions(), reads="sequences")
    assert words == draw(Fixed(UNEVEN))


@pytest.mark.parametrize("temperature", [0.5, 1.0, 2.0])
@pytest.mark.parametrize("top_k", [None, 3])
def test_characters_come_as_often_as_they_should(temperature: float, top_k: int | None) -> None:
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


def test_a_model_with_spare_logits_draws_none_of_them() -> None:
    words = draw(Fixed([*UNEVEN, 9.0, 9.0, 9.0]))
    assert set("".join(words)) <= set("abcd")


def test_a_model_is_sampled_in_evaluation_mode() -> None:
    model = Fixed(UNEVEN).train()
    draw(model)
    assert not model.training


@pytest.mark.parametrize("n", [0, -1])
def test_at_least_one_word_must_be_asked_for(n: int) -> None:
    with pytest.raises(UsageError, match=f"the number of samples must be at least 1, got {n}"):
        draw(Fixed(UNEVEN), n)


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
    ("word", "place"),
    [("ab", "train"), ("dab", "train"), ("ca", "train"), ("bad", "val"), ("cad", "test"), ("abc", "new"), ("", "new")],
)
def test_a_word_is_found_in_the_first_split_that_has_it(word: str, place: str) -> None:
    assert whereabouts([word], WORDS) == [place]


def test_whereabouts_come_in_the_order_of_the_words() -> None:
    assert whereabouts(iter(["abc", "cad", "ab"]), WORDS) == ["new", "test", "train"]
