"""Datasets of words and tensors, and files of words."""

from __future__ import annotations

import hashlib
import random
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from zoo import DataError, TensorDataset, TextDataset, UsageError
from zoo.data.examples import TensorExamples, counts
from zoo.data.splits import Pair, SplitName

SIX = ["ab", "ba", "abc", "cab", "bca", "aab"]
MANY = [f"{a}{b}{c}" for a in "abcd" for b in "abcd" for c in "abcd"]


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "list.txt"


def read(file: Path, content: bytes) -> list[str]:
    file.write_bytes(content)
    return TextDataset.from_file(file).words


LINES = "\n".join(SIX).encode()


@pytest.mark.parametrize(
    "content",
    [
        LINES,
        LINES + b"\n",
        LINES.replace(b"\n", b"\r\n") + b"\r\n",
        b"\xef\xbb\xbf" + LINES,
        b"\n\n" + LINES.replace(b"\n", b"\n\n \n\t\r\n") + b"\n\n",
        b"  " + LINES.replace(b"\n", b"\t \n \t") + b"  ",
        "\u00a0\u3000".encode() + LINES,
    ],
    ids=["no last newline", "last newline", "CRLF", "BOM", "blank lines", "white space", "wide space"],
)
def test_a_file_has_one_word_per_line(file: Path, content: bytes) -> None:
    assert read(file, content) == SIX


@pytest.mark.parametrize("separator", ["\x0b", "\x0c", "\x1c", "\x1d", "\x1e", "\x85", "\u2028", "\u2029", " ", "\r"])
def test_only_newlines_separate_words(file: Path, separator: str) -> None:
    odd = f"a{separator}b"
    assert read(file, "\n".join([*SIX, odd]).encode())[-1] == odd


@pytest.mark.parametrize("word", ["zoë", "żółw", "анна", "さくら", "😀🦊", "o'neil", "mary-ann"])
def test_words_may_be_of_any_script(file: Path, word: str) -> None:
    assert read(file, "\n".join([*SIX, word]).encode())[-1] == word


@pytest.mark.parametrize(
    ("content", "cause"),
    [
        (b"", "is empty: it must have one word per line"),
        (b"\n \r\n\t\n", "is empty: it must have one word per line"),
        (b"\xef\xbb\xbf", "has no words, too few for training"),
        (b"\x7fELF\x02\x01\x00\x00abc\n", "is not a text file: it must have one word per line, in UTF-8"),
        ("\n".join(SIX).encode("utf-16"), "is UTF-16 text: convert it"),
        ("\n".join([*SIX, "zoë"]).encode("latin-1"), "is not UTF-8 text (byte 24): it must have one word per line"),
        (LINES + b"\n\xff\xfe", "is not UTF-8 text (byte 22)"),
        (b"emma\n", "has 1 word, too few for training, validation and test (at least 6)"),
        (b"a\nb\nc\nd\ne\n", "has 5 words, too few"),
    ],
    ids=["empty", "blank", "BOM alone", "binary", "UTF-16", "Latin-1", "bytes", "one word", "five"],
)
def test_an_invalid_file_is_refused_with_its_path_and_the_cause(file: Path, content: bytes, cause: str) -> None:
    with pytest.raises(DataError) as caught:
        read(file, content)
    assert str(caught.value).startswith(f"{file}: {cause}")


def test_a_missing_file_is_named() -> None:
    with pytest.raises(DataError, match=r"cannot read nowhere\.txt: No such file or directory"):
        TextDataset.from_file("nowhere.txt")


def test_a_folder_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="not a regular file"):
        TextDataset.from_file(tmp_path)


def test_six_words_fill_three_splits() -> None:
    assert [len(words) for words in TextDataset(SIX).splits.values()] == [4, 1, 1]


@pytest.mark.parametrize("n", [6, 7, 9, 10, 11, 19, 64, 99, 100, 101, 1009])
def test_words_are_split_at_80_and_90_percent_rounded_down(n: int) -> None:
    words = [f"a{'b' * (i % 7)}{i}" for i in range(n)]
    assert TextDataset(words).splits == {
        "train": words[: int(n * 0.8)],
        "val": words[int(n * 0.8) : int(n * 0.9)],
        "test": words[int(n * 0.9) :],
    }


def test_the_lectures_names_are_split_as_in_the_lecture(names_txt: Path) -> None:
    splits = TextDataset.from_file(names_txt).splits
    assert [len(words) for words in splits.values()] == [25_626, 3_203, 3_204]


@pytest.mark.parametrize("seed", [0, 42, 2**40])
def test_shuffling_is_that_of_pythons_random(seed: int) -> None:
    expected = MANY.copy()
    random.Random(seed).shuffle(expected)
    splits = TextDataset(MANY, shuffle_seed=seed).splits
    assert splits["train"] + splits["val"] + splits["test"] == expected


