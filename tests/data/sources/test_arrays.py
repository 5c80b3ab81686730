"""`data.tensors("train")`: X and Y as a notebook has them, against plain loops."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from offering import points

import zoo
from zoo.data.sources import arrays

WORDS = ["emma", "olivia", "ava", "isabella", "sophia", "charlotte", "mia", "amelia", "harper", "evelyn"]
TEXT = "".join(f"line {n}, and so on.\n" for n in range(30))


def lecture(words: list[str], stoi: dict[str, int], block_size: int) -> tuple[list[list[int]], list[int]]:
    """The data set of the lecture's notebook, by its loop."""
    X, Y = [], []
    for w in words:
        context = [0] * block_size
        for ch in w + ".":
            ix = stoi[ch]
            X.append(context)
            Y.append(ix)
            context = [*context[1:], ix]
    return X, Y


@pytest.mark.parametrize("context_length", [1, 3, 8, 20])
@pytest.mark.parametrize("shuffle_seed", [None, 42])
@pytest.mark.parametrize("split", ["train", "val", "test"])
def test_windows_are_those_of_the_lectures_loop(split: Any, shuffle_seed: int | None, context_length: int) -> None:
    data = zoo.TextDataset(WORDS, shuffle_seed=shuffle_seed)
    X, Y = data.tensors(split, context_length=context_length)
    assert X.dtype == Y.dtype == torch.int64
    assert (X.tolist(), Y.tolist()) == lecture(list(data.splits[split]), data.vocabulary.stoi, context_length)


def test_emma_is_five_examples() -> None:
    data = zoo.load_dataset(WORDS)
    X, Y = data.tensors("train")
    itos, stoi = data.vocabulary.itos, data.vocabulary.stoi
    shown = [
        "".join(itos[i] for i in x) + " -> " + itos[y] for x, y in zip(X[:5].tolist(), Y[:5].tolist(), strict=True)
    ]
    assert shown == ["... -> e", "..e -> m", ".em -> m", "emm -> a", "mma -> ."]
    assert [itos[stoi[c]] for c in "emma."] == list("emma.")
    assert data.words == WORDS


def test_the_sizes_of_the_lectures_names(names_txt: Path) -> None:
    data = zoo.load_dataset(names_txt)
    sizes = [tuple(data.tensors(split)[0].shape) for split in ("train", "val", "test")]
    assert sizes == [(182_778, 3), (22_633, 3), (22_735, 3)]


def test_the_sizes_of_the_bundled_names_are_those_that_a_run_records() -> None:
    data = zoo.load_dataset("names-ssa-2018")
    run = zoo.run("mlp-char", dataset=data, steps=1, device="cpu", plots=False)
    sizes = {split: len(data.tensors(split)[1]) for split in ("train", "val", "test")}
    assert sizes == run.config["dataset"]["examples"]


def test_sequences_are_padded_words() -> None:
    data = zoo.TextDataset(WORDS)
    X, Y = data.tensors("val", reads="sequences")
    stoi, longest = data.vocabulary.stoi, max(map(len, WORDS))
    word = data.splits["val"][0]
    tokens = [stoi[c] for c in word]
    padding = longest - len(word)
    assert X.shape == Y.shape == (1, longest + 1)
    assert X[0].tolist() == [0, *tokens] + [0] * padding
    assert Y[0].tolist() == [*tokens, 0] + [-1] * padding
    assert data.tensors("val", reads="sequences", max_length=20)[0].shape == (1, 20)
    with pytest.raises(zoo.DataError, match="does not fit in 3 positions"):
        data.tensors("val", reads="sequences", max_length=3)


@pytest.mark.parametrize("at_once", [1, 7, 1 << 20])
@pytest.mark.parametrize("split", ["train", "val", "test"])
@pytest.mark.parametrize("length", [1, 4, 11])
def test_running_text_has_each_target_once(
    split: Any, length: int, at_once: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """However much of it is made at once, and also where an evaluation takes less."""
    monkeypatch.setattr(arrays, "_POSITIONS", at_once)
    data = zoo.CorpusDataset(TEXT, evaluate=5)
    assert data.vocabulary is not None
    tokens = [0] * length + [data.vocabulary.stoi[c] for c in TEXT]
    X, Y = data.tensors(split, context_length=length)
    places = data.splits[split]
    assert Y.tolist() == [tokens[length + n] for n in places]
    assert X.tolist() == [tokens[n : n + length] for n in places]
    X, Y = data.tensors(split, reads="sequences", max_length=length)
    targets = Y.flatten()[: len(places)].tolist()
    assert targets == [tokens[length + n] for n in places]
    assert Y.flatten()[len(places) :].eq(-1).all()
    assert X.flatten()[: len(places)].tolist() == [tokens[length + n - 1] for n in places]
    assert X.dtype == Y.dtype == torch.int64


def test_tensors_are_what_was_given() -> None:
    given = points()
    X, Y = given.tensors("val")
    assert X is given.splits["val"].x  # type: ignore[union-attr]
    assert Y is given.splits["val"].y  # type: ignore[union-attr]
    alone = zoo.TensorDataset(X, X, X)
    assert alone.tensors()[0] is alone.tensors()[1]

    class Gathered:
        def __len__(self) -> int:
            return len(X)

        def gather(self, indices: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
            return X[indices], Y[indices]

    outside = zoo.TensorDataset(Gathered(), Gathered(), Gathered()).tensors("test")
    assert outside[0].equal(X)
    assert outside[1].equal(Y)


DATA: dict[str, Any] = {"words": zoo.TextDataset(WORDS), "running text": zoo.CorpusDataset(TEXT), "tensors": points()}


@pytest.mark.parametrize("kind", DATA)
@pytest.mark.parametrize("split", ["validation", "", 3, None])
def test_no_such_split(kind: str, split: Any) -> None:
    with pytest.raises(zoo.UnknownNameError, match=r"this dataset has no split .*train, val, test"):
        DATA[kind].tensors(split)


@pytest.mark.parametrize("kind", ["words", "running text"])
@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"reads": "blocks"}, "reads must be 'windows' or 'sequences', got 'blocks'"),
        ({"context_length": 0}, "context_length must be a whole number from 1, got 0"),
        ({"context_length": 1.5}, "context_length must be a whole number from 1, got 1.5"),
        ({"reads": "sequences", "max_length": -1}, "max_length must be a whole number from 1, got -1"),
    ],
)
def test_what_cannot_be_asked(kind: str, wrong: dict[str, Any], said: str) -> None:
    with pytest.raises(zoo.UsageError, match=said):
        DATA[kind].tensors("val", **wrong)


def test_what_does_not_fit(monkeypatch: pytest.MonkeyPatch) -> None:
    """Into the text, or into memory: refused before anything is made."""
    text = zoo.CorpusDataset(TEXT)
    with pytest.raises(zoo.UsageError, match="context_length=5,000 is longer than the text, which has 590 characters"):
        text.tensors(context_length=5000)
    monkeypatch.setattr("zoo.memory.memory_bytes", lambda: 1000)
    for data in DATA.values():
        with pytest.raises(zoo.DataError, match="more than this machine has"):
            (zoo.TensorDataset(Many(), Many(), Many()) if isinstance(data, zoo.TensorDataset) else data).tensors()


class Many:
    """A split that is larger than any memory."""

    def __len__(self) -> int:
        return 10**15

    def gather(self, indices: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        return torch.zeros(len(indices), 3), torch.zeros(len(indices), 1)
