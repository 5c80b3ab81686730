"""The training loop of a population: many trainings of nets of the same sizes, block by block, by one engine.

Each is a `Training` of its own, with its own batches, schedule, evaluations and snapshots, and may have begun at
another step. One that is done, is stopped early, diverges or fails leaves the others, which are not changed by that.

Axes: M nets, K steps of a block, B examples of a batch, then the axes of one example.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from zoo.ambient.neutral import others_turn
from zoo.engines import PopulationEngine, Stop
from zoo.errors import DivergedError, OutOfMemoryError, PluginError, ZooError
from zoo.plugin.calling import step_errors
from zoo.training.device import deterministic_sums, torchs_dropout
from zoo.training.loop import (
    Blocks,
    NextSteps,
    Report,
    Saver,
    Training,
    longest_block,
    never,
    next_block,
    steps_left,
    undone,
)

_LONGER = 4  # than the blocks of one training, in seconds: between blocks, each net is copied twice


@dataclass(frozen=True)
class Member:
    """One training of a population.

    Attributes:
        training: where it stands. Its own engine is not used.
        steps: how many are to be done in all.
        report: told of its progress after each block.
        saver: writes its checkpoints.
    """

    training: Training
    steps: int
    report: Report | None = None
    saver: Saver | None = None

    @property
    def done(self) -> bool:
        return self.training.step >= self.steps or self.training.stopped_early


Ended = Callable[[int, ZooError | None], None]  # the number of a member, and what has ended it; None: it is done


def train_population(members: Sequence[Member], engine: PopulationEngine, *, ended: Ended, stop: Stop = never) -> None:
    """Train all members until each has ended, or until `stop()` is true.

    Where a block fails, the members are brought back to its start and go on in two halves, until the one is alone whose
    failure it is, or fewer nets need no more memory than there is.

    Args:
        members: on one device, with batches of one size.
        engine: made of their models and optimizers, in this order.
        ended: told of each member as soon as it has ended, with the `DivergedError`, `PluginError` or
            `OutOfMemoryError` where that ended it. The training is then as `zoo.training.loop.train` leaves it.
        stop: asked before each block, and within one by an engine that can.
    """
    if not members:
        return
    for member in members:
        member.training.model.train()
    with deterministic_sums(members[0].training.examples.device):
        population = _Population(members, engine, ended, stop)
        population.train(list(range(len(members))))


class _Population:
    def __init__(self, members: Sequence[Member], engine: PopulationEngine, ended: Ended, stop: Stop) -> None:
        self._members, self._engine, self._ended, self._stop = members, engine, ended, stop
        self._blocks = [Blocks(member.training) for member in members]

    def train(self, going: list[int]) -> None:
        """Train these members, by their numbers, until they have ended."""
        block = 1
        while going := self._left(going):
            if self._stop():
                return
            started = time.perf_counter()
            trainings = [self._members[m].training for m in going]
            try:
                values = self._train_block(going, self._length(going, block))
            except (PluginError, OutOfMemoryError) as error:
                if len(going) == 1:
                    self._ended(going[0], error)
                    return
                self.train(going[: len(going) // 2])
                self.train(going[len(going) // 2 :])
                return
            going = [m for m, of_net in zip(going, values, strict=True) if self._goes_on(m, of_net)]
            longest = min(longest_block(training, len(trainings)) for training in trainings)
            block = next_block(block, (time.perf_counter() - started) / _LONGER, longest)

    def _left(self, going: Sequence[int]) -> list[int]:
        """Those that are not done, at the start of a block; `ended` is told of the others."""
        left = []
        for m in going:
            try:
                self._blocks[m].begin()
            except PluginError as error:
                self._ended(m, error)
                continue
            if self._members[m].done:
                self._ended(m, None)
            else:
                left.append(m)
        return left

    def _length(self, going: Sequence[int], block: int) -> int:
        """How many steps the next block has: none of the members may go beyond what is due for it."""
        members = [self._members[m] for m in going]
        left = [count for one in members for count in steps_left(one.training, one.steps, one.saver)]
        return min([block, *left])

    def _train_block(self, going: Sequence[int], count: int) -> list[list[float]]:
        """At most `count` steps of each; the losses of each.

        Raises:
            PluginError: a plugin's code failed. All are as they were.
            OutOfMemoryError: memory ran out, likewise.
        """
        trainings = [self._members[m].training for m in going]
        with undone([self._blocks[m] for m in going]):
            steps = [NextSteps(training, count) for training in trainings]
            x, y = _gathered(trainings, steps)
            one = trainings[0]
            with (
                step_errors(self._engine, one.optimizer, one.model),
                torchs_dropout(one.model, one.examples.device),
            ):
                lrs = [of_net.lrs for of_net in steps]
                values: list[list[float]] = self._engine.run(going, x, y, lrs, self._stop).tolist()
            for of_net, losses in zip(steps, values, strict=True):
                of_net.done(len(losses))
        return values

    def _goes_on(self, m: int, values: list[float]) -> bool:
        """Take the losses of a member's block; whether nothing has ended it."""
        member = self._members[m]
        try:
            with undone([self._blocks[m]]):
                self._blocks[m].end(values)
        except (DivergedError, PluginError, OutOfMemoryError) as error:
            self._ended(m, error)
            return False
        with others_turn():
            if member.report is not None and values:
                member.report(member.training.step, values[-1])
        if member.saver is not None:
            member.saver.save_if_due()
        return True


def _gathered(trainings: Sequence[Training], steps: Sequence[NextSteps]) -> tuple[Tensor, Tensor]:
    """The batches of all, shapes (M, K, B, ...)."""
    examples = trainings[0].examples
    if all(training.examples is examples for training in trainings):
        x, y = examples.gather(torch.stack([of_net.indices for of_net in steps]))
        if all(training.augment is None for training in trainings):
            return x, y
        batches = list(zip(x, y, strict=True))
    else:
        batches = [training.examples.gather(of_net.indices) for training, of_net in zip(trainings, steps, strict=True)]
    changed = [of_net.augmented(*batch) for of_net, batch in zip(steps, batches, strict=True)]
    return torch.stack([x for x, _ in changed]), torch.stack([y for _, y in changed])
