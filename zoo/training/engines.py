"""Engines: how the steps of a run are done. The loop around them, `zoo.training.loop`, is the same for all.

`autograd` works for every model and is the reference. A model's plugin may bring faster ones for its own net, made by
hand; they see the same batches, and are held to the reference by `zoo.testing.check_engines`.

Axes: K steps of a block, B examples of a batch, then the axes of one example.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, Protocol

import torch
from torch import Tensor, nn

from zoo.errors import EngineUnavailableError, PluginError, UsageError, ZooError
from zoo.plugin.registry import Entry
from zoo.plugin.specs import AUTO, AUTOGRAD, BFLOAT16, FLOAT32, ModelSpec
from zoo.runs.plan import check_engine
from zoo.training.loss import cross_entropy

Stop = Callable[[], bool]


class Optimizer(Protocol):
    """What is asked of an optimizer: the part of `torch.optim.Optimizer` that training uses."""

    param_groups: list[dict[str, Any]]

    def step(self) -> Any: ...
    def zero_grad(self) -> None: ...
    def state_dict(self) -> dict[str, Any]: ...
    def load_state_dict(self, state_dict: dict[str, Any]) -> None: ...


class Engine(Protocol):
    """Does the steps of a block. Between two calls the model and the optimizer hold everything there is to know.

    A method `start()`, where there is one, is called once when the engine has been chosen, and may still raise
    `EngineUnavailableError`: what takes time to import belongs there.
    """

    @property
    def worth_from(self) -> int:
        """How many steps a run must have for `auto` to choose this engine; a plain attribute will do.

        With fewer, starting it costs more time than it saves.
        """

    def run(self, x: Tensor, y: Tensor, lrs: Sequence[float], stop: Stop) -> Tensor:
        """Train on K batches, one after the other.

        Args:
            x: inputs, shape (K, B, ...), on the device.
            y: targets, shape (K, B) or (K, B, T), on the device.
            lrs: the learning rate of each step.
            stop: may be asked between steps; where it is true, the rest of the block is left out.

        Returns:
            The loss of each step done, shape (K,) or shorter, on the device. Nothing has to wait for the device.
        """


@dataclass(frozen=True)
class StepOptions:
    """What may be wanted of each step beside the model's own arithmetic; only autograd can do it.

    Attributes:
        clip_norm: what the norm of all gradients together is held to; None for as it comes.
        precision: of the forward pass and of gradients within it: one of `zoo.plugin.specs.PRECISIONS`. The weights and
            their updates are float32 in any case: Micikevicius and others, "Mixed Precision Training" (2018),
            https://arxiv.org/abs/1710.03740
        compiled: let torch's compiler make one kernel of many, the first step taking a minute for it.
    """

    clip_norm: float | None = None
    precision: str = FLOAT32
    compiled: bool = False

    def __str__(self) -> str:
        """What is wanted, for a sentence; empty if nothing is."""
        wanted = ["clip gradients"] * (self.clip_norm is not None)
        wanted += [f"compute in {self.precision}"] * (self.precision != FLOAT32)
        return " or ".join(wanted + ["go through torch's compiler"] * self.compiled)


PLAIN = StepOptions()


class Autograd:
    """Forward, backward, update: the reference."""

    worth_from = 0

    def __init__(self, model: nn.Module, optimizer: Optimizer, options: StepOptions = PLAIN) -> None:
        """Take what to train, and how."""
        self._model, self._optimizer, self._clip_norm = model, optimizer, options.clip_norm
        self._compiled = _compiled(model) if options.compiled else None
        self._bfloat16 = options.precision == BFLOAT16

    def run(self, x: Tensor, y: Tensor, lrs: Sequence[float], stop: Stop) -> Tensor:
        """As `Engine.run`; `stop` is asked before every step."""
        model, optimizer = self._model, self._optimizer
        forward = self._forward()
        losses: list[Tensor] = []
        lr_set = one = None
        for x_step, y_step, lr in zip(x.unbind(), y.unbind(), lrs, strict=True):
            if stop():
                break
            if lr != lr_set:
                lr_set = lr
                for group in optimizer.param_groups:
                    group["lr"] = lr

            # forward pass
            loss = cross_entropy(forward(x_step), y_step)

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

    def _forward(self) -> Callable[[Tensor], Tensor]:
        """What makes logits of inputs."""
        forward = self._compiled or _without_hooks(self._model)
        return partial(_in_bfloat16, forward) if self._bfloat16 else forward


def _without_hooks(model: nn.Module) -> Callable[[Tensor], Tensor]:
    """What a call of the model comes to: `model.forward`, unless hooks hang on it or the user has it compiled.

    torch looks for them in every call, a fortieth of a small step.
    """
    places = ("_forward_pre_hooks", "_forward_hooks", "_backward_pre_hooks", "_backward_hooks", "_compiled_call_impl")
    here = any(getattr(model, place, True) for place in places)  # where torch has renamed one, the model is called
    everywhere = getattr(nn.modules.module, "_has_any_global_hook", lambda: True)()
    return model if here or everywhere else model.forward


def _in_bfloat16(forward: Callable[[Tensor], Tensor], x: Tensor) -> Tensor:
    with torch.autocast(x.device.type, torch.bfloat16):
        logits = forward(x)
    return logits.float()


def _compiled(model: nn.Module) -> Callable[[Tensor], Tensor]:
    """The model through torch's compiler, which works when it is first called."""
    compiled = torch.compile(model)

    def forward(x: Tensor) -> Tensor:
        try:
            logits: Tensor = compiled(x)
        except _compiler_error() as error:
            why = str(error).strip().partition("\n")[0] or type(error).__name__
            raise ZooError(f"torch cannot compile {type(model).__name__} here: {why}; leave out --compile") from error
        return logits

    return forward


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


