"""The loop of a population: each training ends where it would have ended alone, to the bit, whatever the others do.

The engine here does what autograd does, one net after another, so that nothing but the loop can make a difference.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest
import torch
from torch import Tensor, nn

import zoo
from zoo import Schedule
from zoo.data.examples import TensorExamples
from zoo.engines import Stop
from zoo.errors import ZooError
from zoo.training.augmentation import Augmentation
from zoo.training.autograd import Autograd
from zoo.training.history.snapshots import Snapshots
from zoo.training.loop import Training, never, train
from zoo.training.population.loop import Member, train_population
from zoo.training.validation import Validation

STEPS = 23


class Linear(nn.Module):
    """Logits (B, 4) of inputs (B, 3), which are none that are numbers once the weights are large."""

    def __init__(self, seed: int = 1) -> None:
        super().__init__()
        g = torch.Generator().manual_seed(seed)
        self.W = nn.Parameter(torch.randn((3, 4), generator=g))

    def forward(self, x: Tensor) -> Tensor:
        return x @ self.W + 0 * self.W.pow(3).sum()


class Failing(Linear):
    """It fails at some step in training."""

    def __init__(self, error: BaseException, at: int) -> None:
        super().__init__()
        self.error, self.at, self.calls = error, at, 0

    def forward(self, x: Tensor) -> Tensor:
        self.calls += self.training
        if self.training and self.calls > self.at:
            raise self.error
        return super().forward(x)


def data(seed: int = 2) -> TensorExamples:
    g = torch.Generator().manual_seed(seed)
    return TensorExamples(torch.randn((50, 3), generator=g), torch.randint(0, 4, (50,), generator=g), torch.float32)


DATA = data()


def make(seed: int = 1, lr: float = 0.1, model: nn.Module | None = None, **rest: Any) -> Training:
    model = model or Linear(seed)
    optimizer = torch.optim.SGD(model.parameters(), lr=lr, momentum=0.9)
    generator = torch.Generator().manual_seed(seed)
    given = {"examples": DATA, "batch_size": 8, "schedule": Schedule(), "generator": generator, **rest}
    return Training(model, optimizer, lr=lr, **given)


class OneByOne:
    """A population by autograd, one net after another; it counts its calls."""

    def __init__(self, trainings: Sequence[Training]) -> None:
        self._trainings = trainings
        self.calls: list[list[int]] = []

    def run(self, members: Sequence[int], x: Tensor, y: Tensor, lrs: Sequence[Sequence[float]], stop: Stop) -> Tensor:
        self.calls.append([*members])
        count = next((k for k in range(len(lrs[0])) if stop()), len(lrs[0]))
        trainings = [self._trainings[m] for m in members]
        engines = [Autograd(one.model, one.optimizer, loss=one.loss) for one in trainings]
        losses = [engine.run(x[i, :count], y[i, :count], lrs[i][:count], never) for i, engine in enumerate(engines)]
        return torch.stack(losses)


def run(trainings: Sequence[Training], steps: Sequence[int] | None = None, **rest: Any) -> dict[int, ZooError | None]:
    """Train a population; what ended each."""
    ended: dict[int, ZooError | None] = {}
    members = list(map(Member, trainings, steps or [STEPS] * len(trainings)))
    train_population(members, rest.pop("engine", None) or OneByOne(trainings), ended=ended.__setitem__, **rest)
    return ended


def alone(training: Training, steps: int = STEPS) -> ZooError | None:
    try:
        train(training, steps)
    except ZooError as error:
        return error
    return None


def assert_same(one: Training, two: Training) -> None:
    assert (one.step, one.losses) == (two.step, two.losses)
    for name, tensor in one.model.state_dict().items():
        assert torch.equal(tensor, two.model.state_dict()[name]), name
    states = [training.optimizer.state_dict()["state"] for training in (one, two)]
    assert states[0].keys() == states[1].keys()
    assert all(torch.equal(states[0][i]["momentum_buffer"], states[1][i]["momentum_buffer"]) for i in states[0])
    assert [group["lr"] for group in one.optimizer.param_groups] == [
        group["lr"] for group in two.optimizer.param_groups
    ]
    assert torch.equal(one.generator.get_state(), two.generator.get_state())
    assert one.model.training == two.model.training


def noisy(x: Tensor, y: Tensor, generator: torch.Generator) -> tuple[Tensor, Tensor]:
    return x + 0.1 * torch.randn(x.shape, generator=generator), y


def of_every_kind() -> list[Training]:
    """Trainings that have nothing in common but the sizes of the net."""
    validated, impatient = Validation(data(3), 5), Validation(data(3), 2, patience=2)
    return [
        make(1),
        make(2, 0.5, schedule=Schedule(cosine=True, warmup=3)),
        make(3, 1e25),  # diverges
        make(4, validation=validated),
        make(5, 3.0, validation=impatient),  # ends early
        make(6, snapshots=Snapshots("W", (4, 9, 23))),
        make(7, augment=Augmentation(noisy, "noisy", 7)),
        make(8, examples=data(9)),
    ]


def test_each_ends_as_it_would_alone() -> None:
    together = of_every_kind()
    ended = run(together)
    for number, one in enumerate(of_every_kind()):
        error = alone(one)
        assert (type(ended[number]), str(ended[number])) == (type(error), str(error))
        assert_same(together[number], one)
        if one.validation is not None and together[number].validation is not None:
            assert one.validation.steps == together[number].validation.steps  # type: ignore[union-attr]
            assert one.validation.losses == together[number].validation.losses  # type: ignore[union-attr]
        if one.snapshots is not None and together[number].snapshots is not None:
            assert one.snapshots.taken.keys() == together[number].snapshots.taken.keys()  # type: ignore[union-attr]
    assert type(ended[2]) is zoo.DivergedError
    assert together[4].step < STEPS
    assert [number for number, error in ended.items() if error is not None] == [2]


def test_members_begin_and_end_at_steps_of_their_own_and_leave_when_they_are_done() -> None:
    steps, begun = [23, 5, 11, 11], [0, 0, 7, 11]
    together, apart = [[make(seed) for seed in range(4)] for _ in range(2)]
    for trainings in (together, apart):
        for one, start in zip(trainings, begun, strict=True):
            train(one, start)
    engine = OneByOne(together)
    order: list[int] = []
    members = list(map(Member, together, steps))
    train_population(members, engine, ended=lambda number, error: order.append(number))
    assert order == [3, 2, 1, 0]
    assert 3 not in engine.calls[0]
    assert engine.calls[-1] == [0]
    for one, other, count in zip(together, apart, steps, strict=True):
        alone(other, count)
        assert_same(one, other)


OOM = torch.OutOfMemoryError("CUDA out of memory")


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        (OSError("out of cheese"), zoo.PluginError),
        (OOM, zoo.OutOfMemoryError),
        (MemoryError("none"), zoo.OutOfMemoryError),
    ],
    ids=["plugin", "GPU memory", "memory"],
)
@pytest.mark.parametrize("failing", [0, 2, 4])
def test_one_that_fails_is_found_and_the_others_end_as_if_alone(
    failing: int, error: BaseException, kind: type[ZooError]
) -> None:
    together = [make(seed, model=Failing(error, 7) if seed == failing else None) for seed in range(5)]
    ended = run(together)
    assert type(ended[failing]) is kind
    assert together[failing].step <= 7
    assert len(together[failing].losses) == together[failing].step
    for seed in range(5):
        if seed != failing:
            assert ended[seed] is None
            one = make(seed)
            alone(one)
            assert_same(together[seed], one)


class Narrow(OneByOne):
    """There is memory for two nets at once."""

    def run(self, members: Sequence[int], *rest: Any) -> Tensor:
        if len(members) > 2:
            raise OOM
        return super().run(members, *rest)


def test_where_memory_is_for_few_nets_they_are_trained_in_parts() -> None:
    together = [make(seed) for seed in range(5)]
    engine = Narrow(together)
    assert run(together, engine=engine) == dict.fromkeys(range(5))
    assert {tuple(call) for call in engine.calls} == {(0, 1), (2,), (3, 4)}
    for seed, one in enumerate(together):
        other = make(seed)
        alone(other)
        assert_same(one, other)


def test_an_evaluation_that_fails_ends_that_training_alone() -> None:
    class Unjudged(Linear):
        def forward(self, x: Tensor) -> Tensor:
            if not self.training:
                raise OSError("cannot be judged")
            return super().forward(x)

    together = [make(1), make(2, model=Unjudged(2), validation=Validation(data(3), 4)), make(3)]
    ended = run(together)
    assert isinstance(ended[1], zoo.PluginError)
    assert "cannot be judged" in str(ended[1])
    assert together[1].step < 4
    for number, seed in ((0, 1), (2, 3)):
        one = make(seed)
        alone(one)
        assert_same(together[number], one)
        assert ended[number] is None


@pytest.mark.parametrize("at", [0, 1, 6, 40])
def test_a_stop_leaves_all_at_the_same_number_of_further_steps_and_they_go_on_exactly(at: int) -> None:
    together = of_every_kind()
    calls = iter(range(1000))
    ended = run(together, stop=lambda: next(calls) >= at)
    assert at > 6 or all(error is None or type(error) is zoo.DivergedError for error in ended.values())
    going = [number for number in range(len(together)) if number not in ended]
    assert at > 1 or len(going) == len(together)
    rest = [together[number] for number in going]
    again = run(rest)
    for position, number in enumerate(going):
        one = of_every_kind()[number]
        error = alone(one)
        assert str(again[position]) == str(error)
        assert_same(together[number], one)


def test_blocks_end_where_something_is_due_and_grow_otherwise(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("zoo.training.loop._BLOCK_SECONDS", 1e9)
    seen: list[tuple[int, float]] = []
    training = make(1, validation=Validation(data(3), 10))
    members = [Member(training, STEPS, report=lambda step, loss: seen.append((step, loss))), Member(make(2), STEPS)]
    train_population(members, OneByOne([member.training for member in members]), ended=lambda number, error: None)
    assert [step for step, _ in seen] == [1, 3, 7, 10, 20, 23]
    assert [loss for _, loss in seen] == [training.losses[step - 1] for step, _ in seen]


class Saver:
    """It saves after so many steps."""

    def __init__(self, training: Training, every: int) -> None:
        self._training, self._every = training, every
        self.saved: list[int] = []

    def steps_left(self, step: int) -> int | None:
        return self._every - step % self._every

    def save_if_due(self) -> None:
        if self._training.step % self._every == 0:
            self.saved.append(self._training.step)


def test_each_is_saved_at_steps_of_its_own() -> None:
    trainings = [make(1), make(2)]
    savers = [Saver(trainings[0], 7), Saver(trainings[1], 10)]
    members = [Member(one, STEPS, saver=saver) for one, saver in zip(trainings, savers, strict=True)]
    train_population(members, OneByOne(trainings), ended=lambda number, error: None)
    assert [saver.saved for saver in savers] == [[7, 14, 21], [10, 20]]


def test_an_error_that_is_nobodys_passes_and_what_a_caller_has_set_stays() -> None:
    before = torch.are_deterministic_algorithms_enabled(), torch.get_rng_state()

    class Interrupted(OneByOne):
        def run(self, *_: Any) -> Tensor:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run([make(1)], engine=Interrupted([]))
    run([make(1), make(2, 1e25)])
    assert before[0] == torch.are_deterministic_algorithms_enabled()
    assert torch.equal(before[1], torch.get_rng_state())
