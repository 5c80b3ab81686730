"""No plot of an earlier stage of a run is left beside a newer result."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
from conftest import Zoo
from forging import NET

import zoo
from zoo.plots.plot import Plot

NAMES = {"loss.png", "embeddings.png"}


@pytest.fixture
def run(words_file: Path, quick_plots: None) -> Path:
    """A run with plots, which can be resumed."""
    options: dict[str, Any] = {"settings": NET, "device": "cpu"}
    return zoo.run("mlp-char", dataset=words_file, steps=10, out="a", **options).path


def plots(run: Path) -> set[str]:
    """Those that are there; the card has links to these, and to no others."""
    there = {path.name for path in run.glob("*.png")}
    assert set(re.findall(r"!\[\w+\]\((\S+)\)", (run / "README.md").read_text())) == there
    return there


def test_a_resumption_without_plots_removes_those_of_before(run: Path, zoo_here: Zoo) -> None:
    assert plots(run) == NAMES
    assert zoo_here("resume", run, "--steps", 20, "--no-plots").code == 0
    assert plots(run) == set()
    assert zoo_here("resume", run, "--steps", 30).code == 0
    assert plots(run) == NAMES


def test_a_plot_that_fails_leaves_no_older_one(run: Path, zoo_here: Zoo, monkeypatch: pytest.MonkeyPatch) -> None:
    def render(plot: Plot, _scratch: Path) -> bytes:
        if plot.kind == "loss":
            raise ValueError("no")
        return b"new"

    monkeypatch.setattr(Plot, "render", render)
    outcome = zoo_here("resume", run, "--steps", 20)
    assert (outcome.code, "cannot plot loss.png: no" in outcome.err) == (0, True)
    assert plots(run) == {"embeddings.png"}


def test_a_resumption_that_does_not_end_leaves_the_plots_and_the_card_of_before(
    run: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from zoo.runs import runner

    def fail(*_: Any) -> None:
        raise OSError("the disk is gone")

    monkeypatch.setattr(runner, "evaluate_splits", fail)
    with pytest.raises(OSError, match="the disk is gone"):
        zoo.resume(run, steps=20, plots=False)
    assert plots(run) == NAMES
