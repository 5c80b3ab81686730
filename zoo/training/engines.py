"""Choosing the implementation of the training step: by name, or the fastest that can train what is asked for."""

from __future__ import annotations

import contextlib

from torch import nn

from zoo.engines import Engine, Optimizer
from zoo.errors import EngineUnavailableError, PluginError, UsageError
from zoo.options.training import AUTO, AUTOGRAD
from zoo.plugin.calling import made_by, plugin_call
from zoo.plugin.registry import Entry
from zoo.plugin.specs import ModelSpec
from zoo.training.autograd import PLAIN, Autograd, StepOptions


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
    entry.spec.check_engine(name)
    if options != PLAIN:
        raise UsageError(f"engine {name!r} does not {options}; --engine auto takes one that does")
    try:
        return name, _start(name, entry, _make(name, entry, model, optimizer, batch_size))
    except EngineUnavailableError as error:
        raise UsageError(f"engine {name!r} cannot train this: {error}; --engine auto takes one that can") from error


def _make(name: str, entry: Entry[ModelSpec], model: nn.Module, optimizer: Optimizer, batch_size: int) -> Engine:
    who = f"engine {name!r} of {entry.who}"
    with plugin_call(who, "cannot be made"):
        engine: Engine = entry.load(entry.spec.engines[name])(model, optimizer, batch_size)
    if not (callable(getattr(engine, "run", None)) and isinstance(getattr(engine, "worth_from", None), int)):
        raise PluginError(f"{who} is no engine: it needs a method 'run' and a number 'worth_from'")
    return made_by(who, engine)


def _start(name: str, entry: Entry[ModelSpec], engine: Engine) -> Engine:
    with plugin_call(f"engine {name!r} of {entry.who}", "cannot be started"):
        getattr(engine, "start", lambda: None)()
    return engine
