"""The learning rate over a run."""

from __future__ import annotations

import dataclasses
import itertools
import math

import pytest
import torch

from zoo import Schedule

LECTURE = Schedule(milestones=(100_000,), gamma=0.1)


@pytest.mark.parametrize("step", [0, 1, 5_000, 10**9])
def test_without_milestones_the_rate_is_constant(step: int) -> None:
    assert Schedule().lr(0.1, step) == 0.1


@pytest.mark.parametrize(("step", "lr"), [(0, 0.1), (99_999, 0.1), (100_000, 0.01), (100_001, 0.01), (199_999, 0.01)])
def test_the_lectures_rate_falls_to_a_tenth_at_step_100_000(step: int, lr: float) -> None:
    assert LECTURE.lr(0.1, step) == pytest.approx(lr, rel=1e-15)


def test_the_lectures_second_rate_is_its_0_01_in_the_precision_of_the_weights() -> None:
    assert torch.equal(torch.tensor(LECTURE.lr(0.1, 100_000)), torch.tensor(0.01))


@pytest.mark.parametrize(("step", "lr"), [(9, 8.0), (10, 4.0), (19, 4.0), (20, 2.0), (29, 2.0), (30, 1.0), (99, 1.0)])
def test_each_milestone_multiplies_the_rate_once(step: int, lr: float) -> None:
    assert Schedule(milestones=(10, 20, 30), gamma=0.5).lr(8.0, step) == lr


def test_gamma_may_raise_the_rate() -> None:
    assert Schedule(milestones=(5,), gamma=2.0).lr(0.25, 5) == 0.5


@pytest.mark.parametrize("milestones", [(0,), (-1,), (10, 10), (20, 10), (0, 10)])
def test_milestones_that_do_not_rise_from_above_0_are_refused(milestones: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match="milestones must be steps above 0"):
        Schedule(milestones=milestones)


@pytest.mark.parametrize("gamma", [0.0, -0.1, float("inf"), float("nan")])
def test_a_gamma_that_is_not_a_positive_number_is_refused(gamma: float) -> None:
    with pytest.raises(ValueError, match="gamma must be a positive number"):
        Schedule(gamma=gamma)


def test_a_schedule_cannot_be_changed() -> None:
    with pytest.raises(dataclasses.FrozenInstanceError):
        LECTURE.gamma = 0.5  # type: ignore[misc]


def test_schedules_with_the_same_steps_are_equal() -> None:
    assert Schedule((100_000,), 0.1) == LECTURE


# Warm-up and cosine


def test_warmup_rises_in_equal_parts_and_then_leaves_the_rate_alone() -> None:
    schedule = Schedule(warmup=4)
    assert [schedule.lr(8.0, step) for step in range(6)] == [2.0, 4.0, 6.0, 8.0, 8.0, 8.0]


def test_a_cosine_falls_from_the_rate_to_the_final_part_and_stays() -> None:
    schedule = Schedule(cosine=True, final=0.1).over(100)
    assert [schedule.lr(1.0, step) for step in (0, 50, 100, 1000)] == pytest.approx([1.0, 0.55, 0.1, 0.1])
    rates = [schedule.lr(1.0, step) for step in range(101)]
    assert rates == sorted(rates, reverse=True)


def test_a_cosine_begins_where_the_warmup_ends() -> None:
    schedule = Schedule(cosine=True, warmup=10).over(110)
    assert schedule.lr(1.0, 9) == 1.0
    assert schedule.lr(1.0, 10) == 1.0
    assert schedule.lr(1.0, 60) == pytest.approx(0.5)
    assert schedule.lr(1.0, 110) == pytest.approx(0.0, abs=1e-12)


@pytest.mark.parametrize(
    "schedule",
    [
        Schedule(),
        Schedule(warmup=7),
        Schedule(milestones=(1, 9, 10, 15)),
        Schedule(milestones=(4, 12), gamma=0.5, warmup=8),
        Schedule(cosine=True, warmup=3, final=0.1, ends=14),
        Schedule(function=lambda step, steps: 1 + step / steps, warmup=2, ends=20),
        Schedule(milestones=(5, 9), gamma=1e300),
    ],
    ids=repr,
)
def test_the_rates_of_a_block_are_those_of_its_steps(schedule: Schedule) -> None:
    for start, count in itertools.product(range(18), range(12)):
        assert schedule.lrs(0.3, start, count) == [schedule.lr(0.3, step) for step in range(start, start + count)]


def test_a_function_is_called_once_for_each_step_of_a_block() -> None:
    called = []

    def factor(step: int, steps: int) -> float:
        called.append(step)
        return 1.0

    assert Schedule(function=factor, ends=9).lrs(0.1, 4, 3) == [0.1] * 3
    assert called == [4, 5, 6]


def test_an_end_once_given_stays() -> None:
    assert Schedule(cosine=True).over(100).over(500).ends == 100
    assert Schedule((5,)).over(100) == Schedule((5,))


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("constant", Schedule(warmup=3)),
        ("cosine", Schedule(warmup=3, cosine=True)),
        ("step", Schedule((50, 75), warmup=3, ends=100)),
    ],
)
def test_another_kind_keeps_the_numbers_it_can_use(name: str, expected: Schedule) -> None:
    assert Schedule(warmup=3).named(name, 100) == expected


def test_step_keeps_its_own_milestones() -> None:
    assert LECTURE.named("step", 1000) == LECTURE


@pytest.mark.parametrize("steps", [1, 2, 3])
def test_step_of_a_very_short_run_has_milestones_that_rise(steps: int) -> None:
    assert Schedule().named("step", steps).milestones[0] >= 1


@pytest.mark.parametrize(
    ("numbers", "message"),
    [
        ({"warmup": -1}, "warmup must be"),
        ({"final": 1.5}, "final must be"),
        ({"final": -0.1}, "final must be"),
        ({"cosine": True, "milestones": (3,)}, "give one of them"),
        ({"ends": 0}, "ends must be"),
    ],
)
def test_numbers_out_of_range_are_refused(numbers: dict[str, object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Schedule(**numbers)  # type: ignore[arg-type]


@pytest.mark.parametrize("gamma", [1e300, 1e38, 2.0])
def test_a_rate_beyond_all_numbers_is_infinite_and_no_error(gamma: float) -> None:
    schedule = Schedule(milestones=tuple(range(1, 1100)), gamma=gamma)
    assert schedule.lr(0.1, 5000) == math.inf
    assert schedule.lr(0.1, 0) == 0.1
