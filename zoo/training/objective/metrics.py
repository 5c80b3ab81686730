"""Metrics: numbers about a model beside its loss, over all examples of a split.

Each is an object with torchmetrics' interface, made anew for every evaluation: `update(output, target)` for each batch,
and `compute()` at its end.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

import torch
from torch import Tensor, nn

from zoo.errors import PluginError
from zoo.plugin.calling import plugin_errors
from zoo.training.objective.outputs import in_full_precision, is_classes, per_target, summed, without_ignored


class Accumulator(Protocol):
    """A metric while it is being computed."""

    def update(self, output: Any, target: Tensor) -> object: ...
    def compute(self) -> Any: ...


class Accuracy:
    """The share of the targets whose class has the largest logit. Ties go to the lower class."""

    higher_is_better = True

    def __init__(self) -> None:
        self._correct: Tensor | int = 0
        self._count = 0

    def update(self, output: Tensor, target: Tensor) -> None:
        """Logits (M, classes), and classes (M,)."""
        self._correct = self._correct + (output.argmax(-1) == target).sum()
        self._count += target.numel()

    def compute(self) -> float:
        return float(self._correct) / self._count if self._count else math.nan


class RMSE:
    """The root of the mean squared error, over all numbers of all targets."""

    higher_is_better = False

    def __init__(self) -> None:
        self._squares: Tensor | float = 0.0
        self._count = 0

    def update(self, output: Tensor, target: Tensor) -> None:
        """Both of shape (B, ...)."""
        self._squares = self._squares + _exact(output - target).square().sum()
        self._count += target.numel()

    def compute(self) -> float:
        return math.sqrt(float(self._squares) / self._count) if self._count else math.nan


class R2:
    """The coefficient of determination: the share of the targets' variance that the model explains.

    Of several outputs the mean. Sums are taken about the mean of the first batch, so that numbers far from 0 lose no
    digits.
    """

    higher_is_better = True

    def __init__(self) -> None:
        self._count = 0
        self._about: Tensor | None = None  # shape (outputs,), as the sums
        self._sum = self._square_sum = self._residual = torch.zeros(())

    def update(self, output: Tensor, target: Tensor) -> None:
        """Both of shape (B, ...)."""
        y, error = _exact(target).flatten(1 if target.ndim > 1 else 0), _exact(output - target)
        y, error = y.reshape(len(target), -1), error.reshape(len(target), -1)  # (B, outputs)
        if self._about is None:
            self._about = y.mean(0)
            self._sum = self._square_sum = self._residual = torch.zeros_like(self._about)
        y = y - self._about
        self._sum = self._sum + y.sum(0)
        self._square_sum = self._square_sum + y.square().sum(0)
        self._residual = self._residual + error.square().sum(0)
        self._count += len(target)

    def compute(self) -> float:
        total = self._square_sum - self._sum.square() / max(1, self._count)
        return float((1 - self._residual / total).mean()) if bool((total > 0).all()) else math.nan


class MeanOf:
    """The mean of a function's number for each target or example."""

    def __init__(self, function: Callable[..., Any]) -> None:
        self._function = function
        self._sum: Tensor | float = 0.0
        self._count: Tensor | int = 0

    def update(self, output: Any, target: Tensor) -> None:
        values = self._function(output, target)
        if (wrong := per_target(values, output, target)) is not None:
            raise TypeError(wrong)
        total, count = summed(_exact(values), target)
        self._sum, self._count = self._sum + total, self._count + count

    def compute(self) -> float:
        return float(self._sum) / float(self._count) if float(self._count) else math.nan


def _exact(values: Tensor) -> Tensor:
    """In float64, where the device has it."""
    return values.float() if values.device.type == "mps" else values.double()


@dataclass(frozen=True)
class Metric:
    """One metric of a run.

    Attributes:
        name: what it is called in results.
        who: for messages: `metric 'kl' of model 'vae' of plugin zoo-vae 1.0`.
        make: makes an accumulator.
        whole: whether it takes the model's output as it is; else the logits and classes that are not ignored.
        higher_is_better: None where that is not known.
    """

    name: str
    who: str
    make: Callable[[], Accumulator]
    whole: bool = False
    higher_is_better: bool | None = None

    def start(self, device: torch.device) -> Accumulator:
        """An accumulator at its beginning, on the device.

        Raises:
            PluginError: it fails.
        """
        with plugin_errors(self.who, "cannot be made"):
            made = self.make()
            if isinstance(made, nn.Module):
                made = made.to(device)
        for method in ("update", "compute"):
            if not callable(getattr(made, method, None)):
                raise PluginError(
                    f"{self.who} has no method {method!r}: a metric is a function, or a class with update(output, "
                    "target) and compute()"
                )
        return made

    def update(self, accumulator: Accumulator, output: Any, target: Tensor) -> None:
        """Raises PluginError: it fails."""
        with plugin_errors(self.who, "fails"):
            if not self.whole and is_classes(output, target):
                output, target = without_ignored(output, target)
                if len(target):
                    accumulator.update(output, target)
            else:
                accumulator.update(output, target)

    def value(self, accumulator: Accumulator) -> float:
        """Raises PluginError: it fails, or what it computes is no number."""
        with plugin_errors(self.who, "fails"):
            computed = accumulator.compute()
        try:
            return float(computed)
        except (TypeError, ValueError, RuntimeError) as error:
            what = f"a tensor of shape {tuple(computed.shape)}" if isinstance(computed, Tensor) else repr(computed)
            raise PluginError(f"{self.who} computes {what}, not one number") from error


@dataclass(frozen=True)
class Metrics:
    """The metrics of a run, by name; `bits` are bits per character, which the loss in nats gives."""

    metrics: tuple[Metric, ...] = ()
    bits: bool = False
    _running: Mapping[str, Accumulator] = field(default_factory=dict)

    def names(self) -> list[str]:
        return ["bits_per_character"] * self.bits + [metric.name for metric in self.metrics]

    def start(self, device: torch.device) -> Metrics:
        """The same metrics, about to be computed."""
        return Metrics(self.metrics, self.bits, {metric.name: metric.start(device) for metric in self.metrics})

    def update(self, output: Any, target: Tensor) -> None:
        """Take a batch into account."""
        output = in_full_precision(output) if self.metrics else output
        for metric in self.metrics:
            metric.update(self._running[metric.name], output, target)

    def values(self, loss: float) -> dict[str, float]:
        """The metrics of all batches, whose mean loss that is."""
        found = {"bits_per_character": loss / math.log(2)} if self.bits else {}
        return found | {metric.name: metric.value(self._running[metric.name]) for metric in self.metrics}

    def higher_is_better(self, name: str) -> bool | None:
        """None where the metric does not say."""
        return next((metric.higher_is_better for metric in self.metrics if metric.name == name), False)
