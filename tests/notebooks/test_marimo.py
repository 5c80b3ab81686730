"""Cells of a marimo notebook, executed by marimo's own export, without a server."""

from __future__ import annotations

import json
import subprocess
import sys
from typing import Any

import pytest
from homes import own_home

pytest.importorskip("marimo")
pytest.importorskip("nbformat")  # writes what is exported

RUN = 'zoo.run("mlp-char", dataset="names-ssa-2018", device="cpu", steps=400, plots=False'
CELLS = {
    "train": ("", f'import marimo as mo\nimport zoo\nmo.output.append("before")\nrun = {RUN})', "mo, run, zoo"),
    "run": ("run", "run", ""),
    "loaded": ("run, zoo", "zoo.load(run.path)", ""),
    "silent": ("zoo", f"quiet = {RUN}, observer=zoo.Observer())", ""),
    "stopped": (
        "zoo",
        "import os, signal\n"
        f"try:\n    {RUN}, lr=3e38, engine='autograd')\n"
        "except zoo.DivergedError as error:\n    message = str(error)",
        "",
    ),
}


def notebook() -> str:
    text = "import marimo\n\napp = marimo.App()\n"
    for arguments, source, returned in CELLS.values():
        body = "\n".join(f"    {line}" for line in source.splitlines())
        text += f"\n\n@app.cell\ndef _({arguments}):\n{body}\n    return {returned}\n"
    return f'{text}\n\nif __name__ == "__main__":\n    app.run()\n'


@pytest.fixture(scope="module")
def outputs(tmp_path_factory: pytest.TempPathFactory) -> dict[str, list[Any]]:
    """What each cell has left."""
    home = tmp_path_factory.mktemp("marimo")
    (home / "notebook.py").write_text(notebook())
    export = ["-m", "marimo", "-q", "-y", "export", "ipynb", "notebook.py", "-o", "out.ipynb", "--include-outputs"]
    done = subprocess.run(
        [sys.executable, "-P", *export], capture_output=True, text=True, env=own_home(home), cwd=home, timeout=120
    )
    assert done.returncode == 0, done.stderr
    cells = json.loads((home / "out.ipynb").read_text())["cells"]
    return dict(zip(CELLS, (cell["outputs"] for cell in cells), strict=True))


def html(outputs: list[Any]) -> str:
    [output] = outputs
    return "".join(output["data"]["text/html"])


def test_training_leaves_one_line_below_what_the_cell_has_shown(outputs: dict[str, list[Any]]) -> None:
    text = html(outputs["train"])
    assert text.index("before") < text.index("mlp-char: 400 steps")
    assert "marimo-progress" not in text
    assert len(json.dumps(outputs["train"])) < 800


@pytest.mark.parametrize("cell", ["run", "loaded"])
def test_a_cell_that_ends_in_a_run_shows_a_small_table(outputs: dict[str, list[Any]], cell: str) -> None:
    assert html(outputs[cell]).count("<table") == 2
    assert len(json.dumps(outputs[cell])) < 2000


def test_an_observer_of_ones_own_replaces_the_progress(outputs: dict[str, list[Any]]) -> None:
    assert outputs["silent"] == []


def test_a_run_that_diverges_says_where_it_stopped(outputs: dict[str, list[Any]]) -> None:
    assert "Stopped after" in html(outputs["stopped"])
