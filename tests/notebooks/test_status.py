"""What a display is told while a run goes on, and who watches a run that was given no observer."""

from __future__ import annotations

import os
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest
from forging import NET

import zoo
from zoo.notebooks import jupyter, marimo, watching
from zoo.notebooks.status import NotebookProgress, Status

TINY: dict[str, Any] = {"device": "cpu", "plots": False, "settings": NET, "steps": 40}


@dataclass
class Shown:
    """A display that keeps all that it is told."""

    statuses: list[Status] = field(default_factory=list)
    ends: list[str] = field(default_factory=list)

    def show(self, status: Status) -> None:
        self.statuses.append(status)

    def end(self, text: str) -> None:
        self.ends.append(text)


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """Its only number is the time."""
    now = [100.0]
    monkeypatch.setattr(time, "monotonic", lambda: now[0])
    return now


@pytest.fixture
def notebook(monkeypatch: pytest.MonkeyPatch) -> Shown:
    """This process is a notebook, with such a display."""
    shown = Shown()
    monkeypatch.setattr(watching, "_display", lambda: shown)
    return shown


def test_a_status_says_step_losses_and_time_left(clock: list[float]) -> None:
    shown = Shown()
    progress = NotebookProgress(shown)
    progress.stage("Training")
    progress.progress(100, 5000, 3.4567)
    clock[0] += 2.0
    progress.validated(1100, 2.5)
    progress.progress(1100, 5000, 2.25)
    assert str(shown.statuses[0]) == "Training"
    assert str(shown.statuses[-1]) == "Training, 1,100 of 5,000 steps, loss 2.250, validation 2.5000, 0:08 left"
    clock[0] += 1.0
    progress.stage("Evaluating")
    assert str(shown.statuses[-1]) == "Evaluating, 1,100 of 5,000 steps"


def test_a_resumed_run_counts_its_time_from_where_it_began(clock: list[float]) -> None:
    shown = Shown()
    progress = NotebookProgress(shown)
    progress.progress(4000, 5000, 2.0)
    clock[0] += 1.0
    progress.progress(4500, 5000, 2.0)
    assert str(shown.statuses[-1]).endswith(", 0:01 left")


def test_a_display_is_not_flooded(clock: list[float]) -> None:
    shown = Shown()
    progress = NotebookProgress(shown)
    for step in range(10_000):
        clock[0] += 0.001
        progress.progress(step + 1, 10_000, 2.0)
    assert 40 <= len(shown.statuses) <= 51  # ten seconds


def test_short_stages_do_not_flicker_and_long_ones_say_how_far_they_are(clock: list[float]) -> None:
    shown = Shown()
    progress = NotebookProgress(shown)
    for step in range(1000):  # an evaluation after each step
        clock[0] += 0.001
        progress.progress(step + 1, 1000, 2.0)
        progress.stage("Evaluating")
        progress.stage("Training")
    assert len(shown.statuses) <= 6
    progress.stage("Evaluating")
    clock[0] += 0.3
    progress.advanced(30, 40)
    assert str(shown.statuses[-1]) == "Evaluating, 1,000 of 1,000 steps, 75%"


def test_a_run_in_a_notebook_is_watched_and_leaves_one_line(notebook: Shown, words_file: Path) -> None:
    run = zoo.run("mlp-char", dataset=words_file, validate_every=10, **TINY)
    stages = [status.stage for status in notebook.statuses]
    assert "Reading the data" in stages
    [end] = notebook.ends
    assert end.startswith("mlp-char: 40 steps, ")
    assert end.endswith(f"validation loss {run.losses['val']:.4f} nats, in {run.path}")
    resumed = zoo.resume(run.path, steps=50, plots=False)
    assert notebook.ends[1].startswith(f"mlp-char: {resumed.metrics['steps']} steps, ")


def test_the_line_of_a_run_that_is_not_kept_names_no_folder(notebook: Shown, words_file: Path) -> None:
    zoo.run("mlp-char", dataset=words_file, keep=False, **TINY)
    assert notebook.ends[0].endswith(" nats")


