"""A warning names the line that called zoo, and not one of zoo's own."""

from __future__ import annotations

import ast
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import zoo

CORE = Path(zoo.__file__).parent


class Failing(zoo.Observer):
    def stage(self, text: str) -> None:
        raise ValueError(text)


WORDS = [a + b for a in "abcdef" for b in "abcdef"]


def run(**options: Any) -> Any:
    given = {"dataset": WORDS, "steps": 2, "plots": False, "threads": 1, "settings": {"model.hidden_size": 4}}
    return zoo.run("mlp-char", out="run", **{**given, **options})


def sampled() -> None:
    zoo.load(run().path, dataset=WORDS).sample(3, new=True, unique=True, prefix="ab", top_k=1)


CALLS: dict[str, Callable[[], object]] = {
    "worse than guessing": lambda: run(steps=1000, lr=1e-9),
    "a word in two forms": lambda: run(
        dataset=[*WORDS, "caf\N{LATIN SMALL LETTER E WITH ACUTE}", "cafe\N{COMBINING ACUTE ACCENT}"]
    ),
    "the same, loaded": lambda: zoo.load_dataset(
        [*WORDS, "\N{LATIN SMALL LETTER E WITH ACUTE}b", "e\N{COMBINING ACUTE ACCENT}b"]
    ),
    "an observer that fails": lambda: run(observer=Failing()),
    "no more new words": sampled,
}


@pytest.mark.parametrize("name", CALLS)
def test_it_names_the_line_that_called_zoo(name: str) -> None:
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always")
        CALLS[name]()
    assert told
    assert {one.filename for one in told} == {__file__}


def test_all_are_issued_by_one_function() -> None:
    found = {
        path.relative_to(CORE).as_posix()
        for path in CORE.rglob("*.py")
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.Call) and ast.unparse(node.func) == "warnings.warn"
    }
    assert found == {"errors.py"}
