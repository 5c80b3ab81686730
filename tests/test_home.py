"""Wherever a person names a path, `~` is the home folder; nowhere else."""

from __future__ import annotations

import ast
import os
import pwd
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click
import pytest
from conftest import Zoo
from forging import NET, changer

import zoo
from zoo.cli import COMMANDS, cli
from zoo.cli.options import PathFromPerson
from zoo.data.download import cache_folder
from zoo.files import from_person
from zoo.options.declaration import declared
from zoo.options.run import ResumeOptions, RunOptions

CORE = Path(__file__).resolve().parent.parent / "zoo"
QUICK = ("--device", "cpu", "--quiet", "--no-plots")
SWEEP = ("--steps", 1, "--seeds", 1, "--device", "cpu", "--quiet")


@pytest.fixture
def home(tmp_path: Path, made: Path, words_file: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A home folder with a run and a file of words, which are nowhere else."""
    home = tmp_path / "at home"
    home.mkdir()
    shutil.copytree(made, home / "run")
    shutil.copy(made.parent / "words.txt", home / "words.txt")
    monkeypatch.setenv("HOME", str(home))
    return home


COMMAND_LINES: dict[str, tuple[Any, ...]] = {
    "run --dataset": ("run", "mlp-char", "--dataset", "~/words.txt", "--steps", 1, "--out", "out", *QUICK),
    "run --out": ("run", "mlp-char", "--dataset", "names-ssa-2018", "--steps", 1, "--out", "~/new/out", *QUICK),
    "resume RUN": ("resume", "~/run", "--steps", 5, *QUICK),
    "resume --dataset": ("resume", "~/run", "--dataset", "~/words.txt", "--steps", 5, *QUICK),
    "sweep --dataset": ("sweep", "mlp-char", "--dataset", "~/words.txt", *SWEEP),
    "sweep --out": ("sweep", "mlp-char", "--dataset", "names-ssa-2018", "--out", "~/new/out", *SWEEP),
    "eval RUN": ("eval", "~/run"),
    "eval a file": ("eval", "~/run/model.safetensors"),
    "eval --dataset": ("eval", "~/run", "--dataset", "~/words.txt"),
    "sample RUN": ("sample", "~/run"),
    "sample --dataset": ("sample", "~/run", "--dataset", "~/words.txt"),
    "sample --out": ("sample", "~/run", "--out", "~/sampled.txt"),
    "predict RUN": ("predict", "~/run"),
    "predict --input": ("predict", "~/run", "--input", "~/words.txt"),
    "predict --dataset": ("predict", "~/run", "--split", "val", "--dataset", "~/words.txt"),
    "predict --out": ("predict", "~/run", "--out", "~/predicted.csv"),
    "plot RUN": ("plot", "~/run"),
    "plot --out": ("plot", "~/run", "--out", "~/new/plots"),
    "report RUNS": ("report", "~/run"),
    "report --out": ("report", "~/run", "--out", "~/report.html"),
    "report --dataset": ("report", "~/run", "--dataset", "~/words.txt"),
    "data DATASET": ("data", "~/words.txt"),
    "verify PATH": ("verify", "~/run"),
    "runs FOLDER": ("runs", "~/run"),
    "compare RUNS": ("compare", "~/run"),
    "compare a file": ("compare", "~/run/model.safetensors"),
    "compare --plot": ("compare", "~/run", "--plot", "~/compared.svg"),
}
PYTHON: dict[str, Callable[[], Any]] = {
    "run dataset": lambda: zoo.run("mlp-char", dataset="~/words.txt", steps=1, device="cpu", plots=False, settings=NET),
    "run dataset, a Path": lambda: zoo.run(
        "mlp-char", dataset=Path("~/words.txt"), steps=1, device="cpu", plots=False, settings=NET
    ),
    "run out": lambda: zoo.run(
        "mlp-char", dataset="~/words.txt", steps=1, device="cpu", plots=False, out=Path("~/new")
    ),
    "sweep dataset": lambda: zoo.sweep("mlp-char", dataset="~/words.txt", seeds=1, steps=1, settings=NET),
    "sweep out": lambda: zoo.resume_sweep(
        zoo.sweep("mlp-char", dataset="~/words.txt", seeds=1, steps=1, settings=NET, out="~/new").path
    ),
    "resume": lambda: zoo.resume("~/run", steps=5, plots=False),
    "report": lambda: zoo.report("~/run"),
    "report out": lambda: zoo.report("~/run", out="~/report.html"),
    "load": lambda: zoo.load("~/run"),
    "load, a Path": lambda: zoo.load(Path("~/run")),
    "TextDataset.from_file": lambda: zoo.TextDataset.from_file("~/words.txt"),
}
NOT_PATHS = {"model", "name", "kind", "kinds"}  # of the command line
WITH_PATHS = {"dataset", "out", "run", "path"}


@pytest.mark.parametrize("case", COMMAND_LINES)
def test_the_home_is_meant_on_the_command_line(case: str, home: Path, zoo_here: Zoo) -> None:
    outcome = zoo_here(*COMMAND_LINES[case])
    assert outcome.code == 0, outcome.err
    assert not list(Path().glob("~*"))
    assert "new" not in "".join(map(str, COMMAND_LINES[case])) or list((home / "new").iterdir())


@pytest.mark.parametrize("case", PYTHON)
def test_the_home_is_meant_in_python(case: str, home: Path) -> None:
    assert PYTHON[case]() is not None
    assert not list(Path().glob("~*"))


def test_the_home_of_a_user_is_meant() -> None:
    user = pwd.getpwuid(os.getuid())
    assert from_person(f"~{user.pw_name}/x") == Path(user.pw_dir) / "x"


def test_the_cache_may_be_in_the_home(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ZOO_CACHE", "~/cache")
    assert cache_folder() == home / "cache"


@pytest.mark.parametrize("name", ["~no such user/x", "~\0/x", "~\udc80/x", f"~{'x' * 9999}/x"])
def test_a_user_that_there_is_not_is_refused(name: str, zoo_here: Zoo) -> None:
    outcome = zoo_here("run", "mlp-char", "--dataset", name)
    assert (outcome.code, outcome.err.count("\n"), "no user " in outcome.err) == (2, 1, True)


def test_a_file_called_like_a_home_can_be_named(home: Path) -> None:
    Path("~notes.txt").touch()
    assert from_person("~notes.txt") == Path("~notes.txt")


@pytest.mark.parametrize("home", ["", None])
def test_a_user_without_a_home_is_told(home: str | None, monkeypatch: pytest.MonkeyPatch, zoo_here: Zoo) -> None:
    def no_entry(*_: object) -> None:
        raise KeyError("no such user")

    monkeypatch.setattr(pwd, "getpwuid", no_entry)
    monkeypatch.setenv("HOME", "") if home == "" else monkeypatch.delenv("HOME")
    for command in COMMAND_LINES.values():
        outcome = zoo_here(*command)
        assert (outcome.code, outcome.err.count("\n")) == (2, 1)
        assert ": set HOME, or give a full path" in outcome.err


def test_every_option_and_argument_that_takes_a_path_is_tried() -> None:
    tried = {(case.split()[0], word.lstrip("-").lower()) for case in COMMAND_LINES for word in case.split()[1:2]}
    for name in COMMANDS:
        command = cli.get_command(click.Context(cli), name)
        assert command is not None
        for parameter in command.params:
            assert not isinstance(parameter.type, click.Path)
            if parameter.name in WITH_PATHS or isinstance(parameter.type, PathFromPerson):
                found = {one for one in tried if one[0] == name}
                assert (name, parameter.name) in tried or (name, parameter.human_readable_name.lower()) in found, (
                    parameter
                )
    in_python = {
        name
        for record in (RunOptions, ResumeOptions)
        for name, one in declared(record).items()
        if os.PathLike in {getattr(kind, "__origin__", kind) for kind in getattr(one.type, "__args__", ())}
    }
    assert in_python <= {word for case in PYTHON for word in case.replace(",", "").split()}


# Nothing goes round it

MADE = {
    "zoo/cli/new_file.py": "the name of a file that zoo chooses",
    "zoo/cli/completion/signatures.py": "sources of installed packages",
    "zoo/data/finding.py": "of a training state, or resolved",
    "zoo/storage/open_folder.py": "names that the system gives",
    "zoo/data/download.py": "a place for a user without a home",
    "zoo/files.py": "from_person itself",
    "zoo/memory.py": "files of the system",
    "zoo/data/corpus/dataset.py": "a path that is no text",
    "zoo/plots/figures/legend.py": "matplotlib's Path, of lines",
    "zoo/reports/health/activations.py": "the folder of torch",
    "zoo/plots/importing.py": "the settings file in the working folder",
    "zoo/plots/plot.py": "the suffix of a name, and a name of a config",
    "zoo/reports/report.py": "the name of a file that zoo chooses",
    "zoo/runs/resuming.py": "of a checkpoint",
    "zoo/runs/runner.py": "of a plan, which has been through from_person",
    "zoo/storage/config.py": "of a checkpoint",
    "zoo/storage/__init__.py": "runs/",
    "zoo/sweeps/folder.py": "sweeps/",
    "zoo/sweeps/shares/sharing.py": "of rank 0, which has it from from_person",
    "zoo/runs/launched/running.py": "of a plan, and of rank 0, which has it from there",
    "zoo/sweeps/sweeping.py": "of a sweep's state, absolute, and read if it has the digest of the data",
    "zoo/sweeps/workers/messages.py": "of the sweep's own folder",
    "zoo/storage/folder.py": "the folder of temporary files",
    "zoo/storage/loading.py": "of a checkpoint",
    "zoo/storage/shipped.py": "of a plugin",
    "zoo/testing/guard.py": "files of code",
    "zoo/testing/loggers.py": "a temporary folder",
    "zoo/testing/models/check.py": "a temporary folder",
    "zoo/testing/optimizers.py": "a temporary folder",
}


def test_no_path_of_a_person_goes_round_from_person() -> None:
    """`Path(TEXT)` and `expanduser` occur where they are known, and nowhere else."""
    found = set()
    for path in sorted(CORE.rglob("*.py")):
        name = path.relative_to(CORE.parent).as_posix()
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Call) and ast.unparse(node.func) == "Path" and node.args:
                found.add(name)
            if isinstance(node, ast.Attribute) and node.attr == "expanduser":
                assert name == "zoo/files.py"
    assert found <= MADE.keys()


def test_a_path_from_a_checkpoint_is_never_the_home(home: Path, run: Path, zoo_here: Zoo) -> None:
    shutil.copy(home / "words.txt", home / "secret.txt")
    weights = changer(run)("dataset.name", "~/secret.txt").rename("alone.safetensors")  # without its training state
    assert zoo_here("eval", weights).code == 1
    assert zoo_here("eval", weights, "--dataset", "~/secret.txt").code == 0
