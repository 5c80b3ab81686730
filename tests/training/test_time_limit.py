"""The time limit of a training, on a clock that only its steps and its evaluations move."""

from __future__ import annotations

import copy
from collections.abc import Sequence

import pytest
import torch
from torch import Tensor, nn

from zoo import DivergedError, Schedule
from zoo.data.examples import TensorExamples
from zoo.engines import Stop
from zoo.training.history.time_limit import TimeLimit
from zoo.training.loop import Training, train
from zoo.training.validation import Validation

LIMIT_S = 10.0


class Slow:
    """An engine whose steps take `step_s` seconds of its own clock each; the loss of step `fails` is NaN."""

    worth_from = 0

    def __init__(self, step_s: float, *, setup_s: float = 0.0, fails: int | None = None) -> None:
        self.time = 100.0
        self.done = 0
        self._step_s, self._setup_s, self._fails = step_s, setup_s, fails

    def now(self) -> float:
        return self.time

    def run(self, x: Tensor, y: Tensor, lrs: Sequence[float], stop: Stop) -> Tensor:
        self.time += self._setup_s * (self.done == 0) + self._step_s * len(lrs)
        first, self.done = self.done, self.done + len(lrs)
        losses = torch.ones(len(lrs))
        if self._fails is not None and first <= self._fails < self.done:
            losses[self._fails - first] = float("nan")
        return losses


def training(engine: Slow, seconds: float = LIMIT_S, before: float = 0.0, every: int | None = None) -> Training:
    model = nn.ParameterList([torch.zeros(2)])
    examples = TensorExamples(torch.zeros(8, 2), torch.zeros(8, dtype=torch.int64), torch.float32)
    return Training(
        model,
        torch.optim.SGD(model.parameters(), lr=0.1),
        examples,
        batch_size=2,
        lr=0.1,
        schedule=Schedule(),
        generator=torch.Generator().manual_seed(1),
        engine=engine,
        validation=None if every is None else Validation(examples, every),
        time_limit=TimeLimit(seconds, before, engine.now),
    )


@pytest.mark.parametrize("seconds", [0.01, 1.0, LIMIT_S, 100.0])
@pytest.mark.parametrize("step_s", [0.001, 0.03, 0.9])
@pytest.mark.parametrize("setup_s", [0.0, 5.0])
def test_it_ends_within_a_step_of_the_limit(seconds: float, step_s: float, setup_s: float) -> None:
    engine = Slow(step_s, setup_s=setup_s)
    ended = training(engine, seconds)
    train(ended, None)
    assert ended.out_of_time
    assert ended.time_limit is not None
    used = ended.time_limit.used
    assert used == pytest.approx(engine.time - 100.0)
    assert seconds <= used < max(seconds, setup_s) + 2 * step_s
    assert ended.step == len(ended.losses) == engine.done >= 1


def test_steps_that_are_reached_before_end_it() -> None:
    ended = training(Slow(0.1))
    train(ended, 20)
    assert ended.step == 20
    assert not ended.out_of_time


def test_the_time_of_earlier_processes_counts() -> None:
    engine = Slow(0.1)
    ended = training(engine, before=8.0)
    train(ended, None)
    assert engine.time - 100.0 == pytest.approx(2.0, abs=0.2)


def test_none_is_left_for_a_step_where_it_was_used_up_before() -> None:
    ended = training(Slow(0.1), before=LIMIT_S)
    train(ended, None)
    assert ended.step == 0


def test_evaluations_and_checkpoints_count(monkeypatch: pytest.MonkeyPatch) -> None:
    engine = Slow(0.01)
    ended = training(engine, every=50)

    class Saver:
        def steps_left(self, step: int) -> int:
            return 30 - step % 30

        def save_if_due(self) -> None:
            engine.time += 0.2 * (ended.step % 30 == 0)

    def slow(validation: Validation, model: nn.Module, step: int) -> None:
        engine.time += 0.5 * (step % validation.every == 0)

    monkeypatch.setattr(Validation, "evaluate_if_due", slow)
    train(ended, None, saver=Saver())
    assert ended.step < 0.6 * LIMIT_S / 0.01
    assert LIMIT_S <= engine.time - 100.0 < LIMIT_S + 0.8


@pytest.mark.parametrize("how", ["stopped", "diverged"])
def test_what_was_used_is_kept_however_it_ends(how: str) -> None:
    engine = Slow(0.1, fails=40 if how == "diverged" else None)
    ended = training(engine)
    if how == "diverged":
        with pytest.raises(DivergedError):
            train(ended, None)
    else:
        train(ended, None, stop=lambda: engine.time > 103.0)
    assert ended.time_limit is not None
    used = engine.time - 100.0
    assert 3.0 < used < LIMIT_S
    engine.time += 1000.0  # the training has ended: time goes on without it
    assert ended.time_limit.used == pytest.approx(used)
    again = training(engine, before=ended.time_limit.used)
    train(again, None)
    assert engine.time - 1100.0 == pytest.approx(LIMIT_S, abs=0.2)


def test_how_many_steps_are_expected_is_known_early_and_right_at_the_end() -> None:
    ended = training(Slow(0.001))
    told: list[tuple[int, int]] = []
    limit = ended.time_limit
    assert limit is not None
    train(ended, None, report=lambda step, _: told.append((step, limit.expected_steps(step, None))))
    assert [step for step, _ in told][-1] == told[-1][1] == ended.step
    assert all(expected == pytest.approx(10_000, rel=0.01) for step, expected in told if step > 4)
    assert limit.expected_steps(5, None) == 5  # it is over
    early = copy.copy(limit)
    early.before = 1.0
    assert early.expected_steps(1000, None) == 10_000
    assert early.expected_steps(1000, 4000) == 4000
