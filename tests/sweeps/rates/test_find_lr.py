"""The learning rate that short runs suggest, and which runs these are."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from conftest import Zoo
from swept import MakeRequest

from zoo import UsageError
from zoo.plugin.registry import Registry
from zoo.sweeps.member import DIVERGED, FINISHED, Row
from zoo.sweeps.rates.find_lr import FindLr, rates
from zoo.sweeps.rates.suggestion import Suggestion, Tried, suggest_rate

RATES = [10 ** (place / 4) / 1e4 for place in range(21)]  # 0.0001 to 10


def curve(loss: Callable[[float], float], spread: float = 0.0, lost_from: float = math.inf) -> list[Tried]:
    """Three runs at each rate, with such a loss and a spread about it; from some rate on, one of them diverges."""
    found = []
    for lr in RATES:
        losses = [loss(lr) + spread * shift for shift in (-1, 0, 1)]
        lost = int(lr >= lost_from)
        found.append(Tried(lr, losses[lost:], lost))
    return found


def valley(lr: float) -> float:
    """Lowest at 0.1, 0.5 higher a decade further."""
    return 2 + 0.5 * (math.log10(lr) + 1) ** 2


def test_the_lowest_rate_is_suggested_where_it_is_clear() -> None:
    found = suggest_rate(curve(valley, spread=0.001))
    assert (found.lr, found.lowest) == pytest.approx((0.1, 0.1))
    assert (found.diverges_from, found.at_end) == (None, None)


def test_of_rates_within_one_standard_error_the_lowest_is_suggested() -> None:
    found = suggest_rate(curve(valley, spread=0.25))  # a standard error of 0.14: two places down are 0.125 higher
    assert found.lr == pytest.approx(RATES[10])
    assert found.lowest == pytest.approx(0.1)


def test_a_rate_that_diverges_keeps_the_suggestion_at_half_of_it_or_below() -> None:
    found = suggest_rate(curve(valley, spread=0.001, lost_from=0.15))  # 0.178 diverges
    assert (found.lr, found.lowest, found.diverges_from) == pytest.approx((RATES[11], 0.1, RATES[13]))


def test_a_loss_above_that_of_rates_too_low_to_train_counts_as_diverged() -> None:
    found = suggest_rate(curve(lambda lr: valley(lr) if lr < 1 else 100.0, spread=0.001))
    assert found.diverges_from == pytest.approx(1)


def test_a_single_run_a_rate_suggests_the_lowest() -> None:
    assert suggest_rate([Tried(lr, [valley(lr)]) for lr in RATES]).lr == pytest.approx(0.1)


def test_the_ends_of_the_range_are_told() -> None:
    assert suggest_rate(curve(lambda lr: -math.log(lr))).at_end == "high"
    assert suggest_rate(curve(math.log)).at_end == "low"


def test_nothing_is_suggested_where_every_rate_diverges() -> None:
    assert suggest_rate(curve(valley, lost_from=0)) == Suggestion(None, diverges_from=RATES[0])
    assert suggest_rate([]) == Suggestion(None)


def test_rates_are_evenly_spaced_about_four_a_decade() -> None:
    assert rates(0.001, 1) == [0.001, 0.0018, 0.0032, 0.0056, 0.01, 0.018, 0.032, 0.056, 0.1, 0.18, 0.32, 0.56, 1.0]
    assert rates(0.1, 0.11) == [0.1, 0.11]


def test_members_are_short_runs_at_constant_rates(make_request: MakeRequest, registry: Registry) -> None:
    find = FindLr(make_request({"find_lr": True}, steps=None), registry)
    members = find.members({})
    assert len(members) == 21 * 3
    assert [one.settings["lr"] for one in members[:21]] == rates(1e-4, 10)
    assert [one.seed for one in members[::21]] == [1, 2, 3]
    assert {(one.options.steps, one.options.schedule, one.options.warmup) for one in members} == {(250, "constant", 0)}
    own = FindLr(make_request({"find_lr": True, "seeds": 1}, lr="0.01..1", steps=12, preset="tuned"), registry)
    assert {one.options.steps for one in own.members({})} == {12}
    assert [one.settings["lr"] for one in own.members({})][::4] == [0.01, 0.1, 1.0]
    listed = FindLr(make_request({"find_lr": True, "seeds": 1}, lr=[0.3, 0.1]), registry)
    assert [one.settings["lr"] for one in listed.members({})] == [0.1, 0.3]
    timed = FindLr(make_request({"find_lr": True, "seeds": 1}, steps=None, seconds=2.0), registry)
    assert {(one.options.steps, one.options.seconds) for one in timed.members({})} == {(None, 2.0)}


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"batch_size": [8, 16]}, "find_lr varies the learning rate alone: give one value of batch_size"),
        ({"schedule": "cosine"}, "find_lr tries constant learning rates: leave out schedule"),
        ({"lr": "0..1"}, "lr must be above 0, got 0"),
    ],
)
def test_what_it_cannot_do_is_one_line(
    given: dict[str, Any], said: str, make_request: MakeRequest, registry: Registry
) -> None:
    with pytest.raises(UsageError) as caught:
        FindLr(make_request({"find_lr": True}, **given), registry)
    assert said in str(caught.value)


def concluded(find: FindLr, loss: Callable[[float], float | None]) -> Any:
    rows = {}
    for one in find.members({}):
        value = loss(one.settings["lr"])
        of = {} if value is None else {"val": value}
        state = DIVERGED if value is None else FINISHED
        rows[one.number] = Row(one.number, one.settings, one.seed, state, "", 9, 9, of)
    return find.conclusion(rows)


@pytest.mark.usefixtures("typed")
def test_it_says_what_to_type_next(make_request: MakeRequest, registry: Registry) -> None:
    find = FindLr(make_request({"find_lr": True}), registry)
    found = concluded(find, valley)
    assert found.sentences[0].startswith("Suggested learning rate: 0.1, with a mean validation loss of 2.0000: the ")
    assert found.sentences[-1] == "zoo run mlp-char --dataset words.txt --lr 0.1"
    assert found.value["suggestion"] == 0.1
    assert json.loads(json.dumps(found.value)) == found.value
    falling = concluded(find, lambda lr: -math.log(lr))
    assert falling.sentences[-1] == "zoo sweep mlp-char --dataset words.txt --steps 9 --lr 1.0..1000.0 --find-lr"
    none = concluded(find, lambda _: None)
    assert none.sentences[0] == "A run diverged at every learning rate from 0.0001 to 10: try lower ones"
    assert none.sentences[-1] == "zoo sweep mlp-char --dataset words.txt --steps 9 --lr 1e-07..0.0001 --find-lr"


def test_it_at_the_command_line(zoo_here: Zoo, few_words: Path) -> None:
    options = ("--dataset", few_words, "--steps", 9, "--device", "cpu", "--jobs", 1, "--quiet", "--seeds", 2)
    done = zoo_here("sweep", "mlp-char", *options, "--find-lr", "--lr", "0.01..1")
    assert done.code == 0, done.err
    value = json.loads(Path("sweeps/mlp-char-1/sweep.json").read_text())["find_lr"]
    assert value["rates"][0]["lr"] == 0.01
    assert "learning rate: " in done.out
