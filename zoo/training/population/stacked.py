"""The engine `stacked`: autograd for many nets at once, by `torch.func`, on parameters with one more axis.

The forward and the backward pass of all nets are one call, `vmap(grad_and_value(...))`, and so is the update by each
optimizer that treats every number alike. What one net computes is what autograd computes, but for the order of sums,
which larger operations may choose otherwise: in each step a net is the same to a small tolerance, and not to the bit.

Axes: M nets, K steps of a block, B examples of a batch, then the axes of one example.
"""

from __future__ import annotations

import contextlib
import itertools
import warnings
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.func import functional_call, grad_and_value, vmap

from zoo.engines import Stop
from zoo.errors import EngineUnavailableError, out_of_memory
from zoo.plugin.calling import is_of_plugin
from zoo.text import first_line
from zoo.training.autograd import PLAIN, StepOptions
from zoo.training.building import evaluating, seeded
from zoo.training.objective.loss import CROSS_ENTROPY, Loss
from zoo.training.population.nets import Net, Stack, StackedOptimizer, kind_of, out_of_rows
from zoo.training.population.trial import Step, difference

_VALUES = "its forward pass depends on the values of a tensor, as '.item()' and an 'if' do"
_REASONS = {  # what torch says, in fewer words
    "vmap over calling .item()": _VALUES,
    "data-dependent control flow": _VALUES,
    "dynamic shape": "the shape of a tensor in its forward pass depends on values, as with 'nonzero' or a mask",
    "randomness": "it draws random numbers in training, as dropout does",
    "setup_context": "it has a torch.autograd.Function that torch.func cannot use",
    "generate_vmap_rule": "it has a torch.autograd.Function that torch.func cannot use",
}


class Stacked:
    """The engine. Gradients are clipped for each net by its own norm."""

    def __init__(self, nets: Sequence[Net], loss: Loss = CROSS_ENTROPY, options: StepOptions = PLAIN) -> None:
        """Take the nets.

        Raises:
            zoo.EngineUnavailableError: they are not of the same sizes, or the loss or an option asks for more.
        """
        beyond = StepOptions(None, options.precision, options.compiled)
        if beyond != PLAIN:
            raise EngineUnavailableError(f"it does not {beyond}")
        if "model" in getattr(loss, "asked", ()):
            raise EngineUnavailableError(f"the loss {loss.name} asks for the model, and all nets share one module here")
        if len({_sizes(net.model) for net in nets}) > 1:
            raise EngineUnavailableError("the nets are not of the same class and sizes")
        self._nets, self._loss, self._clip_norm = nets, loss, options.clip_norm
        self._base = nets[0].model  # its code is called with the numbers of all
        self._places = _places(self._base)
        self._vectorized = vmap(grad_and_value(self._forward, has_aux=True), randomness="error")
        self._unused: frozenset[str] | None = None  # parameters without a gradient; the trial finds them

    def check(self, x: Tensor, y: Tensor) -> None:
        """Try a step of two nets against autograd, without a trace in them.

        Args:
            x, y: a batch, shapes (B, ...).

        Raises:
            zoo.EngineUnavailableError: torch cannot do this, or computes something else.
        """
        model = self._base
        batches = torch.stack([x, x.roll(1, 0)]), torch.stack([y, y.roll(-1, 0)])  # two that differ
        try:
            with _quiet(), seeded(0, x.device), evaluating(model):
                model.train()  # what evaluation leaves out may be what fails
                alone = [self._alone(*batch) for batch in zip(*batches, strict=True)]
                unused = frozenset(name for name, gradient in alone[0].gradients.items() if gradient is None)
                stack = Stack([model, model], unused)
                gradients, (losses, buffers) = self._step(stack, *batches)
            for m, own in enumerate(alone):
                of_net = Step(losses[m], _of_net(gradients, m), _of_net(buffers, m))
                if wrong := difference(own, of_net):
                    raise EngineUnavailableError(f"torch.func computes something else than autograd here: {wrong}")
        except Exception as error:
            if not (is_of_plugin(error) or out_of_memory(error)):
                raise
            kind = type(model).__name__
            raise EngineUnavailableError(f"torch.func cannot vectorize {kind}: {_reason(error)}") from error
        self._unused = unused

    def run(self, members: Sequence[int], x: Tensor, y: Tensor, lrs: Sequence[Sequence[float]], stop: Stop) -> Tensor:
        """As `PopulationEngine.run`; `stop` is asked before every step."""
        if self._unused is None:
            self.check(x[0, 0], y[0, 0])
        order, parts = _by_kind([self._nets[m] for m in members], lrs)
        nets = [self._nets[members[i]] for i in order]
        stack = Stack([net.model for net in nets], self._unused or frozenset())
        optimizers = [(StackedOptimizer(nets[part], stack, part), lrs[order[part.start]]) for part in parts]
        gradients = {name: torch.zeros_like(rows) for name, rows in stack.rows.items()}
        batches = [part[order].transpose(0, 1).contiguous() for part in (x, y)]  # (K, M, B, ...) each
        losses: list[Tensor] = []
        with _quiet():
            for k, (x_step, y_step) in enumerate(zip(*batches, strict=True)):
                if stop():
                    break
                # forward pass, backward pass
                found, (loss, stack.buffers) = self._step(stack, x_step, y_step)
                for name, rows in gradients.items():
                    out_of_rows(rows, found[name].shape).copy_(found[name])

                # update
                if self._clip_norm is not None:
                    clip(list(gradients.values()), self._clip_norm)
                for optimizer, of_steps in optimizers:
                    optimizer.step(gradients, of_steps[k])
                losses.append(loss)
        if not losses:
            return torch.empty(len(members), 0)
        stack.write()
        for optimizer, _ in optimizers:
            optimizer.write()
        back = torch.tensor([order.index(i) for i in range(len(order))], device=x.device)
        return torch.stack(losses, 1)[back]

    def _step(self, stack: Stack, x: Tensor, y: Tensor) -> tuple[dict[str, Tensor], tuple[Tensor, dict[str, Tensor]]]:
        """Gradients, losses (M,) and buffers of all nets on a batch of each, x and y (M, B, ...)."""
        found, (losses, buffers) = self._vectorized(stack.trained, stack.fixed, stack.buffers, x, y)
        gradients = {name: gradient.detach() for name, gradient in found.items()}
        return gradients, (losses.detach(), {name: buffer.detach() for name, buffer in buffers.items()})

    def _forward(
        self,
        trained: Mapping[str, Tensor],
        fixed: Mapping[str, Tensor],
        buffers: dict[str, Tensor],
        x: Tensor,
        y: Tensor,
    ) -> tuple[Tensor, dict[str, Tensor]]:
        """The loss of one net on a batch, and its buffers after that."""
        numbers = {**trained, **fixed, **buffers}
        placed = {place: numbers[name] for place, name in self._places.items()}
        output = functional_call(self._base, placed, (x,), tie_weights=False)
        return self._loss.mean(output, y, x), {name: placed[name] for name in buffers}  # the module may replace one

    def _alone(self, x: Tensor, y: Tensor) -> Step:
        """A step of the first net on a batch, by autograd, without a trace in it."""
        model = self._base
        parameters = {name: p for name, p in model.named_parameters() if p.requires_grad}
        with evaluating(model):
            model.train()
            loss = self._loss.mean(model(x), y, x)
            buffers = {name: buffer.clone() for name, buffer in model.named_buffers()}
            found = torch.autograd.grad(loss, [*parameters.values()], allow_unused=True) if loss.requires_grad else ()
        return Step(loss.detach(), dict(itertools.zip_longest(parameters, found)), buffers)


