"""No file of a run has a path of the machine it was made on, but for the one that the training state remembers."""

from __future__ import annotations

import getpass
import json
import os
import platform
import shlex
import socket
import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest
from conftest import Zoo
from forging import NET

import zoo
from zoo.cli.commands.run import command as run_command
from zoo.cli.options import given
from zoo.options.run import RunOptions
from zoo.plugin.manager import load_plugins
from zoo.runs.plan import make_plan
from zoo.storage import checkpoint
from zoo.storage.card import command

STATE = "training_state.safetensors"
OPTIONS: dict[str, Any] = {"device": "cpu", "settings": NET}

FORMS: dict[str, Callable[[Path], object]] = {  # in which the path of the data may be given
    "absolute": lambda path: path,
    "as text": str,
    "relative": lambda path: os.path.relpath(path),
    "with a dot": lambda path: f"./{os.path.relpath(path)}",
    "through another folder": lambda path: f"{path.parent}/../{path.parent.name}/{path.name}",
    "through a link": lambda path: linked(path),
    "an open file": lambda path: f"/dev/fd/{os.open(path, os.O_RDONLY)}",
}


def linked(path: Path) -> Path:
    link = Path("link")
    link.symlink_to(path.parent)
    return link / path.name


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, str]:
    """What must not be in a file, each with a name that is nowhere by chance."""
    folders = {}
    for name, variable in (("home", "HOME"), ("temporary", "TMPDIR"), ("config", "XDG_CONFIG_HOME")):
        folder = tmp_path / f"zq-{name}"
        folder.mkdir()
        monkeypatch.setenv(variable, str(folder))
        folders[name] = folder.name
    monkeypatch.setattr(tempfile, "tempdir", None)
    for variable in ("USER", "LOGNAME", "USERNAME", "LNAME"):
        monkeypatch.setenv(variable, "zq-user")
    assert getpass.getuser() == "zq-user"
    for module, function in ((socket, "gethostname"), (socket, "getfqdn"), (platform, "node")):
        monkeypatch.setattr(module, function, lambda *_: "zq-host")
    monkeypatch.setenv("HOSTNAME", "zq-host")
    work = tmp_path / "zq-cwd"
    work.mkdir()
    monkeypatch.chdir(work)
    return {**folders, "work": work.name, "data": "zq-data", "user": "zq-user", "host": "zq-host", "all": str(tmp_path)}


@pytest.fixture
def words(tmp_path: Path, words_file: Path) -> Path:
    folder = tmp_path / "zq-data"
    folder.mkdir()
    return words_file.rename(folder / "words.txt")


def leaks(folder: Path, here: Mapping[str, str]) -> list[str]:
    """Each file of a run that has one of these texts, and which; of the state all but where the data was."""
    found = []
    for path in sorted(folder.rglob("*")):
        content = path.read_bytes()
        if path.name == STATE:
            place = json.dumps(json.dumps(checkpoint.load_meta(path)["data"], sort_keys=True, separators=(",", ":")))
            assert place[1:-1].encode() in content
            content = content.replace(place[1:-1].encode(), b"")
        found += [f"{path.name}: {what}" for what, text in here.items() if text.encode() in content]
    return found


def test_no_file_of_a_run_has_a_path_of_this_machine(words: Path, here: dict[str, str]) -> None:
    """In every form in which the data is given, and the same bytes in each but the state."""
    runs = {}
    for number, (name, form) in enumerate(FORMS.items()):
        out = Path(f"run-{number}")
        zoo.run("mlp-char", dataset=form(words), steps=3, out=out, plots=number == 0, **OPTIONS)
        runs[name] = {path.name: path.read_bytes() for path in out.iterdir() if path.suffix != ".png"}
        assert leaks(out, here) == [], name
        zoo.resume(out, steps=4, plots=number == 0)
        assert leaks(out, here) == [], name
    files = {"model.safetensors", "config.json", "losses.csv"}
    assert [name for name, run in runs.items() for file in files if run[file] != runs["absolute"][file]] == []
    assert {path.suffix for path in Path("run-0").iterdir()} >= {".png", ".md", ".json", ".csv", ".safetensors"}


@pytest.mark.parametrize("model", ["ngram", "gru"])
def test_neither_has_that_of_another_model(words: Path, here: dict[str, str], model: str) -> None:
    more: dict[str, Any] = {"synthetic": "ngram", "validate_every": 2} if model == "gru" else {}
    zoo.run(model, dataset=words, device="cpu", steps=2, out="run", plots=False, **more)
    assert leaks(Path("run"), here) == []


def test_the_result_has_the_folder_and_nothing_else_does(words: Path, here: dict[str, str], tmp_path: Path) -> None:
    """`run_dir` of `metrics.json` is what the command prints: where the run is, as it was given."""
    out = tmp_path / "zq-out"
    run = zoo.run("mlp-char", dataset=words, steps=2, out=out, plots=False, **OPTIONS)
    assert run.metrics["run_dir"] == str(out)
    assert leaks(out, {**here, "out": "zq-out"}) == ["metrics.json: all", "metrics.json: out"]


NAMES = [
    "words",
    "names",
    "-words.txt",
    "~words.txt",
    "two words.txt",
    "n\u00e4me.txt",
    "a'b\".txt",
    "\U0001f600",
    ".txt",
    "..txt",
]


@pytest.mark.parametrize("name", NAMES, ids=ascii)
def test_the_cards_command_names_the_file_in_its_folder(
    zoo_here: Zoo, words: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    monkeypatch.chdir(words.parent)
    words.rename(name)
    run = zoo.run("mlp-char", dataset=f"./{name}", steps=2, out="run", plots=False, **OPTIONS)
    assert run.config["dataset"]["name"] == name
    parameters = run_command.make_context("run", shlex.split(command(run.config))[2:]).params
    plan = make_plan(load_plugins()[0], given(RunOptions, parameters, model=parameters["model"]))
    assert isinstance(plan.dataset, Path)
    assert plan.dataset.samefile(name)
    assert zoo_here("eval", "run").code == 0
