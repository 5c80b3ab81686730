"""`zoo verify` describes files and folders and finds damage."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from zoo.storage.config import differences

Zoo = Callable[..., Any]

FILES = ["model.safetensors", "training_state.safetensors", "losses.csv", "config.json", "metrics.json"]


def test_a_finished_run_is_intact(zoo_here: Zoo, finished_run: Path) -> None:
    outcome = zoo_here("verify", finished_run, "--json")
    assert outcome.code == 0
    assert outcome.result["whole"]
    assert [file["file"] for file in outcome.result["files"]] == FILES


def test_each_file_is_described(zoo_here: Zoo, finished_run: Path) -> None:
    out = zoo_here("verify", finished_run).out
    assert "weights of zoo-models/mlp-char, 11,897 parameters, step 200" in out
    assert "training state at step 200" in out


@pytest.mark.parametrize("name", ["model.safetensors", "training_state.safetensors"])
def test_a_single_file_is_verified(zoo_here: Zoo, finished_run: Path, name: str) -> None:
    outcome = zoo_here("verify", finished_run / name, "--json")
    assert outcome.code == 0
    assert [file["file"] for file in outcome.result["files"]] == [name]


@pytest.mark.parametrize("name", FILES)
def test_damage_to_any_file_is_found(zoo_here: Zoo, run_copy: Path, name: str) -> None:
    path = run_copy / name
    data = path.read_bytes()
    path.write_bytes(data[: len(data) - 6])
    outcome = zoo_here("verify", run_copy, "--json")
    assert outcome.code == 1
    results = {file["file"]: file["result"] for file in outcome.result["files"]}
    assert [file for file, result in results.items() if result == "damaged"] == [name]
    # losses are compared with the state alone
    assert (results["losses.csv"] == "not checked") == name.startswith("training_state")
    assert outcome.err.startswith("zoo: error: ")
    assert outcome.err.count("\n") == 1


def test_config_of_another_run_is_found(zoo_here: Zoo, run_copy: Path) -> None:
    path = run_copy / "config.json"
    path.write_text(path.read_text().replace('"batch_size": 32', '"batch_size": 64'))
    outcome = zoo_here("verify", run_copy)
    assert outcome.code == 1
    assert "training.batch_size: 32 then, 64 now" in outcome.out


def test_an_unfinished_run_is_intact_without_metrics(zoo_here: Zoo, run_copy: Path) -> None:
    (run_copy / "metrics.json").unlink()
    outcome = zoo_here("verify", run_copy)
    assert outcome.code == 0
    assert "the run has not ended" in outcome.out


@pytest.mark.parametrize("target", ["nowhere", "."])
def test_missing_and_empty_paths_are_wrong_usage(zoo_here: Zoo, target: str) -> None:
    outcome = zoo_here("verify", target)
    assert outcome.code == 2
    assert outcome.err.count("\n") == 1


OTHER_FILES = ("config.json", "losses.csv", "README.md")


@pytest.mark.parametrize("name", OTHER_FILES)
@pytest.mark.parametrize("command", ["verify", "sample", "eval", "plot", "resume"])
def test_a_file_of_a_run_in_place_of_its_folder_is_not_damaged(
    finished_run: Path, zoo_here: Zoo, name: str, command: str
) -> None:
    outcome = zoo_here(command, finished_run / name)
    assert outcome.code == 2
    assert "DAMAGED" not in outcome.out
    assert f"it is a file of the run {finished_run}; give that folder" in outcome.err


@pytest.mark.parametrize(("command", "name"), [("sample", "training_state"), ("resume", "model")])
def test_the_wrong_one_of_two_files_is_told_apart(finished_run: Path, zoo_here: Zoo, name: str, command: str) -> None:
    outcome = zoo_here(command, finished_run / f"{name}.safetensors")
    assert outcome.code == 2
    assert "give that folder" in outcome.err


def test_a_file_of_another_kind_is_not_called_damaged(zoo_here: Zoo, words_file: Path) -> None:
    outcome = zoo_here("verify", words_file)
    assert outcome.code == 2
    assert "is no .safetensors file: give one, or a run folder" in outcome.err


def test_text_in_place_of_a_number_is_shown_as_text() -> None:
    assert differences({"lr": 0.1}, {"lr": "0.1"}) == ["lr: 0.1 then, '0.1' now"]
    assert differences({"lr": None}, {"lr": "none"}) == ["lr: none then, 'none' now"]
