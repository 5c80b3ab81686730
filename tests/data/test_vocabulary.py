"""The vocabulary."""

from __future__ import annotations

import string
from collections.abc import Iterable

import pytest

from zoo import DataError, UsageError, Vocabulary

LETTERS = Vocabulary(string.ascii_lowercase)


def test_the_lectures_vocabulary_has_the_boundary_at_0_and_the_letters_from_1_to_26() -> None:
    assert LETTERS.itos == (".", *string.ascii_lowercase)


def test_stoi_is_the_inverse_of_itos() -> None:
    assert [LETTERS.stoi[character] for character in LETTERS.itos] == list(range(27))


@pytest.mark.parametrize("characters", ["cab", "abc", ["c", "a", "b", "a"], {"b", "c", "a"}, "c.a.b", "....abc"])
def test_order_repeats_and_the_boundary_do_not_matter(characters: Iterable[str]) -> None:
    assert Vocabulary(characters).itos == (".", "a", "b", "c")


def test_characters_follow_in_the_order_of_their_code_points() -> None:
    assert Vocabulary("жzаé😀aあ-").itos == (".", "-", "a", "z", "é", "а", "ж", "あ", "😀")


def test_a_character_below_the_boundary_still_comes_after_it() -> None:
    assert Vocabulary("-'a").itos == (".", "'", "-", "a")


def test_an_empty_vocabulary_has_only_the_boundary() -> None:
    assert list(Vocabulary("")) == ["."]


@pytest.mark.parametrize("characters", [["ab"], ["a", ""], ["a", "e\u0301"]], ids=["two", "none", "combining"])
def test_anything_but_single_characters_is_refused(characters: list[str]) -> None:
    with pytest.raises(DataError, match="made of single characters"):
        Vocabulary(characters)


def test_the_length_includes_the_boundary() -> None:
    assert len(LETTERS) == 27


def test_encode_gives_the_tokens_of_a_text() -> None:
    assert LETTERS.encode("emma") == [5, 13, 13, 1]


def test_the_empty_text_has_no_tokens() -> None:
    assert LETTERS.encode("") == []


@pytest.mark.parametrize(("text", "bad"), [("emmä", "'ä'"), ("Emma", "'E'"), ("em ma", "' '"), ("em.ma", "'.'")])
def test_encode_names_the_text_and_the_unknown_character(text: str, bad: str) -> None:
    with pytest.raises(UsageError) as caught:
        LETTERS.encode(text)
    assert str(caught.value) == f"{text!r} has {bad}, which is not in the vocabulary '{string.ascii_lowercase}'"


@pytest.mark.parametrize(
    ("numbers", "text"),
    [([], ""), ([0], ""), ([5, 13, 13, 1], "emma"), ([5, 13, 13, 1, 0], "emma"), ([5, 13, 0, 13, 1], "em")],
)
def test_decode_stops_at_the_first_boundary(numbers: list[int], text: str) -> None:
    assert LETTERS.decode(numbers) == text


@pytest.mark.parametrize("word", ["emma", "", "z" * 50, "zyxwvutsrqponmlkjihgfedcba"])
def test_decode_is_the_inverse_of_encode(word: str) -> None:
    assert LETTERS.decode(LETTERS.encode(word)) == word


def test_vocabularies_of_the_same_characters_are_equal() -> None:
    assert Vocabulary("ab") == Vocabulary("ba")


@pytest.mark.parametrize("other", [Vocabulary("ac"), Vocabulary("abc"), (".", "a", "b"), None])
def test_a_vocabulary_equals_nothing_else(other: object) -> None:
    assert Vocabulary("ab") != other


def test_equal_vocabularies_have_equal_hashes() -> None:
    assert hash(Vocabulary("ab")) == hash(Vocabulary("ba"))


def test_repr_shows_the_characters() -> None:
    assert repr(Vocabulary("ba")) == "Vocabulary('ab')"
