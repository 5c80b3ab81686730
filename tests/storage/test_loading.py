"""What is found under a name, and what is said of a name under which nothing can be."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch

import zoo
from zoo import DataError, UsageError, ZooError
from zoo.data.loading import offered_values
from zoo.plugin.manager import load_plugins
from zoo.plugin.registry import Registry
from zoo.storage import loading
from zoo.storage.verify import verify

Zoo = Callable[..., Any]

NO_NAMES = {
    "too long": "x" * 5000,
    "too long in a folder": "runs/" + "x" * 5000,
    "too long a path": "x/" * 2500,
    "a NUL": "a\0b",
    "a NUL in a folder": "runs/a\0b",
    "half a character": "\ud800",
}


@pytest.mark.parametrize("kind", [str, Path])
@pytest.mark.parametrize("case", NO_NAMES)
def test_loading_an_invalid_name_is_an_error(registry: Registry, case: str, kind: type) -> None:
    with pytest.raises(UsageError, match="no run folder") as caught:
        loading.load(kind(NO_NAMES[case]), registry)
    assert_short(str(caught.value))


def test_the_python_function_raises_the_same_error() -> None:
    with pytest.raises(UsageError, match="no run folder"):
        zoo.load("x" * 5000)


@pytest.mark.parametrize("case", NO_NAMES)
def test_verifying_an_invalid_name_is_an_error(registry: Registry, case: str) -> None:
    with pytest.raises(UsageError, match="no file or run folder") as caught:
        verify(Path(NO_NAMES[case]), registry)
    assert_short(str(caught.value))


@pytest.mark.parametrize("command", ["eval", "sample", "plot"])
@pytest.mark.parametrize("case", NO_NAMES)
def test_commands_report_an_invalid_name_in_one_line(zoo_here: Zoo, command: str, case: str) -> None:
    outcome = zoo_here(command, NO_NAMES[case])
    assert (outcome.code, outcome.out) == (2, "")
    assert outcome.err.startswith("zoo: error: no run folder, .safetensors file or model called ")
    assert outcome.err.count("\n") == 1
    assert_short(outcome.err)


def test_verify_reports_an_invalid_name_in_one_line(zoo_here: Zoo) -> None:
    outcome = zoo_here("verify", "x" * 5000)
    assert (outcome.code, outcome.out) == (2, "")
    assert outcome.err.startswith("zoo: error: no file or run folder called ")
    assert outcome.err.count("\n") == 1


def test_a_folder_with_a_path_of_maximal_length_has_no_run(registry: Registry) -> None:
    room = os.pathconf(".", "PC_PATH_MAX") - 1  # with the NUL at the end
    folder = Path(*["x" * 99] * ((room - 150) // 100))
    folder = folder / ("x" * (room - len(str(folder)) - 1))
    folder.mkdir(parents=True)
    for call in (lambda: loading.load(folder, registry), lambda: verify(folder, registry)):
        with pytest.raises(UsageError, match="no run in"):
            call()


def test_a_path_without_permission_is_an_error(registry: Registry, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(self: Path, **_: object) -> os.stat_result:
        raise PermissionError(13, "Permission denied", str(self))

    monkeypatch.setattr(Path, "stat", refuse)
    for call in (lambda: loading.load("secret", registry), lambda: verify(Path("secret"), registry)):
        with pytest.raises(ZooError, match="cannot access secret: Permission denied"):
            call()


def assert_short(message: str) -> None:
    assert len(message) < 500
    assert "\n" not in message.rstrip("\n")
    assert "\0" not in message


def targets_of(kind: str, features: int = 4, classes: int = 2) -> zoo.TensorDataset:
    x = torch.randn(60, features, generator=torch.Generator().manual_seed(1))
    y = {"classes": torch.arange(60) % classes, "numbers": x[:, :1] * 2, "more numbers": x[:, :2] * 2, "inputs": None}
    split = x if y[kind] is None else (x, y[kind])
    return zoo.TensorDataset(split, split, split)


OTHER = {
    "numbers for classes": ("classes", targets_of("numbers"), "its targets are numbers, and the model's were classes"),
    "classes for numbers": ("numbers", targets_of("classes"), "its targets are classes, and the model's were numbers"),
    "no targets": ("numbers", targets_of("inputs"), "its targets are inputs, and the model's were numbers"),
    "more numbers": ("numbers", targets_of("more numbers"), "num_outputs was 1, and is 2"),
    "more classes": ("classes", targets_of("classes", classes=3), "num_classes was 2, and is 3"),
    "more features": ("classes", targets_of("classes", features=5), "num_features was 4, and is 5"),
}


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("case", OTHER)
def test_data_of_other_shapes_or_targets_is_not_evaluated(case: str) -> None:
    """torch would compare a number with each of two logits, and a loss of that would be shown."""
    kind, other, told = OTHER[case]
    entry = load_plugins()[0].models.get("linear-table")
    data = targets_of(kind)
    sizes = {name: value for name, value in offered_values(data).items() if name.startswith("num_")}
    inputs = {"num_features": 4, **sizes}
    config = SimpleNamespace(targets=data.targets, inputs=inputs, vocabulary=None, kind="tensors")
    loaded = loading.Loaded.__new__(loading.Loaded)
    for name, value in {
        "entry": entry,
        "checked": config,
        "model": entry.load(entry.spec.factory)(**inputs, generator=torch.Generator()),
    }.items():
        object.__setattr__(loaded, name, value)
    assert loaded.examples(data)
    with pytest.raises(DataError, match=told):
        loaded.examples(other)
