"""The command that is to be typed after a sweep whose verdict leaves something open."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import Any

import pytest
from conftest import Zoo

from zoo.options.sweep import SweepOptions
from zoo.phrasing import command_line
from zoo.sweeps.request import request_of
from zoo.sweeps.results.next_command import until_decided
from zoo.verdicts.populations import Measure, Population
from zoo.verdicts.verdict import Verdict, decide

NEAR, FAR = 0.01, 1.0  # differences of two settings whose seeds differ by about 0.02


def verdict(*differences: float, interim: tuple[int, ...] = ()) -> Verdict:
    """On a setting and others that are better by these differences."""
    noise = [0.00, 0.03, 0.01, 0.05, 0.02, 0.04]
    settings = [Population("a", dict(enumerate(noise, 1)))]
    for i, difference in enumerate(differences):
        values = {seed: 3 - difference + noise[(seed + i) % 6] for seed in range(1, 7)}
        settings.append(Population("bcd"[i], values))
    first = Population("a", {seed: 3 + value for seed, value in settings[0].values.items()})
    return decide([first, *settings[1:]], Measure(), interim=interim)


def request(**given: Any) -> Any:
    own = {name: given.pop(name) for name in ("seeds", "until_decided", "jobs", "keep") if name in given}
    return request_of(SweepOptions(**own), {"model": "mlp-char", "lr": "0.1,0.3", **given})


def test_seeds_are_added_by_a_sequential_test() -> None:
    with command_line():
        said = until_decided(request(seeds=6, steps=100, jobs=1, settings={"model.hidden_size": 8}), verdict(NEAR))
    assert said is not None
    typed = shlex.split(said)
    assert typed[:6] == ["zoo", "sweep", "mlp-char", "--steps", "100", "--lr"]
    assert "--until-decided" in typed
    assert "--set model.hidden_size=8" in said
    assert not {"--seeds", "--jobs"} & {*typed}


def test_enough_of_them_are_allowed() -> None:
    needed = verdict(NEAR).comparisons[0].more_seeds
    assert needed is not None
    assert 6 + needed > 64  # the usual number
    said = until_decided(request(), verdict(NEAR))
    assert said is not None
    most = int(said.partition("most_seeds=")[2].rstrip(")"))
    assert 6 + needed < most < 2 * (6 + needed)


def test_several_models_are_one_argument() -> None:
    many = request(model="mlp-char,gru")
    with command_line():
        assert str(until_decided(many, verdict(NEAR))).startswith("zoo sweep mlp-char,gru --lr 0.1,0.3 --until")
    assert str(until_decided(many, verdict(NEAR))).startswith('zoo.sweep(["mlp-char", "gru"], lr=["0.1", "0.3"], until')


@pytest.mark.parametrize(
    "found",
    [verdict(FAR), verdict(0.0000001), verdict(0.0012), verdict(NEAR, interim=(6, 12))],
    ids=["it is decided", "no number of seeds would do", "it takes thousands", "that was done"],
)
def test_none_is_said_in_vain(found: Verdict) -> None:
    assert until_decided(request(), found) is None


def test_data_of_python_code_is_left_to_be_filled_in() -> None:
    said = until_decided(request(dataset=["emma", "ava"]), verdict(NEAR))
    assert str(said).startswith('zoo.sweep("mlp-char", dataset=..., lr=')


def test_options_of_any_name_are_kept() -> None:
    said = until_decided(request(dataset="people.csv", target="kind", format="csv"), verdict(NEAR))
    assert 'target="kind"' in str(said)
    assert 'format="csv"' in str(said)


def test_one_that_is_open_is_enough() -> None:
    assert until_decided(request(lr="0.1,0.2,0.3"), verdict(FAR, FAR + NEAR)) is not None


def test_it_can_be_typed(zoo_here: Zoo) -> None:
    Path("words.txt").write_text("\n".join(a + b + c for a in "abeln" for b in "abeln" for c in "aeln"))
    given = {"dataset": "words.txt", "steps": 3, "batch_size": [4, 5], "settings": {"model.hidden_size": 8}}
    with command_line():
        said = str(until_decided(request(**given), verdict(NEAR)))
    done = zoo_here(*shlex.split(said)[1:], "--most-seeds", 4, "--quiet", "--json")
    assert done.code == 0, done.err
    assert done.result["verdict"]["tests_after"] == [4]
    assert len(done.result["settings"]) == 4
