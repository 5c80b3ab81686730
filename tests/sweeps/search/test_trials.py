"""Searches: what they try is a function of the results alone, and is the same again."""

from __future__ import annotations

import json
import math
import random
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from conftest import Zoo
from swept import MakeRequest

import zoo
from zoo import UsageError
from zoo.plugin.registry import Registry
from zoo.sweeps.member import DIVERGED, FAILED, FINISHED, Member, Row
from zoo.sweeps.request import Request
from zoo.sweeps.search.halving import Halving
from zoo.sweeps.search.trials import Search, Trials
from zoo.sweeps.training import train_member

SPACE: dict[str, Any] = {
    "lr": "0.001..10",
    "optimizer": ["sgd", "adamw"],
    "settings": {"model.hidden_size": "20..200"},
}


def row_of(member: Member, loss: float | None = None) -> Row:
    """A row of a member, with a loss that is a function of its settings and seed alone."""
    lr = float(member.settings["lr"])
    value = (math.log10(lr) + 1) ** 2 + member.settings.get("model.hidden_size", 0) / 1000 + member.seed / 1e4
    value = value if loss is None else loss
    if lr > 5:
        return Row(member.number, member.settings, member.seed, DIVERGED, "it diverged")
    steps = member.until or member.options.steps
    return Row(member.number, member.settings, member.seed, FINISHED, "", steps, 9, {"train": 1.0, "val": value})


def done(
    search: Trials, order: random.Random | None, rows: dict[int, Row] | None = None, most: int = 10**9
) -> dict[int, Row]:
    """Let members end, in the order of their numbers or a random one, until all are done or so many."""
    rows = {} if rows is None else rows
    while len(rows) < most:
        waiting = [one for one in search.members(rows) if one.number not in rows]
        if not waiting:
            break
        member = waiting[0] if order is None else order.choice(waiting)
        rows[member.number] = row_of(member)
    return rows


def settings_of(search: Trials, rows: Mapping[int, Row]) -> list[Any]:
    return [(one.number, one.seed, one.continues, one.until, dict(one.settings)) for one in search.members(rows)]


@pytest.fixture(params=["tpe", "random", "halving"])
def request_(request: pytest.FixtureRequest, make_request: MakeRequest) -> Request:
    return make_request({"search": request.param, "trials": 30, "seeds": 2}, **SPACE)


def new(request: Request, registry: Registry) -> Trials:
    return (Halving if request.options.search == "halving" else Search)(request, registry)


def test_what_is_tried_depends_on_no_order_and_no_interruption(request_: Request, registry: Registry) -> None:
    first = new(request_, registry)
    rows = done(first, None)
    wanted = settings_of(first, rows)
    assert len({number for number, *_ in wanted}) == len(wanted)
    for seed in range(3):
        order = random.Random(seed)
        other = new(request_, registry)
        some = done(other, order, most=17 + seed)
        assert settings_of(other, some) == wanted[: len(other.members(some))]  # a prefix never changes
        resumed = new(request_, registry)
        assert settings_of(resumed, done(resumed, order, some)) == wanted


def test_values_are_of_the_range_and_of_few_digits(make_request: MakeRequest, registry: Registry) -> None:
    search = Search(make_request({"search": "random", "trials": 40}, **SPACE, batch_size="8..64"), registry)
    tried = [member.settings for member in search.members({})]
    assert list(tried[0]) == ["optimizer", "lr", "model.hidden_size", "batch_size"]
    for one in tried:
        assert 0.001 <= one["lr"] <= 10
        assert float(f"{one['lr']:.4g}") == one["lr"]
        assert type(one["model.hidden_size"]) is int
        assert 20 <= one["model.hidden_size"] <= 200
        assert type(one["batch_size"]) is int
        assert one["optimizer"] in ("sgd", "adamw")
    below = sum(one["lr"] < 0.1 for one in tried)
    assert 10 < below < 30  # half of them, on the logarithmic scale


def test_a_setting_of_whole_numbers_gets_them_and_one_of_others_gets_others(
    make_request: MakeRequest, registry: Registry
) -> None:
    request = make_request(
        {"search": "random", "trials": 5}, optimizer="adamw", settings={"optimizer.weight_decay": "0..1"}
    )
    values = [member.settings["optimizer.weight_decay"] for member in Search(request, registry).members({})]
    assert all(isinstance(value, float) and value != round(value) for value in values)


def test_a_search_by_tpe_learns_from_results_and_keeps_away_from_what_diverged(
    make_request: MakeRequest, registry: Registry
) -> None:
    options = {"trials": 60, "seeds": 1}
    found = {}
    for name in ("tpe", "random"):
        search = Search(make_request({"search": name, **options}, lr="0.001..1000"), registry)
        rows = done(search, None)
        found[name] = rows
    late = {name: [row for number, row in rows.items() if number > 30] for name, rows in found.items()}
    assert sum(row.state == DIVERGED for row in late["tpe"]) < sum(row.state == DIVERGED for row in late["random"]) / 2
    assert best(found["tpe"]) <= best(found["random"])


