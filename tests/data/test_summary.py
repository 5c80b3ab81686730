"""What is in a dataset: counted anew in plain loops, and shown by `zoo data`."""

from __future__ import annotations

import random
import statistics
import unicodedata
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from conftest import Zoo

from zoo import TensorDataset, TextDataset
from zoo.data.summary.counting import fingerprints, fingerprints_of_splits, found_in_training
from zoo.data.summary.describing import describe
from zoo.data.summary.reading import what_was_read
from zoo.data.summary.words import RARE, REPEATED


def some_words(alphabet: str, count: int, longest: int, seed: int) -> list[str]:
    draw = random.Random(seed)
    return ["".join(draw.choices(alphabet, k=draw.randint(1, longest))) for _ in range(count)]


LISTS = {
    "short words": some_words("ab", 500, 3, 1),
    "all different": [f"{i:x}" for i in range(16, 900)],
    "one word many times": ["emma"] * 300,
    "dots": some_words("a.b", 400, 4, 2),
    "accents": some_words("aeé", 300, 3, 3),
    "both forms": [
        unicodedata.normalize(random.Random(i).choice(("NFC", "NFD")), "aéeé"[: i % 4 + 1]) for i in range(99)
    ],
    "decomposed": [unicodedata.normalize("NFD", word) for word in some_words("é", 60, 3, 4)],
    "Chinese": some_words("".join(chr(0x4E00 + i) for i in range(700)), 600, 3, 5),
    "long words": ["ab" * 700, "ab" * 700 + "c", *some_words("abc", 60, 40, 6)],
}


@pytest.mark.parametrize("seed", [None, 3])
@pytest.mark.parametrize("name", LISTS)
def test_words_are_counted_as_in_a_loop(monkeypatch: pytest.MonkeyPatch, name: str, seed: int | None) -> None:
    monkeypatch.setattr("zoo.data.summary.counting._WORDS", 64)  # so that there are several parts
    words = LISTS[name]
    dataset = TextDataset(words, shuffle_seed=seed)
    found = describe(dataset)
    splits: dict[str, list[str]] = {str(split): list(part) for split, part in dataset.splits.items()}
    seen = Counter(words)
    assert found["words"] == {"total": len(words), **{name: len(part) for name, part in splits.items()}}
    assert found["characters"] == {"total": len("".join(words)), **{n: len("".join(p)) for n, p in splits.items()}}
    characters = Counter("".join(words))
    assert found["vocabulary"]["size"] == 1 + len(characters)
    boundary, *frequencies = found["vocabulary"]["frequencies"]
    assert boundary == {"character": "\n" if "." in characters else ".", "count": len(words)}
    order = sorted(sorted(characters), key=lambda character: -characters[character])
    assert frequencies == [{"character": c, "count": characters[c]} for c in order]
    lengths = [len(word) for word in words]
    assert found["lengths"]["median"] == statistics.median(lengths)
    assert found["lengths"]["mean"] == pytest.approx(statistics.fmean(lengths))
    assert (found["lengths"]["min"], found["lengths"]["max"]) == (min(lengths), max(lengths))
    assert found["lengths"]["longest"] == max(words, key=len)
    duplicates = found["duplicates"]
    assert duplicates["different"] == len(seen)
    first = sorted(seen, key=lambda word: -seen[word])  # ties in the order of the list, as a Counter has it
    assert duplicates["repeated"] == [{"word": w, "count": seen[w]} for w in first[:REPEATED] if seen[w] > 1]
    within = {"total": len(words) - len(seen), **{n: len(part) - len(set(part)) for n, part in splits.items()}}
    assert duplicates["within"] == within
    train = set(splits["train"])
    also = {name: sum(word in train for word in splits[name]) for name in ("val", "test")}
    share = sum(also.values()) / (len(splits["val"]) + len(splits["test"]))
    assert duplicates["also_in_training"] == {"total": sum(also.values()), **also, "share": share}
    rare = sorted(sorted(c for c in characters if characters[c] < RARE), key=lambda character: characters[character])
    assert found["rare"] == [
        {"character": c, "count": characters[c], "word": next(word for word in words if c in word)} for c in rare
    ]
    composed = {unicodedata.normalize("NFC", word) for word in words}
    assert found["unicode"]["would_merge"] == len(seen) - len(composed)
    assert found["unicode"]["decomposed"] == sum(unicodedata.normalize("NFC", word) != word for word in words)
    form = {"both forms": "mixed", "decomposed": "NFD", "accents": "NFC", "Chinese": "NFC"}.get(name, "ASCII")
    assert found["unicode"]["form"] == form
    assert what_was_read(dataset) == (
        f"{len(words):,} words, {len(characters):,} different characters, the longest word {max(lengths):,}; "
        f"{share:.1%} of validation and test words are also in training"
    )


