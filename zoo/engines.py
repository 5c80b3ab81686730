"""Engines: how the steps of a run are done. The loop around them, `zoo.training`, is the same for all.

`autograd` works for every model and is the reference. A model's plugin may bring faster ones for its own net, made by
hand; they see the same batches, and are held to the reference by `zoo.testing.check_engines`.

Axes: K steps of a block, B examples of a batch, then the axes of one example.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Sequence
from typing import Any, Protocol

import torch
from torch import Tensor, nn

from zoo.errors import EngineUnavailableError, PluginError, UnknownNameError, UsageError
from zoo.loss import cross_entropy
from zoo.registry import Entry, suggest
from zoo.specs import AUTO, AUTOGRAD, ModelSpec

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


class Autograd:
    """Forward, backward, update: the reference."""

    worth_from = 0

    def __init__(self, model: nn.Module, optimizer: Optimizer, clip_norm: float | None = None) -> None:
        """Take what to train, and what the norm of all gradients together is to be held to; None for as it comes."""
        self._model, self._optimizer, self._clip_norm = model, optimizer, clip_norm
        self._one: Tensor | None = None

    def run(self, x: Tensor, y: Tensor, lrs: Sequence[float], stop: Stop) -> Tensor:
        """As `Engine.run`; `stop` is asked before every step."""
        model, optimizer = self._model, self._optimizer
        losses: list[Tensor] = []
        for x_step, y_step, lr in zip(x.unbind(), y.unbind(), lrs, strict=True):
            if stop():
                break
            for group in optimizer.param_groups:
                group["lr"] = lr

            # forward pass
            loss = cross_entropy(model(x_step), y_step)

            # backward pass
            optimizer.zero_grad()
            if loss.requires_grad:  # else there is nothing to train, in a table of counts for instance
                _backward(loss, self._gradient(loss))

            # update
            if self._clip_norm is not None:
                nn.utils.clip_grad_norm_(model.parameters(), self._clip_norm)
            optimizer.step()

            losses.append(loss.detach())
        return torch.stack(losses) if losses else torch.empty(0)

    def _gradient(self, loss: Tensor) -> Tensor:
        """Of the loss by itself, 1; made once, since making it for every step takes longer than a small product."""
        if self._one is None or self._one.dtype != loss.dtype or self._one.device != loss.device:
            self._one = torch.ones_like(loss)
        return self._one


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
    clip_norm: float | None = None,
) -> tuple[str, Engine]:
    """The engine of that name; for `auto` the fastest that can train this, and is worth starting for so many steps.

    Raises:
        UsageError: the model has no such engine, or it cannot train this; why is said.
        PluginError: the plugin's engine fails while it is made.
    """
    if name == AUTOGRAD or (name == AUTO and clip_norm is not None):
        return AUTOGRAD, Autograd(model, optimizer, clip_norm)
    engines = entry.spec.engines
    if name == AUTO:
        for faster in engines:
            with contextlib.suppress(EngineUnavailableError):
                engine = _make(faster, entry, model, optimizer, batch_size)
                if steps >= engine.worth_from:
                    return faster, _start(faster, entry, engine)
        return AUTOGRAD, Autograd(model, optimizer)
    if name not in engines:
        own = (AUTOGRAD, *engines)
        raise UnknownNameError(f"model {entry.spec.name!r} has no engine {name!r}; {suggest(name, own)}")
    if clip_norm is not None:
        raise UsageError(f"engine {name!r} does not clip gradients; --engine auto takes one that does")
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
