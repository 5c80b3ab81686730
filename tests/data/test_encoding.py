"""Encoding words as tensors, compared with the lecture's `build_dataset`."""

from __future__ import annotations

import random
from collections.abc import Sequence
from pathlib import Path

import pytest
import torch
from torch import Tensor

from zoo import DataError, TextDataset, Vocabulary
from zoo.data.encoding import encode_sequences, encode_windows
from zoo.data.examples import TensorExamples

ALPHABETS = {
    "Latin": "abcdefghijklmnopqrstuvwxyz",
    "below the boundary": "-' !",
    "Cyrillic": "абвгдежзийклмнопрстуфхцчшщъыьэюя",
    "Japanese": "あいうえおかきくけこ名前漢字",
    "emoji": "😀🦊🐉🪐🇸",
    "mixed": "aß€語𝔸\U0010ffff\x00\x0c\u2028",
    "one letter": "z",
    "254 characters": "".join(map(chr, range(0x100, 0x100 + 254))),
    "255 characters": "".join(map(chr, range(0x100, 0x100 + 255))),
    "300 characters": "".join(map(chr, range(0x4E00, 0x4E00 + 300))),
}
each_alphabet = pytest.mark.parametrize("alphabet", ALPHABETS.values(), ids=ALPHABETS.keys())


def build_dataset(words: Sequence[str], stoi: dict[str, int], block_size: int) -> tuple[Tensor, Tensor]:
    """The lecture's loop over characters."""
    X, Y = [], []
    for w in words:
        context = [0] * block_size
        for ch in [*w, "."]:
            ix = stoi[ch]
            X.append(context)
            Y.append(ix)
            context = [*context[1:], ix]
    return torch.tensor(X), torch.tensor(Y)


def random_words(alphabet: str, count: int = 200, longest: int = 9) -> list[str]:
    """Words of 1 to `longest` characters, every character in one of them at least."""
    rng = random.Random(7)
    return [*alphabet, *("".join(rng.choices(alphabet, k=rng.randint(1, longest))) for _ in range(count))]


def assert_same(examples: TensorExamples, x: Tensor, y: Tensor) -> None:
    assert torch.equal(examples.x.long(), x)
    assert torch.equal(examples.y.long(), y)


LETTERS = Vocabulary(ALPHABETS["Latin"])


def test_emma_gives_the_five_examples_of_the_lecture() -> None:
    examples = encode_windows(["emma"], LETTERS, 3)
    shown = [
        f"{''.join(LETTERS.itos[i] for i in x)} -> {LETTERS.itos[y]}"
        for x, y in zip(examples.x.tolist(), examples.y.tolist(), strict=True)
    ]
    assert shown == ["... -> e", "..e -> m", ".em -> m", "emm -> a", "mma -> ."]


def test_a_context_does_not_cross_words() -> None:
    assert encode_windows(["zzzz", "ab"], LETTERS, 3).x[5:].tolist() == [[0, 0, 0], [0, 0, 1], [0, 1, 2]]


@each_alphabet
@pytest.mark.parametrize("context_length", [1, 2, 3, 4, 5, 6, 7, 8, 15])
def test_windows_equal_the_lectures_for_any_alphabet_and_context(alphabet: str, context_length: int) -> None:
    words = random_words(alphabet)
    vocabulary = Vocabulary(alphabet)
    x, y = build_dataset(words, vocabulary.stoi, context_length)
    assert_same(encode_windows(words, vocabulary, context_length), x, y)


def test_a_context_longer_than_the_text_is_filled_with_boundaries() -> None:
    x, y = build_dataset(["ab", "c"], LETTERS.stoi, 40)
    assert_same(encode_windows(["ab", "c"], LETTERS, 40), x, y)


@pytest.mark.parametrize(
    ("size", "dtype"), [(27, torch.uint8), (255, torch.uint8), (256, torch.int16), (40_000, torch.int32)]
)
def test_tokens_are_stored_in_the_smallest_type(size: int, dtype: torch.dtype) -> None:
    vocabulary = Vocabulary(map(chr, range(0x10000, 0x10000 + size - 1)))
    word = vocabulary.itos[1] + vocabulary.itos[-1]
    examples = encode_windows([word], vocabulary, 1)
    assert (examples.y.dtype, examples.y.tolist()) == (dtype, [1, size - 1, 0])


def test_batches_of_windows_are_int64() -> None:
    x, y = encode_windows(["emma"], LETTERS, 3).gather(torch.tensor([4]))
    assert (x.dtype, x.tolist(), y.tolist()) == (torch.int64, [[13, 13, 1]], [0])