def choose_engine(
    name: str,
    entry: Entry[ModelSpec],
    model: nn.Module,
    optimizer: Optimizer,
    *,
    batch_size: int,
    steps: int,
    options: StepOptions = PLAIN,
) -> tuple[str, Engine]:
    """The engine of that name; for `auto` the fastest that can train this, and is worth starting for so many steps.

    Raises:
        UsageError: the model has no such engine, or it cannot train this; why is said.
        PluginError: the plugin's engine fails while it is made.
    """
    if name == AUTOGRAD or (name == AUTO and options != PLAIN):
        return AUTOGRAD, Autograd(model, optimizer, options)
    engines = entry.spec.engines
    if name == AUTO:
        for faster in engines:
            with contextlib.suppress(EngineUnavailableError):
                engine = _make(faster, entry, model, optimizer, batch_size)
                if steps >= engine.worth_from:
                    return faster, _start(faster, entry, engine)
        return AUTOGRAD, Autograd(model, optimizer)
    check_engine(entry, name)
    if options != PLAIN:
        raise UsageError(f"engine {name!r} does not {options}; --engine auto takes one that does")
    try:
        return name, _start(name, entry, _make(name, entry, model, optimizer, batch_size))
    except EngineUnavailableError as error:
        raise UsageError(f"engine {name!r} cannot train this: {error}; --engine auto takes one that can") from error


def _make(name: str, entry: Entry[ModelSpec], model: nn.Module, optimizer: Optimizer, batch_size: int) -> Engine:
    who = f"engine {name!r} of model {entry.spec.name!r} of plugin {entry.plugin}"
    with _sentences(who, "cannot be made"):
        engine: Engine = entry.load(entry.spec.engines[name])(model, optimizer, batch_size)
    if not (callable(getattr(engine, "run", None)) and isinstance(getattr(engine, "worth_from", None), int)):
        raise PluginError(f"{who} is no engine: it needs a method 'run' and a number 'worth_from'")
    return engine


def _start(name: str, entry: Entry[ModelSpec], engine: Engine) -> Engine:
    with _sentences(f"engine {name!r} of model {entry.spec.name!r} of plugin {entry.plugin}", "cannot be started"):
        getattr(engine, "start", lambda: None)()
    return engine


@contextlib.contextmanager
def _sentences(who: str, what: str) -> Iterator[None]:
    try:
        yield
    except (EngineUnavailableError, PluginError):
        raise
    except Exception as error:  # a plugin may raise anything
        raise PluginError(f"{who} {what}: {type(error).__name__}: {error}") from error