def test_an_observer_that_is_given_is_the_only_one(notebook: Shown, words_file: Path) -> None:
    zoo.run("mlp-char", dataset=words_file, observer=zoo.Observer(), **TINY)
    assert notebook == Shown()


def test_a_run_that_never_began_shows_nothing_but_its_error(notebook: Shown) -> None:
    with pytest.raises(zoo.UsageError):
        zoo.run("mlp-char", dataset="no-such-dataset", **TINY)
    assert notebook == Shown()


def test_a_run_that_ends_before_its_first_step_says_so_where_anything_was_shown() -> None:
    shown = Shown()
    NotebookProgress(shown).stopped()
    assert shown == Shown()
    progress = NotebookProgress(shown)
    progress.stage("Reading")
    progress.stopped()
    assert shown.ends == ["Stopped before the first step"]


@pytest.mark.filterwarnings("ignore")
def test_a_run_that_ends_early_says_how_far_it_came(notebook: Shown, words_file: Path) -> None:
    with pytest.raises(zoo.DivergedError):
        zoo.run("mlp-char", dataset=words_file, lr=3e38, **TINY)
    assert len(notebook.ends) == 1
    assert notebook.ends[0].startswith("Stopped ")


class Failing(Shown):
    def show(self, status: Status) -> None:
        raise RuntimeError("the browser is gone")

    end = show  # type: ignore[assignment]


def test_a_display_that_fails_costs_a_warning_and_not_the_run(
    monkeypatch: pytest.MonkeyPatch, words_file: Path
) -> None:
    monkeypatch.setattr(watching, "_display", Failing)
    with pytest.warns(UserWarning, match="the browser is gone"):
        run = zoo.run("mlp-char", dataset=words_file, **TINY)
    assert (run.path / "metrics.json").is_file()


def test_a_warning_in_a_notebook_is_pythons() -> None:
    shown = Shown()
    with pytest.warns(UserWarning, match="doubtful"):
        NotebookProgress(shown).warning("doubtful")
    assert shown == Shown()


def test_a_script_shows_nothing_and_imports_no_notebook(
    words_file: Path, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    before = set(sys.modules)
    zoo.run("mlp-char", dataset=words_file, **TINY)
    assert capfd.readouterr() == ("", "")
    assert not {"IPython", "marimo", "ipykernel"} & (set(sys.modules) - before)


def module(name: str, **members: object) -> ModuleType:
    made = ModuleType(name)
    vars(made).update(members)
    return made


OF_ANOTHER = SimpleNamespace(pid=os.getpid() + 1)
WHERE = {
    "nothing": ({}, None),
    "a kernel": ({"IPython": module("IPython", get_ipython=lambda: SimpleNamespace(kernel=1))}, jupyter.JupyterDisplay),
    "a fork of a kernel": (
        {"IPython": module("IPython", get_ipython=lambda: SimpleNamespace(kernel=SimpleNamespace(session=OF_ANOTHER)))},
        None,
    ),
    "IPython in a terminal": ({"IPython": module("IPython", get_ipython=lambda: SimpleNamespace())}, None),
    "IPython imported only": ({"IPython": module("IPython", get_ipython=lambda: None)}, None),
    "an IPython of another form": ({"IPython": module("IPython")}, None),
    "marimo": ({"marimo": module("marimo", running_in_notebook=lambda: True)}, marimo.MarimoDisplay),
    "marimo as a script": ({"marimo": module("marimo", running_in_notebook=lambda: False)}, None),
    "a marimo of another form": ({"marimo": module("marimo")}, None),
}


@pytest.mark.parametrize("where", WHERE)
def test_a_notebook_is_found_and_anything_else_is_none(monkeypatch: pytest.MonkeyPatch, where: str) -> None:
    modules, kind = WHERE[where]
    for name in ("IPython", "marimo"):
        monkeypatch.delitem(sys.modules, name, raising=False)
    for name, made in modules.items():
        monkeypatch.setitem(sys.modules, name, made)
    display = watching._display()
    assert display is None if kind is None else isinstance(display, kind)