def best(rows: Mapping[int, Row]) -> float:
    return min(row.losses["val"] for row in rows.values() if row.losses)


def test_another_search_seed_tries_other_settings(make_request: MakeRequest, registry: Registry) -> None:
    tried = [
        Search(make_request({"search": "tpe", "trials": 8, **more}, **SPACE), registry).members({})
        for more in ({}, {"search_seed": 1}, {"search_seed": 2})
    ]
    assert tried[0] == tried[1]
    assert all(one.settings != other.settings for one, other in zip(tried[0], tried[2], strict=True))


def test_trials_that_repeat_each_other_share_their_members(make_request: MakeRequest, registry: Registry) -> None:
    search = Search(make_request({"search": "random", "trials": 20}, lr=[0.1, 0.2]), registry)
    assert [member.settings["lr"] for member in search.members({})] in ([0.1, 0.2], [0.2, 0.1])
    conclusion = search.conclusion(done(search, None))
    assert conclusion is not None
    assert conclusion.value["trials"] == 20


@pytest.mark.parametrize("name", ["tpe", "halving"])
def test_the_best_settings_are_said_with_the_next_command(
    make_request: MakeRequest, registry: Registry, name: str
) -> None:
    request = make_request({"search": name, "trials": 9, "seeds": 2}, **SPACE)
    search = new(request, registry)
    conclusion = search.conclusion(done(search, None))
    assert conclusion is not None
    assert conclusion.name == "search"
    of = conclusion.value["best"]["settings"]
    assert conclusion.sentences[0].startswith("Best of 9 settings: optimizer ")
    assert f"lr {of['lr']}" in conclusion.sentences[0]
    assert 'zoo.sweep("mlp-char", dataset="words.txt", steps=9' in conclusion.sentences[-1]
    assert "seeds=[3, 4, 5, 6, 7, 8, 9, 10]" in conclusion.sentences[-1]
    assert json.loads(json.dumps(conclusion.value)) == conclusion.value


def test_a_search_of_which_nothing_has_a_result_says_so(make_request: MakeRequest, registry: Registry) -> None:
    search = Search(make_request({"search": "tpe", "trials": 9}, lr="0.1..1"), registry)
    rows: dict[int, Row] = {}
    while waiting := [one for one in search.members(rows) if one.number not in rows]:
        state = DIVERGED if waiting[0].number % 2 else FAILED
        rows[waiting[0].number] = Row(waiting[0].number, waiting[0].settings, 1, state, "why")
    conclusion = search.conclusion(rows)
    assert conclusion is not None
    assert conclusion.sentences == ["None of the 9 settings has a result: 5 diverged, 4 failed"]
    assert conclusion.value["best"] is None


WRONG: dict[str, tuple[dict[str, Any], dict[str, Any], str]] = {
    "nothing to try": ({"search": "tpe"}, {}, "search has nothing to try: give a range or a list, as in lr="),
    "trials alone": ({"trials": 3}, {}, "trials is about a search: give search, too: tpe, random or halving"),
    "seed alone": ({"search_seed": 3}, {}, "search_seed is about a search: give search, too"),
    "two kinds": ({"search": "tpe", "find_lr": True}, {}, "search and find_lr are two kinds of sweeps: give one"),
    "a range alone": ({}, {"lr": "0.1..1"}, "is a range, for search: give values with commas, or search="),
    "ends": ({"search": "tpe"}, {"lr": "1..0.1"}, "lr: a range is LOW..HIGH, with LOW below HIGH"),
    "in a list": ({"search": "tpe"}, {"lr": [0.1, "1..2"]}, "lr: the range 1..2 cannot be one of a list"),
    "out of range": ({"search": "tpe"}, {"lr": "0..1"}, "lr must be above 0, got 0"),
    "no number": ({"search": "tpe"}, {"optimizer": "0..1"}, "optimizer takes no range: give values with commas"),
    "unknown": ({"search": "tpe"}, {"settings": {"model.size": "1..2"}}, "no setting 'model.size'"),
    "no whole number": ({"search": "tpe"}, {"settings": {"model.hidden_size": "1..2.5"}}, "takes int, not 2.5"),
    "true or false": ({"search": "tpe"}, {"settings": {"model.scaled_init": "0..1"}}, "takes bool, not 0"),
    "steps": ({"search": "halving"}, {"steps": [3, 9]}, "varies steps itself: give one number of them"),
    "too many": ({"search": "random", "trials": 99_999, "seeds": 2}, {"lr": "0.1..1"}, "would have 199,998 members"),
    "two monitors": (
        {"search": "tpe"},
        {"lr": "0.1..1", "monitor": ["loss", "accuracy"], "validate_every": 2},
        "monitor says what the search compares by: give one name",
    ),
    "no direction": (
        {"search": "tpe"},
        {"lr": "0.1..1", "monitor": "f1", "validate_every": 2},
        "must know whether higher values of 'f1' are better",
    ),
}


