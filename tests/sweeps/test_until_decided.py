"""`--until-decided`: which members there are, and when it ends."""

from __future__ import annotations

import math
import random
from collections.abc import Callable
from typing import Any

import pytest

from zoo import UsageError
from zoo.options.sweep import SweepOptions
from zoo.options.values import as_text
from zoo.sweeps.judging.until_decided import UntilDecided, planned_tests
from zoo.sweeps.member import Member, Row
from zoo.sweeps.request import Request, request_of

Loss = Callable[[Member], float | None]


def request(seeds: Any = None, most: int | None = 16, **given: Any) -> Request:
    options = SweepOptions(until_decided=True, seeds=seeds, most_seeds=most)
    return request_of(options, {"model": "mlp-char", "lr": [0.1, 0.2, 3.0], **given})


def row(member: Member, loss: float | None) -> Row:
    if loss is None:
        return Row(member.number, member.settings, member.seed, "failed", "it has failed")
    if not math.isfinite(loss):
        return Row(member.number, member.settings, member.seed, "diverged", "NaN")
    metrics = {"val": {"accuracy": loss}}
    return Row(member.number, member.settings, member.seed, "finished", losses={"val": loss}, metrics=metrics)


def done(strategy: UntilDecided, loss: Loss, *, shuffled: int = 0) -> dict[int, Row]:
    """All rows at the end; members are done in a random order, and what was known never changes."""
    rows: dict[int, Row] = {}
    before: list[Member] = []
    order = random.Random(shuffled)
    while True:
        members = [*strategy.members(rows)]
        assert members[: len(before)] == before
        assert [member.number for member in members] == [*range(1, len(members) + 1)]
        before = members
        waiting = [member for member in members if member.number not in rows]
        if not waiting:
            return rows
        member = order.choice(waiting)
        rows[member.number] = row(member, loss(member))


def seeds_of(rows: dict[int, Row]) -> dict[float, int]:
    counts: dict[float, int] = {}
    for one in rows.values():
        counts[one.settings["lr"]] = counts.get(one.settings["lr"], 0) + 1
    return counts


def noisy(**means: float) -> Loss:
    def loss(member: Member) -> float:
        generator = random.Random(f"{member.settings['lr']} {member.seed}")
        return means[f"lr{member.settings['lr']}"] + 0.01 * generator.gauss(0, 1)

    return loss


CLEAR = noisy(**{"lr0.1": 2.0, "lr0.2": 3.0, "lr3.0": 4.0})
HARD = noisy(**{"lr0.1": 2.0, "lr0.2": 2.0001, "lr3.0": 4.0})


def test_it_ends_as_soon_as_all_settings_are_told_apart() -> None:
    assert seeds_of(done(UntilDecided(request()), CLEAR)) == {0.1: 4, 0.2: 4, 3.0: 4}


def test_only_settings_that_are_open_get_more_seeds_up_to_the_most() -> None:
    assert seeds_of(done(UntilDecided(request()), HARD)) == {0.1: 16, 0.2: 16, 3.0: 4}


def test_members_do_not_depend_on_the_order_in_which_they_are_done_or_on_earlier_calls() -> None:
    """As they must for a sweep that is resumed, whose rows are texts."""
    first = done(UntilDecided(request()), HARD, shuffled=1)
    second = done(UntilDecided(request()), HARD, shuffled=2)
    assert [first[n] for n in sorted(first)] == [second[n] for n in sorted(second)]
    members = [*UntilDecided(request()).members(first)]
    assert len(members) == len(first)
    for count in (0, 5, 12, 13, 20, len(first) - 1):
        read = {
            n: Row(
                n,
                {name: as_text(value) for name, value in one.settings.items()},
                one.seed,
                one.state,
                losses=one.losses,
            )
            for n, one in first.items()
            if n <= count
        }
        resumed = [*UntilDecided(request()).members(read)]
        assert resumed == members[: len(resumed)]
        assert len(resumed) > count