def test_chunks_are_joined_correctly() -> None:
    words = [f"{a}{b}" for a in "ab" for b in "cd"] * 20_000
    x, y = build_dataset(words[:4], LETTERS.stoi, 3)
    assert_same(encode_windows(words, LETTERS, 3), x.repeat(20_000, 1), y.repeat(20_000))


@pytest.mark.parametrize(
    ("word", "bad"), [("emmä", "'ä'"), ("Emma", "'E'"), ("😀", "'😀'"), ("a b", "' '"), ("\U0010ffff", r"'\U0010ffff'")]
)
def test_a_character_that_is_not_in_the_vocabulary_is_named_with_its_word(word: str, bad: str) -> None:
    with pytest.raises(DataError) as caught:
        encode_windows(["anna", word, "bob"], Vocabulary("abnome"), 3)
    assert str(caught.value) == f"the word {word!r} has {bad}, which is not in the vocabulary 'abemno'"


def test_a_dot_is_refused_by_a_vocabulary_that_writes_the_boundary_with_it() -> None:
    with pytest.raises(DataError, match=r"the word 'st\.john' has '\.', which is not in the vocabulary 'abc"):
        encode_windows(["anna", "st.john"], LETTERS, 3)


# Sequences


def padded(words: Sequence[str], stoi: dict[str, int], length: int) -> tuple[Tensor, Tensor]:
    """Padded sequences, in a loop over words."""
    xs, ys = [], []
    for word in words:
        numbers = [stoi[ch] for ch in word]
        xs.append([0, *numbers] + [0] * (length - len(numbers) - 1))
        ys.append([*numbers, 0] + [-1] * (length - len(numbers) - 1))
    return torch.tensor(xs), torch.tensor(ys)


def test_emma_in_six_positions_is_padded_and_its_last_target_ignored() -> None:
    examples = encode_sequences(["emma"], LETTERS, 6)
    assert (examples.x.tolist(), examples.y.tolist()) == ([[0, 5, 13, 13, 1, 0]], [[5, 13, 13, 1, 0, -1]])


@each_alphabet
@pytest.mark.parametrize("length", [10, 17])
def test_sequences_equal_those_of_plain_python(alphabet: str, length: int) -> None:
    words = random_words(alphabet)
    vocabulary = Vocabulary(alphabet)
    assert_same(encode_sequences(words, vocabulary, length), *padded(words, vocabulary.stoi, length))


def test_batches_of_sequences_keep_their_ignored_targets() -> None:
    _, y = encode_sequences(["ab", "a"], LETTERS, 4).gather(torch.tensor([1]))
    assert (y.dtype, y.tolist()) == (torch.int64, [[1, 0, -1, -1]])


def test_a_word_may_fill_all_positions() -> None:
    assert encode_sequences(["emma"], LETTERS, 5).y.tolist() == [[5, 13, 13, 1, 0]]


def test_a_word_that_does_not_fit_is_named() -> None:
    with pytest.raises(DataError, match="the word 'annabel' does not fit in 5 positions"):
        encode_sequences(["emma", "annabel", "emily"], LETTERS, 5)


def test_sequences_name_an_unknown_character_with_its_word() -> None:
    with pytest.raises(DataError, match="the word 'zoë' has 'ë'"):
        encode_sequences(["emma", "zoë"], LETTERS, 9)


# The lecture's names


@pytest.mark.parametrize(
    ("shuffle_seed", "sizes"), [(None, [182_778, 22_633, 22_735]), (42, [182_625, 22_655, 22_866])]
)
def test_the_lectures_names_give_the_lectures_tensors(
    names_txt: Path, shuffle_seed: int | None, sizes: list[int]
) -> None:
    words = names_txt.read_text().splitlines()
    if shuffle_seed is not None:
        random.Random(shuffle_seed).shuffle(words)
    n1, n2 = int(0.8 * len(words)), int(0.9 * len(words))
    dataset = TextDataset.from_file(names_txt).arranged(split=None, shuffle_seed=shuffle_seed)
    parts = [encode_windows(split, dataset.vocabulary, 3) for split in dataset.splits.values()]
    assert [len(part) for part in parts] == sizes
    for part, own in zip(parts, [words[:n1], words[n1:n2], words[n2:]], strict=True):
        assert_same(part, *build_dataset(own, LETTERS.stoi, 3))
