"""The predictions of a model that reads tensors.

Axes: N examples.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from zoo.ambient.draws import seeded_draws
from zoo.data.splits import as_tensor
from zoo.data.tensors import Targets
from zoo.errors import DataError, UsageError, ZooError
from zoo.plugin.calling import maker, plugin_errors
from zoo.training.building import evaluating, floats_of
from zoo.training.evaluation import batch_size_of
from zoo.training.objective.outputs import mapped
from zoo.training.prediction.results import Probabilities, probabilities


def inputs_of(given: Any, model: nn.Module, features: int | None) -> Tensor:
    """Inputs (N, ...) as the model reads them: those of floating-point numbers in the type of its weights.

    Args:
        given: a tensor, an array or nested lists.
        model: whose inputs they are.
        features: how many numbers each has, where that is known.

    Raises:
        UsageError: they are no tensor, none, of another size, or NaN or infinite.
    """
    try:
        x = as_tensor("given", given)
    except DataError as error:
        raise UsageError(
            f"the inputs are no tensor, array or lists of real numbers: {error.__cause__ or error}"
        ) from error
    if not x.ndim or not len(x):
        raise UsageError("there are no inputs to predict with")
    if x.ndim == 1:
        raise UsageError(f"inputs of shape {tuple(x.shape)} are not of shape (N, ...): give one example as [x]")
    if features is not None and x[0].numel() != features:
        raise UsageError(
            f"inputs of shape {tuple(x.shape)} have {x[0].numel():,} numbers each: {maker(model)} was trained on "
            f"{features:,}"
        )
    if x.is_floating_point() and not bool((finite := x.isfinite().reshape(len(x), -1).all(1)).all()):
        raise UsageError(
            f"the inputs have NaN or infinity, first at row {int((~finite).nonzero()[0])} (counted from 0)"
        )
    return x.to(floats_of(model)) if x.is_floating_point() else x


@torch.no_grad()
def outputs_of(model: nn.Module, x: Tensor) -> Any:
    """The model's output for all of `x` (N, ...), in batches of bounded size: on the CPU, with N examples.

    Raises:
        PluginError: the model fails, which other shapes than those it was trained on make it do.
    """
    device = next((p.device for p in model.parameters()), torch.device("cpu"))
    parts = []
    with evaluating(model), seeded_draws(0), plugin_errors(maker(model), f"fails on inputs of shape {tuple(x.shape)}"):
        for batch in _batches(x, batch_size_of(model, x[0].numel())):
            parts.append(mapped(Tensor.cpu, model(batch.to(device))))
    return _joined(parts)


def predictions(output: Any, targets: Targets, classes: Sequence[str] | None) -> Any:
    """What a model's output says: probabilities where its targets are classes, and else the output itself.

    Raises:
        ZooError: it is NaN or infinite.
    """
    found = probabilities(output, classes) if targets == "classes" and is_logits(output) else output
    numbers = found.probabilities if isinstance(found, Probabilities) else found
    if isinstance(numbers, Tensor) and not bool(numbers.isfinite().all()):
        raise ZooError("cannot predict with this model: its output is NaN or infinite")
    return found


def is_logits(output: Any) -> bool:
    """Whether an output can be logits: shape (N, ..., classes)."""
    return isinstance(output, Tensor) and output.is_floating_point() and output.ndim >= 2


def _batches(x: Tensor, size: int) -> Iterator[Tensor]:
    for start in range(0, len(x), size):
        yield x[start : start + size].clone()  # its own: a model may change it


def _joined(parts: list[Any]) -> Any:
    """Outputs of batches as one of all examples."""
    first = parts[0]
    if isinstance(first, Tensor):
        return torch.cat(parts) if first.ndim else torch.stack(parts)
    if isinstance(first, Mapping):
        return {name: _joined([part[name] for part in parts]) for name in first}
    if isinstance(first, tuple | list):
        joined = [_joined(list(each)) for each in zip(*parts, strict=True)]
        return type(first)(*joined) if hasattr(first, "_fields") else type(first)(joined)
    return first