def test_a_setting_that_comes_back_gets_the_seeds_that_it_lacks() -> None:
    """It is beaten at first, and then by a setting that is itself no longer the best."""

    def loss(member: Member) -> float:
        late = member.seed > 4
        noise = random.Random(f"{member.settings['lr']} {member.seed}").gauss(0, 1) * (0.3 if late else 0.001)
        by_lr = {0.1: 2.0, 0.2: 2.0005, 3.0: 2.1}
        return by_lr[member.settings["lr"]] + noise + (0.5 if late and member.settings["lr"] == 0.1 else 0)

    rows = done(UntilDecided(request(most=32)), loss)
    assert len({(one.settings["lr"], one.seed) for one in rows.values()}) == len(rows)


def test_settings_that_fail_or_diverge_hold_nothing_up() -> None:
    def loss(member: Member) -> float | None:
        return None if member.settings["lr"] == 3.0 else CLEAR(member)

    assert seeds_of(done(UntilDecided(request()), loss)) == {0.1: 4, 0.2: 4, 3.0: 4}
    assert len(done(UntilDecided(request()), lambda _: None)) == 12

    def diverges(member: Member) -> float | None:
        return math.nan if member.settings["lr"] == 3.0 else CLEAR(member)

    counts = seeds_of(done(UntilDecided(request(most=24)), diverges))
    assert counts[0.2] == 4
    assert 8 <= counts[3.0] == counts[0.1] < 24


def test_it_is_decided_by_what_is_monitored() -> None:
    rows = done(UntilDecided(request(monitor="accuracy:max", lr=[0.1, 0.2])), HARD)
    assert seeds_of(rows) == {0.1: 16, 0.2: 16}
    assert seeds_of(done(UntilDecided(request(monitor="accuracy:max")), CLEAR))[0.1] == 4


@pytest.mark.parametrize(
    ("seeds", "most", "tests"),
    [
        (None, None, (4, 6, 8, 12, 16, 24, 32, 48, 64)),
        (8, 16, (8, 12, 16)),
        ("8", 12, (8, 12)),
        (1, 3, (2, 3)),
        (5, 5, (5,)),
    ],
)
def test_after_how_many_seeds_it_is_tested(seeds: Any, most: int | None, tests: tuple[int, ...]) -> None:
    assert planned_tests(request(seeds, most)) == tests


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"lr": 0.1}, "until_decided compares settings: give two or more, as in lr=\"0.1,0.3\""),
        ({"seeds": [3, 4]}, "until_decided takes the seeds 1, 2, 3 and so on: give seeds one number"),
        ({"seeds": "3,4"}, "give seeds one number"),
        ({"seeds": 32}, "seeds=32 is more than most_seeds=16"),
        ({"settings": {"data.shuffle_seed": [1, 2]}}, "different values of data.shuffle_seed do not compare"),
    ],
)  # fmt: skip
def test_what_cannot_be_decided_is_refused(given: dict[str, Any], message: str) -> None:
    with pytest.raises(UsageError, match=message.replace("(", r"\(")):
        UntilDecided(request(**given))


def test_most_seeds_are_about_until_decided() -> None:
    with pytest.raises(UsageError, match="most_seeds is about until_decided: give that, too"):
        request_of(SweepOptions(most_seeds=8), {"model": "mlp-char", "lr": [0.1, 0.2]})


def test_a_difference_that_a_single_test_would_find_is_tested_again() -> None:
    gains = [1.0, 0.5, 0.9, 0.35]  # p = 0.02 after four seeds

    def loss(member: Member) -> float:
        return 2.0 + (gains[member.seed % 4] if member.settings["lr"] == 0.2 else 0.0) + member.seed / 100

    assert seeds_of(done(UntilDecided(request(lr=[0.1, 0.2])), loss)) == {0.1: 6, 0.2: 6}
