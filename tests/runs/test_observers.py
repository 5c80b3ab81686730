"""An observer that fails, however and wherever, never costs a run."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

import pytest

import zoo
from zoo.runs.observer import Guarded, Observer
from zoo.training.evaluation import evaluate_splits

OF_SWEEPS = {"members"}  # which a run does not call
METHODS = [name for name in vars(Observer) if not name.startswith("_") and name not in OF_SWEEPS]
ERRORS = [OSError(28, "No space left"), ValueError("closed file"), UnicodeEncodeError("ascii", "ł", 0, 1, "x")]


def train(words: Path, out: str, observer: Observer | None = None) -> Any:
    return zoo.run(
        "bigram", dataset=str(words), steps=12, validate_every=3, device="cpu", out=out, plots=False, observer=observer
    )


def failing(method: str, error: BaseException) -> Observer:
    """An observer one of whose methods fails, and which warns on the way."""

    def fail(self: Observer, *args: object) -> None:
        raise error

    observer: Observer = type("Failing", (Observer,), {method: fail})()
    return observer


def evaluate_after_a_move(*args: Any) -> Any:
    """`evaluate_splits`, at a moment when there is something to warn of."""
    Path("run").rename("moved")
    return evaluate_splits(*args)


def test_every_method_is_guarded() -> None:
    assert {*METHODS, *OF_SWEEPS} <= set(vars(Guarded))


@pytest.mark.parametrize("error", ERRORS, ids=lambda error: type(error).__name__)
@pytest.mark.parametrize("method", METHODS)
def test_a_run_goes_on_without_its_observer(
    words_file: Path, monkeypatch: pytest.MonkeyPatch, method: str, error: Exception
) -> None:
    whole = train(words_file, "whole")
    monkeypatch.setattr("zoo.runs.runner.evaluate_splits", evaluate_after_a_move)
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        done = train(words_file, "run", failing(method, error))
    assert done.losses == whole.losses
    assert (done.path / "model.safetensors").read_bytes() == (whole.path / "model.safetensors").read_bytes()
    assert sum("the observer failed and is told nothing more" in str(w.message) for w in said) == 1


def test_warnings_that_are_errors_cost_nothing_either(words_file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("zoo.runs.runner.evaluate_splits", evaluate_after_a_move)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        done = train(words_file, "run")
    assert (done.path / "metrics.json").exists()


def test_ctrl_c_in_an_observer_is_passed_on(words_file: Path) -> None:
    with pytest.raises(KeyboardInterrupt):
        train(words_file, "run", failing("progress", KeyboardInterrupt()))


@pytest.mark.parametrize("error", ERRORS, ids=lambda error: type(error).__name__)
def test_a_sweep_goes_on_without_its_observer(words_file: Path, error: Exception) -> None:
    given: dict[str, Any] = {"dataset": str(words_file), "seeds": 2, "steps": 3, "device": "cpu", "jobs": 2}
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        done = zoo.sweep("mlp-char", **given, observer=failing("members", error))
    assert [row.state for row in done] == ["finished"] * 2
    assert sum("the observer failed and is told nothing more" in str(w.message) for w in said) == 1
