"""The reference implementation of the training step: forward, backward, update, by torch's autograd.

Axes: K steps of a block, B examples of a batch, then the axes of one example.
"""

from __future__ import annotations

import contextlib
import inspect
import warnings
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from zoo import stages
from zoo.engines import Optimizer, Stop
from zoo.errors import PluginError, ZooError
from zoo.options.training import BFLOAT16, FLOAT32, TrainingOptions
from zoo.phrasing import option
from zoo.plugin.calling import maker
from zoo.training.objective.loss import CROSS_ENTROPY, Loss
from zoo.training.objective.outputs import in_full_precision


@dataclass(frozen=True)
class StepOptions:
    """What each step does besides the model's own arithmetic; only autograd can do it.

    Attributes:
        clip_norm: gradient clipping: the global norm is clipped to this; None for no clipping.
        precision: compute precision of the forward pass and of gradients within it: one of
            `zoo.options.training.PRECISIONS`. The weights and their updates are float32 in any case: Micikevicius and
            others, "Mixed Precision Training" (2018), https://arxiv.org/abs/1710.03740
        compiled: compile the model with `torch.compile`; the first step takes a minute for it.
    """

    clip_norm: float | None = None
    precision: str = FLOAT32
    compiled: bool = False

    @classmethod
    def of(cls, options: TrainingOptions) -> StepOptions:
        """Those of a run."""
        return cls(options.clip_norm, options.precision or FLOAT32, bool(options.compile))

    def __str__(self) -> str:
        """What is asked of a step, for a message; empty if nothing is."""
        asked = ["clip gradients"] * (self.clip_norm is not None)
        asked += [f"compute in {self.precision}"] * (self.precision != FLOAT32)
        return " or ".join(asked + ["use torch.compile"] * self.compiled)


PLAIN = StepOptions()


class Autograd:
    """Forward, backward, update: the reference."""

    worth_from = 0

    def __init__(
        self, model: nn.Module, optimizer: Optimizer, options: StepOptions = PLAIN, loss: Loss = CROSS_ENTROPY
    ) -> None:
        """Take what to train, how, and on what loss."""
        self._loss = loss
        self._model, self._optimizer, self._clip_norm = model, optimizer, options.clip_norm
        self._compiled = _compiled(model) if options.compiled else None
        self._bfloat16 = options.precision == BFLOAT16
        self._needs_closure = needs_closure(optimizer)

    def run(self, x: Tensor, y: Tensor, lrs: Sequence[float], stop: Stop) -> Tensor:
        """As `Engine.run`; `stop` is asked before every step."""
        model, optimizer = self._model, self._optimizer
        forward, mean_loss = self._forward(), self._loss.mean
        losses: list[Tensor] = []
        one = None
        for x_step, y_step, lr in zip(x.unbind(), y.unbind(), lrs, strict=True):
            if stop():
                break
            for group in optimizer.param_groups:  # in every step: an optimizer with a scheduler inside may change it
                group["lr"] = lr
            if self._needs_closure:
                loss = self._step_with_closure(forward, x_step, y_step)
            else:
                # forward pass
                loss = mean_loss(forward(x_step), y_step, x_step)

                # backward pass
                optimizer.zero_grad()
                if one is None:
                    one = torch.ones_like(loss)  # the loss's own gradient; to make it takes longer than a small product
                if loss.requires_grad:  # else there is nothing to train, in a table of counts for instance
                    _backward(loss, one)

                # update
                if self._clip_norm is not None:
                    nn.utils.clip_grad_norm_(model.parameters(), self._clip_norm)
                optimizer.step()

            losses.append(loss.detach())
        return torch.stack(losses) if losses else torch.empty(0)

    def _step_with_closure(self, forward: Callable[[Tensor], Any], x: Tensor, y: Tensor) -> Tensor:
        """A step of an optimizer that asks for the loss itself, as often as it likes; the first loss that it got."""
        losses: list[Tensor] = []

        def closure() -> Tensor:
            with torch.enable_grad():  # an optimizer may call it where gradients are off
                loss = self._loss.mean(forward(x), y, x)
                self._optimizer.zero_grad()
                if loss.requires_grad:
                    _backward(loss, torch.ones_like(loss))
            if self._clip_norm is not None:
                nn.utils.clip_grad_norm_(self._model.parameters(), self._clip_norm)
            losses.append(loss.detach())
            return loss

        self._optimizer.step(closure)
        if not losses:
            raise PluginError(f"{maker(self._optimizer)} never calls the closure that its 'step' asks for")
        return losses[0]

    def _forward(self) -> Callable[[Tensor], Any]:
        """What makes outputs of inputs."""
        forward = self._compiled or _without_hooks(self._model)
        return partial(_in_bfloat16, forward) if self._bfloat16 else forward


def needs_closure(optimizer: Optimizer) -> bool:
    """Whether an optimizer's `step` has an argument `closure` without a default, as that of LBFGS.

    Asked for by its name: where a learning-rate scheduler has replaced `step`, the signature has `self` too.
    """
    try:
        closure = inspect.signature(optimizer.step).parameters.get("closure")
    except (TypeError, ValueError):  # it has no signature that Python can read
        return False
    return closure is not None and closure.default is closure.empty


def _without_hooks(model: nn.Module) -> Callable[[Tensor], Any]:
    """What a call of the model comes to: `model.forward`, unless it has hooks or the user has compiled it.

    torch looks for them in every call: 2.5 % of a small step.
    """
    places = ("_forward_pre_hooks", "_forward_hooks", "_backward_pre_hooks", "_backward_hooks", "_compiled_call_impl")
    here = any(getattr(model, place, True) for place in places)  # where torch has renamed one, the model is called
    everywhere = getattr(nn.modules.module, "_has_any_global_hook", lambda: True)()
    return model if here or everywhere else model.forward


def _in_bfloat16(forward: Callable[[Tensor], Any], x: Tensor) -> Any:
    with torch.autocast(x.device.type, torch.bfloat16):
        output = forward(x)
    return in_full_precision(output)


def _compiled(model: nn.Module) -> Callable[[Tensor], Any]:
    """The model through torch's compiler, which works when it is first called.

    On CUDA it then advises once to allow TF32: float32 is float32 here, so nobody can follow that.
    """
    compiled = torch.compile(model)
    first = True

    def forward(x: Tensor) -> Any:
        nonlocal first
        try:
            with _first_call() if first else contextlib.nullcontext():
                output = compiled(x)
            first = False
        except _compiler_error() as error:
            why = str(error).strip().partition("\n")[0] or type(error).__name__
            raise ZooError(
                f"torch cannot compile {type(model).__name__} here: {why}; leave out {option('compile')}"
            ) from error
        return output

    return forward


@contextlib.contextmanager
def _first_call() -> Iterator[None]:
    with stages.within("Compiling the model"), warnings.catch_warnings():
        warnings.filterwarnings("ignore", "TensorFloat32 tensor cores")
        yield


def _compiler_error() -> type[Exception]:
    """What torch's compiler raises; known once it was used."""
    return torch._dynamo.exc.TorchDynamoException


def _backward(loss: Tensor, gradient: Tensor) -> None:
    """`loss.backward(gradient)`, by torch's own engine without what is checked around it: a tenth of a small step."""
    if _engine is None:
        loss.backward(gradient)  # type: ignore[no-untyped-call]
    else:
        _engine.run_backward((loss,), (gradient,), False, False, (), allow_unreachable=True, accumulate_grad=True)


_engine = getattr(torch.autograd.Variable, "_execution_engine", None)  # not promised by torch, so it may be gone
