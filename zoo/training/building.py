"""Calling the factories of models and optimizers, with their mistakes turned into sentences."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping
from typing import Any, cast

import torch
from torch import Tensor, nn

from zoo.data.datasets import Dataset, Examples
from zoo.data.loading import model_inputs
from zoo.errors import PluginError, UsageError, ZooError
from zoo.plugin.registry import Entry
from zoo.plugin.settings import REQUIRED, Signature
from zoo.plugin.specs import ModelSpec, OptimizerSpec
from zoo.runs.plan import MODEL_INPUTS
from zoo.training.engines import Optimizer


def asked_inputs(entry: Entry[ModelSpec], dataset: Dataset) -> dict[str, int]:
    """What the model's constructor asks for by name of what the data decides.

    Raises:
        UsageError: it needs something that data of this kind does not have.
    """
    offered = model_inputs(dataset)
    asked = {
        name: default
        for name, default in Signature(entry.factory(), MODEL_INPUTS).inputs.items()
        if name != "generator"
    }
    for name, default in asked.items():
        if name not in offered and default is REQUIRED:
            kind = "text" if "vocab_size" in offered else "not text"
            raise UsageError(f"model {entry.spec.name!r} needs {name}, and this dataset, which is {kind}, has none")
    if asked and not asked.keys() & offered.keys():
        reads, is_ = ("reads", "is not") if "vocab_size" in asked else ("does not read", "is")
        raise UsageError(f"model {entry.spec.name!r} {reads} text, and this dataset {is_} text")
    return {name: offered[name] for name in asked if name in offered}


def build_model(entry: Entry[ModelSpec], arguments: Mapping[str, Any], init_seed: int) -> nn.Module:
    """Make a model on the CPU, its weights drawn from `init_seed`: by the generator it is given where it asks for one,
    and by torch's global generator, which is put back afterwards, where it does not.

    Raises:
        UsageError: the constructor refuses a value.
        PluginError: it fails otherwise, or what it makes is no module.
    """
    wants_generator = "generator" in Signature(entry.factory(), MODEL_INPUTS).inputs
    generator = {"generator": torch.Generator().manual_seed(init_seed)} if wants_generator else {}
    who = f"model {entry.spec.name!r} of plugin {entry.plugin}"
    with seeded(init_seed), _sentences(who, "cannot be made"):
        model = entry.factory()(**arguments, **generator)
    if not isinstance(model, nn.Module):
        raise PluginError(f"{who} is a {type(model).__name__}, not an nn.Module")
    return model


@torch.no_grad()
def fit_model(entry: Entry[ModelSpec], model: nn.Module, examples: Examples) -> int:
    """Let a model that is made of its data, by counting for instance, see all of it at once.

    Such a model has a method `fit(x, y)`, called with all inputs (N, ...) and targets (N) or (N, T) of the training
    split before the first step. It returns a number from which, as the constructor's argument `fitted_size`, a module
    with tensors of the same shapes can be made again.

    Raises:
        PluginError: it fails, or returns something else.
    """
    who = f"model {entry.spec.name!r} of plugin {entry.plugin}"
    with _sentences(who, "cannot be fitted", plugin_fault=True):
        size = model.fit(examples.x.to(examples.x_dtype), examples.y.long())  # type: ignore[operator]
    if not isinstance(size, int) or isinstance(size, bool) or size < 0:
        raise PluginError(f"{who} cannot be fitted: 'fit' returned {size!r}, not a size")
    return size


def context_length(model: nn.Module) -> int | None:
    """How many characters a text model that reads windows wants to see, if it says."""
    length = getattr(model, "context_length", None)
    return length if isinstance(length, int) and length >= 1 else None


def build_optimizer(entry: Entry[OptimizerSpec], model: nn.Module, lr: float, settings: Mapping[str, Any]) -> Optimizer:
    """Make an optimizer for a model's parameters.

    Raises:
        UsageError: the constructor refuses a value.
        PluginError: it fails otherwise, or lacks what a training loop calls.
    """
    parameters = [p for p in model.parameters() if p.requires_grad]
    who = f"optimizer {entry.spec.name!r} of plugin {entry.plugin}"
    try:
        with _sentences(who, "cannot be made"):
            optimizer = entry.factory()(parameters, lr=lr, **settings)
    except UsageError as error:
        if parameters:
            raise
        raise UsageError(f"this model has nothing to train: leave out --optimizer ({error})") from error
    for name in ("step", "zero_grad", "param_groups", "state_dict", "load_state_dict"):
        if not hasattr(optimizer, name):
            raise PluginError(f"{who} has no {name!r}: an optimizer has the interface of torch.optim.Optimizer")
    return cast(Optimizer, optimizer)


@torch.no_grad()
def check_forward(entry: Entry[ModelSpec], model: nn.Module, examples: Examples) -> None:
    """Try a model on two examples, so that a plugin's mistake is a sentence before training and not a stack during it.

    Raises:
        PluginError: the model fails, or its logits do not fit the targets.
    """
    device = examples.y.device
    x, y = examples.gather(torch.arange(min(2, len(examples)), device=device))
    who = f"model {entry.spec.name!r} of plugin {entry.plugin}"
    model.eval()
    with _sentences(who, f"fails on inputs of shape {tuple(x.shape)}", plugin_fault=True):
        logits = model(x)
    if not isinstance(logits, Tensor) or logits.ndim != y.ndim + 1 or logits.shape[:-1] != y.shape:
        got = f"of shape {tuple(logits.shape)}" if isinstance(logits, Tensor) else f"a {type(logits).__name__}"
        raise PluginError(
            f"{who} returns logits {got} for targets of shape {tuple(y.shape)}: (*targets, classes) is wanted"
        )
    if int(y.max()) >= logits.shape[-1]:
        raise PluginError(f"{who} returns {logits.shape[-1]} logits, too few for target {int(y.max())}")


@contextlib.contextmanager
def seeded(seed: int, device: torch.device | None = None) -> Iterator[None]:
    """Seed torch's global generators for a block (dropout and default initialisations use them), and put them back."""
    devices = [device] if device is not None and device.type == "cuda" else []
    with torch.random.fork_rng(devices=devices):
        torch.default_generator.manual_seed(seed)  # not torch.manual_seed, which seeds every CUDA device too
        for cuda in devices:
            with torch.cuda.device(cuda):
                torch.cuda.manual_seed(seed)
        yield


@contextlib.contextmanager
def _sentences(who: str, what: str, *, plugin_fault: bool = False) -> Iterator[None]:
    try:
        yield
    except ZooError:
        raise
    except ValueError as error:
        if plugin_fault:
            raise PluginError(f"{who} {what}: {error}") from error
        raise UsageError(f"{who.split(' of plugin')[0]}: {error}") from error
    except Exception as error:  # a plugin may raise anything
        raise PluginError(f"{who} {what}: {type(error).__name__}: {error}") from error
