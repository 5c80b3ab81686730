"""Successive halving: who goes on, and that the last rung is as if nothing had come before it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from swept import MakeRequest

import zoo
from zoo.plugin.registry import Registry
from zoo.runs.result import Run
from zoo.runs.runner import resume
from zoo.sweeps.member import DIVERGED, FINISHED, Member, Row
from zoo.sweeps.search.halving import Halving, rung_steps

SETTINGS = {"model.hidden_size": "4..12"}
CASES: dict[str, dict[str, Any]] = {
    "sgd": {"lr": "0.05..0.5", "settings": SETTINGS},
    "adamw, cosine, warm-up": {"lr": "0.001..0.05", "optimizer": "adamw", "schedule": "cosine", "warmup": 4},
    "falls by steps, evaluations": {"lr": "0.05..0.5", "schedule": "step", "validate_every": 5},
    "early stopping": {"lr": "0.5..5", "validate_every": 1, "patience": 1},
    "dropout, synthetic words": {
        "model": "transformer",
        "lr": "0.0001..0.01",
        "synthetic": "ngram",
        "settings": {"model.dropout": 0.2, "model.n_embd": 8, "model.n_layer": 1},
    },
}


@pytest.mark.parametrize(
    ("trials", "steps", "rungs"),
    [
        (1, 100, [100]),
        (2, 100, [100]),
        (3, 100, [34, 100]),
        (9, 900, [100, 300, 900]),
        (27, 900, [34, 100, 300, 900]),
        (1000, 8100, [100, 300, 900, 2700, 8100]),
        (1000, 8, [3, 8]),
        (1000, 1, [1]),
    ],
)
def test_each_rung_has_three_times_the_steps_of_the_one_before(trials: int, steps: int, rungs: list[int]) -> None:
    assert rung_steps(trials, steps) == rungs


def row(member: Member, loss: float, steps: int | None = None) -> Row:
    done = steps or member.until or 9
    return Row(member.number, member.settings, member.seed, FINISHED, "", done, 9, {"val": loss})


def test_the_best_third_goes_on_by_rank_in_the_order_of_the_members(
    make_request: MakeRequest, registry: Registry
) -> None:
    search = Halving(make_request({"search": "halving", "trials": 9}, lr="0.1..1"), registry)
    first = list(search.members({}))
    assert [(one.until, one.continues) for one in first] == [(1, None)] * 9
    losses = [5.0, 2.0, 9.0, 1.0, 2.0, 7.0, 2.0, 8.0, 6.0]  # three of the same: the earlier ones go on
    rows = {one.number: row(one, loss) for one, loss in zip(first, losses, strict=True)}
    del rows[7]
    assert list(search.members(rows)) == first  # a rung ends as a whole
    rows[7] = row(first[6], 2.0)
    second = search.members(rows)[9:]
    assert [(one.number, one.until, one.continues) for one in second] == [(10, 3, 2), (11, 3, 4), (12, 3, 5)]
    assert [one.settings for one in second] == [first[place].settings for place in (1, 3, 4)]
    rows |= {one.number: row(one, 1.0) for one in second}
    assert [(one.number, one.until, one.continues) for one in search.members(rows)[12:]] == [(13, None, 10)]
    rows[13] = row(search.members(rows)[12], 0.5)
    assert len(search.members(rows)) == 13
    conclusion = search.conclusion(rows)
    assert conclusion is not None
    assert conclusion.value["best"] == {"settings": dict(first[1].settings), "value": 0.5}
    assert conclusion.value["rungs"] == [
        {"steps": 1, "settings": 9},
        {"steps": 3, "settings": 3},
        {"steps": 9, "settings": 1},
    ]


def test_what_diverged_goes_nowhere_and_a_search_may_end_early(make_request: MakeRequest, registry: Registry) -> None:
    search = Halving(make_request({"search": "halving", "trials": 9}, lr="0.1..1"), registry)
    rows = {one.number: Row(one.number, one.settings, 1, DIVERGED, "") for one in search.members({})}
    assert len(search.members(rows)) == 9
    rows[5] = row(search.members({})[4], 3.0)
    search = Halving(make_request({"search": "halving", "trials": 9}, lr="0.1..1"), registry)
    assert [one.continues for one in search.members(rows)[9:]] == [5]
    conclusion = search.conclusion(
        rows | {10: row(search.members(rows)[9], 2.0), 11: row(search.members(rows)[9], 1.0)}
    )
    assert conclusion is not None
    assert (conclusion.value["diverged"], conclusion.value["failed"]) == (8, 0)


def test_a_member_that_stopped_early_has_its_last_result_in_every_later_rung(
    make_request: MakeRequest, registry: Registry
) -> None:
    search = Halving(make_request({"search": "halving", "trials": 9, "seeds": 2}, lr="0.1..1"), registry)
    rows = {one.number: row(one, float(one.number)) for one in search.members({})}
    second = search.members(rows)[18:]
    rows |= {one.number: row(one, 1.0, steps=2 if one.number == 20 else 3) for one in second}
    assert [(one.number, one.continues) for one in search.members(rows)[24:]] == [(25, 19)]  # and 20 is as it is
    rows[25] = row(search.members(rows)[24], 1.0)
    assert len(search.members(rows)) == 25


def files(folder: Path) -> Mapping[str, bytes]:
    names = ("model.safetensors", "losses.csv", "validation.csv", "config.json")
    return {name: (folder / name).read_bytes() for name in names if (folder / name).exists()}


@pytest.mark.parametrize("case", CASES)
def test_a_member_of_the_last_rung_is_to_the_bit_one_run_of_all_its_steps(
    case: str, few_words: Path, tmp_path: Path
) -> None:
    given: dict[str, Any] = {"model": "mlp-char", "dataset": few_words, "steps": 19, "device": "cpu", **CASES[case]}
    sweep = zoo.sweep(**given, search="halving", trials=3, seeds=2, out=tmp_path / "sweep", jobs=1)
    last = [one for one in sweep.rows if one.member > 6]
    assert [one.seed for one in last] == [1, 2] or case == "early stopping"
    assert {one.steps for one in sweep.rows if one.member <= 6} == {7} or case == "early stopping"
    for one in last:
        settings = {name: value for name, value in one.settings.items() if "." in name}
        options = {name: value for name, value in one.settings.items() if "." not in name}
        of_sections = {**given.get("settings", {}), **settings}
        of_sections = {name: value for name, value in of_sections.items() if ".." not in str(value)}
        alone = {**given, **options, "settings": of_sections, "seed": one.seed, "init_seed": one.seed, "threads": 1}
        run = zoo.run(**alone, out=tmp_path / f"alone-{one.member}", plots=False)
        assert files(sweep.path / f"{one.member:04}") == files(tmp_path / f"alone-{one.member}")
        assert run.metrics["losses"] == one.losses
    assert not list(sweep.path.glob("*/training_state.safetensors"))
    assert not list(sweep.path.glob(".*"))


def test_a_member_that_goes_on_does_only_the_steps_that_are_left(
    few_words: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    begun = []

    def counted(*args: Any, **more: Any) -> Run:
        run = resume(*args, **more)
        begun.append((run.resumed_at, run.metrics["steps"]))
        return run

    monkeypatch.setattr("zoo.sweeps.training.resume", counted)
    options: dict[str, Any] = {"dataset": few_words, "steps": 90, "device": "cpu", "lr": "0.01..1", "jobs": 1}
    zoo.sweep("mlp-char", search="halving", trials=9, **options)
    assert begun == [(10, 30)] * 3 + [(30, 90)]


@pytest.mark.parametrize(("keep", "folders"), [("best", 1), ("none", 0)])
def test_what_is_not_kept_is_deleted_at_the_end(keep: str, folders: int, few_words: Path) -> None:
    options: dict[str, Any] = {"dataset": few_words, "steps": 9, "device": "cpu", "lr": "0.01..1", "jobs": 1}
    sweep = zoo.sweep("mlp-char", search="halving", trials=3, keep=keep, **options)
    assert len([path for path in sweep.path.iterdir() if path.is_dir()]) == folders
    assert json.loads((sweep.path / "sweep.json").read_text())["search"]["rungs"][-1] == {"steps": 9, "settings": 1}
