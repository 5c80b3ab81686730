"""A run whose plugin has another version now, or is gone: each command says so in one line, with both versions."""

from __future__ import annotations

import shutil
import sys
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from conftest import Zoo
from dropping import WORDS, Dropping, Point
from torch import Tensor, nn

import zoo
from zoo.plugin import manager
from zoo.plugin.entry_points import FoundDistribution
from zoo.plugin.recorded import Recorded

DISTRIBUTION = "zoo-moving"


class Net(Dropping):
    def __init__(self, vocab_size: int, scale: float = 1.0) -> None:
        super().__init__(vocab_size)
        self.scale = scale


class OtherForward(Net):
    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x) * 2


class OneMore(Net):
    def __init__(self, vocab_size: int, scale: float = 1.0, depth: int = 1) -> None:
        super().__init__(vocab_size, scale)


class OneLess(Net):
    def __init__(self, vocab_size: int) -> None:
        super().__init__(vocab_size)


class OtherShapes(Net):
    def __init__(self, vocab_size: int, scale: float = 1.0) -> None:
        super().__init__(vocab_size, scale)
        self.embedding = nn.Embedding(vocab_size, 8)
        self.out = nn.Linear(24, vocab_size)


class Failing(Net):
    def __init__(self, vocab_size: int, scale: float = 1.0) -> None:
        raise TypeError("this version cannot")


class Refusing(Net):
    def __init__(self, vocab_size: int, scale: float = 1.0) -> None:
        raise ValueError("this version will not")


class Moving:
    """The plugin; what it is called with is what changes."""

    def __init__(self, model: type[nn.Module] | None = Net, *, dataset: bool = True, optimizer: bool = True) -> None:
        self.model, self.dataset, self.optimizer = model, dataset, optimizer

    @zoo.hookimpl
    def zoo_models(self) -> list[zoo.ModelSpec]:
        return (
            [] if self.model is None else [zoo.ModelSpec("net", self.model, dataset="words", optimizer="own", lr=0.1)]
        )

    @zoo.hookimpl
    def zoo_datasets(self) -> list[zoo.DatasetSpec]:
        return [zoo.DatasetSpec("words", lambda: zoo.TextDataset(WORDS.split()))] if self.dataset else []

    @zoo.hookimpl
    def zoo_optimizers(self) -> list[zoo.OptimizerSpec]:
        return [zoo.OptimizerSpec("own", torch.optim.SGD)] if self.optimizer else []


CHANGED: dict[str, Moving] = {
    "forward": Moving(OtherForward),
    "one more setting": Moving(OneMore),
    "one setting less": Moving(OneLess),
    "shapes": Moving(OtherShapes),
    "fails": Moving(Failing),
    "refuses": Moving(Refusing),
    "no model": Moving(None),
    "no dataset": Moving(dataset=False),
    "no optimizer": Moving(optimizer=False),
    "nothing": Moving(None, dataset=False, optimizer=False),
}
WORKS = {  # the commands that do, with a warning; each other one is refused
    "forward": ["eval", "sample", "load", "allow"],
    "one more setting": ["eval", "sample", "load"],
    "no dataset": ["sample", "load"],
    "no optimizer": ["eval", "sample", "load"],
}
ALLOWED = ["forward", "shapes", "fails", "refuses"]  # as far as is known before the model is made
COMMANDS: dict[str, list[Any]] = {
    "eval": ["eval", "out", "--device", "cpu"],
    "sample": ["sample", "out", "-n", 2, "--seed", 1],
    "load": [],
    "resume": ["resume", "out", "--steps", 4, "--no-plots"],
    "allow": ["resume", "out", "--steps", 4, "--no-plots", "--allow-changes"],
}

Install = Callable[[Moving | None, str], None]


@pytest.fixture
def install(monkeypatch: pytest.MonkeyPatch) -> Install:
    """Put a version of the plugin in the place of another; None for no plugin at all."""
    find: Any = vars(manager)["find_entry_points"]

    def put(plugin: Moving | None, version: str) -> None:
        point = Point(plugin, DISTRIBUTION)
        point.dist = FoundDistribution(DISTRIBUTION, version)
        found = [] if plugin is None else [point]
        monkeypatch.setattr(manager, "find_entry_points", lambda group: [*find(group), *found])

    return put


