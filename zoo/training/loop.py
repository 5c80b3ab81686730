"""The training loop.

Axes: K steps of a block, B examples of a batch, then the axes of one example.
"""

from __future__ import annotations

import contextlib
import math
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

import torch
from torch import Tensor, nn

from zoo import cuda
from zoo.ambient.neutral import others_turn
from zoo.data.examples import Examples
from zoo.engines import Engine, Optimizer, Stop
from zoo.errors import DivergedError, OutOfMemoryError, PluginError, RankLostError, memory_sentence, out_of_memory
from zoo.options.schedule import Schedule
from zoo.plugin.calling import step_errors
from zoo.plugin.optimizer_state import copied, load_exactly
from zoo.training.augmentation import Augmentation
from zoo.training.autograd import Autograd
from zoo.training.building import Trial
from zoo.training.device import deterministic_sums, torchs_dropout
from zoo.training.distributed.alone import ALONE, Ranks
from zoo.training.history.snapshots import Snapshots
from zoo.training.history.time_limit import TimeLimit
from zoo.training.objective.loss import CROSS_ENTROPY, Loss
from zoo.training.validation import Validation

_BLOCK_SECONDS = 0.25  # how long a block should take: once a block there is a snapshot, and progress is reported
_MOST_STEPS = 4096
_MOST_NUMBERS = 1 << 22  # of the inputs of one block
_MOST_OF_MANY = 1 << 25  # the same of many nets at once: 256 MiB; shorter blocks would cost more than their steps


@dataclass
class Training:
    """Everything that training reads and changes.

    Attributes:
        model: on the device of `examples`.
        examples: the training split, on the device.
        generator: a CPU generator, so that one seed samples the same batches for every device.
        step: the next step; equal to the number of steps done.
        losses: the loss of every step done.
        engine: implementation of the training step; by default autograd.
        validation: evaluates the validation split during training; None: evaluated only after training.
        loss: what is trained on.
        augment: changes each batch.
        snapshots: of the embedding table; None: none are kept.
        time_limit: ends the training; None: only its steps do.
        new_optimizer: makes such an optimizer for another module's parameters; needed to restore a state.
        ranks: the processes that train together; what depends on the time or a signal is decided by all of them.
    """

    model: nn.Module
    optimizer: Optimizer
    examples: Examples
    batch_size: int
    lr: float
    schedule: Schedule
    generator: torch.Generator
    step: int = 0
    losses: list[float] = field(default_factory=list)
    engine: Engine = None  # type: ignore[assignment]  # until it is made from the model and the optimizer
    validation: Validation | None = None
    new_optimizer: Callable[[nn.Module], Optimizer] | None = None
    loss: Loss = CROSS_ENTROPY
    augment: Augmentation | None = None
    snapshots: Snapshots | None = None
    time_limit: TimeLimit | None = None
    ranks: Ranks = ALONE

    def __post_init__(self) -> None:
        if self.engine is None:
            self.engine = Autograd(self.model, self.optimizer, loss=self.loss)

    @property
    def trial(self) -> Trial:
        """Steps of such an optimizer that change nothing here.

        Raises:
            ValueError: there is no `new_optimizer`.
        """
        if self.new_optimizer is None:
            raise ValueError("a training whose optimizer is to be tried needs 'new_optimizer'")
        return Trial(self.new_optimizer, self.model, self.examples, self.loss)

    @property
    def stopped_early(self) -> bool:
        """Whether early stopping has ended the training."""
        return self.validation is not None and self.validation.exhausted

    @property
    def out_of_time(self) -> bool:
        """Whether the time limit has ended the training."""
        return self.time_limit is not None and self.time_limit.is_over

    def to_keep(self) -> tuple[int, Mapping[str, Tensor]]:
        """The weights to save for use, and their step: the best known, or the current ones."""
        kept = self.validation.kept if self.validation is not None else None
        return (self.step, self.model.state_dict()) if kept is None else (kept.step, kept.weights)


Report = Callable[[int, float], None]  # steps done, the last loss


class Saver(Protocol):
    """Writes checkpoints on the way."""

    def steps_left(self, step: int) -> int | None:
        """After how many steps a checkpoint must be possible; None for any."""

    def save_if_due(self) -> None:
        """Called between blocks, when `Training` is consistent."""


class Train(Protocol):
    """`train`, or what does the same in its place."""

    def __call__(
        self, training: Training, steps: int | None, *, report: Report | None, stop: Stop, saver: Saver | None
    ) -> None: ...


def never() -> bool:
    return False