def test_shuffling_does_not_change_words() -> None:
    words = MANY.copy()
    dataset = TextDataset(words, shuffle_seed=42)
    assert dataset.splits["train"] != MANY[:51]
    assert words == dataset.words == MANY


def test_the_digest_of_a_file_is_that_of_its_bytes(file: Path) -> None:
    content = b"\xef\xbb\xbf" + LINES + b"\r\n\n"
    file.write_bytes(content)
    assert TextDataset.from_file(file).sha256 == hashlib.sha256(content).hexdigest()


def test_the_digest_of_words_is_that_of_their_lines() -> None:
    assert TextDataset(SIX).sha256 == hashlib.sha256(LINES).hexdigest()


def test_a_digest_that_is_given_is_kept() -> None:
    assert TextDataset(SIX, sha256="ab" * 32).sha256 == "ab" * 32


@pytest.mark.parametrize("change", [{"shuffle_seed": 42, "split": None}, {"shuffle_seed": None, "split": (0.5, 0.7)}])
def test_splitting_and_shuffling_keep_the_digest(file: Path, change: dict[str, Any]) -> None:
    file.write_bytes(LINES + b"\n")
    dataset = TextDataset.from_file(file)
    assert dataset.arranged(**change).sha256 == dataset.sha256


def test_words_can_be_split_at_other_fractions() -> None:
    splits = TextDataset(MANY).arranged(split=(0.5, 0.75), shuffle_seed=None).splits
    assert [len(words) for words in splits.values()] == [32, 16, 16]


def test_arranged_without_a_split_keeps_the_split() -> None:
    assert TextDataset(MANY, split=(0.5, 0.75)).arranged(split=None, shuffle_seed=1).split == (0.5, 0.75)


@pytest.mark.parametrize(
    "split", [(0.9, 0.8), (0.8, 0.8), (0.0, 0.5), (0.5, 1.0), (-0.1, 0.5), (0.8, 1.1), (0.8,), (float("nan"), 0.9)]
)
def test_fractions_that_do_not_increase_are_refused(split: Any) -> None:
    with pytest.raises(UsageError, match=r"'data\.split' takes two increasing fractions"):
        TextDataset(MANY, split=split)


@pytest.mark.parametrize(("split", "empty"), [((0.1, 0.9), "train"), ((0.5, 0.55), "val")])
def test_a_split_that_would_be_empty_is_named(split: tuple[float, float], empty: str) -> None:
    with pytest.raises(DataError, match=f"leave the {empty} split empty"):
        TextDataset(SIX, split=split)


@pytest.mark.parametrize("bad", ["", "a\nb", "\n"], ids=repr)
def test_an_invalid_word_is_refused_by_value(bad: str) -> None:
    with pytest.raises(DataError) as caught:
        TextDataset([*SIX, bad])
    assert f"the word {bad!r} cannot be used" in str(caught.value)


def test_a_bad_word_far_down_a_long_list_is_found() -> None:
    with pytest.raises(DataError, match=r"the word 'b\\nd' cannot be used"):
        TextDataset([*["good"] * 70_000, "b\nd", "good"])


@pytest.mark.parametrize("bad", [None, 3, b"bytes", ["list"]], ids=repr)
def test_words_must_be_text(bad: Any) -> None:
    with pytest.raises(DataError, match="words must be a list of str"):
        TextDataset([*SIX, bad])


def test_a_word_that_is_not_valid_unicode_is_refused() -> None:
    with pytest.raises(DataError, match="cannot be used"):
        TextDataset([*SIX, "lone\ud800surrogate"])


def test_words_may_come_as_any_sequence() -> None:
    assert TextDataset(tuple(SIX)).words == SIX


def test_the_vocabulary_has_the_characters_of_all_splits() -> None:
    assert TextDataset(["ab", "ab", "ab", "ab", "c", "d"]).vocabulary.itos == (".", "a", "b", "c", "d")


def test_the_vocabulary_does_not_depend_on_how_words_are_shuffled() -> None:
    assert TextDataset(MANY, shuffle_seed=42).vocabulary == TextDataset(MANY).vocabulary


def test_the_lectures_vocabulary_has_27_characters(names_txt: Path) -> None:
    assert "".join(TextDataset.from_file(names_txt).vocabulary) == ".abcdefghijklmnopqrstuvwxyz"


def test_a_padded_sequence_holds_the_longest_word_and_its_end() -> None:
    assert TextDataset([*SIX, "abcabc"]).max_length == 7


# Tensors


def tensors(**splits: Any) -> TensorDataset:
    default = (torch.zeros(3, 4), torch.tensor([0, 1, 2]))
    return TensorDataset(**{"train": default, "val": default, "test": default, **splits})


