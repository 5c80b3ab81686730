"""Cells executed in a real Jupyter kernel, without a notebook server."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from homes import own_home

pytest.importorskip("nbclient")
pytest.importorskip("ipykernel")

SCRIPT = Path(__file__).with_name("in_jupyter.py")
TRAIN = "zoo.run('mlp-char', dataset='names-ssa-2018', device='cpu', steps=400, plots=False"
CELLS = {
    "train": f"import zoo\nrun = {TRAIN})",
    "run": "run",
    "loaded": "zoo.load(run.path)",
    "train and show": f"{TRAIN}, validate_every=100)",
    "likelihood": "zoo.load(run.path).likelihood(['emma'])[0]",
    "plot": "run.plot_loss()",
    "silent": f"quiet = {TRAIN}, observer=zoo.Observer())",
    "wrong": "zoo.run('mlp-char', steps=0)",
    "interrupt": (
        "import os, signal\nfrom zoo.notebooks.status import NotebookProgress\n"
        "NotebookProgress.validated = lambda *_: os.kill(os.getpid(), signal.SIGINT)\n"
        f"{TRAIN}, validate_every=100)"
    ),
    "fork": (
        "from zoo.notebooks import jupyter\nchild = os.fork()\n"
        "if not child:\n    os._exit(10 + jupyter.in_kernel())\n"
        "jupyter.in_kernel(), os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])"
    ),
    "modules": "import sys\n[name for name in ('marimo', 'rich') if name in sys.modules]",
}

Outputs = dict[str, list[dict[str, Any]]]


@pytest.fixture(scope="module")
def outputs(tmp_path_factory: pytest.TempPathFactory) -> Outputs:
    """What each cell has left, with all in a home of its own."""
    home = tmp_path_factory.mktemp("jupyter")
    done = subprocess.run(
        [sys.executable, "-P", SCRIPT],
        input=json.dumps(list(CELLS.values())),
        capture_output=True,
        text=True,
        env=own_home(home),
        cwd=home,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr
    return dict(zip(CELLS, json.loads(done.stdout), strict=True))


def kinds(outputs: list[dict[str, Any]]) -> list[str]:
    return [output["output_type"] for output in outputs]


def html(output: dict[str, Any]) -> str:
    return str(output["data"]["text/html"])


def test_training_leaves_one_short_line(outputs: Outputs) -> None:
    [line] = outputs["train"]
    assert line["output_type"] == "display_data"
    assert "mlp-char: 400 steps" in html(line)
    assert "validation loss" in html(line)
    assert len(json.dumps(line)) < 500


@pytest.mark.parametrize("cell", ["run", "loaded"])
def test_a_cell_that_ends_in_a_run_shows_a_small_table(outputs: Outputs, cell: str) -> None:
    [shown] = outputs[cell]
    assert shown["output_type"] == "execute_result"
    assert html(shown).count("<table") == 2
    assert len(shown["data"]["text/plain"]) < 200
    assert len(json.dumps(shown)) < 2000


def test_a_run_as_the_last_expression_shows_line_and_table(outputs: Outputs) -> None:
    line, table = outputs["train and show"]
    assert kinds([line, table]) == ["display_data", "execute_result"]
    assert "<progress" not in html(line)
    assert len(json.dumps([line, table])) < 2000


def test_an_observer_of_ones_own_replaces_the_progress(outputs: Outputs) -> None:
    assert outputs["silent"] == []


def test_a_plot_is_shown_once(outputs: Outputs) -> None:
    axes, figure = outputs["plot"]
    assert axes["data"]["text/plain"].startswith(("<Axes", "<OwnAxes"))
    assert "image/png" in figure["data"]


def test_a_likelihood_is_a_small_table(outputs: Outputs) -> None:
    assert len(json.dumps(outputs["likelihood"])) < 1000


def test_a_mistake_shows_its_error_alone(outputs: Outputs) -> None:
    assert kinds(outputs["wrong"]) == ["error"]
    assert outputs["wrong"][0]["ename"] == "UsageError"


def test_an_interrupted_run_says_where_it_stopped_and_how_to_go_on(outputs: Outputs) -> None:
    line, error = outputs["interrupt"]
    assert "Stopped after" in html(line)
    assert error["ename"] == "InterruptedRunError"
    assert "resume" in error["evalue"]


def test_a_fork_of_the_kernel_is_none(outputs: Outputs) -> None:
    assert outputs["fork"][0]["data"]["text/plain"] == "(True, 10)"


def test_nothing_else_was_imported(outputs: Outputs) -> None:
    assert outputs["modules"][0]["data"]["text/plain"] == "[]"
