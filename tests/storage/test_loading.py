"""What is found under a name, and what is said of a name under which nothing can be."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import zoo
from zoo import UsageError, ZooError
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