def test_num_features_counts_the_elements_of_an_example() -> None:
    pair = (torch.zeros(2, 3, 5), torch.tensor([0, 1]))
    assert TensorDataset(pair, pair, pair).num_features == 15


def test_classes_are_counted_over_all_splits() -> None:
    assert tensors(test=(torch.zeros(1, 4), torch.tensor([9]))).num_classes == 10


def test_ignored_targets_are_not_a_class() -> None:
    assert tensors(train=(torch.zeros(2, 4), torch.tensor([-1, 0]))).num_classes == 3


@pytest.mark.parametrize(
    "pair",
    [
        (np.zeros((2, 4), dtype=np.float32), np.array([0, 1])),
        ([[0.0] * 4, [0.0] * 4], [0, 1]),
        [torch.zeros(2, 4), torch.tensor([0, 1], dtype=torch.uint8)],
        (torch.zeros(2, 4, requires_grad=True), torch.tensor([[0, -1, 2], [1, 1, -1]])),
    ],
    ids=["arrays", "lists", "bytes", "targets at each position"],
)
def test_pairs_may_be_tensors_arrays_or_lists(pair: Any) -> None:
    split = tensors(train=pair).splits["train"]
    assert isinstance(split, Pair)
    x, y = split
    assert (x.shape, len(y), x.requires_grad) == ((2, 4), 2, False)


@pytest.mark.parametrize(
    "pair",
    [
        (torch.zeros(0, 4), torch.zeros(0, dtype=torch.int64)),
        (torch.zeros(3), torch.tensor([0, 1, 2])),
        (torch.zeros(3, 4), torch.tensor([0, 1])),
        (torch.zeros(3, 4), torch.tensor(0)),
    ],
    ids=["empty", "one number an example", "lengths", "one target"],
)
def test_shapes_that_do_not_fit_are_refused_with_the_split_and_the_shapes(pair: Any) -> None:
    with pytest.raises(DataError) as caught:
        tensors(val=pair)
    x, y = pair
    assert "the val split needs X of shape" in str(caught.value)
    assert f"got {tuple(x.shape)} and {tuple(y.shape)}" in str(caught.value)


@pytest.mark.parametrize(
    ("y", "told"),
    [
        (torch.tensor([0.0, 1.0, 2.0]), "the splits have targets of different kinds"),
        (torch.tensor([0.0, 1.0, torch.nan]), "the test split has NaN in Y, at row 2 (counted from 0)"),
        (torch.tensor([0, 1, -2]), "the targets of the test split must be integers from 0"),
        (torch.tensor([0j, 1j, 2j]), "the test split has complex numbers"),
    ],
    ids=["floats", "NaN", "below -1", "complex"],
)
def test_targets_that_nothing_can_be_trained_on_are_refused(y: torch.Tensor, told: str) -> None:
    with pytest.raises(DataError) as caught:
        tensors(test=(torch.zeros(3, 4), y))
    assert told in str(caught.value)


def test_a_split_whose_targets_are_all_ignored_is_refused() -> None:
    with pytest.raises(DataError, match="val split"):
        tensors(val=(torch.zeros(2, 4), torch.tensor([-1, -1])))


@pytest.mark.parametrize(
    "pair",
    [None, 3, (torch.zeros(2, 4),)],
    ids=["nothing", "number", "one tensor"],
)
def test_a_split_that_is_not_a_pair_of_tensors_is_refused(pair: Any) -> None:
    with pytest.raises(DataError, match="the train split is not a pair"):
        tensors(train=pair)


def test_examples_of_different_shapes_are_refused() -> None:
    with pytest.raises(DataError, match="the splits have examples of different shapes"):
        tensors(test=(torch.zeros(3, 5), torch.tensor([0, 1, 2])))


@pytest.mark.parametrize(
    "dtype",
    [torch.float32, torch.float64, torch.float16, torch.bfloat16, torch.int64, torch.uint8, torch.bool],
    ids=str,
)
def test_tensors_of_any_type_have_a_digest(dtype: torch.dtype) -> None:
    pair = (torch.ones(2, 4, dtype=dtype), torch.tensor([0, 1]))
    assert len(TensorDataset(pair, pair, pair).sha256) == 64


@pytest.mark.parametrize(
    "other",
    [
        {"val": (torch.ones(3, 4), torch.tensor([0, 1, 2]))},
        {"val": (torch.zeros(3, 4), torch.tensor([0, 2, 1]))},
        {"val": (torch.zeros(3, 4), torch.tensor([0, 1, 2], dtype=torch.int32))},
        {"val": (torch.zeros(2, 4), torch.tensor([0, 1]))},
    ],
    ids=["inputs", "targets", "type", "length"],
)
def test_the_digest_of_tensors_depends_on_shapes_types_and_values(other: dict[str, Any]) -> None:
    assert tensors(**other).sha256 != tensors().sha256