def train(
    training: Training,
    steps: int | None,
    *,
    report: Report | None = None,
    stop: Stop = never,
    saver: Saver | None = None,
) -> None:
    """Train until `steps` are done in all, until `stop()` is true, or until early stopping or a time limit ends it.

    Without `steps` it goes on for as long as the others let it. A time limit is looked at between blocks, of which the
    last ones are so short that they end with it, as far as the speed of the one before tells.

    Nothing in a block waits for the device: batches are sampled and gathered for the whole block ahead, and the losses
    stay on the device until its end. `stop` is asked before every block, and within one by an engine that can, as
    autograd does before every step.

    Raises:
        DivergedError: a loss is not finite. `training` is then as it was at the start of that block, or of the one
            before if the block began with that loss: at weights whose loss is known to be finite.
        OutOfMemoryError: memory ran out. `training` is then as it was at the start of that block.
        RankLostError: another process of several is lost. `training` is then as it was at the start of that block.
        PluginError: a plugin failed in a step or an evaluation, or its optimizer has a state that no file can hold.
            `training` is then as it was at the start of that block, or of the one before.
    """
    training.model.train()
    training.ranks.begin(training)
    with deterministic_sums(training.examples.device), _timed(training.time_limit):
        _train_blocks(training, math.inf if steps is None else steps, report, stop, saver)


@contextlib.contextmanager
def _timed(limit: TimeLimit | None) -> Iterator[None]:
    if limit is None:
        yield
        return
    limit.begin()
    try:
        yield
    finally:
        limit.end()


def _train_blocks(training: Training, steps: float, report: Report | None, stop: Stop, saver: Saver | None) -> None:
    block, limit = 1, training.time_limit
    blocks = Blocks(training)
    while _goes_on(training, steps, stop):
        started = time.perf_counter()
        blocks.begin()
        with undone([blocks]):
            count = training.ranks.least(min([block, *steps_left(training, steps, saver)]))
            values = _train_block(training, count, stop)
            blocks.end(values)
        if limit is not None:
            limit.did(len(values))
        with others_turn():
            if report is not None and values:
                report(training.step, values[-1])
        if saver is not None:
            saver.save_if_due()
        block = next_block(block, time.perf_counter() - started, longest_block(training))


def _goes_on(training: Training, steps: float, stop: Stop) -> bool:
    """Whether there is another block. A signal may come at any rank; the time is that of the first."""
    if training.step >= steps or training.stopped_early:
        return False
    over = training.time_limit is not None and training.ranks.first(training.out_of_time)
    return not (over or training.ranks.any(stop()))


def next_block(block: int, seconds: float, longest: int) -> int:
    """How many steps the next block should have, after one of `block` steps that took so many seconds."""
    return min(2 * block, longest) if seconds < _BLOCK_SECONDS / 2 else block


class Blocks:
    """A training, block by block, which can go back to where its loss is known to be finite."""

    def __init__(self, training: Training) -> None:
        self.training = training
        self._good = self._before = _Snapshot(training)
        self._keep_snapshot()

    def begin(self) -> None:
        """A block begins.

        Raises:
            PluginError: the optimizer has a state that no file can hold. The training is at its last good one.
        """
        try:
            self._before = _Snapshot(self.training)
        except PluginError:
            self._good.restore()
            raise

    def end(self, values: Sequence[float]) -> None:
        """Take the losses of the block's steps, and evaluate and take a snapshot if due.

        Raises:
            DivergedError: one is not finite. The training is at the start of that block, or of the one before.
        """
        training = self.training
        failed = next((i for i, value in enumerate(values) if not math.isfinite(value)), None)
        if failed is not None:
            step = len(training.losses) + failed
            (self._before if failed else self._good).restore()
            raise DivergedError(f"the loss became {values[failed]} at step {step}", step)
        self._good = self._before
        training.losses += values
        if training.validation is not None:
            training.validation.evaluate_if_due(training.model, training.step)
        self._keep_snapshot()

    def undo(self) -> None:
        """Go back to the start of the block."""
        self._before.restore()

    def _keep_snapshot(self) -> None:
        if self.training.snapshots is not None:
            self.training.snapshots.take_if_due(self.training.model, self.training.step)


@contextlib.contextmanager
def undone(blocks: Sequence[Blocks]) -> Iterator[None]:
    """Where memory runs out, a plugin fails or a rank is lost, bring trainings back to the start of the block."""
    try:
        yield
    except BaseException as error:
        if not (isinstance(error, PluginError | RankLostError) or out_of_memory(error)):
            raise
        for one in blocks:
            one.undo()
        if isinstance(error, PluginError | RankLostError):
            raise
        raise OutOfMemoryError(memory_sentence(error), blocks[0].training.step) from error


