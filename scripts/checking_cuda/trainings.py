"""Trainings on two devices, side by side, and how they are compared.

Run freely, two correct implementations drift apart by rounding. So steps are compared one by one, each from the weights
and the optimizer state that the reference has come to: `in_step`.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Iterator, Mapping
from typing import Any

import torch
from results import Setting
from torch import Tensor

from zoo import cuda
from zoo.engines import Engine, Stop
from zoo.options.run import RunOptions
from zoo.plugin.manager import load_plugins
from zoo.runs.clock import Clock
from zoo.runs.observer import Observer
from zoo.runs.plan import make_plan
from zoo.runs.prepare import prepare
from zoo.training.building import seeded
from zoo.training.device import choose_device
from zoo.training.loop import Training, train

OF_LOSS, OF_UPDATE = 1e-4, 1e-3  # how far a step may be off, as a share of the loss, and of the update's norm
OF_FLOAT32 = 1e-4  # of an update by torch's own float32; weights rounded to TF32 are off by 2e-4 to 3e-3
_ROUNDING = 1e-6  # of a weight; in an update that is small beside the weight it shows
_NOISE = 1e-5  # of the largest update: what rounding makes of a gradient that is 0 on paper
Numbers = dict[str, Tensor]


def new_training(setting: Setting, model: str, device: str | None = None, **options: Any) -> Training:
    """A training at its first step, as `zoo run` prepares it; `options` are those of `zoo.run`.

    Raises:
        UsageError: it cannot be had, an engine for instance.
    """
    registry, _ = load_plugins()
    asked = RunOptions(model, dataset=setting.dataset, device=device or setting.device, plots=False, **options)
    chosen = choose_device(asked.device)
    with cuda.current(chosen):  # as a run has it
        return prepare(make_plan(registry, asked), chosen, Observer(), Clock()).new_training()


def train_to(training: Training, step: int, seed: int = 0) -> None:
    """Train, with dropout from a seed."""
    device = training.examples.device
    with cuda.current(device), seeded(seed, device):
        train(training, step)


def numbers(training: Training) -> Numbers:
    """Copies of the weights and of the optimizer's state, on the CPU, in their own types."""
    trees = {"model": training.model.state_dict(), "optimizer": training.optimizer.state_dict()}
    return dict(_flat(trees, ""))


def in_step(
    reference: Training, other: Training, steps: int, *, of_loss: float = OF_LOSS, of_update: float | None = OF_UPDATE
) -> tuple[float, str | None]:
    """Train both, `other` from the reference's state in each step.

    Args:
        reference, other, steps: the trainings, and how many steps.
        of_loss: how far a loss may be off, as a share of it.
        of_update: how far an update may be off, as a share of its norm; None for any.

    Returns:
        The largest difference of a loss, as a share of it; and what is too far off, None for nothing.
    """
    most = 0.0
    for step in range(reference.step, reference.step + steps):
        take(other, reference)
        before = numbers(reference)
        train_to(reference, step + 1, step)
        train_to(other, step + 1, step)
        wanted, loss = reference.losses[step], other.losses[step]
        most = max(most, abs(loss - wanted) / max(abs(wanted), 1e-12)) if math.isfinite(loss) else math.inf
        why = loss_off(wanted, loss, of_loss)
        if why is None and of_update is not None:
            why = update_off(before, numbers(reference), numbers(other), of_update)
        if why:
            return most, f"step {step}: {why}"
    return most, None


def take(to: Training, origin: Training) -> None:
    """Take over weights and optimizer state."""
    to.model.load_state_dict(origin.model.state_dict())
    to.optimizer.load_state_dict(copy.deepcopy(origin.optimizer.state_dict()))


def loss_off(wanted: float, loss: float, share: float = OF_LOSS) -> str | None:
    if abs(loss - wanted) <= share * abs(wanted) + 10 * _ROUNDING:  # which is false of NaN
        return None
    return f"the loss is {loss:.7g}, and the reference's is {wanted:.7g}"


def update_off(before: Numbers, after: Numbers, other: Numbers, share: float = OF_UPDATE) -> str | None:
    """The first tensor that `other` updates otherwise than the reference does, from `before` to `after`."""
    moved = {name: _norm(tensor, before.get(name)) for name, tensor in after.items()}
    most = max(moved.values(), default=0.0)
    for name, tensor in after.items():
        if name not in other:
            return f"{name} is missing"
        off = _norm(other[name], tensor)
        if not off <= share * moved[name] + _NOISE * most + _ROUNDING * _norm(tensor, None):
            return f"{name} is updated by a vector of length {moved[name]:.3g}, off by {off:.3g}"
    return None


def difference(first: Numbers, second: Numbers) -> str | None:
    """The first tensor by name whose bits differ, and by how much."""
    for name in sorted(first.keys() ^ second.keys()):
        return f"{name} is in one of them only"
    for name in sorted(first):
        if not same_bits(first[name], second[name]):
            return f"{name} differs, by {_distance(first[name], second[name])}"
    return None


def same_bits(first: Tensor, second: Tensor) -> bool:
    """Equal bit for bit: -0.0 is not 0.0, and a NaN equals itself."""
    if first.shape != second.shape or first.dtype != second.dtype:
        return False
    return torch.equal(*(tensor.contiguous().reshape(-1).view(torch.uint8) for tensor in (first, second)))


class Recorder:
    """An engine that keeps the batches it is given, shapes (K, B, ...) and (K, B) or (K, B, T)."""

    worth_from = 0

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self.batches: list[tuple[Tensor, Tensor]] = []

    def run(self, x: Tensor, y: Tensor, lrs: Any, stop: Stop) -> Tensor:
        """As `Engine.run`."""
        self.batches.append((x.cpu(), y.cpu()))
        return self._engine.run(x, y, lrs, stop)


def recorded(training: Training, steps: int) -> list[tuple[Tensor, Tensor]]:
    """Train, and tell on which batches."""
    recorder = Recorder(training.engine)
    training.engine = recorder
    train_to(training, steps)
    return recorder.batches


def _flat(tree: object, path: str) -> Iterator[tuple[str, Tensor]]:
    if isinstance(tree, Mapping):
        tree = dict(tree).items()
    elif isinstance(tree, list | tuple):
        tree = enumerate(tree)
    elif isinstance(tree, Tensor):
        yield path, tree.detach().to("cpu", copy=True)
        return
    else:
        return
    for key, part in tree:
        if key != "lr":  # an engine need not set it
            yield from _flat(part, f"{path}.{key}" if path else str(key))


def _norm(tensor: Tensor, other: Tensor | None) -> float:
    """Of the difference; infinities, of a mask for instance, count for nothing."""
    known = tensor.double().nan_to_num(math.nan, 0.0, 0.0)
    return float((known if other is None else known - other.double().nan_to_num(math.nan, 0.0, 0.0)).norm())


def _distance(first: Tensor, second: Tensor) -> str:
    if first.shape != second.shape or first.dtype != second.dtype:
        return f"shape or type: {tuple(first.shape)} {first.dtype}, {tuple(second.shape)} {second.dtype}"
    count = int((first != second).sum())
    return f"{float((first.double() - second.double()).abs().max()):.3g} at most, in {count:,} of {first.numel():,}"
