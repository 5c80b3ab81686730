"""What a model returns: a tensor, or a tuple, list or dict of tensors. And the targets that it is compared with."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor

from zoo.training.objective.cross_entropy import IGNORED, full_precision


def in_full_precision(output: Any) -> Any:
    """The same output, with the tensors of half precision as float32."""
    return mapped(full_precision, output)


def mapped(function: Callable[[Tensor], Tensor], output: Any) -> Any:
    """The same output, with `function` applied to each of its tensors."""
    if isinstance(output, Tensor):
        return function(output)
    if isinstance(output, Mapping):
        return {name: mapped(function, part) for name, part in output.items()}
    if isinstance(output, tuple | list):
        parts = [mapped(function, part) for part in output]
        return type(output)(*parts) if hasattr(output, "_fields") else type(output)(parts)  # a named tuple
    return output


def shape_text(output: Any) -> str:
    """The shapes of an output, for a message: `(2, 10)`, or `a tuple of (2, 784), (2, 20)`."""
    if isinstance(output, Tensor):
        return str(tuple(output.shape))
    if isinstance(output, tuple | list | Mapping):
        parts = list(output.values()) if isinstance(output, Mapping) else list(output)
        return f"a {type(output).__name__} of {', '.join(map(shape_text, parts))}"
    return f"a {type(output).__name__}"


def is_classes(output: Any, target: Tensor) -> bool:
    """Whether an output has logits for each target: shape (*targets, classes), for whole numbers."""
    return isinstance(output, Tensor) and not target.is_floating_point() and output.shape[:-1] == target.shape


def each_target(output: Tensor, target: Tensor) -> tuple[Tensor, Tensor]:
    """Logits (B, T, classes) and targets (B, T) as (B * T, classes) and (B * T,), which torch's losses take."""
    return output.flatten(0, -2), target.flatten()


def without_ignored(output: Tensor, target: Tensor) -> tuple[Tensor, Tensor]:
    """`each_target`, without the targets to ignore: shapes (M, classes) and (M,)."""
    output, target = each_target(output, target)
    kept = target != IGNORED
    return (output, target) if bool(kept.all()) else (output[kept], target[kept])


def summed(values: Tensor, target: Tensor) -> tuple[Tensor, Tensor | int]:
    """The sum of a number for each target or example, and how many there are; ignored targets do not count.

    Nothing waits for the device.

    Args:
        values: shape (B,), or that of the targets.
        target: shape (B, ...).
    """
    if target.is_floating_point() or values.shape != target.shape:
        return values.sum(), values.numel()
    kept = target != IGNORED
    return torch.where(kept, values, 0).sum(), kept.sum()


def per_target(values: object, output: Any, target: Tensor) -> str | None:
    """What is wrong with what a loss or a metric returned, if it is not a number for each target or example."""
    n = len(target)
    if not isinstance(values, Tensor):
        return f"returns a {type(values).__name__}, not a tensor with a number for each target or example"
    if values.ndim == 0:
        return f"returns one number for {n} examples: a number for each is wanted, which zoo averages"
    shapes = [target.shape] + ([output.shape] if isinstance(output, Tensor) else [])
    if not any(values.shape == shape[: values.ndim] for shape in shapes):
        return (
            f"returns shape {tuple(values.shape)} for an output of shape {shape_text(output)} and targets of shape "
            f"{tuple(target.shape)}: a number for each target or example is wanted"
        )
    return None
