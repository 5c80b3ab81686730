"""From the specs and the data to the loss and the metrics of a run."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from typing import Any

from torch import nn

from zoo.data.kinds import Dataset, targets_of, vocabulary_of
from zoo.errors import UnknownNameError, UsageError, suggest
from zoo.phrasing import option
from zoo.plugin.registry import Entry
from zoo.plugin.settings import Signature
from zoo.plugin.specs import DatasetSpec, Factory, ModelSpec
from zoo.training.objective.loss import (
    CROSS_ENTROPY,
    MEAN_SQUARED,
    NATS,
    FunctionLoss,
    Loss,
    from_class,
    inputs_of,
    is_plain_cross_entropy,
    places_of,
)
from zoo.training.objective.metrics import R2, RMSE, Accuracy, MeanOf, Metric, Metrics

NO_METRICS = Metrics()
_IN_NATS = ("cross_entropy", "nll_loss", "CrossEntropyLoss", "NLLLoss")  # of torch, by its names
LOSS = "loss"  # the name of the loss where a metric could be named, too


@dataclass(frozen=True)
class Monitor:
    """What decides which weights are the best.

    Attributes:
        name: of a metric, or `loss`.
        higher: whether a higher value is better.
    """

    name: str = LOSS
    higher: bool = False

    def rank(self, loss: float, metrics: Mapping[str, float]) -> float:
        """The value with the sign that makes a lower one better."""
        value = loss if self.name == LOSS else metrics[self.name]
        return -value if self.higher else value


@dataclass(frozen=True)
class Objective:
    """What a model is trained on and judged by."""

    loss: Loss = CROSS_ENTROPY
    metrics: Metrics = NO_METRICS
    monitor: Monitor = Monitor()

    @property
    def needs_only_counts(self) -> bool:
        """Whether it follows from how often each target follows each context."""
        return self.loss.is_cross_entropy and not self.metrics.metrics

    def as_config(self) -> dict[str, Any]:
        """As `config.json` has it: names, never a path by which something could be imported."""
        settings = dict(self.loss.settings) if isinstance(self.loss, FunctionLoss) else {}
        return {"name": self.loss.name, "unit": self.loss.unit, "settings": settings}


PLAIN = Objective()


def make_objective(
    model_entry: Entry[ModelSpec],
    data_entry: Entry[DatasetSpec] | None,
    dataset: Dataset,
    model: nn.Module,
    *,
    settings: Mapping[str, object],
    offered: Mapping[str, Any],
    monitor: str | None = None,
) -> Objective:
    """The loss and the metrics of a run.

    Args:
        model_entry, data_entry: what names them: the model's loss goes before the dataset's, and metrics are those of
            both. Where neither names a loss, the targets decide it; where neither names metrics, they do, too.
        dataset: the data.
        model: given to a loss that asks for it.
        settings: of the loss: `{"delta": 0.5}`.
        offered: what the data provides, given to a loss or a metric that asks for it by name.
        monitor: the metric that decides which weights are best, as `--monitor` takes it.

    Raises:
        UsageError: a setting that the loss does not have, or a metric to monitor that there is not.
        PluginError: a loss or a metric cannot be imported, or has no signature.
    """
    entries: list[Entry[Any]] = [entry for entry in (model_entry, data_entry) if entry is not None]
    loss = _loss(entries, targets_of(dataset), model, settings, offered)
    metrics = _metrics(entries, dataset, loss, model, offered)
    return Objective(loss, metrics, _monitor(monitor, metrics))


def _loss(
    entries: list[Entry[Any]],
    targets: str,
    model: nn.Module,
    settings: Mapping[str, object],
    offered: Mapping[str, Any],
) -> Loss:
    named = next((entry for entry in entries if entry.spec.loss is not None), None)
    if named is None:
        default: Loss = CROSS_ENTROPY if targets == "classes" else MEAN_SQUARED
        if settings:
            key = next(iter(settings))
            raise UnknownNameError(f"{default.name} has no setting 'loss.{key}': it has none")
        return default
    function, name, signature = named_loss(named, offered)
    who = f"loss {name!r} of {named.who}"
    values = signature.resolve(LOSS, settings, f"loss {name!r}")
    if targets == "classes" and is_plain_cross_entropy(function, values):
        return CROSS_ENTROPY
    unit = str(getattr(function, "unit", NATS if name in _IN_NATS else name))
    asked = frozenset(signature.inputs).difference(places_of(function))
    given = {name: offered[name] for name in asked & offered.keys()}
    if given:
        function = functools.update_wrapper(functools.partial(function, **given), function)
    return FunctionLoss(who, function, name, unit, values, asked, model if "model" in asked else None)


def named_loss(entry: Entry[Any], offered: Collection[str] = ()) -> tuple[Callable[..., Any], str, Signature]:
    """The loss that a spec names: the function, what it is called, and its settings.

    Args:
        entry: with a loss.
        offered: the names of what the data provides.

    Raises:
        PluginError: it cannot be imported, or has no signature.
    """
    function = entry.load(entry.spec.loss)
    if isinstance(function, type):
        function = from_class(function)
    return function, _name(entry.spec.loss, function), Signature(function, (*inputs_of(function), *offered))


def _name(factory: Factory, function: Callable[..., Any]) -> str:
    """What a loss is called: the last part of its path, or the function's own name."""
    if isinstance(factory, str):
        return factory.rpartition(":")[2].rpartition(".")[2]
    return getattr(function, "__name__", type(function).__name__)