@pytest.fixture
def trained(install: Install, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run with version 1.0, in the working folder; it is made once."""
    if "run" not in _TRAINED:
        _TRAINED["run"] = tmp_path_factory.mktemp("trained") / "out"
        install(Moving(), "1.0")
        zoo.run("net", device="cpu", steps=2, out=_TRAINED["run"], plots=False)
    return Path(shutil.copytree(_TRAINED["run"], "out"))


_TRAINED: dict[str, Path] = {}


def said(zoo_here: Zoo, command: str) -> tuple[int, list[str]]:
    """The exit code of a command, and its warnings and errors, a line each."""
    code, errors = 0, []
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        if command == "load":
            try:
                zoo.load("out")
            except zoo.ZooError as error:
                code, errors = 1, [str(error)]
        else:
            outcome = zoo_here(*COMMANDS[command])
            code, errors = outcome.code, outcome.err.splitlines()
    return code, [*(str(warning.message) for warning in caught), *errors]


@pytest.mark.parametrize("command", COMMANDS)
@pytest.mark.parametrize("change", CHANGED)
def test_another_version_is_told_with_both_and_the_command_that_brings_the_first_back(
    change: str, command: str, trained: Path, install: Install, zoo_here: Zoo
) -> None:
    install(CHANGED[change], "2.0")
    code, lines = said(zoo_here, command)
    works = command in WORKS.get(change, [])
    assert code == (0 if works else 1), lines
    if change == "nothing":  # a plugin without anything is as good as none
        assert f"of plugin {DISTRIBUTION} 1.0, which is not installed" in lines[-1]
    elif not (command == "allow" and works):  # what is allowed needs no warning
        assert f"{DISTRIBUTION} 1.0" in lines[-1] or "no dataset" in change
        assert "2.0" in lines[0]
    if not works:
        assert len(lines) == 1 + (change == "no dataset" and command == "eval")  # where the model itself loads
        assert f"'pip install {DISTRIBUTION}==1.0'" in lines[-1]
        assert ("--allow-changes" in lines[-1]) is (command == "resume" and change in ALLOWED)
    assert "there are:" not in " ".join(lines)
    assert "did you mean" not in " ".join(lines)


@pytest.mark.parametrize("command", ["eval", "sample", "load"])
def test_a_changed_forward_is_told_in_one_line(command: str, trained: Path, install: Install, zoo_here: Zoo) -> None:
    install(CHANGED["forward"], "2.0")
    _, [line] = said(zoo_here, command)
    assert "may compute something else than it did: it was made with zoo-moving 1.0, and zoo-moving 2.0 is in" in line


def test_a_command_shows_the_warning_as_its_own_and_without_a_line_of_code(
    trained: Path, install: Install, zoo_here: Zoo, monkeypatch: pytest.MonkeyPatch
) -> None:
    install(CHANGED["forward"], "2.0")

    def shown(*args: Any) -> None:  # as Python shows one, where pytest does not collect it
        sys.stderr.write(warnings.formatwarning(*args[:4]))

    with warnings.catch_warnings():
        warnings.simplefilter("always")
        monkeypatch.setattr(warnings, "showwarning", shown)
        [line] = zoo_here(*COMMANDS["eval"]).err.splitlines()
    assert line.startswith("zoo: warning: out/model.safetensors may compute something else than it did: ")


@pytest.mark.parametrize("command", COMMANDS)
def test_the_same_version_is_not_told(command: str, trained: Path, install: Install, zoo_here: Zoo) -> None:
    install(Moving(), "1.0")
    assert said(zoo_here, command) == (0, [])


@pytest.mark.parametrize("command", COMMANDS)
def test_a_plugin_that_was_removed_is_told_with_its_pip_command(
    command: str, trained: Path, install: Install, zoo_here: Zoo
) -> None:
    install(None, "")
    code, [line] = said(zoo_here, command)
    assert code == 1
    assert "of plugin zoo-moving 1.0, which is not installed, disabled or broken: see 'zoo plugins'; " in line
    assert "'pip install zoo-moving==1.0' installs it" in line


@pytest.mark.parametrize("path", ["out", "out/model.safetensors"])
@pytest.mark.parametrize("change", [*CHANGED, "removed"])
def test_intact_files_are_never_called_damaged_for_another_version(
    change: str, path: str, trained: Path, install: Install, zoo_here: Zoo
) -> None:
    install(CHANGED.get(change), "2.0")
    outcome = zoo_here("verify", path, "--json")
    assert (outcome.code, outcome.err) == (0, "")
    results = {row["file"]: row for row in outcome.result["files"]}
    weights = results.pop("model.safetensors")
    fits = change in ("forward", "one more setting", "no dataset", "no optimizer")
    assert weights["result"] == ("intact" if fits else "not checked")
    assert fits or "zoo-moving 1.0" in weights["text"]
    assert {row["result"] for row in results.values()} <= {"intact"}


@pytest.mark.parametrize(
    ("name", "version", "command"),
    [
        ("zoo-x/net", "1.0", "pip install zoo-x==1.0"),
        ("zoo-x/net", "1.0rc1+cpu", "pip install zoo-x==1.0rc1+cpu"),
        ("zoo-x/net", "unknown", "pip install zoo-x"),
        ("zoo-x/net", "1.0 --index-url http://evil", "pip install zoo-x"),
        ("zoo-x/net", "1.0;reboot", "pip install zoo-x"),
        ("zoo-x/net", "1!2", "pip install zoo-x"),
        ("-r evil/net", "1.0", None),
    ],
)
def test_a_checkpoint_does_not_choose_what_is_typed(name: str, version: str, command: str | None) -> None:
    assert Recorded(name, version).install == command