def test_equal_tensors_have_equal_digests_in_any_memory_layout() -> None:
    x = torch.arange(12.0).view(3, 4)
    y = torch.tensor([0, 1, 2])
    assert tensors(train=(x.t().contiguous().t(), y)).sha256 == tensors(train=(x, y)).sha256


# Examples


@pytest.fixture
def examples() -> TensorExamples:
    return TensorExamples(
        torch.arange(10, dtype=torch.uint8).view(5, 2), torch.arange(5, dtype=torch.uint8), torch.int64
    )


def test_a_batch_is_gathered_by_index_and_converted(examples: TensorExamples) -> None:
    x, y = examples.gather(torch.tensor([3, 0, 3]))
    assert (x.tolist(), y.tolist()) == ([[6, 7], [0, 1], [6, 7]], [3, 0, 3])
    assert (x.dtype, y.dtype) == (torch.int64, torch.int64)


def test_indices_of_several_axes_give_batches_of_the_same_axes(examples: TensorExamples) -> None:
    x, y = examples.gather(torch.tensor([[0, 1, 2], [4, 4, 4]]))
    assert (x.shape, y.tolist()) == ((2, 3, 2), [[0, 1, 2], [4, 4, 4]])


@pytest.mark.parametrize("size", [1, 2, 5, 100])
def test_all_examples_come_in_order_for_any_batch_size(examples: TensorExamples, size: int) -> None:
    xs, ys = zip(*examples.in_order(size), strict=True)
    assert torch.equal(torch.cat(xs), examples.x.long())
    assert torch.cat(ys).tolist() == [0, 1, 2, 3, 4]


def test_splits_are_counted_in_examples(examples: TensorExamples) -> None:
    splits: dict[SplitName, TensorExamples] = {"train": examples, "val": examples}
    assert counts(splits) == {"train": 5, "val": 5}


# Numbers that are none

WRONG_NUMBERS = {"NaN": float("nan"), "infinity": float("inf"), "minus infinity": -float("inf")}
FLOATS = (torch.float64, torch.float32, torch.float16, torch.bfloat16, torch.float8_e5m2)


@pytest.mark.parametrize("split", ["train", "val", "test"])
@pytest.mark.parametrize(("told", "number"), WRONG_NUMBERS.items(), ids=WRONG_NUMBERS)
@pytest.mark.parametrize("dtype", FLOATS, ids=str)
def test_a_number_that_is_none_is_told_with_its_split_row_and_column(
    split: str, told: str, number: float, dtype: torch.dtype
) -> None:
    x = torch.ones(5, 3)
    x[3, 1] = number
    with pytest.raises(DataError) as caught:
        tensors(**{split: (x.to(dtype), torch.zeros(5, dtype=torch.long))})
    where = f"the {split} split has {told} in X, at row 3, column 1 (counted from 0)"
    assert str(caught.value) == f"{where}: leave these rows out, or put numbers in"


@pytest.mark.parametrize(
    ("places", "told"),
    [
        ([(0, 0, 0)], "at row 0, position (0, 0) (counted from 0):"),
        ([(6, 1, 2)], "at row 6, position (1, 2) (counted from 0):"),
        ([(2, 0, 0), (2, 1, 1)], "at row 2, position (0, 0) (counted from 0):"),
        ([(2, 0, 0), (5, 0, 0)], "at row 2, position (0, 0) (counted from 0), and such numbers in 1 more row:"),
        ([(2, 0, 0), (3, 0, 0), (6, 1, 1)], "(counted from 0), and such numbers in 2 more rows:"),
    ],
)
@pytest.mark.parametrize("at_once", [1, 12, 20, 10_000])
def test_numbers_are_found_in_all_parts_of_large_data(
    places: list[tuple[int, ...]], told: str, at_once: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("zoo.data.splits._NUMBERS_AT_ONCE", at_once)
    x = torch.ones(7, 2, 3)
    for place in places:
        x[place] = torch.nan
    with pytest.raises(DataError) as caught:
        tensors(train=(x, torch.zeros(7, dtype=torch.long)))
    assert told in str(caught.value)


@pytest.mark.parametrize("dtype", [*FLOATS, torch.int64, torch.uint8, torch.bool], ids=str)
def test_large_numbers_that_are_finite_are_kept(dtype: torch.dtype) -> None:
    largest = torch.finfo(dtype).max if dtype.is_floating_point else 1
    x = torch.full((4, 4), largest, dtype=torch.float64).to(dtype)
    assert tensors(train=(x, torch.zeros(4, dtype=torch.long))).example("train").x.dtype is dtype