def steps_left(training: Training, steps: float, saver: Saver | None) -> list[int]:
    """After how many steps the block must end, for whatever is to be done then; `steps` are all of the training."""
    left: list[int | None] = [int(steps) - training.step] if math.isfinite(steps) else []
    left += [training.time_limit.steps_left() if training.time_limit is not None else None]
    left += [saver.steps_left(training.step) if saver is not None else None]
    left += [training.validation.steps_left(training.step) if training.validation is not None else None]
    left += [training.snapshots.steps_left(training.step) if training.snapshots is not None else None]
    return [count for count in left if count]


def _train_block(training: Training, count: int, stop: Stop) -> list[float]:
    """At most `count` steps, done by the engine; their losses."""
    steps = NextSteps(training, count)
    x, y = steps.own()
    with (
        step_errors(training.engine, training.optimizer, training.model),
        torchs_dropout(training.model, training.examples.device),
    ):
        losses: list[float] = training.engine.run(x, y, steps.lrs, stop).tolist()  # waits: what failed on a GPU does so
    steps.done(len(losses))
    return losses


class NextSteps:
    """The batches and learning rates of the next steps of a training.

    Attributes:
        indices: of the examples of each batch, shape (K, B), on the CPU.
        lrs: of each step.
    """

    def __init__(self, training: Training, count: int) -> None:
        self._training, self._count = training, count
        self._sampled_before = training.generator.get_state()
        self.indices = _sample(training, count)
        self.lrs = training.schedule.lrs(training.lr, training.step, count)

    def own(self) -> tuple[Tensor, Tensor]:
        """Its batches, shapes (K, B, ...), as they are trained on: of this process's examples of each.

        Where they are augmented, each process makes all of them: the random numbers are those of whole batches.
        """
        examples, ranks = self._training.examples, self._training.ranks
        if self._training.augment is None:
            return examples.gather(self.indices[:, ranks.part(self._training.batch_size)])
        x, y = self.augmented(*examples.gather(self.indices))
        part = ranks.part(x.shape[1])
        return x[:, part], y[:, part]

    def augmented(self, x: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
        """Its batches, shapes (K, B, ...), as they are trained on."""
        augment = self._training.augment
        return (x, y) if augment is None else augment.block(x, y, self._training.step)

    def done(self, count: int) -> None:
        """The first `count` of the steps are done."""
        training = self._training
        if count < self._count:
            training.generator.set_state(self._sampled_before)  # the other batches are sampled again later
            _sample(training, count)
        for group in training.optimizer.param_groups if count else ():
            group["lr"] = self.lrs[count - 1]  # an engine need not set it
        training.step += count


def _sample(training: Training, count: int) -> Tensor:
    """Indices of the next `count` batches, shape (K, B): uniform, with replacement, sampled on the CPU."""
    shape = (count, training.batch_size)
    return torch.randint(0, len(training.examples), shape, generator=training.generator)


def longest_block(training: Training, nets: int = 1) -> int:
    """The most steps of a block of so many such trainings."""
    per_step = nets * training.batch_size * max(1, training.examples.input_size)
    most = _MOST_NUMBERS if nets == 1 else _MOST_OF_MANY
    return max(1, min(_MOST_STEPS, most // per_step))


class _Snapshot:
    """What `training` was at a moment, to go back to."""

    def __init__(self, training: Training) -> None:
        self._training = training
        self._step = training.step
        self._weights = {name: tensor.clone() for name, tensor in training.model.state_dict().items()}
        self._optimizer = copied(training.optimizer)
        self._generator = training.generator.get_state()
        self._validation = training.validation.copy() if training.validation is not None else None
        self._device = training.examples.device
        self._global_generator = torch.get_rng_state()  # dropout and the like draw from it
        self._cuda_generator = cuda.generator_state(self._device) if cuda.holds(self._device) else None

    def restore(self) -> None:
        self._training.step = self._step
        del self._training.losses[self._step :]
        self._training.model.load_state_dict(self._weights)
        load_exactly(self._training.optimizer, self._optimizer)
        self._training.generator.set_state(self._generator)
        self._training.validation = self._validation
        if self._training.snapshots is not None:
            self._training.snapshots.forget_after(self._step)
        torch.set_rng_state(self._global_generator)
        if self._cuda_generator is not None:
            cuda.set_generator_state(self._cuda_generator, self._device)
