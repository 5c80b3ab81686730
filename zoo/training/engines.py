"""Choosing the implementation of the training step: by name, or the fastest that can train what is asked for.

For many nets at once: the implementation of the same name, where there is one.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
from torch import nn

from zoo import stages
from zoo.data.examples import Examples
from zoo.engines import Engine, Optimizer, PopulationEngine
from zoo.errors import EngineUnavailableError, PluginError, UsageError, out_of_memory
from zoo.options.training import AUTO, AUTOGRAD, STACKED
from zoo.phrasing import option
from zoo.plugin.calling import made_by, plugin_call
from zoo.plugin.registry import Entry
from zoo.plugin.settings import Signature
from zoo.plugin.specs import Factory, ModelSpec, OptimizerSpec
from zoo.text import first_line
from zoo.training.autograd import PLAIN, Autograd, StepOptions
from zoo.training.objective.loss import CROSS_ENTROPY, Loss
from zoo.training.population.nets import Net


def choose_engine(
    name: str,
    entry: Entry[ModelSpec],
    model: nn.Module,
    optimizer: Optimizer,
    *,
    batch_size: int,
    steps: int | None,
    options: StepOptions = PLAIN,
    loss: Loss = CROSS_ENTROPY,
    stacked: Callable[[], Engine] | None = None,
    otherwise: Callable[[str], object] | None = None,
) -> tuple[str, Engine]:
    """The engine of that name; for `auto` the fastest that can train this, and is worth starting for so many steps.

    Args:
        name: of the engine, or `auto`.
        entry, model, optimizer, batch_size, options, loss: what is to be trained, how, and on what.
        steps: how many; None where that is open, and any engine is worth starting.
        stacked: makes the engine of that name, for this net alone; see `stacked_engine`.
        otherwise: for an engine that is preferred and not demanded, as a preset's is. Where it cannot be had, this is
            told why, and `auto` chooses.

    Raises:
        UsageError: the model has no such engine, or it cannot train this; why is said.
        PluginError: the plugin's engine fails while it is made.
    """
    candidates = _Candidates(entry, model, optimizer, batch_size, loss)
    if name not in (AUTO, AUTOGRAD):
        entry.spec.check_engine(name)
        try:
            return name, _named(name, candidates, options, stacked)
        except UsageError as error:
            if otherwise is None:
                raise UsageError(
                    f"{error}; {option('engine', 'auto')} takes one that {'can' if options == PLAIN else 'does'}"
                ) from error
            why = str(error)
        found = choose_engine(
            AUTO, entry, model, optimizer, batch_size=batch_size, steps=steps, options=options, loss=loss
        )
        otherwise(f"{why}; using {found[0]!r} instead")
        return found
    if name == AUTO and options == PLAIN:
        for faster in entry.spec.engines:
            with contextlib.suppress(EngineUnavailableError):
                return faster, candidates.started(faster, steps)
    return AUTOGRAD, Autograd(model, optimizer, options, loss)


def _named(name: str, candidates: _Candidates, options: StepOptions, stacked: Callable[[], Engine] | None) -> Engine:
    """Raises UsageError: it cannot train this."""
    try:
        if name == STACKED and stacked is not None:
            return stacked()
        if options != PLAIN:
            raise UsageError(f"engine {name!r} does not {options}")
        return candidates.started(name)
    except EngineUnavailableError as error:
        raise UsageError(f"engine {name!r} cannot train this: {error}") from error


@dataclass(frozen=True)
class _Candidates:
    """The engines of a model's plugin, for one training."""

    entry: Entry[ModelSpec]
    model: nn.Module
    optimizer: Optimizer
    batch_size: int
    loss: Loss

    def started(self, name: str, steps: int | None = None) -> Engine:
        """Make one and start it.

        Args:
            name: the engine's.
            steps: what it must be worth starting for; None for any number.

        Raises:
            EngineUnavailableError: it cannot train this, memory runs out, or it is not worth starting.
        """
        who = f"engine {name!r} of {self.entry.who}"
        factory = _factory(self.entry, self.entry.spec.engines[name], self.loss)
        with _memory(), plugin_call(who, "cannot be made"):
            engine: Engine = factory(self.model, self.optimizer, self.batch_size)
            worth_from = getattr(engine, "worth_from", None)
        if not (callable(getattr(engine, "run", None)) and isinstance(worth_from, int)):
            raise PluginError(f"{who} is no engine: it needs a method 'run' and a number 'worth_from'")
        if steps is not None and steps < worth_from:
            raise EngineUnavailableError(f"it is worth starting from {worth_from} steps")
        _start(name, who, engine)
        return made_by(who, engine)


def population_engine(
    name: str, entry: Entry[ModelSpec], nets: Sequence[Net], *, batch_size: int, loss: Loss = CROSS_ENTROPY
) -> PopulationEngine:
    """What trains many nets at once as the engine of that name trains each alone.

    Args:
        name: of an engine of the model's plugin, which trains a run of these options.
        entry, batch_size, loss: as of `choose_engine`.
        nets: all on one device.

    Raises:
        EngineUnavailableError: the plugin has none, or it cannot train these.
        PluginError: it fails while it is made.
    """
    spec = entry.spec
    if name not in spec.populations:
        raise EngineUnavailableError(f"engine {name!r} of model {spec.name!r} trains one net at a time")
    who = f"engine {name!r} for populations of {entry.who}"
    factory = _factory(entry, spec.populations[name], loss)
    with _memory(), plugin_call(who, "cannot be made"):
        engine: PopulationEngine = factory([(net.model, net.optimizer) for net in nets], batch_size)
    if not callable(getattr(engine, "run", None)):
        raise PluginError(f"{who} is no engine for populations: it needs a method 'run'")
    _start(name, who, engine)
    return made_by(who, engine)


def stacked_engine(
    nets: Sequence[Net],
    optimizer: Entry[OptimizerSpec],
    examples: Examples,
    *,
    batch_size: int,
    options: StepOptions = PLAIN,
    loss: Loss = CROSS_ENTROPY,
) -> PopulationEngine:
    """What trains many nets at once by autograd, tried on a batch of the examples.

    Raises:
        EngineUnavailableError: it cannot train these.
    """
    from zoo.training.population.stacked import Stacked  # here, because few runs need torch.func

    if not optimizer.spec.elementwise:
        raise EngineUnavailableError(f"optimizer {optimizer.spec.name!r} is not one that updates each number by itself")
    engine = Stacked(nets, loss, options)
    with _memory():
        engine.check(*examples.gather(torch.arange(batch_size) % len(examples)))
    return engine


def _factory(entry: Entry[ModelSpec], named: Factory, loss: Loss) -> Callable[..., Any]:
    """What makes an engine, given the loss if it asks for one.

    Raises:
        EngineUnavailableError: it asks for none, and the loss is not the one that it then computes.
    """
    factory = entry.load(named)
    if "loss" in Signature(factory, ("loss",)).inputs:
        return partial(factory, loss=loss)
    if not loss.is_cross_entropy:
        raise EngineUnavailableError(f"it computes cross-entropy, and the loss is {loss.name}")
    return factory


def _start(name: str, who: str, engine: object) -> None:
    with _memory(), plugin_call(who, "cannot be started"), stages.within(f"Compiling for engine {name}"):
        getattr(engine, "start", lambda: None)()


@contextlib.contextmanager
def _memory() -> Iterator[None]:
    """An engine for which there is not enough memory is unavailable; another one may need less."""
    try:
        yield
    except BaseException as error:
        if not out_of_memory(error):
            raise
        raise EngineUnavailableError(f"it needs more memory than there is: {first_line(error)}") from error
