"""The training loop.

Axes: K steps of a block, B examples of a batch, then the axes of one example.
"""

from __future__ import annotations

import copy
import math
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Protocol

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from zoo.datasets import Examples
from zoo.errors import DivergedError
from zoo.schedule import Schedule

IGNORED = -1  # a target that does not count

_BLOCK_SECONDS = 0.1  # how long a block should take: losses are fetched, and progress reported, once a block
_MOST_STEPS = 1024
_MOST_NUMBERS = 1 << 22  # of the inputs of one block


class Optimizer(Protocol):
    """What the loop asks of an optimizer: the part of `torch.optim.Optimizer` that it uses."""

    param_groups: list[dict[str, Any]]

    def step(self) -> Any: ...
    def zero_grad(self) -> None: ...
    def state_dict(self) -> dict[str, Any]: ...
    def load_state_dict(self, state_dict: dict[str, Any]) -> None: ...


@dataclass
class Training:
    """Everything that training reads and changes.

    Attributes:
        model: on the device of `examples`.
        examples: the training split, on the device.
        generator: a CPU generator, so that one seed draws the same batches for every device.
        step: the next step; equal to the number of steps done.
        losses: the loss of every step done.
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


Report = Callable[[int, float], None]  # steps done, the last loss
Stop = Callable[[], bool]


class Saver(Protocol):
    """Writes checkpoints on the way."""

    def steps_left(self, step: int) -> int | None:
        """After how many steps a checkpoint must be possible; None for any."""

    def save_if_due(self) -> None:
        """Called between blocks, when `Training` is whole."""


def never() -> bool:
    return False


def train(
    training: Training, steps: int, *, report: Report | None = None, stop: Stop = never, saver: Saver | None = None
) -> None:
    """Train until `steps` are done in all, or until `stop()` is true, which is asked before every step.

    Nothing in a block waits for the device: batches are drawn and gathered for the whole block ahead, and the losses
    stay on the device until its end.

    Raises:
        DivergedError: a loss is not finite. `training` is then as it was at the start of that block, or of the one
            before if the block began with that loss: at weights whose loss is known to be finite.
    """
    training.model.train()
    block = 1
    good = _Snapshot(training)
    while training.step < steps and not stop():
        started = time.perf_counter()
        before = _Snapshot(training)
        left = saver.steps_left(training.step) if saver is not None else None
        losses = _train_block(training, min(block, steps - training.step, left or block), stop)
        values: list[float] = torch.stack(losses).tolist() if losses else []  # (K,)
        failed = next((i for i, value in enumerate(values) if not math.isfinite(value)), None)
        if failed is not None:
            step = len(training.losses) + failed
            (before if failed else good).restore()
            raise DivergedError(f"the loss became {values[failed]} at step {step}")
        good = before
        training.losses += values
        if report is not None and values:
            report(training.step, values[-1])
        if saver is not None:
            saver.save_if_due()
        if time.perf_counter() - started < _BLOCK_SECONDS / 2:
            block = min(2 * block, _longest_block(training))


def _train_block(training: Training, count: int, stop: Stop) -> list[Tensor]:
    """At most `count` steps: draw, forward, backward, update."""
    model, optimizer, generator = training.model, training.optimizer, training.generator
    drawn_before = generator.get_state()
    indices = _draw(training, count)
    xs, ys = training.examples.gather(indices)  # (K, B, ...), (K, B) or (K, B, T)
    losses: list[Tensor] = []
    for x, y in zip(xs.unbind(), ys.unbind(), strict=True):
        if stop():
            generator.set_state(drawn_before)  # as if the batches not trained on had not been drawn
            _draw(training, len(losses))
            break
        lr = training.schedule.lr(training.lr, training.step)
        for group in optimizer.param_groups:
            group["lr"] = lr

        # forward pass
        loss = cross_entropy(model(x), y)

        # backward pass
        optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]  # torch

        # update
        optimizer.step()

        losses.append(loss.detach())
        training.step += 1
    return losses


def cross_entropy(logits: Tensor, targets: Tensor, reduction: str = "mean") -> Tensor:
    """Cross-entropy in nats over all targets but the ignored ones.

    Args:
        logits: shape (B, classes), or (B, T, classes) for a target at each position.
        targets: shape (B,) or (B, T).
        reduction: `mean` or `sum`.
    """
    if logits.ndim == 3:
        logits, targets = logits.flatten(0, 1), targets.flatten()  # (B * T, classes), (B * T,)
    return F.cross_entropy(logits, targets, ignore_index=IGNORED, reduction=reduction)


def _draw(training: Training, count: int) -> Tensor:
    """Indices of the next `count` batches, shape (K, B): uniform, with replacement, drawn on the CPU."""
    shape = (count, training.batch_size)
    indices = torch.randint(0, len(training.examples), shape, generator=training.generator)
    device = training.examples.y.device
    return indices.pin_memory().to(device, non_blocking=True) if device.type == "cuda" else indices.to(device)


def _longest_block(training: Training) -> int:
    per_step = training.batch_size * max(1, training.examples.x[0].numel())
    return max(1, min(_MOST_STEPS, _MOST_NUMBERS // per_step))


class _Snapshot:
    """What `training` was at a moment, to go back to."""

    def __init__(self, training: Training) -> None:
        self._training = training
        self._step = training.step
        self._weights = {name: tensor.clone() for name, tensor in training.model.state_dict().items()}
        self._optimizer = copy.deepcopy(training.optimizer.state_dict())
        self._generator = training.generator.get_state()
        self._device = training.examples.y.device
        self._global_generator = torch.get_rng_state()  # dropout and the like draw from it
        self._cuda_generator = torch.cuda.get_rng_state(self._device) if self._device.type == "cuda" else None

    def restore(self) -> None:
        self._training.step = self._step
        del self._training.losses[self._step :]
        self._training.model.load_state_dict(self._weights)
        self._training.optimizer.load_state_dict(self._optimizer)
        self._training.generator.set_state(self._generator)
        torch.set_rng_state(self._global_generator)
        if self._cuda_generator is not None:
            torch.cuda.set_rng_state(self._cuda_generator, self._device)