def test_different_words_have_different_fingerprints() -> None:
    words = [f"{a}{b}{c}" for a in "abcdefghij" for b in "abcdefghij" for c in ("", *"abcdefghij", "aa", "ab", "ba")]
    marks = fingerprints(TextDataset(words).splits["train"].all)
    assert len(set(words)) == len(words) == len(np.unique(marks))
    again = fingerprints(TextDataset([*words, *words], shuffle_seed=1).splits["train"].all)
    assert (again == np.concatenate([marks, marks])).all()  # whatever the order of the splits is


def test_a_collision_is_all_that_can_be_wrong(monkeypatch: pytest.MonkeyPatch) -> None:
    """With the factors taken away, anagrams are taken for the same word: what the test above would notice."""
    monkeypatch.setattr("zoo.data.summary.counting._factors", lambda size: np.ones(size, np.uint64))
    dataset = TextDataset(["ab", "cd", "ef", "gh", "ij", "kl", "mn", "op", "ba", "dc"])
    assert found_in_training(fingerprints_of_splits(dataset)[1]) == {"val": 1, "test": 1}


def test_a_million_words_are_read_without_looking_for_duplicates(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("zoo.data.summary.reading._COUNTED", 9)
    assert what_was_read(TextDataset(["emma"] * 10)) == "10 words, 3 different characters, the longest word 4"


# Tensors

X = torch.tensor([[0.0, 1.0, 5.0], [2.0, 1.0, 7.0], [4.0, 1.0, 9.0], [-2.0, 1.0, 3.0]])


class Elsewhere:
    """A split outside memory."""

    def __len__(self) -> int:
        return 5000

    def gather(self, indices: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        return indices[:, None].float(), indices % 3


def test_classes_and_ranges_of_tensors() -> None:
    y = torch.tensor([1, 0, 1, -1])
    found = describe(TensorDataset((X, y), (X[:2], y[:2]), (X[:1], y[:1]), classes=["cat", "dog", "owl"]))
    assert found["kind"] == "tensors"
    assert found["examples"] == {"total": 7, "train": 4, "val": 2, "test": 1}
    assert found["inputs"]["train"] == {"min": -2, "mean": pytest.approx(8 / 3), "max": 9}
    assert (found["inputs"]["shape"], found["inputs"]["dtype"]) == ([3], "float32")
    assert found["targets"] == {"kind": "classes", "shape": [], "dtype": "int64"}
    assert found["columns"][0] == {"column": 0, "min": -2, "mean": 1, "max": 4}
    assert found["constant_columns"] == [1]
    assert found["classes"] == [
        {"class": "cat", "train": 1, "val": 1, "test": 0},
        {"class": "dog", "train": 2, "val": 1, "test": 1},
        {"class": "owl", "train": 0, "val": 0, "test": 0},
    ]


def test_numbers_as_targets_and_none() -> None:
    y = X[:, :1] / 2
    found = describe(TensorDataset((X, y), (X, y), (X, y)))
    assert found["targets"]["train"] == {"min": -1, "mean": 0.5, "max": 2}
    assert found["classes"] is None
    alone = TensorDataset(X, X, X)
    assert describe(alone)["targets"] == {"kind": "inputs"}
    assert what_was_read(alone) == "12 examples of shape (3), no targets"


def test_ranges_in_parts_are_those_of_the_whole(monkeypatch: pytest.MonkeyPatch) -> None:
    def made() -> Any:
        found = describe(TensorDataset((X, X), (X, X), (X, X)))
        return found["inputs"], found["columns"]

    whole = made()
    monkeypatch.setattr("zoo.data.summary.tensors._NUMBERS_AT_ONCE", 5)
    assert made() == whole


def test_of_data_outside_memory_some_examples_are_read() -> None:
    dataset = TensorDataset(Elsewhere(), Elsewhere(), Elsewhere(), classes=["a", "b", "c"])
    found = describe(dataset)
    assert found["examples"]["train"] == 5000
    assert found["read"]["train"] == sum(found["classes"][i]["train"] for i in range(3)) == 1000
    assert repr(dataset).startswith("<TensorDataset of train (5000, 1), val (5000, 1)")


# The command


@pytest.fixture
def words(tmp_path: Path) -> Path:
    path = tmp_path / "words.txt"
    path.write_text("\n".join([*["jr.anna", "bo"] * 20, "zoë q"]))
    return path


def test_the_command_shows_what_is_in_a_file(zoo_here: Zoo, words: Path) -> None:
    outcome = zoo_here("data", words)
    assert (outcome.code, outcome.err) == (0, "")
    lines = [" ".join(line.split()) for line in outcome.out.splitlines()]
    assert lines[0].startswith(f"{words}: words, sha256 ")
    assert "train 32 144 30" in lines
    assert "test 5 23 2 4" in lines
    assert "88.9% of validation and test words are also in training" in lines
    assert "Different words: 3; most often: jr.anna 20 times, bo 20 times" in lines
    assert "Unicode form: composed (NFC)" in lines
    assert r"Vocabulary: 12 tokens; '\n' is token 0, where a word starts and ends" in lines
    assert any(line.startswith(r"'\n' 41, a 40, n 40, o 21") for line in lines)
    assert "Rare characters, which occur fewer than 10 times: 4" in lines
    assert "' ' 1 zoë q" in lines
    result = zoo_here("data", words, "--json").result
    assert result["words"] == {"total": 41, "train": 32, "val": 4, "test": 5}
    assert result["kind"] == "text"


def test_settings_decide_the_splits(zoo_here: Zoo, words: Path) -> None:
    result = zoo_here("data", words, "--set", "data.split=0.5,0.6", "--set", "data.shuffle_seed=3", "--json").result
    assert result["words"] == {"total": 41, "train": 20, "val": 4, "test": 17}
    outcome = zoo_here("data", words, "--set", "data.nothing=3")
    assert (outcome.code, outcome.err.count("\n")) == (2, 1)
    assert "nothing" in outcome.err
    assert zoo_here("data", words, "--set", "model.x=3").code == 2


def test_lists_are_cut_unless_all_is_wanted(zoo_here: Zoo, tmp_path: Path) -> None:
    Path("many.txt").write_text("\n".join(chr(0x4E00 + i) for i in range(200)))
    short, whole = zoo_here("data", "many.txt").out, zoo_here("data", "many.txt", "--all").out
    assert "and 161 more (--all)" in short
    assert "and 160 more (--all)" in short
    assert chr(0x4E00 + 199) in whole
    assert chr(0x4E00 + 199) not in short.replace(chr(0x4E00 + 199) + "\n", "")
    assert "--all" not in whole


def test_what_was_noticed_is_a_warning_and_a_table_is_refused(zoo_here: Zoo) -> None:
    Path("header.txt").write_text("name\n" + "\n".join("abcdefgh"))
    outcome = zoo_here("data", "header.txt")
    assert outcome.code == 0
    assert outcome.err.startswith("zoo: warning: header.txt: the first line, 'name', looks like a header")
    Path("table.txt").write_text("\n".join(f"{c},1" for c in "abcdefgh"))
    outcome = zoo_here("data", "table.txt")
    assert (outcome.code, outcome.err.count("\n")) == (1, 1)


def test_no_word_steers_the_terminal(zoo_here: Zoo) -> None:
    Path("w.txt").write_text("\n".join([*"abcdefghijklmnopqrstuvwxyz", "a\x1b[2Jb\u202e"]))
    outcome = zoo_here("data", "w.txt")
    assert r"\x1b" in outcome.out
    assert not {"\x1b", "\u202e"} & set(outcome.out + outcome.err)


def test_a_shipped_dataset(zoo_here: Zoo) -> None:
    result = zoo_here("data", "names-ssa-2018", "--json").result
    assert result["words"]["total"] == 32_257
    assert result["vocabulary"]["frequencies"][0] == {"character": ".", "count": 32_257}
    outcome = zoo_here("data", "name")
    assert outcome.code == 2
    assert "names" in outcome.err


def test_a_run_says_what_it_read_and_quiet_hides_it(zoo_here: Zoo, words_file: Path) -> None:
    train = ("run", "bigram", "--dataset", words_file, "--steps", 2, "--no-plots", "--out")
    loud, quiet = zoo_here(*train, "a"), zoo_here(*train, "b", "--quiet")
    assert loud.read.startswith("words.txt: 60 words, 5 different characters, the longest word 3; 0.0% of")
    assert (loud.err, quiet.err, quiet.read) == ("", "", "")
    resumed = zoo_here("resume", "a", "--steps", 3, "--no-plots")
    assert (resumed.err, resumed.read) == ("", "")