def _metrics(
    entries: list[Entry[Any]], dataset: Dataset, loss: Loss, model: nn.Module, offered: Mapping[str, Any]
) -> Metrics:
    found: dict[str, Metric] = {}
    for entry in entries:
        for name, factory in (entry.spec.metrics or {}).items():
            found.setdefault(name, _metric(name, entry, factory, model, offered))
    targets = targets_of(dataset)
    bits = loss.is_cross_entropy and vocabulary_of(dataset) is not None  # the tokens of a tokenizer are no characters
    named = any(entry.spec.metrics is not None for entry in entries)
    known = not isinstance(loss, FunctionLoss) or loss.of_torch  # of an output that only its loss understands: none
    defaults = _DEFAULTS.get(targets, ()) if known and not named and not bits else ()
    return Metrics((*found.values(), *defaults), bits)


def _metric(name: str, entry: Entry[Any], factory: Factory, model: nn.Module, offered: Mapping[str, Any]) -> Metric:
    target = entry.load(factory)
    who = f"metric {name!r} of {entry.who}"
    asked = set(Signature(target, ("reduction", "model", "x", *offered)).inputs) if callable(target) else set()
    if callable(target) and not isinstance(target, type):
        asked.difference_update(places_of(target))
    given = {key: offered[key] for key in asked & offered.keys()} | ({"model": model} if "model" in asked else {})
    if isinstance(target, type):
        return Metric(name, who, functools.partial(target, **given), False, _direction(target))
    if "x" in asked:
        raise UsageError(f"{who} asks for 'x': a metric is given the output and the target")
    if "reduction" in asked:
        given["reduction"] = "none"
    function = functools.partial(target, **given) if given else target
    return Metric(name, who, lambda: MeanOf(function), True, _direction(target))


def _direction(target: object) -> bool | None:
    """Whether a higher value is better, as torchmetrics' classes say it."""
    higher = inspect.getattr_static(target, "higher_is_better", None)
    return higher if isinstance(higher, bool) else None


_DEFAULTS: dict[str, tuple[Metric, ...]] = {
    "classes": (Metric("accuracy", "the metric 'accuracy'", Accuracy, higher_is_better=True),),
    "numbers": (
        Metric("rmse", "the metric 'rmse'", RMSE, higher_is_better=False),
        Metric("r2", "the metric 'r2'", R2, higher_is_better=True),
    ),
    "inputs": (Metric("rmse", "the metric 'rmse'", RMSE, higher_is_better=False),),
}


def _monitor(asked: str | None, metrics: Metrics) -> Monitor:
    """Read `--monitor`: a name, with `:max` or `:min` where the metric does not say what is better."""
    if asked is None or asked == LOSS:
        return Monitor()
    name, colon, direction = asked.partition(":")
    names = (LOSS, *metrics.names())
    if name not in names:
        raise UnknownNameError(f"{option('monitor')}: this run has no metric {name!r}; {suggest(name, names)}")
    if colon and direction not in ("max", "min"):
        raise UsageError(f"{option('monitor')} takes NAME, NAME:max or NAME:min, not {asked!r}")
    higher = direction == "max" if colon else False if name == LOSS else metrics.higher_is_better(name)
    if higher is None:
        raise UsageError(
            f"the metric {name!r} does not say whether higher is better: {option('monitor', f'{name}:max')} or "
            f"{name}:min"
        )
    return Monitor(name, higher)
