"""The lecture's notebook on zoo: as a script, as marimo exports it, and as marimo wants a notebook to be."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from homes import own_home

pytest.importorskip("marimo")

ROOT = Path(__file__).resolve().parent.parent.parent
STEPS = ("--steps", "300")


def run(*arguments: object, home: Path) -> subprocess.CompletedProcess[str]:
    """`python ARGUMENTS`, in an empty folder and with a home of its own."""
    work = home / "empty"
    work.mkdir()
    done = subprocess.run(
        [sys.executable, "-P", *map(str, arguments)],
        capture_output=True,
        text=True,
        stdin=subprocess.DEVNULL,
        env=own_home(home),
        cwd=work,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr + done.stdout
    return done


@pytest.fixture
def notebook(tmp_path: Path) -> Path:
    """A copy: marimo keeps a folder beside a notebook."""
    return Path(shutil.copy(ROOT / "scripts" / "lecture.py", tmp_path))


def losses(text: str) -> list[tuple[str, str]]:
    """The losses over the splits, as the two ways of training say them, one after the other."""
    return re.findall(r"^(train|val|test) +(\d\.\d{4})$", text, re.MULTILINE)


def test_it_runs_as_a_script_with_the_losses_of_the_plain_loop(notebook: Path, tmp_path: Path) -> None:
    done = run(notebook, *STEPS, home=tmp_path)
    assert "... --> e\n..e --> m\n.em --> m\nemm --> a\nmma --> .\n" in done.stdout
    assert "the losses of all 300 steps are equal, bit for bit" in done.stdout
    own, zoos = losses(done.stdout)[:3], losses(done.stdout)[3:]
    assert [name for name, _ in own] == ["train", "val", "test"]
    assert own == zoos
    assert len(done.stdout.splitlines()[-1].split()) >= 15  # samples
    assert done.stderr == ""
    assert list((tmp_path / "empty").iterdir()) == []


def test_it_exports_headless_with_plots_tables_and_a_slider(notebook: Path, tmp_path: Path) -> None:
    export = ["-m", "marimo", "-q", "-y", "export", "html", notebook, "-o", tmp_path / "lecture.html"]
    run(*export, "--", *STEPS, home=tmp_path)
    text = (tmp_path / "lecture.html").read_text()
    [session] = re.findall(r'"session": (\{.*\}),\n', text)
    cells = json.loads(session)["cells"]
    shown = [json.dumps(cell["outputs"]) for cell in cells]
    assert not [output for output in shown if '"error"' in output]
    assert sum("image/png" in output for output in shown) == 2
    assert sum("<table" in output for output in shown) == 3  # the data and two runs
    assert sum("marimo-slider" in output for output in shown) == 1
    assert max(len(output) for output in shown if "image/png" not in output) < 4000


def test_marimo_has_nothing_to_say_about_it(notebook: Path, tmp_path: Path) -> None:
    assert run("-m", "marimo", "check", notebook, home=tmp_path).stdout == ""
