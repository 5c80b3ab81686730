"""What people give in Python: NumPy's numbers are numbers, and anything else is right or refused in a sentence."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import zoo

WORDS = [a + b for a in "abeln" for b in "abeln"]
PLAIN: dict[str, Any] = {"steps": 2, "batch_size": 4, "lr": 0.5, "seed": 3, "init_seed": 4, "threads": 1}
PLAIN["plots"] = False
SETTINGS: dict[str, Any] = {"model.hidden_size": 5, "data.shuffle_seed": 6, "data.split": (0.5, 0.75)}
NUMPY: dict[str, Any] = {
    **{name: np.int64(PLAIN[name]) for name in ("steps", "seed", "init_seed")},
    "batch_size": np.uint8(4),
    "lr": np.float32(0.5),
    "plots": np.bool_(False),
    "threads": np.array(1),
}


def test_numbers_of_numpy_are_numbers(words_file: Path) -> None:
    def config(options: dict[str, Any], settings: dict[str, Any]) -> dict[str, Any]:
        run = zoo.run("mlp-char", dataset=words_file, device="cpu", settings=settings, **options)
        return {**run.config, "losses": run.losses}

    settings = {"model.hidden_size": np.int32(5), "data.shuffle_seed": np.int64(6), "data.split": np.array([0.5, 0.75])}
    assert config(NUMPY, settings) == config(PLAIN, SETTINGS)
    no: Any = np.bool_(False)
    three: Any = np.int64(3)
    run = zoo.resume("runs/mlp-char-1", steps=three, plots=no)
    assert run.metrics["steps"] == 3
    loaded: Any = zoo.load(run.path)
    options = {"seed": np.uint64(1), "temperature": np.float32(0.5), "top_k": np.int64(2)}
    assert loaded.sample(np.int64(3), **options) == loaded.sample(3, seed=1, temperature=0.5, top_k=2)
    sizes: dict[str, Any] = {"vocab_size": np.int64(9), "hidden_size": np.int64(7), "init_seed": np.int64(1)}
    model = zoo.create_model("mlp-char", **sizes)
    assert dict(model.named_parameters())["W2"].shape == (7, 9)


GOOD: dict[str, Callable[[], object]] = {
    "generator": lambda: (word for word in WORDS),
    "tuple": lambda: tuple(WORDS),
    "keys": lambda: dict.fromkeys(WORDS).keys(),
    "dict": lambda: dict.fromkeys(WORDS),
    "array": lambda: np.array(WORDS),
    "array of objects": lambda: np.array(WORDS, dtype=object),
}
BAD: dict[str, tuple[object, str]] = {
    "text": ("\n".join(WORDS), "words must be a list of str, not str: zoo.TextDataset.from_file reads a file"),
    "bytes": (b"abcdefgh", "words must be a list of str, not bytes"),
    "path": (Path("words.txt"), "words must be a list of str, not "),
    "set": (set(WORDS), "words must be in an order, and a set has another in every process"),
    "frozenset": (frozenset(WORDS), "words must be in an order"),
    "none": (None, "words must be a list of str, not NoneType"),
    "number": (7, "words must be a list of str, not int"),
    "numbers": (list(range(20)), "words must be a list of str"),
    "missing": ([*WORDS, None], "words must be a list of str"),
}


@pytest.mark.parametrize("form", GOOD)
def test_words_come_in_any_form_that_has_an_order(form: str) -> None:
    dataset = zoo.TextDataset(GOOD[form]())  # type: ignore[arg-type]
    assert dataset.sha256 == zoo.TextDataset(WORDS).sha256


@pytest.mark.parametrize("form", BAD)
def test_what_is_no_list_of_words_is_refused(form: str) -> None:
    words, message = BAD[form]
    with pytest.raises(zoo.DataError, match=message):
        zoo.TextDataset(words)  # type: ignore[arg-type]


def test_a_list_that_changes_later_changes_no_dataset() -> None:
    words = list(WORDS)
    dataset = zoo.TextDataset(words)
    words.append("zebra")
    assert dataset.words == WORDS
    assert dataset.sha256 == zoo.TextDataset(WORDS).sha256


@pytest.mark.parametrize("seed", ["42", 4.5, True, b"42"])
def test_the_seed_of_the_order_is_a_whole_number(seed: object) -> None:
    with pytest.raises(zoo.UsageError, match=r"'data\.shuffle_seed' must be a whole number or None, got "):
        zoo.TextDataset(WORDS, shuffle_seed=seed)  # type: ignore[arg-type]


@pytest.mark.parametrize("split", [0.8, None, "0.8,0.9", ("a", "b"), (0.8,), {0.8, 0.9}])
def test_a_split_is_two_fractions(split: object) -> None:
    with pytest.raises(zoo.UsageError, match=r"'data\.split' takes two increasing fractions"):
        zoo.TextDataset(WORDS, split=split)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"n": "3"}, "the number of samples must be a whole number, got '3'"),
        ({"n": 3.0}, r"the number of samples must be a whole number, got 3\.0"),
        ({"seed": "3"}, "the seed must be a whole number, got '3'"),
        ({"seed": True}, "the seed must be a whole number, got True"),
        ({"temperature": "hot"}, "the temperature must be a number, got 'hot'"),
        ({"top_k": 2.0}, r"the top-k must be a whole number, got 2\.0"),
        ({"prefix": b"a"}, "the prefix must be text, got b'a'"),
        ({"prefix": ["a"]}, r"the prefix must be text, got \['a'\]"),
    ],
)
def test_what_sampling_takes(finished_run: Path, options: dict[str, Any], message: str) -> None:
    with pytest.raises(zoo.UsageError, match=message):
        zoo.load(finished_run).sample(**options)


@pytest.mark.parametrize("call", [zoo.load, zoo.resume, zoo.TextDataset.from_file])
def test_an_empty_name_is_not_the_current_folder(call: Callable[[Any], object]) -> None:
    with pytest.raises(zoo.UsageError, match="the name of a file or folder is empty"):
        call("")


@pytest.mark.parametrize("value", [None, 3, ["a"], object()])
def test_what_is_no_path_is_refused(value: object) -> None:
    with pytest.raises(zoo.UsageError, match="a path must be text or a path, got "):
        zoo.load(value)  # type: ignore[arg-type]
