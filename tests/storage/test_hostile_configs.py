"""Configs that lie, with the right digests beside them: each is refused in one sentence, at no cost.

They are in the metadata of weights, in a training state, or in `config.json`.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from forging import MEMORY_BYTES, Change, assert_one_line, peak_growth, put, refusal

import zoo
from zoo import CheckpointError, DataError, ZooError
from zoo.plugin.registry import Registry
from zoo.storage import loading
from zoo.storage.verify import verify

Zoo = Callable[..., Any]

# Numbers, names and sizes


@pytest.mark.parametrize(
    "sizes",
    [
        {"hidden_size": 10**9},
        {"embedding_dim": 10**9},
        {"context_length": 10**9},
        {"hidden_size": 10**18},
        {"hidden_size": 11_000_000, "embedding_dim": 1},  # each part alone is not too large by far
        {"hidden_size": 2_000_000},
        {"embedding_dim": 1_000_000},
    ],
    ids=str,
)
def test_a_config_of_a_huge_model_is_refused_before_allocating_it(
    change: Change, made: Path, registry: Registry, sizes: dict[str, int]
) -> None:
    loading.load(made, registry)  # what torch imports at the first load is no cost of the file
    for name, size in sizes.items():
        path = change(f"model.hyperparameters.{name}", size)

    def load() -> None:
        with pytest.raises(CheckpointError, match="the model would be far larger than the file"):
            loading.load(path, registry)

    assert peak_growth(load) < MEMORY_BYTES


@pytest.mark.parametrize("value", ["big", 1.5, None, [3], {"a": 1}, True, "", -1, 0, 10**9, 10**18], ids=ascii)
@pytest.mark.parametrize("name", ["hidden_size", "vocab_size"])
def test_what_the_data_provided_is_checked_as_a_hyperparameter_is(
    change: Change, made: Path, registry: Registry, name: str, value: object
) -> None:
    loading.load(made, registry)
    change("dataset.provides", {name: value})
    path = change(f"model.inputs.{name}", value)

    def load() -> None:
        with pytest.raises(ZooError) as caught:
            loading.load(path, registry)
        assert "\n" not in str(caught.value)

    assert peak_growth(load) < MEMORY_BYTES


@pytest.mark.parametrize(
    "value", ["big", 1.5, None, [3], {"a": 1}, True, "", -1, 0, 10**400, "1e3", [], "\0"], ids=ascii
)
@pytest.mark.parametrize("name", ["hidden_size", "context_length"])
def test_a_hyperparameter_of_the_wrong_type_is_refused(change: Change, name: str, value: object) -> None:
    with pytest.raises(ZooError):
        zoo.load(change(f"model.hyperparameters.{name}", value))


@pytest.mark.parametrize("name", ["size", "generator", "self", "__init__", "vocab_size", "*"])
def test_a_hyperparameter_that_the_model_does_not_have_is_refused(change: Change, name: str) -> None:
    assert "model.safetensors" in refusal(change(f"model.hyperparameters.{name}", 3))


@pytest.mark.parametrize("size", [5, 7, 0, -6, "6", 6.0, None, True, 10**400], ids=str)
def test_a_vocabulary_of_the_wrong_size_is_refused(change: Change, size: object) -> None:
    message = refusal(change("model.inputs.vocab_size", size))
    assert "'model.inputs' does not fit" in message or "metadata cannot be read" in message


@pytest.mark.parametrize(
    "characters",
    [
        [],
        ["."],
        ["."] * 6,
        [".", "a", "b", "e", "l"],
        [".", "b", "a", "e", "l", "n"],
        [".", "a", "b", "e", "l", "no"],
        [1] * 6,
        ".abeln",
    ],
    ids=str,
)
def test_an_invalid_vocabulary_is_refused(change: Change, characters: object) -> None:
    assert "damaged config" in refusal(change("dataset.vocabulary", characters))


@pytest.mark.parametrize("seed", [2**64, -(2**64), 10**400, 1.5, "1", None, True], ids=lambda v: str(v)[:24])
def test_an_invalid_seed_is_refused(change: Change, seed: object) -> None:
    path = change("training.init_seed", seed)
    assert str(path) in refusal(path)


@pytest.mark.parametrize("value", [10**400, "0.1", None, [0.1], True], ids=lambda v: str(v)[:24])
@pytest.mark.parametrize("name", ["lr", "schedule.gamma"])
def test_an_invalid_number_is_refused(change: Change, name: str, value: object) -> None:
    assert "damaged" in refusal(change(f"training.{name}", value))


@pytest.mark.parametrize("value", ["many", None, [], {}, 1.5, -3, True], ids=str)
def test_an_invalid_count_of_parameters_does_not_break_verify(
    change: Change, registry: Registry, value: object
) -> None:
    [finding] = verify(change("model.parameters", value), registry)
    assert finding.file == "model.safetensors"


def nested(depth: int, kind: type) -> Any:
    value: Any = 1
    for _ in range(depth):
        value = [value] if kind is list else {"a": value}
    return value


@pytest.mark.parametrize("kind", [list, dict])
@pytest.mark.parametrize("depth", [100, 300, 450, 600, 850])
@pytest.mark.parametrize("place", ["versions", "model.hyperparameters.hidden_size", "dataset.settings.split"])
def test_a_deeply_nested_config_breaks_nothing(
    zoo_here: Zoo, run: Path, change: Change, place: str, depth: int, kind: type
) -> None:
    for name in ("model.safetensors", "training_state.safetensors"):
        change(place, nested(depth, kind), name=name)
    for command in (["eval", run], ["resume", run, "--steps", 6], ["resume", run, "--allow-changes"], ["verify", run]):
        outcome = zoo_here(*command)
        assert "unexpected" not in outcome.err, command
        assert outcome.err.count("\n") == (outcome.code != 0), command


@pytest.mark.parametrize("place", ["training.preset", "dataset.name", "versions", "optimizer.hyperparameters"])
@pytest.mark.parametrize("depth", [100, 300, 450, 900, 2000])
def test_an_edited_config_that_is_nested_too_deeply_is_an_error(
    zoo_here: Zoo, run: Path, place: str, depth: int
) -> None:
    path = run / "config.json"
    config = json.loads(path.read_text())
    put(config, place, "@@")
    path.write_text(json.dumps(config).replace('"@@"', "[" * depth + "]" * depth))
    for command in (["resume", run, "--steps", 6], ["resume", run, "--steps", 6, "--allow-changes"], ["verify", run]):
        outcome = zoo_here(*command)
        assert outcome.code == 1, command
        assert "unexpected" not in outcome.err, command
        assert outcome.err.count("\n") == 1, command


# Data


@pytest.mark.parametrize("name", ["a\0b", "\ud800", "x" * 5000, "."], ids=ascii)
def test_data_in_a_file_with_an_invalid_name_is_refused(name: str) -> None:
    with pytest.raises(DataError, match="cannot read"):
        zoo.TextDataset.from_file(name)


@pytest.mark.parametrize("name", ["a\0b", "x" * 5000, "", ".", "nowhere.txt"], ids=ascii)
def test_an_invalid_file_name_in_a_config_is_an_error(zoo_here: Zoo, change: Change, name: str) -> None:
    change("dataset.name", name).with_name("training_state.safetensors").unlink()  # which knows where the data is
    assert_one_line(zoo_here("eval", "run"))
