"""The config of a run for people, what can be copied, and its files."""

from __future__ import annotations

import hashlib
import shlex
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from forging import Change
from reading import read
from trained_plugin import train

import zoo
from zoo.reports.reported import ReportedRun
from zoo.reports.sections import about
from zoo.storage.card import LOAD_WITH_ZOO, LOAD_WITHOUT_ZOO

Zoo = Callable[..., Any]


def flat(run: ReportedRun) -> dict[str, about.Setting]:
    return {setting.name: setting for settings in about.grouped(run).values() for setting in settings}


def test_what_was_chosen_is_told_from_defaults(words_file: Path) -> None:
    given: dict[str, Any] = {"dataset": words_file, "device": "cpu", "plots": False}
    zoo.run("mlp-char", out="one", steps=3, lr=0.5, settings={"model.hidden_size": 5}, optimizer="adamw", **given)
    settings = flat(read("one"))
    chosen = {name for name, setting in settings.items() if setting.is_default is False}
    assert chosen == {"steps", "lr", "model.hidden_size"}
    assert {name for name, setting in settings.items() if setting.is_default is None} == {
        *("data", "data.sha256", "model", "optimizer", "loss", "device", "engine", "threads"),
        *("plugins.model", "plugins.optimizer", "versions.zoo", "versions.torch", "versions.python"),
    }
    assert (settings["lr"].value, settings["seed"].value, settings["preset"].value) == ("0.5", "2147483647", "notebook")
    zoo.run("transformer", out="two", steps=3, preset="makemore", **given)
    assert {name for name, one in flat(read("two")).items() if one.is_default is False} == {"steps"}


def test_groups_begin_with_the_name_of_their_part(made: Path) -> None:
    groups = about.grouped(read(made))
    assert [(title, settings[0].name) for title, settings in groups.items()][:4] == [
        ("Data", "data"),
        ("Model", "model"),
        ("Optimizer", "optimizer"),
        ("Loss", "loss"),
    ]
    assert list(groups) == ["Data", "Model", "Optimizer", "Loss", "Training", "Plugins", "Versions"]


def test_code_is_that_of_the_card_and_works(zoo_here: Zoo, words_file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    Path("words.txt").write_text(words_file.read_text())
    zoo.run("mlp-char", dataset="words.txt", steps=3, device="cpu", plots=False, out="my run")
    codes = {code.title: code.text for code in about.codes(read("my run"))}
    card = Path("my run/README.md").read_text()
    assert list(codes.values())[:2] == [LOAD_WITH_ZOO, LOAD_WITHOUT_ZOO]
    assert all(text in card for text in (LOAD_WITH_ZOO, LOAD_WITHOUT_ZOO))
    command = next(line for line in card.splitlines() if line.startswith("$ zoo run"))
    assert codes["Reproduce it"].partition(" --set ")[0] == command.removeprefix("$ ").partition(" --set ")[0]
    assert sorted(codes["Reproduce it"].split()) == sorted(command.split()[1:])
    for title in ("Sample from it", "Predict with it", "Train it further"):
        assert zoo_here(*shlex.split(codes[title])[1:]).code == 0, title
    reproduced = zoo_here(*shlex.split(codes["Reproduce it"])[1:], "--no-plots", "--out", "again")
    assert reproduced.code == 0
    monkeypatch.chdir("again")
    for text in (LOAD_WITH_ZOO, LOAD_WITHOUT_ZOO):
        exec(text, {})  # noqa: S102  # it is what a person would copy


def test_code_of_other_kinds(zoo_here: Zoo, monkeypatch: pytest.MonkeyPatch, run: Path) -> None:
    train(monkeypatch, "classifier")
    train(monkeypatch, "pictures")
    classifier, pictures = (
        {code.title: code.text for code in about.codes(read(name))} for name in ("classifier", "pictures")
    )
    assert "Sample from it" not in classifier
    assert pictures["Sample from it"] == "zoo sample pictures"
    assert classifier["Predict with it"] == "zoo predict classifier --split val --rows 0:5"
    assert zoo_here(*shlex.split(classifier["Predict with it"])[1:]).code == 0
    alone = Path("-a file$.safetensors")
    alone.write_bytes((run / "model.safetensors").read_bytes())
    codes = {code.title: code.text for code in about.codes(read(f"./{alone}"))}
    assert codes["Sample from it"] == "zoo sample './-a file$.safetensors'"
    assert "Train it further" not in codes
    assert codes["Load it with zoo"] == LOAD_WITH_ZOO.replace("model.safetensors", str(alone))
    quote = Path('a"b.safetensors')
    quote.write_bytes(alone.read_bytes())
    assert "Load it with zoo" not in {code.title for code in about.codes(read(quote))}


def test_shipped_weights_are_called_by_their_model(zoo_here: Zoo) -> None:
    run = read("bigram")
    codes = {code.title: code.text for code in about.codes(run)}
    assert codes["Sample from it"] == "zoo sample bigram"
    assert codes["Load it with zoo"] == LOAD_WITH_ZOO.replace("model.safetensors", "bigram")
    assert "Load the weights without zoo" not in codes
    for title in ("Sample from it", "Predict with it"):
        assert zoo_here(*shlex.split(codes[title])[1:]).code == 0, title


def test_files_have_their_sizes_and_digests(zoo_here: Zoo, run: Path) -> None:
    found = {file.name: file for file in about.files(read("run").loaded.path)}
    assert set(found) == {path.name for path in run.iterdir() if path.is_file() and not path.name.startswith(".")}
    for name, file in found.items():
        content = (run / name).read_bytes()
        assert file.sha256 == hashlib.sha256(content).hexdigest()
        assert file.size == f"{len(content)} bytes" or file.size.endswith("KiB")
    zoo_here("report", "run")
    assert set(found) == {file.name for file in about.files(read("run").loaded.path)}, "not the report itself"
    lone = run.parent / "x.safetensors"
    lone.write_bytes((run / "model.safetensors").read_bytes())
    assert [file.name for file in about.files(lone)] == ["x.safetensors"]


@pytest.mark.parametrize(
    ("place", "value"),
    [
        ("versions", None),
        ("versions", ["<script>alert(1)</script>"]),
        ("versions", {"torch\u202e": {"deep": "\x1b[2J"}}),
        ("training.sneaky", {"<img src=x>": "\u202e"}),
        ("metrics", 3),
        ("dataset.examples", {}),
    ],
)
def test_a_config_may_hold_anything(change: Change, place: str, value: object) -> None:
    change(place, value)
    part = about.make(read("run"))
    shown = [*flat(read("run")).values()]
    assert shown
    assert all(one.name.isprintable() and one.value.isprintable() for one in shown)
    assert part.values["codes"]
