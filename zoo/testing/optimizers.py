"""The check of an optimizer: it lowers a loss, goes by the learning rate, and resumes to the same bits."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from zoo.ambient import in_neutral_state
from zoo.data.examples import TensorExamples
from zoo.errors import PluginError, UsageError
from zoo.options.schedule import Schedule
from zoo.plugin.optimizer_state import flattened
from zoo.plugin.registry import Entry
from zoo.plugin.settings import resolve_settings
from zoo.plugin.specs import OptimizerSpec
from zoo.storage import state as states
from zoo.testing.bench import load_registry
from zoo.testing.comparing import different, same
from zoo.testing.draws import drawn
from zoo.testing.report import Report, Rule, total, try_rules
from zoo.training.building import build_optimizer, seeded
from zoo.training.loop import Training, train
from zoo.training.objective.loss import MEAN_SQUARED
from zoo.training.population.nets import Net, Stack, StackedOptimizer

_STEPS = 8  # a stop comes after half of them
_LR = 1e-3  # of an optimizer whose spec has none
_LOWER = 1e-5  # by which share the loss must fall: rounding is a hundredth of that
_NETS = 3  # whose weights are stacked
_ROUNDING = 1e-5  # of what is computed in float32
_SLOWER = 1000  # how much smaller a learning rate is that must move less


@in_neutral_state
def check_optimizer(name: str, *, settings: Mapping[str, object] | None = None) -> Report:
    """An optimizer trains, goes by the learning rate of each step, and is stopped and resumed to the same bits.

    It is tried as a run would use it, with a closure where it asks for one, on a matrix, a bias and a parameter without
    a gradient; with sparse gradients, too, where it takes them; on a matrix alone, where it takes no other.

    Args:
        name: the optimizer's name.
        settings: its own, as `zoo.run` takes them: `{"optimizer.momentum": 0.9}`.

    Returns:
        What was tried.

    Raises:
        AssertionError: what is wrong.
        PluginError: it fails, whatever the parameters.
    """
    entry = load_registry().optimizers.get(name)
    given = {key.removeprefix("optimizer."): value for key, value in (settings or {}).items()}
    own = resolve_settings(entry, given)
    reports: list[Report] = []
    refused: list[PluginError | UsageError] = []
    for kind, problem in _PROBLEMS.items():
        if kind == _MATRICES and reports:
            continue  # it takes biases, too
        try:
            problem(entry, own).trial.check(entry.who)
        except (PluginError, UsageError) as error:
            refused.append(error)
            continue
        with tempfile.TemporaryDirectory() as folder:
            tried = _Tried(f"optimizer {name!r} with {kind}", entry, own, problem, Path(folder))
            reports.append(try_rules(tried.who, RULES, tried))
    if not reports:
        raise refused[0]
    return total(reports)


Problem = Callable[[Entry[OptimizerSpec], Mapping[str, Any]], Training]


class _Affine(nn.Module):
    """A matrix, and perhaps a bias and a parameter that is not used."""

    def __init__(self, *, bias: bool) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.linspace(-1, 1, 12).view(4, 3))
        if bias:
            self.bias, self.unused = nn.Parameter(torch.ones(3)), nn.Parameter(torch.ones(2))
        self.has_bias = bias

    def forward(self, x: Tensor) -> Tensor:
        product = x @ self.weight
        return product + self.bias if self.has_bias else product


class _Table(nn.Module):
    """A table whose gradients are sparse."""

    def __init__(self) -> None:
        super().__init__()
        self.table = nn.Embedding(6, 3, sparse=True)
        with torch.no_grad():
            self.table.weight.copy_(torch.linspace(-1, 1, 18).view(6, 3))

    def forward(self, x: Tensor) -> Tensor:
        rows: Tensor = self.table(x)
        return rows.sum(1)


def _affine(entry: Entry[OptimizerSpec], settings: Mapping[str, Any]) -> Training:
    return _training(entry, settings, _Affine(bias=True), torch.linspace(0, 1, 8).view(2, 4))


def _matrix(entry: Entry[OptimizerSpec], settings: Mapping[str, Any]) -> Training:
    return _training(entry, settings, _Affine(bias=False), torch.linspace(0, 1, 8).view(2, 4))


def _table(entry: Entry[OptimizerSpec], settings: Mapping[str, Any]) -> Training:
    return _training(entry, settings, _Table(), torch.tensor([[0, 1], [1, 4]]))


_MATRICES = "a matrix alone"
_PROBLEMS: dict[str, Problem] = {"dense gradients": _affine, _MATRICES: _matrix, "sparse gradients": _table}


def _training(entry: Entry[OptimizerSpec], settings: Mapping[str, Any], model: nn.Module, x: Tensor) -> Training:
    """Training on two examples, all of them in most batches, whose targets are far from what the model returns."""
    lr = entry.spec.lr or _LR

    def make(module: nn.Module) -> Any:
        return build_optimizer(entry, module, lr, settings)

    return Training(
        model=model,
        optimizer=make(model),
        examples=TensorExamples(x, torch.full((2, 3), 5.0), x.dtype, torch.float32),
        batch_size=16,
        lr=lr,
        schedule=Schedule(milestones=(3, 6), gamma=0.5),
        generator=torch.Generator().manual_seed(1),
        new_optimizer=make,
        loss=MEAN_SQUARED,
    )


@dataclass(frozen=True)
class _Tried:
    who: str
    entry: Entry[OptimizerSpec]
    settings: Mapping[str, Any]
    problem: Problem
    folder: Path

    def new(self) -> Training:
        return self.problem(self.entry, self.settings)

    def trained(self, steps: int = _STEPS) -> Training:
        training = self.new()
        with seeded(0, torch.device("cpu")):
            train(training, steps)
        return training

    def hidden(self) -> str:
        """For a message: the optimizer's attributes that steps change."""
        fresh, used = self.new().optimizer, self.trained(2).optimizer
        own = {name: value for name, value in vars(used).items() if name not in ("state", "param_groups")}
        names = [repr(name) for name, value in own.items() if not same(getattr(fresh, name, None), value)]
        return f" (steps change its {', '.join(names)})" if names else ""


