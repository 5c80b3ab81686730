"""The loss of a run: cross-entropy, or a function with the signature of those in `torch.nn.functional`.

A model is trained on the mean over a batch, and evaluated by the sum over a split and the number of its targets, so
that no mean of means is reported.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

from torch import Tensor, nn
from torch.nn import functional

from zoo import engines
from zoo.errors import PluginError
from zoo.training.objective.cross_entropy import IGNORED, cross_entropy
from zoo.training.objective.outputs import each_target, in_full_precision, is_classes, per_target, shape_text, summed

NATS = "nats"


class Loss(engines.Loss, Protocol):
    """What a model is trained on, and evaluated by.

    Attributes:
        unit: what its numbers are in: `nats`, or its own name.
    """

    @property
    def unit(self) -> str: ...

    def total(self, output: Any, target: Tensor, x: Tensor) -> tuple[Tensor, Tensor | int]:
        """The sum over a batch, and the number of its targets, or examples, that are not ignored."""

    def each(self, output: Any, target: Tensor, x: Tensor) -> Tensor:
        """The loss of each target, in the shape of the targets, or of each example, shape (B,).

        That of a target to ignore means nothing.
        """

    def problem(self, output: Any, target: Tensor, x: Tensor) -> str | None:
        """Why the output of a model does not fit, to be put behind who returns it; None where it does."""


@dataclass(frozen=True)
class CrossEntropy:
    """Cross-entropy in nats, of logits (*targets, classes) and classes as whole numbers."""

    name: str = "cross_entropy"
    unit: str = NATS
    is_cross_entropy: bool = True

    def mean(self, output: Any, target: Tensor, x: Tensor) -> Tensor:
        return cross_entropy(output, target)

    def total(self, output: Any, target: Tensor, x: Tensor) -> tuple[Tensor, Tensor | int]:
        return cross_entropy(output, target, "sum"), (target != IGNORED).sum()

    def each(self, output: Any, target: Tensor, x: Tensor) -> Tensor:
        return cross_entropy(output, target, "none").view(target.shape)

    def problem(self, output: Any, target: Tensor, x: Tensor) -> str | None:
        if not isinstance(output, Tensor) or output.ndim != target.ndim + 1 or output.shape[:-1] != target.shape:
            got = f"of shape {tuple(output.shape)}" if isinstance(output, Tensor) else f"a {type(output).__name__}"
            return f"returns logits {got} for targets of shape {tuple(target.shape)}: (*targets, classes) is wanted"
        if not output.is_floating_point():
            return f"returns logits of type {output.dtype}: floating-point numbers are wanted"
        return None


CROSS_ENTROPY = CrossEntropy()

_OF_TORCH = "torch.nn."  # modules
_OLD = ("size_average", "reduce")  # arguments of torch's losses that `reduction` replaced


@dataclass(frozen=True)
class FunctionLoss:
    """A loss that a spec names, or torch's mean squared error.

    Attributes:
        who: for messages: `loss 'elbo' of model 'vae' of plugin zoo-vae 1.0`.
        function: as `torch.nn.functional` has them; `module` makes one of a class.
        name, unit: see `Loss`.
        settings: its keyword arguments.
        asked: what else it asks for by name: `x`, the inputs, and `model` among it.
        model: given where it is asked for.
    """

    who: str
    function: Callable[..., Any]
    name: str
    unit: str
    settings: Mapping[str, Any] = field(default_factory=dict)
    asked: frozenset[str] = frozenset()
    model: nn.Module | None = None
    is_cross_entropy: bool = False

    @property
    def of_torch(self) -> bool:
        return is_of_torch(self.function)

    def mean(self, output: Any, target: Tensor, x: Tensor) -> Tensor:
        if "reduction" in self.asked:
            loss: Tensor = self._call(output, target, x, reduction="mean")
            return loss
        total, count = summed(self._call(output, target, x), target)
        return total / count

    def total(self, output: Any, target: Tensor, x: Tensor) -> tuple[Tensor, Tensor | int]:
        flat = target.flatten() if self._flattens(output, target) else target
        return summed(self._values(output, target, x), flat)

    def each(self, output: Any, target: Tensor, x: Tensor) -> Tensor:
        values = self._values(output, target, x)
        if self._flattens(output, target):
            return values.view(target.shape)
        of_targets = values.shape == target.shape and not target.is_floating_point()
        return values if of_targets else values.flatten(1).mean(1) if values.ndim > 1 else values

    def problem(self, output: Any, target: Tensor, x: Tensor) -> str | None:
        if self.of_torch and target.is_floating_point():
            if not isinstance(output, Tensor):
                return f"returns {shape_text(output)}, and {self.name} takes a tensor: name a loss that takes it"
            if output.shape != target.shape:
                return (
                    f"returns an output of shape {tuple(output.shape)} for targets of shape {tuple(target.shape)}: "
                    f"{self.name} wants the same shape, and never broadcasts"
                )
        values = self._values(output, target, x)
        flat = target.flatten() if self._flattens(output, target) else target
        wrong = per_target(values, output, flat)
        if wrong is None and "reduction" in self.asked:
            mean = self.mean(output, target, x)
            if not isinstance(mean, Tensor) or mean.ndim:
                wrong = "does not return one number where its 'reduction' is 'mean'"
        if wrong is not None:
            raise PluginError(f"{self.who} {wrong}")
        return None

    def _values(self, output: Any, target: Tensor, x: Tensor) -> Tensor:
        reduction = {"reduction": "none"} if "reduction" in self.asked else {}
        values: Tensor = self._call(output, target, x, **reduction)
        return values

    def _flattens(self, output: Any, target: Tensor) -> bool:
        """Whether torch's loss gets each target as an example: it has the classes on another axis than zoo's models."""
        return self.of_torch and is_classes(output, target)

    def _call(self, output: Any, target: Tensor, x: Tensor, **reduction: str) -> Any:
        output = in_full_precision(output)
        if self._flattens(output, target):
            output, target = each_target(output, target)
        named: dict[str, Any] = {"x": x, "model": self.model, "ignore_index": IGNORED}
        more = {name: value for name, value in named.items() if name in self.asked}
        return self.function(output, target, **more, **reduction, **self.settings)


MEAN_SQUARED = FunctionLoss("the loss", functional.mse_loss, "mse_loss", "mse_loss", asked=frozenset({"reduction"}))


def is_of_torch(function: Callable[..., Any]) -> bool:
    return str(getattr(function, "__module__", "")).startswith(_OF_TORCH)


def from_class(kind: type[Any]) -> Callable[..., Any]:
    """A class of losses, such as `torch.nn.HuberLoss`, as a function with the arguments of its constructor."""

    def function(output: Any, target: Tensor, **arguments: Any) -> Any:
        return kind(**arguments)(output, target)

    function.__name__, function.__module__ = kind.__name__, kind.__module__
    function.__signature__ = inspect.Signature(  # type: ignore[attr-defined]  # read by inspect
        [inspect.Parameter(name, inspect.Parameter.POSITIONAL_ONLY) for name in ("output", "target")]
        + [
            p.replace(kind=p.KEYWORD_ONLY)
            for p in inspect.signature(kind).parameters.values()
            if p.kind not in (p.VAR_POSITIONAL, p.VAR_KEYWORD)  # those of a module without a constructor of its own
        ]
    )
    function.__annotations__ = dict(getattr(kind.__init__, "__annotations__", {}))
    return function


def places_of(function: Callable[..., Any]) -> tuple[str, ...]:
    """What a loss or a metric calls output and target, which it gets by their places: any names, `x` for instance."""
    return tuple(inspect.signature(function).parameters)[:2]


def inputs_of(function: Callable[..., Any]) -> tuple[str, ...]:
    """The arguments of a loss that are no settings: output and target, and what it is given by name."""
    parameters = list(inspect.signature(function).parameters.values())
    tensors = [p.name for p in parameters if "Tensor" in str(p.annotation)]  # a weight for each class, for instance
    own = ("ignore_index",) if is_of_torch(function) else ()
    return (*places_of(function), "reduction", "x", "model", *_OLD, *own, *tensors)


def is_plain_cross_entropy(function: Callable[..., Any], settings: Mapping[str, Any]) -> bool:
    """Whether a loss is torch's cross-entropy as zoo computes it itself."""
    return function is functional.cross_entropy and settings == {"label_smoothing": 0.0}
