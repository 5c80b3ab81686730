"""Windows and blocks of running text against plain Python, from memory and from a file."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import torch

import zoo
from zoo.data.corpus import dataset as of_dataset
from zoo.data.corpus import tokens as of_tokens
from zoo.data.corpus.examples import CorpusBlocks, CorpusWindows
from zoo.data.corpus.tokens import TokensInFile
from zoo.data.examples import Examples, SplitName, TensorExamples
from zoo.data.loading import encode

TEXT = "To be, or not to be: that\nis.\n"  # 30 characters
SPLIT = (0.5, 0.8)
STORES = ("memory", "cache", "cache, by segments")


@pytest.fixture(params=STORES)
def store(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A file of `TEXT`, whose tokens are in memory or in the cache."""
    path = tmp_path / "text.txt"
    path.write_text(TEXT)
    if request.param != "memory":
        monkeypatch.setattr(of_dataset, "LARGE", 0)
    if request.param == STORES[2]:
        monkeypatch.setattr(of_tokens, "_SEGMENT", 16)
        monkeypatch.setattr(of_tokens, "_MANY", 2)
    return path


def made(path: Path, evaluate: int | None = None) -> zoo.CorpusDataset:
    return zoo.CorpusDataset(path=path, split=SPLIT, evaluate=evaluate)


def tokens(dataset: zoo.CorpusDataset) -> list[int]:
    assert dataset.vocabulary is not None
    return [dataset.vocabulary.stoi[character] for character in TEXT]


def window(all_tokens: list[int], position: int, length: int) -> list[int]:
    return ([0] * length + all_tokens)[position : position + length]


def served(splits: Mapping[SplitName, Examples], name: SplitName, size: int) -> tuple[list[Any], list[Any]]:
    xs: list[Any] = []
    ys: list[Any] = []
    for x, y in splits[name].in_order(size):
        assert x.dtype == y.dtype == torch.int64
        assert 0 < len(x) == len(y) <= size
        xs += x.tolist()
        ys += y.tolist()
    assert getattr(splits[name], "rows", len(splits[name])) == len(xs)
    return xs, ys


@pytest.mark.parametrize("evaluate", [None, 1, 5, 1000])
def test_windows(store: Path, evaluate: int | None) -> None:
    dataset = made(store, evaluate)
    known = tokens(dataset)
    for length in range(1, 9):
        splits = encode(dataset, "windows", length)
        for name, positions in dataset.splits.items():
            wanted = [window(known, position, length) for position in positions]
            x, y = splits[name].gather(torch.arange(len(splits[name])))
            assert (x.tolist(), y.tolist()) == (wanted, [known[p] for p in positions])
            count = len(positions) if evaluate is None else min(evaluate, len(positions))
            for size in (1, 4, 1000):
                assert served(splits, name, size) == (wanted[:count], [known[p] for p in positions][:count])
            assert (splits[name].input_size, splits[name].target_size) == (length, 1)


def test_every_target_once_in_blocks_of_any_length(store: Path) -> None:
    dataset = made(store)
    known = tokens(dataset)
    for length in range(1, len(TEXT) + 1):
        splits = encode(dataset, "sequences", None, max_length=length)
        for name, positions in dataset.splits.items():
            x, y = served(splits, name, 1 + length % 4)
            assert [t for row in y for t in row if t != -1] == [known[p] for p in positions]
            assert all(len(row) == length for row in (*x, *y))
            for number, (inputs, targets) in enumerate(zip(x, y, strict=True)):
                first = positions.start + number * length
                for k, target in enumerate(targets):
                    assert inputs[k] == ([0, *known][first + k] if target != -1 else 0)


@pytest.mark.parametrize("evaluate", range(1, 20))
def test_limited_evaluation_takes_the_first_targets(evaluate: int, store: Path) -> None:
    dataset = made(store, evaluate)
    known = tokens(dataset)
    for length in (1, 4, 7):
        splits = encode(dataset, "sequences", None, max_length=length)
        for name, positions in dataset.splits.items():
            _, y = served(splits, name, 2)
            assert [t for row in y for t in row if t != -1] == [known[p] for p in positions][:evaluate]
    assert dataset.evaluated == {name: min(evaluate, len(p)) for name, p in dataset.splits.items()}


def test_blocks_for_training_start_anywhere_and_stay_in_their_split(store: Path) -> None:
    dataset = made(store)
    known = tokens(dataset)
    for length in range(1, 20):
        splits = encode(dataset, "sequences", None, max_length=length)
        for name, positions in dataset.splits.items():
            split = splits[name]
            assert len(split) == max(1, len(positions) - length + 1)
            x, y = split.gather(torch.arange(len(split)))
            for i in range(len(split)):
                first = positions.start + i
                real = min(length, positions.stop - first)
                assert y[i].tolist() == known[first : first + real] + [-1] * (length - real)
                inputs = ([0, *known])[first : first + real] + [0] * (length - real)
                assert x[i].tolist() == inputs


