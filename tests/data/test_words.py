"""Words as one array of tokens, compared with plain Python on lists of str."""

from __future__ import annotations

import random
import sys
import tracemalloc
from pathlib import Path
from typing import TypeAlias

import numpy as np
import pytest
import torch

from zoo import DataError, TextDataset, Vocabulary
from zoo.data import words as module
from zoo.data.encoding import encode_windows
from zoo.data.loading import encode
from zoo.data.words import Text, Words, batches, chunks_of_list, has_unknown, tokenize

ALPHABETS = {
    "plain": "abcdefghij",
    "accents": "aeéñ'-",
    "Cyrillic": "абвгд",
    "emoji": "a😀🦊",
    "blanks": "ab \t\r\x0c\x1c\x85\u00a0\u2028\u3000",
    "300 characters": "".join(map(chr, range(0x4E00, 0x4E00 + 300))),
}
ENDS = ["\n", "\r\n", "\n\n", " \n", "\n\t", "\n \r\n\u3000"]
each_alphabet = pytest.mark.parametrize("alphabet", ALPHABETS.values(), ids=ALPHABETS.keys())


@pytest.fixture(params=["default", "small"])
def sizes(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """The default chunk sizes, and chunks so small that every text has several."""
    if request.param == "small":
        monkeypatch.setattr(module, "CHARACTERS", 5)
        monkeypatch.setattr(module, "WORDS", 3)
        monkeypatch.setattr("zoo.data.encoding.WORDS", 3)
        monkeypatch.setattr("zoo.data.encoding._EXAMPLES", 4)


# Files, against plain Python

Rows: TypeAlias = tuple[list[list[int]], list[int]]


def read(content: str) -> list[str]:
    return [line.strip() for line in content.removeprefix("\ufeff").split("\n") if line.strip()]


def arrange(words: list[str], seed: int | None) -> dict[str, list[str]]:
    words = words.copy()
    if seed is not None:
        random.Random(seed).shuffle(words)
    first, second = int(len(words) * 0.8), int(len(words) * 0.9)
    return {"train": words[:first], "val": words[first:second], "test": words[second:]}


def windows(words: list[str], characters: list[str], context_length: int) -> Rows:
    X, Y = [], []
    for word in words:
        context = [0] * context_length
        for character in [*word, "."]:
            number = 0 if character == "." else 1 + characters.index(character)
            X.append(context)
            Y.append(number)
            context = [*context[1:], number]
    return X, Y


def sequences(words: list[str], characters: list[str], length: int) -> tuple[list[list[int]], list[list[int]]]:
    rows = [[1 + characters.index(character) for character in word] for word in words]
    return (
        [([0, *row] + [0] * length)[:length] for row in rows],
        [([*row, 0] + [-1] * length)[:length] for row in rows],
    )


@pytest.mark.usefixtures("sizes")
@each_alphabet
@pytest.mark.parametrize("seed", [None, 3])
@pytest.mark.parametrize("trial", range(8))
def test_a_file_gives_the_same_as_plain_python(tmp_path: Path, alphabet: str, seed: int | None, trial: int) -> None:
    rng = random.Random(f"{alphabet}{trial}")
    lines = ["".join(rng.choices(alphabet, k=rng.choice([1, 2, 3, 9]))) for _ in range(rng.randint(12, 40))]
    content = rng.choice(["", "\ufeff"]) + rng.choice(ENDS).join(["aa", *lines]) + rng.choice(["", *ENDS])
    (tmp_path / "words.txt").write_bytes(content.encode())
    dataset = TextDataset.from_file(tmp_path / "words.txt").arranged(split=None, shuffle_seed=seed)
    words = read(content)
    characters = sorted(set("".join(words)))
    longest = max(map(len, words)) + 1
    parts = arrange(words, seed)

    assert dataset.vocabulary.itos == (".", *characters)
    assert dataset.max_length == longest
    assert dataset.splits == parts
    for name, part in encode(dataset, "windows", 3).items():
        assert (part.x.tolist(), part.y.tolist()) == windows(parts[name], characters, 3)
        assert part.x.dtype == part.y.dtype == (torch.uint8 if len(characters) < 255 else torch.int16)
    for name, part in encode(dataset, "sequences", None).items():
        assert (part.x.tolist(), part.y.tolist()) == sequences(parts[name], characters, longest)
    assert dataset.words == words


@pytest.mark.usefixtures("sizes")
@each_alphabet
def test_a_list_and_a_file_give_the_same_tensors(tmp_path: Path, alphabet: str) -> None:
    letters = "".join(alphabet.split())
    words = ["".join(random.Random(number).choices(letters, k=1 + number % 7)) for number in range(50)]
    (tmp_path / "words.txt").write_text("\n".join(words), encoding="utf-8")
    listed = encode(TextDataset(words), "windows", 4)
    for name, part in encode(TextDataset.from_file(tmp_path / "words.txt"), "windows", 4).items():
        assert torch.equal(part.x, listed[name].x)
        assert torch.equal(part.y, listed[name].y)


@pytest.mark.usefixtures("sizes")
@pytest.mark.parametrize("start", [b"", b"\xef\xbb\xbf"], ids=["no BOM", "BOM"])
@pytest.mark.parametrize("place", [0, 1, 5, 17, 30])
def test_an_invalid_byte_is_reported_by_its_offset_after_the_bom(tmp_path: Path, start: bytes, place: int) -> None:
    content = "añb\r\nca\n\ncd\r\na\n\u2028c\r\nda\naa\n".encode()
    content = content[:place] + b"\xff" + content[place:]
    with pytest.raises(UnicodeDecodeError) as expected:
        content.decode()
    (tmp_path / "words.txt").write_bytes(start + content)
    with pytest.raises(
        DataError, match=rf"is not UTF-8 text \(byte {expected.value.start}\): it must have one word per line"
    ):
        TextDataset.from_file(tmp_path / "words.txt")


@pytest.mark.usefixtures("sizes")
def test_words_with_a_dot_end_with_another_boundary(tmp_path: Path) -> None:
    words = ["good"] * 9 + ["b.d", "w.rse", "."]
    (tmp_path / "words.txt").write_text("\n".join(words))
    dataset = TextDataset.from_file(tmp_path / "words.txt")
    assert dataset.vocabulary.itos == ("\n", ".", *"bdegorsw")
    assert dataset.words == TextDataset(words).words == words
    assert dataset.splits["test"] == words[10:]


def test_no_white_space_is_beyond_the_table() -> None:
    assert not any(chr(code).isspace() for code in range(module._LAST_SPACE + 1, sys.maxunicode + 1))


@pytest.mark.parametrize("alphabet", ["abcdefgh", "абвгд", "😀🦊🐉"])
def test_a_file_takes_less_than_four_bytes_per_character_beside_its_tensors(tmp_path: Path, alphabet: str) -> None:
    rng = random.Random(1)
    (tmp_path / "words.txt").write_text(
        "\n".join("".join(rng.choices(alphabet, k=rng.randint(1, 12))) for _ in range(300_000)), encoding="utf-8"
    )
    encode(TextDataset(["ab"] * 6), "windows", 3)  # so that nothing is imported while it is measured
    tracemalloc.start()
    try:
        examples = encode(TextDataset.from_file(tmp_path / "words.txt"), "windows", 3)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    tensors = sum(part.x.nbytes + part.y.nbytes for part in examples.values())
    assert (peak - tensors) / sum(map(len, examples.values())) < 4


# Words


LIST = ["emma", "o", "ava", "o", "isabella", "mia"]


@pytest.fixture
def text() -> Text:
    return Text(chunks_of_list(LIST))


@pytest.fixture(params=["range", "array"])
def words(text: Text, request: pytest.FixtureRequest) -> Words:
    """`LIST`, selected by a range or by an array of indices."""
    return Words(text, range(6) if request.param == "range" else np.arange(6, dtype=np.uint32))


def test_words_behave_as_a_list(words: Words) -> None:
    assert list(words) == LIST
    assert [words[index] for index in range(-6, 6)] == LIST * 2
    assert list(reversed(words)) == LIST[::-1]
    assert (len(words), words.index("ava"), words.count("o")) == (6, 2, 2)
    assert "mia" in words
    assert "mi" not in words
    assert sorted(words) == sorted(LIST)


@pytest.mark.parametrize("index", [6, -7])
def test_an_index_out_of_range_is_an_error(words: Words, index: int) -> None:
    with pytest.raises(IndexError):
        words[index]


@pytest.mark.parametrize("part", [slice(2, 4), slice(3), slice(-2, None), slice(4, 2), slice(None, None, -1)], ids=str)
@pytest.mark.parametrize("further", [slice(None), slice(1, None), slice(None, None, -1), slice(0, 9, 2)], ids=str)
def test_slices_of_words_are_words(words: Words, part: slice, further: slice) -> None:
    expected = LIST[part][further]
    found = words[part][further]
    assert found == expected
    assert len(found) == len(expected)
    assert found.lengths.tolist() == [len(word) + 1 for word in expected]
    assert found.tokens.tolist() == [n for word in expected for n in [*words.text.vocabulary.encode(word), 0]]


def test_words_equal_a_list_of_the_same_and_nothing_else(words: Words, text: Text) -> None:
    assert words == LIST
    expected = {"train": LIST}
    assert expected == {"train": words}
    assert words == Words(text, range(6))
    assert words != [*LIST[:-1], "mio"]
    assert words != LIST[:-1]
    assert words != tuple(LIST)


def test_words_are_joined_with_lists_on_either_side(words: Words) -> None:
    more = ["zoe"]
    assert words + more == [*LIST, "zoe"]
    assert more + words == ["zoe", *LIST]
    assert words + words == LIST * 2


def test_repr_shows_the_first_words(words: Words) -> None:
    assert repr(words) == "<6 words: emma, o, ava, …>"
    assert repr(words[1:3]) == "<2 words: o, ava>"
    assert repr(words[:0]) == "<0 words: >"


def test_changing_tensors_does_not_change_the_words(words: Words, text: Text) -> None:
    encode_windows(words, text.vocabulary, 2).y.zero_()
    assert words == LIST


@pytest.mark.parametrize("order", [[4, 0, 4, 1], [5], []], ids=str)
def test_words_longer_than_a_chunk_are_copied(monkeypatch: pytest.MonkeyPatch, text: Text, order: list[int]) -> None:
    monkeypatch.setattr(module, "CHARACTERS", 2)
    selected = Words(text, np.array(order, dtype=np.uint32))
    assert text.decode(selected.tokens) == "".join(LIST[index] + "\n" for index in order)


@pytest.mark.parametrize("vocabulary", ["abeilmosv", "zyxabeilmosv", "".join(map(chr, range(97, 400)))], ids=len)
def test_tokens_in_a_vocabulary_that_has_all_characters(words: Words, vocabulary: str) -> None:
    other = Vocabulary(vocabulary)
    tokens = words.tokens_in(other)
    assert tokens.tolist() == [n for word in LIST for n in [*other.encode(word), 0]]
    assert tokens.dtype == (np.uint8 if len(other) < 256 else np.int16)
    assert not has_unknown(tokens)


def test_the_first_word_with_an_unknown_character_is_named(words: Words) -> None:
    with pytest.raises(DataError, match="the word 'ava' has 'v', which is not in the vocabulary 'aemo'"):
        encode_windows(words, Vocabulary("emao"), 3)


def test_a_split_needs_only_its_own_characters() -> None:
    splits = TextDataset(["ab", "ba", "ab", "ba", "ab", "xy"]).splits
    assert encode_windows(splits["train"], Vocabulary("ab"), 1).y.tolist() == [1, 2, 0, 2, 1, 0, 1, 2, 0, 2, 1, 0]
    assert TextDataset([*splits["train"], *splits["val"], "b"]).vocabulary.itos == (".", "a", "b")


# Datasets


def test_words_of_a_file_are_made_when_first_used(tmp_path: Path) -> None:
    (tmp_path / "words.txt").write_text("\n".join(LIST))
    dataset = TextDataset.from_file(tmp_path / "words.txt")
    encode(dataset.arranged(split=None, shuffle_seed=1), "windows", 3)
    assert "words" not in vars(dataset)
    assert isinstance(dataset.words, list)
    assert dataset.words is dataset.words


def test_a_given_list_is_copied_once_and_kept_when_shuffled() -> None:
    dataset = TextDataset(LIST)
    assert dataset.words == LIST
    assert dataset.words is not LIST
    assert dataset.arranged(split=None, shuffle_seed=1).words is dataset.words


# Parts


def test_has_unknown() -> None:
    assert has_unknown(tokenize(["ab\nc\n"], 5, Vocabulary("ab")))
    assert not has_unknown(tokenize(["ab\n"], 3, Vocabulary("ab")))
    assert not has_unknown(tokenize([], 0, Vocabulary("ab")))


@pytest.mark.parametrize(("n", "parts"), [(0, []), (1, [1]), (3, [3]), (4, [3, 1]), (7, [3, 3, 1])])
def test_batches_are_full_except_the_last(n: int, parts: list[int]) -> None:
    assert [len(batch) for batch in batches(["word"] * n, 3)] == parts