@pytest.mark.parametrize("case", WRONG)
def test_a_search_that_cannot_be_done_is_one_line(case: str, make_request: MakeRequest, registry: Registry) -> None:
    options, given, said = WRONG[case]
    with pytest.raises(UsageError) as caught:
        new(make_request(options, **given), registry)
    assert said in str(caught.value)
    assert "\n" not in str(caught.value)


def test_without_optuna_a_search_says_how_to_install_it(
    make_request: MakeRequest, registry: Registry, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "optuna", None)
    with pytest.raises(
        UsageError, match=r"^search needs Optuna, which is not installed: pip install 'zoo-models\[search\]'$"
    ):
        Search(make_request({"search": "tpe"}, lr="0.1..1"), registry)


def test_a_metric_decides_with_its_direction(make_request: MakeRequest, registry: Registry) -> None:
    for monitor, higher in (("accuracy", True), ("bits_per_character", False), ("f1:max", True), ("loss", False)):
        request = make_request({"search": "tpe", "trials": 2}, lr="0.1..1", monitor=monitor, validate_every=3)
        assert Search(request, registry).objective.higher is higher
    search = Search(
        make_request({"search": "random", "trials": 2}, lr="0.1..1", monitor="f1:max", validate_every=3), registry
    )
    rows = {
        one.number: Row(one.number, one.settings, 1, FINISHED, "", 9, 9, {"val": 1.0}, {"val": {"f1": one.number / 4}})
        for one in search.members({})
    }
    conclusion = search.conclusion(rows)
    assert conclusion is not None
    assert conclusion.value["best"] == {"settings": dict(rows[2].settings), "value": 0.5}
    assert "with validation f1 0.5000" in conclusion.sentences[0]


def sheet(sweep: Path) -> str:
    return (sweep / "sweep.csv").read_text()


OPTIONS: dict[str, Any] = {"trials": 11, "lr": "0.01..1", "steps": 9, "device": "cpu", "seeds": 1}


@pytest.mark.parametrize("name", ["tpe", "halving"])
def test_a_search_twice_and_one_that_was_killed_and_resumed_have_the_same_bytes(
    name: str, few_words: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    given = {**OPTIONS, "search": name, "dataset": few_words}
    whole = zoo.sweep("mlp-char", **given, out=tmp_path / "whole", jobs=1)
    zoo.sweep("mlp-char", **given, out=tmp_path / "again", jobs=2)
    assert sheet(tmp_path / "again") == sheet(whole.path)
    calls = 0

    def killed(*args: Any, **more: Any) -> Row:
        nonlocal calls
        calls += 1
        if calls in (4, 12):
            raise KeyboardInterrupt
        return train_member(*args, **more)

    monkeypatch.setattr("zoo.sweeps.workers.pool.train_member", killed)
    with pytest.raises(KeyboardInterrupt):
        zoo.sweep("mlp-char", **given, out=tmp_path / "killed", jobs=1)
    with pytest.raises(KeyboardInterrupt):
        zoo.resume_sweep(tmp_path / "killed")
    zoo.resume_sweep(tmp_path / "killed")
    for file in ("sweep.csv", "sweep.json"):
        assert (tmp_path / "killed" / file).read_bytes() == (whole.path / file).read_bytes()


def test_a_search_at_the_command_line(zoo_here: Zoo, few_words: Path) -> None:
    done = zoo_here(
        *("sweep", "mlp-char", "--dataset", few_words, "--steps", 9, "--device", "cpu", "--jobs", 1, "--quiet"),
        *(
            "--search",
            "tpe",
            "--trials",
            4,
            "--lr",
            "0.01..1",
            "--set",
            "model.hidden_size=4..8",
            "--schedule",
            "cosine,step",
        ),
    )
    assert done.code == 0, done.err
    assert "Best of 4 settings: schedule " in done.out
    assert "zoo sweep mlp-char --dataset words.txt --steps 9 --device cpu --schedule " in done.out
    assert json.loads(Path("sweeps/mlp-char-1/sweep.json").read_text())["ranges"] == {
        "lr": "0.01..1",
        "model.hidden_size": "4..8",
    }
    wrong = zoo_here("sweep", "mlp-char", "--dataset", few_words, "--lr", "0.01..1")
    assert (wrong.code, wrong.err) == (
        2,
        "zoo: error: --lr 0.01..1 is a range, for --search: give values with commas, or --search tpe\n",
    )
