"""A run that is no better than chance is told so, with a remedy."""

from __future__ import annotations

import math
from pathlib import Path

import pytest
from conftest import Zoo

import zoo
from zoo.training.objective.chance import remark

pytestmark = pytest.mark.usefixtures("typed")

UNIFORM = math.log(27)


def said(train: float, val: float, *, first: float = 20.0, steps: int = 5_000, classes: int | None = 27) -> str:
    return remark({"train": train, "val": val, "test": 99.0}, {}, first=first, classes=classes, steps=steps) or ""


def of_regression(train: float, val: float | None, steps: int = 5_000) -> str:
    metrics: dict[str, dict[str, float | None]] = {"train": {"rmse": 1.0, "r2": train}, "val": {"r2": val}}
    return remark({"train": 9.0, "val": 9.0}, metrics, first=1.0, classes=None, steps=steps) or ""


def test_a_loss_above_that_of_a_uniform_guess_is_told() -> None:
    assert said(UNIFORM - 0.01, UNIFORM - 0.01) == ""
    assert "the loss on the train split, 3.3058, is above that of guessing uniformly" in said(UNIFORM + 0.01, 4.0)
    assert "smaller --lr" in said(UNIFORM + 0.01, 2.0)
    assert "the loss on the val split, 3.3058, is above that of guessing uniformly" in said(1.0, UNIFORM + 0.01)
    assert "it overfits; try fewer --steps" in said(1.0, UNIFORM + 0.01)
    assert said(1.0, 99.0, classes=None) == ""  # of another loss, or in another unit
    assert remark({"train": 1.0}, {}, first=9.0, classes=27, steps=5_000) is None  # there may be no such split


def test_a_trial_of_few_steps_is_not_expected_to_be_better() -> None:
    assert said(UNIFORM + 0.01, 4.0, steps=999) == ""
    assert "training diverged" in said(40.0, 40.0, steps=3)
    assert of_regression(-0.5, -0.5, steps=999) == ""


def test_a_regression_is_compared_with_the_mean() -> None:
    assert of_regression(0.1, 0.1) == ""
    assert of_regression(0.1, None) == ""
    told = "on the train split it is worse than predicting the mean of the targets (R2 -0.1000): try a smaller --lr"
    assert told in of_regression(-0.1, 0.1)
    assert "on the val split it is worse" in of_regression(0.1, -2.0)
    assert "it overfits" in of_regression(0.1, -2.0)


@pytest.mark.usefixtures("quick_plots")
def test_it_is_told_of_runs_and_of_resumed_ones_and_in_python(
    zoo_here: Zoo, words_file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("zoo.training.objective.chance._TRIAL", 10)
    options = ["--dataset", words_file, "--quiet", "--no-plots"]
    done = zoo_here("run", "mlp-char", *options, "--steps", 10, "--lr", 0.03, "--out", "run")
    assert done.err.startswith("zoo: warning: the loss on the train split, ")
    assert len(done.err.splitlines()) == 1
    assert "above that of guessing uniformly" in zoo_here("resume", "run", "--steps", 12, "--quiet", "--no-plots").err
    with pytest.warns(UserWarning, match="above that of guessing uniformly"):
        zoo.run("mlp-char", dataset=words_file, steps=10, lr=0.03, plots=False)
