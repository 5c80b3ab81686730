"""Data that several runs of one process share: each gives what it gives alone, and what is read is read once."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from zoo.ambient.neutral import neutral
from zoo.data import loading
from zoo.data.sources.cache import DataCache
from zoo.errors import DataError
from zoo.options.run import RunOptions
from zoo.plugin.registry import Registry
from zoo.runs import prepare as preparing
from zoo.runs.clock import Clock
from zoo.runs.observer import Observer
from zoo.runs.plan import make_plan
from zoo.runs.result import Run
from zoo.runs.runner import RunContext, execute

WORDS = [a + b + c for a in "abeln" for b in "abeln" for c in "abeln"][:90]
TABLE = "width,size,kind\n" + "".join(f"{i % 5}.25,{i % 7}.5,{'ab'[i % 2]}\n" for i in range(90))


class Heard(Observer):
    def __init__(self) -> None:
        self.notes: list[str] = []
        self.warnings: list[str] = []

    def note(self, text: str) -> None:
        self.notes.append(text)

    def warning(self, text: str) -> None:
        self.warnings.append(text)


@pytest.fixture(autouse=True)
def files() -> None:
    Path("words.txt").write_text("\n".join(WORDS) + "\n")
    Path("other.txt").write_text("\n".join(WORDS[::-1]) + "\n")
    Path("lines.txt").write_text("".join(f"the {one} of it.\n" for one in WORDS))
    Path("table.csv").write_text(TABLE)


RUNS: dict[str, tuple[str, dict[str, Any]]] = {
    "a seed": ("mlp-char", {"seed": 1, "init_seed": 1}),
    "another seed": ("mlp-char", {"seed": 2, "init_seed": 2}),
    "evaluations": ("mlp-char", {"validate_every": 2, "seed": 3}),
    "another window": ("mlp-char", {"settings": {"model.context_length": 2}}),
    "another order": ("mlp-char", {"settings": {"data.shuffle_seed": 7}}),
    "whole words": ("gru", {}),
    "synthetic words": ("mlp-char", {"synthetic": "ngram"}),
    "a fitted model": ("ngram", {}),
    "another file": ("mlp-char", {"dataset": "other.txt"}),
    "running text": ("mlp-char", {"dataset": "lines.txt", "format": "text"}),
    "a table": ("linear-table", {"dataset": "table.csv", "target": "kind"}),
}


@pytest.fixture
def member(registry: Registry) -> Callable[..., tuple[Run, Heard]]:
    """Train one of `RUNS`, with a cache or alone."""

    def run(case: str, data: DataCache | None) -> tuple[Run, Heard]:
        model, options = RUNS[case]
        heard, common = Heard(), {"dataset": "words.txt", "device": "cpu", "steps": 4}
        plan = make_plan(registry, RunOptions(model, **{**common, **options}))
        return execute(plan, heard, keep=False, context=RunContext(data=data or DataCache())), heard

    return run


def test_each_run_is_what_it_is_alone(member: Callable[..., tuple[Run, Heard]]) -> None:
    shared = DataCache()
    for case in RUNS:
        (run, _), (alone, _) = member(case, shared), member(case, None)
        assert run.config == alone.config, case
        assert run.step_losses == alone.step_losses, case
        assert run.losses == alone.losses, case
        assert run.metrics["weights_sha256"] == alone.metrics["weights_sha256"], case


def test_data_is_read_encoded_and_described_once(
    member: Callable[..., tuple[Run, Heard]], monkeypatch: pytest.MonkeyPatch
) -> None:
    calls: list[str] = []

    def counted(name: str) -> Callable[..., Any]:
        real = getattr(loading, name)

        def call(*args: Any, **more: Any) -> Any:
            calls.append(name)
            return real(*args, **more)

        return call

    for name in ("load_dataset", "encode"):
        monkeypatch.setattr(preparing, name, counted(name))
    shared = DataCache()
    notes = [member(case, shared)[1].notes for case in ("a seed", "another seed", "evaluations")]
    assert calls == ["load_dataset", "encode"]
    assert [len(told) for told in notes] == [1, 0, 0]
    member("another window", shared)
    assert calls == ["load_dataset", "encode", "encode"]


def test_training_changes_nothing_in_it(member: Callable[..., tuple[Run, Heard]], registry: Registry) -> None:
    plan = make_plan(registry, RunOptions("mlp-char", dataset="words.txt", device="cpu", steps=4))
    shared = DataCache()

    def examples() -> list[torch.Tensor]:
        with neutral():
            prepared = preparing.prepare(plan, torch.device("cpu"), Observer(), Clock(), data=shared)
        return [part for split in prepared.examples.values() for part in (split.x, split.y)]  # type: ignore[attr-defined]

    first = examples()
    before = [part.clone() for part in first]
    for case in ("a seed", "evaluations", "synthetic words"):
        member(case, shared)
    assert all(one is other for one, other in zip(first, examples(), strict=True))
    assert all(map(torch.equal, first, before))


def test_what_fails_is_tried_again(member: Callable[..., tuple[Run, Heard]]) -> None:
    text, shared = Path("words.txt").read_text(), DataCache()
    Path("words.txt").write_text("")
    with pytest.raises(DataError):
        member("a seed", shared)
    Path("words.txt").write_text(text)
    assert member("a seed", shared)[0].losses == member("a seed", None)[0].losses
