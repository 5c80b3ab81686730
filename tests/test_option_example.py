"""The worked example of zoo/README.md adds an option by its declaration and the code that uses it. Is that all?"""

from __future__ import annotations

import json
import re
import shlex
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from subprocess import CompletedProcess

import pytest
from conftest import ROOT, run_python

Run = Callable[..., CompletedProcess[str]]


@pytest.fixture(scope="module")
def copy(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the core, changed as the example says."""
    folder = tmp_path_factory.mktemp("copy")
    shutil.copytree(ROOT / "zoo", folder / "zoo", ignore=shutil.ignore_patterns("__pycache__"))
    [diff] = re.findall(r"```diff\n(.*?)```", (ROOT / "zoo" / "README.md").read_text(encoding="utf-8"), re.DOTALL)
    changed = re.findall(r"^\+\+\+ b/(.*)$", diff, re.MULTILINE)
    assert changed == ["zoo/options/training.py", "zoo/training/autograd.py"]
    done = subprocess.run(
        ["git", "apply", "-"], input=diff, cwd=folder, capture_output=True, text=True,
        env={"GIT_CEILING_DIRECTORIES": str(folder.parent), "PATH": "/usr/bin:/bin:/usr/local/bin"},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return folder


@pytest.fixture
def zoo_with_it(copy: Path, words_file: Path) -> Run:
    """`zoo ARGS` of the changed copy."""

    def run(*args: object) -> CompletedProcess[str]:
        code = "import sys; from zoo.cli import main; main()"
        return run_python("-c", code, *map(str, args), env={"PYTHONPATH": str(copy)})

    return run


def test_the_option_is_there_in_every_place(zoo_with_it: Run, words_file: Path) -> None:
    assert "--clamp-weights X" in zoo_with_it("run", "--help").stdout
    options = ["--dataset", words_file, "--device", "cpu", "--no-plots", "--quiet", "--steps", 6]
    done = zoo_with_it("run", "mlp-char", *options, "--clamp-weights", 0.5, "--out", "a")
    assert done.returncode == 0, done.stderr
    assert json.loads(Path("a/config.json").read_text())["training"]["clamp_weights"] == 0.5
    [line] = re.findall(r"^\$ zoo (run .*)$", Path("a/README.md").read_text(), re.MULTILINE)
    assert "--clamp-weights 0.5" in line
    shutil.copy(words_file, ".")  # the command names the file, and no path
    assert zoo_with_it(*shlex.split(line), "--no-plots", "--quiet", "--out", "b").returncode == 0
    assert Path("a/model.safetensors").read_bytes() == Path("b/model.safetensors").read_bytes()


def test_it_does_what_it_says_and_resumes(zoo_with_it: Run, words_file: Path) -> None:
    import zoo

    options = ["mlp-char", "--dataset", words_file, "--device", "cpu", "--no-plots", "--quiet", "--clamp-weights", 0.25]
    assert zoo_with_it("run", *options, "--steps", 9, "--out", "full").returncode == 0
    assert zoo_with_it("run", *options, "--steps", 4, "--out", "parts").returncode == 0
    assert zoo_with_it("resume", "parts", "--steps", 9, "--no-plots", "--quiet").returncode == 0
    for name in ("model.safetensors", "training_state.safetensors", "losses.csv", "config.json"):
        assert Path("full", name).read_bytes() == Path("parts", name).read_bytes(), name
    assert max(float(p.abs().max()) for p in zoo.load("full").model.state_dict().values()) == 0.25


def test_mistakes_and_changes_are_told(zoo_with_it: Run, words_file: Path) -> None:
    options = ["mlp-char", "--dataset", words_file, "--device", "cpu", "--no-plots", "--quiet", "--steps", 3]
    done = zoo_with_it("run", *options, "--clamp-weights", -1)
    assert (done.returncode, done.stderr) == (2, "zoo: error: --clamp-weights must be above 0, got -1.0\n")
    done = zoo_with_it("run", *options, "--clamp-weights", 1, "--engine", "manual")
    assert "engine 'manual' does not clamp weights" in done.stderr
    assert zoo_with_it("run", *options, "--clamp-weights", 1, "--out", "a").returncode == 0
    config = Path("a/config.json")
    config.write_text(config.read_text().replace('"clamp_weights": 1.0', '"clamp_weights": 2.0'))
    done = zoo_with_it("resume", "a", "--steps", 5)
    assert "training.clamp_weights: 1.0 then, 2.0 now" in done.stderr


def test_python_and_presets_have_it(copy: Path, words_file: Path) -> None:
    code = (
        "import inspect, sys, zoo\n"
        "assert 'clamp_weights' in inspect.signature(zoo.run).parameters\n"
        "assert zoo.Preset(clamp_weights=0.5).clamp_weights == 0.5\n"
        "assert zoo.ModelSpec('x', 'm:f', clamp_weights=0.5).clamp_weights == 0.5\n"
        "run = zoo.run('mlp-char', dataset=sys.argv[1], device='cpu', steps=2, plots=False, clamp_weights=0.5)\n"
        "assert run.config['training']['clamp_weights'] == 0.5"
    )
    done = run_python("-c", code, words_file, env={"PYTHONPATH": str(copy)})
    assert done.returncode == 0, done.stderr