def clip(gradients: Sequence[Tensor], most: float) -> None:
    """Clip the global norm of each net's gradients in place, as torch's `clip_grad_norm_` does for one.

    Args:
        gradients: in M rows each.
        most: what the norm of a net is clipped to.
    """
    if not gradients:
        return
    norms = torch.stack([rows.norm(dim=1) for rows in gradients]).norm(dim=0)  # (M,)
    factors = (most / (norms + 1e-6)).clamp(max=1.0)
    for rows in gradients:
        rows.mul_(factors[:, None])


def _by_kind(nets: Sequence[Net], lrs: Sequence[Sequence[float]]) -> tuple[list[int], list[slice]]:
    """An order of nets in which those that one optimizer can update follow each other, and the parts of it."""
    kinds: dict[tuple[Any, ...], list[int]] = {}
    for number, (net, of_steps) in enumerate(zip(nets, lrs, strict=True)):
        kinds.setdefault(kind_of(net, of_steps), []).append(number)
    ends = list(itertools.accumulate(map(len, kinds.values()), initial=0))
    return [number for part in kinds.values() for number in part], list(map(slice, ends, ends[1:]))


def _sizes(model: nn.Module) -> tuple[Any, ...]:
    named = [*model.named_parameters(), *model.named_buffers()]
    return (type(model), *((name, t.shape, t.dtype, t.device, t.requires_grad) for name, t in named))


def _places(model: nn.Module) -> dict[str, str]:
    """Every place of a parameter or a buffer in the modules, each module once, with the name that it goes by.

    torch's own search for what has two names puts back a wrong tensor where a whole module has two.
    """
    names = {id(tensor): name for name, tensor in (*model.named_parameters(), *model.named_buffers())}
    return {
        f"{prefix}.{own}" if prefix else own: names[id(tensor)]
        for prefix, module in model.named_modules()
        for own, tensor in (*module._parameters.items(), *module._buffers.items())
        if tensor is not None
    }


def _of_net(tensors: Mapping[str, Tensor], m: int) -> dict[str, Tensor]:
    return {name: tensor[m] for name, tensor in tensors.items()}


def _reason(error: BaseException) -> str:
    text = str(error)
    return next((reason for found, reason in _REASONS.items() if found in text), first_line(error))


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Without torch's warnings of operations that `vmap` does one net after another: they are right, and slow."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "There is a performance drop")
        yield
