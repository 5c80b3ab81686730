"""`zoo.run(..., keep=False)`: the same numbers, and nothing on the disk."""

from __future__ import annotations

import os
import signal
import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest
import torch

import zoo
from zoo.options.declaration import declared
from zoo.options.run import RunOptions
from zoo.runs.observer import Observer
from zoo.runs.result import Run
from zoo.storage import checkpoint
from zoo.storage.folder import NoFolder, RunFolder

WORDS = [a + b + c for a in "abeln" for b in "abeln" for c in "abeln"][:60]
QUICK: dict[str, Any] = {"dataset": WORDS, "device": "cpu", "steps": 12}


@pytest.fixture(autouse=True)
def everything(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[], Mapping[str, float]]:
    """All files of the home, the cache, the temporary and the working folder, with the times of their changes."""
    temporary = tmp_path / "temporary"
    temporary.mkdir()
    monkeypatch.setenv("TMPDIR", str(temporary))
    monkeypatch.setattr(tempfile, "tempdir", None)
    return lambda: {str(path): path.lstat().st_mtime_ns for path in tmp_path.rglob("*")}


RUNS: dict[str, tuple[str, dict[str, Any]]] = {
    "mlp-char": ("mlp-char", {}),
    "with evaluations": ("mlp-char", {"validate_every": 3, "patience": 2}),
    "autograd": ("mlp-char", {"engine": "autograd", "plots": True}),
    "a recurrent net": ("gru", {"steps": 3}),
    "a fitted model": ("ngram", {}),
    "synthetic words": ("mlp-char", {"synthetic": "ngram"}),
}


@pytest.mark.parametrize("case", RUNS)
def test_nothing_is_written_and_the_numbers_are_the_same(
    case: str, everything: Callable[[], Mapping[str, float]]
) -> None:
    model, options = RUNS[case]
    before = everything()
    run = zoo.run(model, **{**QUICK, **options}, keep=False)
    assert everything() == before
    assert run.path is None
    assert run.metrics["run_dir"] is None
    kept = zoo.run(model, **{**QUICK, **options, "plots": False})
    assert run.step_losses == kept.step_losses
    assert run.losses == kept.losses
    assert run.config == kept.config
    mine, its = run.model.state_dict(), kept.model.state_dict()
    assert all(torch.equal(mine[name], its[name]) for name in its)
    stored = checkpoint.load(kept.path / "model.safetensors").tensors
    assert all(torch.equal(mine[name], stored[name]) for name in stored)
    different = {name for name in kept.metrics if run.metrics[name] != kept.metrics[name]}
    assert different <= {"seconds", "run_dir", "sha256"}
    assert "not kept" in repr(run)


ABOUT_FILES: dict[str, Any] = {"out": "somewhere", "checkpoint_every": 5, "snapshots": 3}


def test_each_option_about_files_is_tried() -> None:
    assert ABOUT_FILES.keys() == {name for name, one in declared(RunOptions).items() if one.option.about_files}


@pytest.mark.parametrize("name", ABOUT_FILES)
def test_what_is_about_files_does_not_go_with_it(name: str) -> None:
    with pytest.raises(zoo.UsageError, match=f"keep=False writes no files, and {name} is about them"):
        zoo.run("mlp-char", **QUICK, keep=False, **{name: ABOUT_FILES[name]})
    assert not list(Path().iterdir())


def test_a_logger_that_writes_to_the_folder_does_not_either() -> None:
    with pytest.raises(zoo.UsageError, match="keep=False makes no run folder, and logger 'tensorboard' writes to it"):
        zoo.run("mlp-char", **QUICK, keep=False, log="tensorboard")
    assert not list(Path().iterdir())


@pytest.mark.parametrize("wrong", ["no", 0, None])
def test_keep_is_true_or_false(wrong: Any) -> None:
    with pytest.raises(zoo.UsageError, match="keep must be True or False, got"):
        zoo.run("mlp-char", **QUICK, keep=wrong)


class Stopping(Observer):
    """Presses Ctrl-C after some steps."""

    def progress(self, step: int, steps: int, loss: float) -> None:
        os.kill(os.getpid(), signal.SIGINT)


def test_a_run_that_is_stopped_says_that_nothing_is_kept() -> None:
    with pytest.raises(zoo.InterruptedRunError, match=r"stopped at step \d+ of 9000000; nothing is kept .keep=False.$"):
        zoo.run("mlp-char", **{**QUICK, "steps": 9_000_000}, keep=False, observer=Stopping())
    assert not list(Path().iterdir())


def test_a_run_that_diverges_says_that_nothing_is_kept() -> None:
    with pytest.raises(
        zoo.DivergedError, match=r"at learning rate 1e\+38; nothing is kept \(keep=False\); try a smaller"
    ):
        zoo.run("mlp-char", **QUICK, keep=False, lr=1e38)
    assert not list(Path().iterdir())


def test_memory_that_runs_out_says_so_too(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: Any) -> Any:
        raise MemoryError

    monkeypatch.setattr("zoo.runs.runner.evaluate_splits", fail)
    with pytest.raises(zoo.OutOfMemoryError, match=r"nothing is kept \(keep=False\)"):
        zoo.run("mlp-char", **QUICK, keep=False)
    assert not list(Path().iterdir())


def test_no_folder_has_what_a_run_uses_of_a_folder() -> None:
    of_reopened = {"create", "open", "close", "go_on_after", "write", "write_plot"}  # a new run without plots uses none
    public = {name for name in vars(RunFolder) if not name.startswith("_")} - of_reopened
    assert public <= {name for name in vars(NoFolder) if not name.startswith("_")}


def test_a_run_that_is_not_kept_has_a_result_like_any(everything: Callable[[], Mapping[str, float]]) -> None:
    before = everything()
    runs: list[Run] = [zoo.run("mlp-char", **QUICK, keep=False, seed=seed) for seed in (1, 2)]
    assert runs[0].losses != runs[1].losses
    assert everything() == before