def _lowers(tried: _Tried) -> None:
    training = tried.trained()
    x, y = training.examples.gather(torch.arange(2))
    with torch.no_grad():
        before, after = (float(MEAN_SQUARED.mean(t.model(x), y, x)) for t in (tried.new(), training))
    assert after < before * (1 - _LOWER), (
        f"{tried.who} does not lower a quadratic in {_STEPS} steps at its own learning rate {training.lr:g}: from "
        f"{before:.6g} to {after:.6g}"
    )


def _goes_by_the_lr(tried: _Tried) -> None:
    moved = []
    for divisor in (1, _SLOWER):
        training = tried.new()
        training.lr /= divisor
        before = nn.utils.parameters_to_vector(training.model.parameters()).detach().clone()
        with seeded(0, torch.device("cpu")):
            train(training, 1)
        moved.append(float((nn.utils.parameters_to_vector(training.model.parameters()).detach() - before).norm()))
    assert moved[1] < moved[0] / 2, (
        f"{tried.who} moves the weights by {moved[0]:.3g} in its first step, and by {moved[1]:.3g} at a learning "
        f"rate {_SLOWER} times smaller: read it from param_groups in each step, where the schedule writes it"
    )


def _repeats(tried: _Tried) -> None:
    found = drawn(lambda: tried.trained(2))
    assert found is None, f"{tried.who} draws from {found}, which is not seeded in a step: draw from torch's generator"
    one, other = tried.trained(), tried.trained()
    key = _difference(one, other)
    assert key is None, f"{tried.who} trains otherwise each time: {key} differs; draw from torch's global generator"


def _resumes(tried: _Tried) -> None:
    whole, path = tried.trained(), tried.folder / "state.safetensors"
    training, resumed = tried.new(), tried.new()
    with seeded(0, torch.device("cpu")):
        train(training, _STEPS // 2)
        states.save(path, training, {})
    state = states.load(path)
    state.restore(resumed)
    with seeded(0, torch.device("cpu")):
        state.restore_global_generators(torch.device("cpu"))
        train(resumed, _STEPS)
    key = _difference(whole, resumed)
    assert key is None, (
        f"{tried.who} ends otherwise after a stop and a resumption: {key} differs{tried.hidden()}; whatever a step "
        "depends on must be in its state_dict"
    )


def _is_elementwise(tried: _Tried) -> None:
    """Where its spec says so: one for the stacked weights of several nets does what one for each does."""
    if not tried.entry.spec.elementwise:
        return
    alone, together = _nets(tried), _nets(tried)
    stack = Stack([net.model for net in together])
    stacked = StackedOptimizer(together, stack, slice(len(together)))
    for k in range(_STEPS // 2):
        lr = (tried.entry.spec.lr or _LR) / (k + 1)
        for net in alone:
            for group in net.optimizer.param_groups:
                group["lr"] = lr
            for p in net.model.parameters():
                p.grad = _some_gradient(p, k)
            net.optimizer.step()
        stacked.step({name: _some_gradient(rows, k) for name, rows in stack.rows.items()}, lr)
    stack.write()
    stacked.write()
    for own, other in zip(alone, together, strict=True):
        pairs = [(own.model.state_dict(), other.model.state_dict())]
        pairs += [(flattened(own.optimizer)[0], flattened(other.optimizer)[0])]
        for wanted, found in pairs:
            key = next((k for k, t in wanted.items() if k not in found or not _close(t, found[k])), None)
            assert key is None, (
                f"{tried.who} treats the numbers of several nets otherwise than those of one: {key!r} differs; its "
                "spec must not say elementwise=True"
            )


def _nets(tried: _Tried) -> list[Net]:
    """Nets of different weights."""
    nets = []
    for number in range(_NETS):
        training = tried.new()
        assert training.new_optimizer is not None
        with torch.no_grad():
            for p in training.model.parameters():
                p.mul_(1 + 0.2 * number)
        nets.append(Net(training.model, training.new_optimizer(training.model), training.new_optimizer))
    return nets


def _some_gradient(p: Tensor, k: int) -> Tensor:
    return torch.sin(3 * p.detach() + k)


def _close(one: Tensor, other: Tensor) -> bool:
    return one.shape == other.shape and torch.allclose(one, other, rtol=_ROUNDING, atol=_ROUNDING)


def _difference(one: Training, other: Training) -> str | None:
    """What differs between two trainings: losses, weights or state of the optimizer; None where nothing does."""
    if one.losses != other.losses:
        step = next(k for k, pair in enumerate(zip(one.losses, other.losses, strict=True)) if pair[0] != pair[1])
        return f"the loss of step {step}"
    (tensors, tree), (others, tree_of_other) = flattened(one.optimizer), flattened(other.optimizer)
    key = different(one.model.state_dict(), other.model.state_dict()) or different(tensors, others)
    return repr(key) if key else None if same(tree, tree_of_other) else "the optimizer's state"


RULES: dict[str, Rule[_Tried]] = {
    "it lowers a loss": _lowers,
    "it goes by the learning rate of each step": _goes_by_the_lr,
    "it does the same each time": _repeats,
    "stopped and resumed, it has the bits of an undisturbed training": _resumes,
    "it treats each number alike, if it says so": _is_elementwise,
}
