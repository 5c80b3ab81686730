"""The numbers of many nets, and of their optimizers, as stacked tensors with one more axis.

Axes: M nets, then the axes of a parameter or a buffer.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from zoo.engines import Optimizer, PopulationEngine, Stop
from zoo.plugin.calling import maker, plugin_errors
from zoo.plugin.optimizer_state import load_exactly

_CACHE_LINE = 16  # float32 numbers
COUNTERS = ("step", "mu_product")  # the scalars in which torch's optimizers count steps

States = Mapping[int, Mapping[str, Any]]  # what an optimizer keeps of each parameter, by its number


@dataclass(frozen=True)
class Net:
    """One net of a population.

    Attributes:
        model: what is trained.
        optimizer: of its parameters.
        new_optimizer: makes such an optimizer for the parameters of another module.
    """

    model: nn.Module
    optimizer: Optimizer
    new_optimizer: Callable[[nn.Module], Optimizer]


class OfOne:
    """A population of one net, as an engine of a run."""

    worth_from = 0

    def __init__(self, population: PopulationEngine) -> None:
        self._population = population

    def run(self, x: Tensor, y: Tensor, lrs: Sequence[float], stop: Stop) -> Tensor:
        """As `Engine.run`."""
        return self._population.run([0], x[None], y[None], [lrs], stop)[0]


class Stack:
    """The parameters and buffers of M nets, copied into tensors of shape (M, ...).

    What is trained lies in rows, one a net, of a whole number of cache lines, whose last numbers are 0: an optimizer's
    kernel that treats the end of a tensor otherwise, as torch's fused ones do, then does the same for every net.

    Attributes:
        rows: the parameters that are trained, shape (M, length of a row), by name.
        trained: the same, as the models have them: views of shape (M, ...).
        fixed: the other parameters.
        buffers: may be replaced by others of the same shapes.
    """

    def __init__(self, models: Sequence[nn.Module], unused: frozenset[str] = frozenset()) -> None:
        """Copy them.

        Args:
            models: of the same sizes.
            unused: the names of parameters that get no gradient, whose optimizer leaves them as they are.
        """
        self._models = models
        parameters = dict(_stacked([model.named_parameters() for model in models]))
        is_trained = [name for name, p in models[0].named_parameters() if p.requires_grad and name not in unused]
        self.rows = {name: in_rows(parameters[name]) for name in is_trained}
        self.trained = {name: out_of_rows(rows, parameters[name].shape) for name, rows in self.rows.items()}
        self.fixed = {name: p for name, p in parameters.items() if name not in self.rows}
        self.buffers = dict(_stacked([model.named_buffers() for model in models]))

    @torch.no_grad()
    def write(self) -> None:
        """Copy the trained parameters and the buffers to the models."""
        for number, model in enumerate(self._models):
            parameters, buffers = dict(model.named_parameters()), dict(model.named_buffers())
            for name, tensor in self.trained.items():
                parameters[name].copy_(tensor[number])
            for name, tensor in self.buffers.items():
                buffers[name].copy_(tensor[number])


def _stacked(named: Sequence[Iterator[tuple[str, Tensor]]]) -> Iterator[tuple[str, Tensor]]:
    for of_nets in zip(*named, strict=True):
        yield of_nets[0][0], torch.stack([tensor.detach() for _, tensor in of_nets])


def in_rows(tensor: Tensor) -> Tensor:
    """A copy of numbers (M, ...) in M rows of a whole number of cache lines, with zeros behind them."""
    flat = tensor.reshape(len(tensor), -1)
    rows = flat.new_zeros(len(flat), -(-flat.shape[1] // _CACHE_LINE) * _CACHE_LINE)
    rows[:, : flat.shape[1]] = flat
    return rows


def out_of_rows(rows: Tensor, shape: Sequence[int]) -> Tensor:
    """The numbers of such rows as a view of shape (M, ...)."""
    return rows[:, : math.prod(shape[1:])].view(len(rows), *shape[1:])


class StackedOptimizer:
    """One optimizer for some nets of a stack that follow each other, with what their own have come to."""

    def __init__(self, nets: Sequence[Net], stack: Stack, part: slice) -> None:
        """Make it.

        Args:
            nets: those of the part, whose optimizers have the same options and counters.
            stack: of all nets, whose trained parameters it updates in place.
            part: which of them it updates.
        """
        self._nets, self._part = nets, part
        named = {name: p for name, p in nets[0].model.named_parameters() if p.requires_grad}
        self._shapes = [p.shape for p in named.values()]
        unused = {name: in_rows(stack.fixed[name][part]) for name in named if name not in stack.rows}
        self._parameters = {name: nn.Parameter(rows[part]) for name, rows in stack.rows.items()}
        rest = {name: nn.Parameter(rows) for name, rows in unused.items()}
        module = nn.ParameterList([self._parameters.get(name, rest.get(name)) for name in named])
        self._optimizer = nets[0].new_optimizer(module)
        state = self._optimizer.state_dict()
        of_net = nets[0].optimizer.state_dict()["param_groups"]
        groups = [{**own, **options_of(group)} for own, group in zip(state["param_groups"], of_net, strict=True)]
        states = self._stacked([states_of(net.optimizer) for net in nets])
        load_exactly(self._optimizer, {**state, "state": states, "param_groups": groups})

    def step(self, gradients: Mapping[str, Tensor], lr: float) -> None:
        """Update the part.

        Args:
            gradients: of all nets of the stack, in rows, by the names of the trained parameters.
            lr: the learning rate of this step.
        """
        for name, p in self._parameters.items():
            p.grad = gradients[name][self._part]
        for group in self._optimizer.param_groups:
            group["lr"] = lr
        self._optimizer.step()

    def write(self) -> None:
        """Copy its state to the optimizers of the nets."""
        states = states_of(self._optimizer)
        for number, net in enumerate(self._nets):
            state = {
                index: {key: self._of_net(value, self._shapes[index], number) for key, value in of_one.items()}
                for index, of_one in states.items()
            }
            load_exactly(net.optimizer, {**net.optimizer.state_dict(), "state": state})

    def _stacked(self, states: Sequence[States]) -> dict[int, dict[str, Any]]:
        return {
            index: {key: _joined([state[index][key] for state in states], key, self._shapes[index]) for key in of_one}
            for index, of_one in states[0].items()
        }

    def _of_net(self, value: Any, shape: torch.Size, number: int) -> Any:
        if not isinstance(value, Tensor):
            return value
        if value.ndim == 2 and len(value) == len(self._nets):
            value = out_of_rows(value, (len(value), *shape))[number]
        return value.clone()


def _joined(values: Sequence[Any], key: str, shape: torch.Size) -> Any:
    if is_stacked(values[0], key, shape):
        return in_rows(torch.stack(list(values)))
    return values[0].clone() if isinstance(values[0], Tensor) else values[0]


def is_stacked(value: Any, key: str, shape: torch.Size) -> bool:
    """Whether what an optimizer keeps under a key, of a parameter of that shape, has a number for each of its own."""
    return isinstance(value, Tensor) and value.shape == shape and (value.ndim > 0 or key not in COUNTERS)


def states_of(optimizer: Optimizer) -> States:
    """What it keeps of each parameter."""
    with plugin_errors(maker(optimizer), "cannot give its state"):
        states: States = optimizer.state_dict()["state"]
    return states


def options_of(group: Mapping[str, Any]) -> dict[str, Any]:
    """Those of a group of parameters that a person may have set."""
    return {name: value for name, value in group.items() if name not in ("params", "param_names")}


def kind_of(net: Net, lrs: Sequence[float]) -> tuple[Any, ...]:
    """What nets must have in common for one optimizer to update all of them: equal tuples."""
    state = net.optimizer.state_dict()
    groups = [{**options_of(group), "lr": None} for group in state["param_groups"]]
    shapes = [p.shape for p in net.model.parameters() if p.requires_grad]
    counted = {
        (index, key): None if is_stacked(value, key, shapes[index]) else _plain(value)
        for index, of_one in state["state"].items()
        for key, value in of_one.items()
    }
    return (repr(groups), repr(counted), tuple(lrs))


def _plain(value: Any) -> Any:
    return value.tolist() if isinstance(value, Tensor) else value