@pytest.mark.parametrize("reads", ["windows", "sequences"])
def test_a_batch_is_a_function_of_its_indices_alone(store: Path, reads: Any) -> None:
    """In any order and shape, with repetitions, and whatever else is gathered with it."""
    split = encode(made(store), reads, 4, max_length=4)["train"]
    indices = torch.randint(0, len(split), (5, 7), generator=torch.Generator().manual_seed(3))
    x, y = split.gather(indices)
    assert x.shape == (5, 7, 4)
    assert y.shape == ((5, 7) if reads == "windows" else (5, 7, 4))
    for k in range(5):
        for b in range(7):
            one_x, one_y = split.gather(indices[k, b][None])
            assert torch.equal(x[k, b], one_x[0])
            assert torch.equal(y[k, b], one_y[0])


def test_rows_beyond_the_text_are_zeros(store: Path) -> None:
    dataset = made(store)
    known = tokens(dataset)
    padded = [0] * 40 + known + [0] * 80
    for length in (1, 3, 29, 30, 31, 40):
        starts = torch.arange(-length, len(TEXT) + 2)
        rows = dataset.tokens.rows(starts, length)
        assert rows.tolist() == [padded[40 + s : 40 + s + length] for s in starts.tolist()]
        order = torch.randperm(len(starts), generator=torch.Generator().manual_seed(1))
        assert torch.equal(dataset.tokens.rows(starts[order], length), rows[order])
    assert dataset.tokens.rows(torch.arange(0), 3).shape == (0, 3)


def test_small_texts_are_tensors_whose_windows_take_no_memory() -> None:
    """So that equal contexts are evaluated once, and a model can be fitted to all."""
    split = encode(zoo.CorpusDataset(TEXT), "windows", 3)["train"]
    assert isinstance(split, TensorExamples)
    assert split.x.untyped_storage().nbytes() == len(TEXT) + 3


@pytest.mark.parametrize("reads", ["windows", "sequences"])
def test_examples_longer_than_the_text_are_refused(store: Path, reads: Any) -> None:
    for length in (31, 10**15):
        with pytest.raises(zoo.DataError, match="are longer than the text, which has 30 characters"):
            encode(made(store), reads, length, max_length=length)


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="counts the open files in /proc")
def test_no_file_stays_open(store: Path) -> None:
    split = encode(made(store, 5), "windows", 3)["train"]
    before = sorted(Path("/proc/self/fd").iterdir())
    split.gather(torch.arange(4))
    iterator = split.in_order(2)
    next(iterator)
    assert sorted(Path("/proc/self/fd").iterdir()) == before


@pytest.mark.parametrize("damage", ["gone", "cut"])
def test_tokens_that_are_gone_are_one_line(damage: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(of_dataset, "LARGE", 0)
    path = tmp_path / "text.txt"
    path.write_text(TEXT)
    dataset = made(path)
    assert isinstance(dataset.tokens, TokensInFile)
    cached = dataset.tokens.path
    cached.unlink() if damage == "gone" else os.truncate(cached, dataset.tokens.offset + 9)
    with pytest.raises(zoo.DataError, match=r"cannot read the encoded text .*: .*; run again to encode it anew"):
        encode(dataset, "windows", 3)["val"].gather(torch.arange(3))


@pytest.mark.parametrize("reads", ["windows", "sequences"])
def test_another_text_is_read_in_the_vocabulary_of_the_model(store: Path, reads: Any) -> None:
    dataset = made(store)
    known = tokens(dataset)
    vocabulary = zoo.Vocabulary([*TEXT, "?", "A", "z"], "")
    assert vocabulary != dataset.vocabulary
    own, theirs = (encode(dataset, reads, 3, max_length=5, vocabulary=v)["val"] for v in (None, vocabulary))
    x, y = theirs.gather(torch.arange(len(theirs)))
    to_own = {0: 0, -1: -1} | {vocabulary.stoi[c]: known[i] for i, c in enumerate(TEXT)}
    expected = own.gather(torch.arange(len(own)))
    for got, wanted in ((x, expected[0]), (y, expected[1])):
        assert torch.tensor([to_own[t] for t in got.flatten().tolist()]).tolist() == wanted.flatten().tolist()
    with pytest.raises(zoo.DataError, match=r"'T' and .* more, which is not in the vocabulary"):
        encode(dataset, reads, 3, max_length=5, vocabulary=zoo.Vocabulary("\n ,.:abehinorst"[:12], ""))


def test_examples_move_to_a_device() -> None:
    dataset = zoo.CorpusDataset(TEXT, evaluate=3)
    for split in (
        CorpusBlocks(dataset.tokens, 0, 20, 4, 3).to("cpu"),
        CorpusWindows(dataset.tokens, 0, 20, 4, 3).to("cpu"),
    ):
        assert split.device == torch.device("cpu")
        assert split.gather(torch.tensor([1]))[0].device == split.device


def test_a_split_of_one_character_is_evaluated_as_any_other(tmp_path: Path) -> None:
    """Its only window would have the steps of a view, of which torch takes none with a single row for a copy."""
    examples = encode(zoo.CorpusDataset(text="hello world\n"), "windows", 3)["val"]
    ((x, _),) = examples.in_order(10)
    assert len(examples) == 1
    assert x.stride() == (3, 1)
    (tmp_path / "text.txt").write_text("hello world\n")
    run = zoo.run(
        "mlp-char",
        dataset=tmp_path / "text.txt",
        format="text",
        steps=1,
        device="cpu",
        out=tmp_path / "run",
        plots=False,
    )
    assert run.losses["val"] > 0
