"""Ladders: which sizes they have, and what they say at their end."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from conftest import Zoo
from swept import MakeRequest

from zoo import PluginError, UsageError
from zoo.plugin.registry import Registry
from zoo.sweeps.member import FAILED, FINISHED, Row
from zoo.sweeps.scaling.ladder import Ladder


@pytest.mark.parametrize(
    ("given", "name", "sizes"),
    [
        ({}, "model.hidden_size", [25, 50, 100, 200, 400, 800]),
        ({"settings": {"model.hidden_size": 48}}, "model.hidden_size", [6, 12, 24, 48, 96, 192]),
        ({"model": "gru", "preset": "tuned"}, "model.n_embd2", [28, 56, 112, 224, 448, 896]),
        ({"model": "transformer"}, "model.n_embd", [8, 16, 32, 64, 128, 256]),
        ({"settings": {"model.embedding_dim": [2, 4, 8, 16, 32, 64]}}, "model.embedding_dim", [2, 4, 8, 16, 32, 64]),
    ],
)
def test_sizes_are_the_models_own_times_powers_of_two_or_those_that_are_given(
    given: dict[str, Any], name: str, sizes: list[int], make_request: MakeRequest, registry: Registry
) -> None:
    ladder = Ladder(make_request({"ladder": 6}, **given), registry)
    assert (ladder.name, ladder.sizes) == (name, sizes)
    members = ladder.members({})
    assert [one.settings for one in members[:6]] == [{name: size} for size in sizes]
    assert [one.seed for one in members[::6]] == [1, 2, 3]


def test_every_layer_of_a_model_of_several_gets_wider(registry: Registry, make_request: MakeRequest) -> None:
    Path("table.csv").write_text("a,b\n" + "1,2\n" * 20)
    request = make_request({"ladder": 3}, model="mlp-table", dataset="table.csv", target="b")
    assert Ladder(request, registry).sizes == [[32, 32], [64, 64], [128, 128]]


@pytest.mark.parametrize(
    ("options", "given", "said"),
    [
        ({"ladder": 6}, {"model": "bigram"}, "model 'bigram' does not say which of its settings makes it larger"),
        ({"ladder": 6}, {"lr": [0.1, 0.2]}, "ladder varies one setting of the model: give one value of lr"),
        (
            {"ladder": 6},
            {"settings": {"model.hidden_size": [1, 2], "model.embedding_dim": [1, 2]}},
            "ladder varies one setting of the model: give one value of model.embedding_dim",
        ),
        (
            {"ladder": 6},
            {"settings": {"model.hidden_size": [8, 16, 32]}},
            "ladder=6 asks for 6 sizes, and there are 3 sizes of model.hidden_size",
        ),
        (
            {"ladder": 6},
            {"settings": {"model.hidden_size": 2}},
            "ladder=6 halves model.hidden_size of 2 to below 1: give a smaller number, or sizes",
        ),
    ],
)
def test_what_it_cannot_do_is_one_line(
    options: dict[str, Any], given: dict[str, Any], said: str, make_request: MakeRequest, registry: Registry
) -> None:
    with pytest.raises((UsageError, PluginError)) as caught:
        Ladder(make_request(options, **given), registry)
    assert said in str(caught.value)


def rows_of(ladder: Ladder, offset: float = 2.0) -> dict[int, Row]:
    rows = {}
    for one in ladder.members({}):
        parameters = 50 * one.settings["model.hidden_size"]
        loss = offset + (parameters / 300) ** -0.5 + one.seed / 1e4
        rows[one.number] = Row(one.number, one.settings, one.seed, FINISHED, "", 9, parameters, {"val": loss})
    return rows


def test_the_law_is_said_with_its_interval_and_is_in_the_json(make_request: MakeRequest, registry: Registry) -> None:
    ladder = Ladder(make_request({"ladder": 6}), registry)
    found = ladder.conclusion(rows_of(ladder))
    assert found is not None
    assert found.value["fit"]["exponent"] == pytest.approx(0.5, abs=0.01)
    assert found.value["sizes"][1]["parameters"] == 2500
    assert json.loads(json.dumps(found.value)) == json.loads(json.dumps(dict(found.value)))
    [sentence] = found.sentences
    assert sentence.startswith("Fitted to P parameters: loss = 2.00")
    assert "95 % interval of the exponent 0.5" in sentence
    assert sentence.endswith("from 3 seeds")


def test_a_ladder_with_a_run_that_failed_is_not_fitted(make_request: MakeRequest, registry: Registry) -> None:
    ladder = Ladder(make_request({"ladder": 6}), registry)
    rows = rows_of(ladder)
    rows[4] = Row(4, rows[4].settings, 1, FAILED, "a plugin")
    found = ladder.conclusion(rows)
    assert found is not None
    assert (found.value["fit"], found.sentences) == (None, ["No power law is fitted: 1 of its runs has no result"])


def test_it_at_the_command_line(zoo_here: Zoo, few_words: Path) -> None:
    options = ("--dataset", few_words, "--steps", 9, "--device", "cpu", "--jobs", 1, "--quiet", "--seeds", 1)
    done = zoo_here("sweep", "mlp-char", *options, "--ladder", 3, "--set", "model.hidden_size=16")
    assert done.code == 0, done.err
    assert "No power law is fitted: a power law with an offset needs 4 sizes" in done.out
    wrong = zoo_here("sweep", "bigram", *options, "--ladder", 6)
    assert (wrong.code, wrong.err) == (
        2,
        "zoo: error: model 'bigram' does not say which of its settings makes it larger: give sizes with "
        "--set model.KEY=SIZE,SIZE,...\n",
    )
