"""The training loop, held against the same loop written out one step after the other."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from zoo import DivergedError, Schedule
from zoo.data.examples import TensorExamples
from zoo.training.autograd import Autograd, StepOptions
from zoo.training.loop import Training, train
from zoo.training.objective.cross_entropy import cross_entropy

STEPS = 40
OPTIMIZERS: dict[str, Callable[..., torch.optim.Optimizer]] = {
    "sgd": torch.optim.SGD,
    "momentum": lambda params, lr: torch.optim.SGD(params, lr=lr, momentum=0.9),
    "adam": torch.optim.Adam,
}
DIVERGING = 1e25  # a factor on the learning rate: after one such step `Wild` has no finite loss

Blocks = Callable[[int], None]


class Linear(nn.Module):
    """Logits (B, 4) of inputs (B, 3)."""

    def __init__(self) -> None:
        super().__init__()
        g = torch.Generator().manual_seed(1)
        self.W = nn.Parameter(torch.randn((3, 4), generator=g))
        self.b = nn.Parameter(torch.randn(4, generator=g))

    def forward(self, x: Tensor) -> Tensor:
        return x @ self.W + self.b


class Wild(Linear):
    """The same logits while the weights are tame, and none that are numbers once they are not."""

    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x) + 0 * self.W.pow(3).sum()


class Positions(nn.Module):
    """Logits (B, T, 5) of tokens (B, T)."""

    def __init__(self) -> None:
        super().__init__()
        self.C = nn.Parameter(torch.randn((5, 5), generator=torch.Generator().manual_seed(1)))

    def forward(self, x: Tensor) -> Tensor:
        return self.C[x]


def examples(n: int = 50) -> TensorExamples:
    g = torch.Generator().manual_seed(2)
    return TensorExamples(torch.randn((n, 3), generator=g), torch.randint(0, 4, (n,), generator=g), torch.float32)


def make(
    model: nn.Module | None = None, data: TensorExamples | None = None, optimizer: str = "sgd", **rest: Any
) -> Training:
    model = model or Linear()
    given = {"batch_size": 8, "lr": 0.1, "schedule": Schedule(), "generator": torch.Generator().manual_seed(3), **rest}
    made = OPTIMIZERS[optimizer](model.parameters(), lr=given["lr"])
    return Training(model, made, data or examples(), **given)


def reference(training: Training, steps: int) -> None:
    """Draw, forward, backward, update: one batch after the other."""
    training.model.train()
    for _ in range(steps):
        indices = torch.randint(0, len(training.examples), (training.batch_size,), generator=training.generator)
        x, y = training.examples.gather(indices)
        for group in training.optimizer.param_groups:
            group["lr"] = training.schedule.lr(training.lr, training.step)
        logits = training.model(x)
        loss = F.cross_entropy(logits.flatten(0, -2), y.flatten(), ignore_index=-1)
        training.optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        training.optimizer.step()
        training.losses.append(loss.item())
        training.step += 1


def assert_same(one: Training, two: Training) -> None:
    """Step, losses, weights and generator, to the last bit."""
    assert (one.step, one.losses) == (two.step, two.losses)
    for name, tensor in one.model.state_dict().items():
        assert torch.equal(tensor, two.model.state_dict()[name]), name
    assert torch.equal(one.generator.get_state(), two.generator.get_state())


@pytest.fixture
def blocks(monkeypatch: pytest.MonkeyPatch) -> Blocks:
    """`blocks(5)`: blocks of 1, 2, 4, 5, 5… steps, however long they take."""

    def limit(most_steps: int) -> None:
        monkeypatch.setattr("zoo.training.loop._BLOCK_SECONDS", 1e9)
        monkeypatch.setattr("zoo.training.loop._MOST_STEPS", most_steps)

    limit(1024)
    return limit


@pytest.fixture
def two_threads() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    yield
    torch.set_num_threads(before)


# One loop, whatever the blocks


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
@pytest.mark.parametrize("most_steps", [1, 2, 3, 7, 16, 1024])
def test_losses_weights_and_draws_are_those_of_one_step_after_the_other(
    blocks: Blocks, most_steps: int, optimizer: str
) -> None:
    blocks(most_steps)
    ours, theirs = make(optimizer=optimizer), make(optimizer=optimizer)
    train(ours, STEPS)
    reference(theirs, STEPS)
    assert_same(ours, theirs)


def test_blocks_by_the_clock_change_nothing_either() -> None:
    ours, theirs = make(), make()
    train(ours, STEPS)
    reference(theirs, STEPS)
    assert_same(ours, theirs)


def test_a_limit_on_the_inputs_of_a_block_changes_nothing(blocks: Blocks, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("zoo.training.loop._MOST_NUMBERS", 1)
    ours, theirs = make(), make()
    train(ours, STEPS)
    reference(theirs, STEPS)
    assert_same(ours, theirs)


@pytest.mark.parametrize("parts", [(1, 40), (13, 14, 40), (39, 40)])
def test_training_in_parts_is_training_in_one_go(blocks: Blocks, parts: tuple[int, ...]) -> None:
    ours, theirs = make(), make()
    for steps in parts:
        train(ours, steps)
    train(theirs, STEPS)
    assert_same(ours, theirs)


@pytest.mark.usefixtures("two_threads")
def test_a_large_batch_looked_up_by_two_threads_has_the_same_bits_every_time(blocks: Blocks) -> None:
    x, y = torch.randint(0, 5, (2, 300, 16), generator=torch.Generator().manual_seed(4))
    trained = [make(Positions(), TensorExamples(x, y, torch.int64), batch_size=2048) for _ in range(4)]
    for training in trained:
        train(training, 20)
        assert_same(trained[0], training)


def test_batches_are_drawn_uniformly_with_replacement_by_the_given_generator(blocks: Blocks) -> None:
    seen: list[Tensor] = []

    class Watching(Linear):
        def forward(self, x: Tensor) -> Tensor:
            seen.append(x)
            return super().forward(x)

    training = make(Watching())
    train(training, 10)
    g = torch.Generator().manual_seed(3)
    drawn = [training.examples.gather(torch.randint(0, 50, (8,), generator=g))[0] for _ in range(10)]
    assert torch.equal(torch.stack(seen), torch.stack(drawn))


def test_a_batch_may_be_larger_than_the_data(blocks: Blocks) -> None:
    training = make(data=examples(3), batch_size=64)
    train(training, 2)
    assert training.step == 2


@pytest.mark.parametrize("steps", [0, 5, 4])
def test_nothing_is_done_where_the_steps_are_done_already(blocks: Blocks, steps: int) -> None:
    ours, theirs = make(), make()
    train(ours, 5)
    train(theirs, 5)
    train(ours, steps)
    assert_same(ours, theirs)


def test_a_model_is_trained_in_training_mode() -> None:
    training = make()
    training.model.eval()
    train(training, 1)
    assert training.model.training


def test_the_loss_falls() -> None:
    training = make()
    train(training, 200)
    assert sum(training.losses[-20:]) < 0.9 * sum(training.losses[:20])


# Schedules


@pytest.mark.parametrize("most_steps", [1, 4, 1024])
def test_the_rate_changes_at_its_milestones_within_a_block_or_between(blocks: Blocks, most_steps: int) -> None:
    blocks(most_steps)
    ours, theirs = (make(schedule=Schedule((5, 23), 0.5), optimizer="momentum") for _ in range(2))
    train(ours, STEPS)
    reference(theirs, STEPS)
    assert_same(ours, theirs)


def test_each_step_has_the_rate_of_its_number_in_every_group(blocks: Blocks) -> None:
    rates: list[list[float]] = []

    model = Linear()
    training = make(model, schedule=Schedule((3, 6), 0.5), lr=1.0)
    optimizer = torch.optim.SGD([{"params": [model.W]}, {"params": [model.b]}], lr=9.0)
    optimizer.register_step_pre_hook(lambda *_: rates.append([group["lr"] for group in optimizer.param_groups]))
    training.optimizer, training.engine = optimizer, Autograd(model, optimizer)
    train(training, 8)
    assert rates == [[1.0] * 2] * 3 + [[0.5] * 2] * 3 + [[0.25] * 2] * 2


def test_training_that_is_taken_up_again_has_the_rates_of_its_steps(blocks: Blocks) -> None:
    ours, theirs = (make(schedule=Schedule((5, 23), 0.5)) for _ in range(2))
    train(ours, 20)
    train(ours, STEPS)
    reference(theirs, STEPS)
    assert_same(ours, theirs)


# Stopping


def after(training: Training, steps: int) -> Callable[[], bool]:
    """Whether so many steps have been done, also in the middle of a block, of which `training.step` knows nothing."""
    done: list[None] = []
    training.optimizer.register_step_post_hook(lambda *_: done.append(None))  # type: ignore[attr-defined]
    return lambda: len(done) >= steps


@pytest.mark.parametrize("steps", [0, 1, 2, 5, 7, 8, 20])
def test_a_stop_leaves_everything_as_a_run_of_that_many_steps_does(blocks: Blocks, steps: int) -> None:
    ours, theirs = make(optimizer="adam"), make(optimizer="adam")
    train(ours, STEPS, stop=after(ours, steps))
    train(theirs, steps)
    assert_same(ours, theirs)


def test_training_goes_on_after_a_stop_as_if_there_had_been_none(blocks: Blocks) -> None:
    ours, theirs = make(optimizer="adam"), make(optimizer="adam")
    train(ours, STEPS, stop=after(ours, 13))
    train(ours, STEPS)
    train(theirs, STEPS)
    assert_same(ours, theirs)


def test_a_stop_takes_effect_at_the_very_next_step(blocks: Blocks) -> None:
    training = make()
    train(training, STEPS, stop=after(training, 11))
    assert training.step == 11


# Reports


@pytest.mark.parametrize(("most_steps", "steps"), [(1, [1, 2, 3, 4, 5]), (2, [1, 3, 5]), (1024, [1, 3, 5])])
def test_progress_is_reported_at_the_end_of_each_block(blocks: Blocks, most_steps: int, steps: list[int]) -> None:
    blocks(most_steps)
    reports: list[tuple[int, float]] = []
    training = make()
    train(training, 5, report=lambda step, loss: reports.append((step, loss)))
    assert reports == [(step, training.losses[step - 1]) for step in steps]


def test_nothing_is_reported_where_nothing_was_done() -> None:
    reports: list[int] = []
    train(make(), STEPS, report=lambda step, _: reports.append(step), stop=lambda: True)
    assert reports == []


# Checkpoints on the way


class Every:
    """Wants to save after each multiple of `steps`, and notes where it could."""

    def __init__(self, training: Training, steps: int | None) -> None:
        self.training, self.steps = training, steps
        self.whole: list[int] = []

    def steps_left(self, step: int) -> int | None:
        return None if self.steps is None else self.steps - step % self.steps

    def save_if_due(self) -> None:
        assert len(self.training.losses) == self.training.step
        self.whole.append(self.training.step)


@pytest.mark.parametrize(
    ("every", "whole"), [(5, [1, 3, 5, 10, 15, 20, 22]), (1, list(range(1, 23))), (None, [1, 3, 7, 15, 22])]
)
def test_blocks_end_where_a_checkpoint_is_wanted(blocks: Blocks, every: int | None, whole: list[int]) -> None:
    training = make()
    saver = Every(training, every)
    train(training, 22, saver=saver)
    assert saver.whole == whole


@pytest.mark.parametrize("every", [1, 3, 1000])
def test_checkpoints_on_the_way_change_nothing(blocks: Blocks, every: int) -> None:
    ours, theirs = make(optimizer="adam"), make(optimizer="adam")
    train(ours, STEPS, saver=Every(ours, every))
    train(theirs, STEPS)
    assert_same(ours, theirs)


# Divergence: blocks are steps 0, 1-2, 3-6, 7-14, 15-30


@pytest.mark.parametrize("optimizer", ["sgd", "momentum"])
@pytest.mark.parametrize(
    ("diverged", "kept"),
    [(5, 3), (8, 7), (14, 7), (16, 15), (7, 3), (15, 7), (3, 1)],
)
def test_a_loss_that_is_not_finite_takes_training_back_to_where_it_was(
    blocks: Blocks, diverged: int, kept: int, optimizer: str
) -> None:
    ours = make(Wild(), schedule=Schedule((diverged - 1,), DIVERGING), optimizer=optimizer)
    theirs = make(Wild(), optimizer=optimizer)
    with pytest.raises(DivergedError, match=rf"the loss became nan at step {diverged}$"):
        train(ours, STEPS)
    train(theirs, kept)
    assert_same(ours, theirs)


def test_training_goes_on_after_a_divergence_at_another_rate(blocks: Blocks) -> None:
    ours = make(Wild(), schedule=Schedule((9,), DIVERGING), optimizer="adam")
    theirs = make(Wild(), optimizer="adam")
    with pytest.raises(DivergedError):
        train(ours, STEPS)
    ours.schedule = Schedule()
    train(ours, STEPS)
    train(theirs, STEPS)
    assert_same(ours, theirs)


def test_a_divergence_at_the_first_step_leaves_the_first_weights(blocks: Blocks) -> None:
    training = make()
    with torch.no_grad():
        training.model.state_dict()["b"].fill_(torch.inf)
    with pytest.raises(DivergedError, match="the loss became nan at step 0"):
        train(training, STEPS)
    assert (training.step, training.losses) == (0, [])


def test_a_divergence_puts_back_the_generator_that_dropout_draws_from(blocks: Blocks) -> None:
    class Dropping(Wild):
        def forward(self, x: Tensor) -> Tensor:
            return super().forward(F.dropout(x, 0.5, self.training))

    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(5)
        train(make(Dropping()), 7)
        expected = torch.get_rng_state()
        torch.manual_seed(5)
        with pytest.raises(DivergedError):
            train(make(Dropping(), schedule=Schedule((9,), DIVERGING)), STEPS)
        assert torch.equal(torch.get_rng_state(), expected)


# Targets


def tokens(*targets: list[int]) -> TensorExamples:
    y = torch.tensor(targets)
    return TensorExamples(torch.arange(y.numel()).view(y.shape) % 5, y, torch.int64)


def test_a_target_at_each_position_is_trained_on(blocks: Blocks) -> None:
    data = tokens([1, 2, 0, -1], [3, 3, 4, 0], [2, 0, -1, -1])
    ours, theirs = make(Positions(), data), make(Positions(), data)
    train(ours, STEPS)
    reference(theirs, STEPS)
    assert_same(ours, theirs)


def test_ignored_targets_get_no_gradient() -> None:
    training = make(Positions(), tokens([1, -1, 2, -1, -1]), lr=1.0)
    before = training.model.state_dict()["C"].clone()
    train(training, 3)
    changed = (training.model.state_dict()["C"] != before).any(dim=1)
    assert changed.tolist() == [True, False, True, False, False]


LOGITS = torch.randn((6, 5), generator=torch.Generator().manual_seed(4))


@pytest.mark.parametrize("reduction", ["mean", "sum"])
@pytest.mark.parametrize("targets", [[0, 1, 2, 3, 4, 0], [0, -1, 2, -1, 4, -1]], ids=["all", "some ignored"])
def test_cross_entropy_counts_the_targets_that_are_not_ignored(reduction: str, targets: list[int]) -> None:
    logs = LOGITS.double().log_softmax(dim=1)
    each = torch.stack([-logs[i, target] for i, target in enumerate(targets) if target >= 0])
    loss = cross_entropy(LOGITS, torch.tensor(targets), reduction)
    torch.testing.assert_close(loss.double(), getattr(each, reduction)(), rtol=1e-6, atol=0)


def test_cross_entropy_of_positions_is_that_of_all_of_them_in_a_row() -> None:
    y = torch.tensor([0, 1, -1, 3, 4, 0])
    assert torch.equal(cross_entropy(LOGITS.view(2, 3, 5), y.view(2, 3)), cross_entropy(LOGITS, y))


def test_cross_entropy_is_in_nats() -> None:
    assert cross_entropy(torch.zeros(1, 27), torch.tensor([0])).item() == pytest.approx(3.2958, abs=1e-4)


# Hooks


@pytest.mark.filterwarnings("ignore:Full backward hook:UserWarning")  # the inputs have no gradient
@pytest.mark.parametrize(
    "hang",
    [
        lambda model, note: model.register_forward_pre_hook(note),
        lambda model, note: model.register_forward_hook(note),
        lambda model, note: model.register_full_backward_pre_hook(note),
        lambda model, note: model.register_full_backward_hook(note),
        lambda _, note: nn.modules.module.register_module_forward_pre_hook(note),
        lambda _, note: nn.modules.module.register_module_forward_hook(note),
        lambda _, note: nn.modules.module.register_module_full_backward_hook(note),
    ],
    ids=["before", "after", "before backward", "after backward", "before any", "after any", "after any backward"],
)
def test_what_hangs_on_a_call_of_the_model_is_called_in_every_step(hang: Callable[..., Any], blocks: Blocks) -> None:
    training, called = make(), list[None]()
    hook = hang(training.model, lambda *_: called.append(None))
    try:
        train(training, 7)
    finally:
        hook.remove()
    assert len(called) == 7
    train(training, 12)
    assert len(called) == 7
    plain = make()
    train(plain, 12)
    assert_same(training, plain)


# Clipping


def test_gradients_are_held_to_a_norm_and_small_ones_left_alone() -> None:
    norms: list[float] = []

    def norm(optimizer: torch.optim.Optimizer, *_: object) -> None:
        gradients = [p.grad for group in optimizer.param_groups for p in group["params"]]
        norms.append(float(torch.cat([g.flatten() for g in gradients]).norm()))

    for clip_norm in (None, 0.1):
        training = make()
        training.engine = Autograd(training.model, training.optimizer, StepOptions(clip_norm))
        assert isinstance(training.optimizer, torch.optim.Optimizer)
        training.optimizer.register_step_pre_hook(norm)
        train(training, 5)
    free, held = norms[:5], norms[5:]
    assert min(free) > 0.1
    assert held == pytest.approx([0.1] * 5, rel=1e-4)
