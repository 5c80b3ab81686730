"""What a trained model makes of each target of given examples: its loss, and the class that it predicts instead.

Axes: M losses, K targets that are classes.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from zoo.ambient.draws import seeded_draws
from zoo.plugin.calling import maker, plugin_errors
from zoo.training.building import evaluating
from zoo.training.objective.cross_entropy import IGNORED
from zoo.training.objective.loss import Loss
from zoo.training.objective.outputs import in_full_precision, is_classes


class Classes(NamedTuple):
    """What is predicted for each target that is a class and not ignored; all of shape (K,).

    Attributes:
        target: the class.
        predicted: the class with the largest logit; ties go to the lower one, as for the accuracy.
        of_target, of_predicted: their probabilities, float64.
    """

    target: Tensor
    predicted: Tensor
    of_target: Tensor
    of_predicted: Tensor


@dataclass(frozen=True)
class Judged:
    """The losses of all targets that are not ignored, in the order of the examples and of the targets in each.

    Attributes:
        example: the number of the example that each loss is of, shape (M,).
        loss: float64, shape (M,): one for each target that is a class; else the mean over those of an example.
        classes: None where the model's output is no logits of classes. Where the losses are those of targets, K is M.
    """

    example: Tensor
    loss: Tensor
    classes: Classes | None


@torch.no_grad()
def judge(model: nn.Module, batches: Iterable[tuple[Tensor, Tensor]], loss: Loss) -> Judged:
    """The loss and the prediction for each target of examples, in evaluation mode.

    Args:
        model: on the device of the examples. It is left as it was.
        batches: pairs of inputs (B, ...) and targets (B, ...), at least one; the model may change the inputs.
        loss: of the model's objective.

    Raises:
        PluginError: the model or its loss fails.
    """
    examples, losses, classes = [], [], []
    before = 0
    with evaluating(model), seeded_draws(0), plugin_errors(maker(model), "fails on its data"):
        for x, y in batches:
            output = model(x)
            values = loss.each(output, y, x).double().cpu()  # (B, ...)
            numbers = torch.arange(before, before + len(y)).view(-1, *[1] * (values.ndim - 1)).expand(values.shape)
            kept = _counted(values, y.cpu())
            examples.append(numbers[kept])
            losses.append(values[kept])
            classes.append(_classes(output, y))
            before += len(y)
    found = [one for one in classes if one is not None]
    joined = Classes(*map(torch.cat, zip(*found, strict=True))) if len(found) == len(classes) else None
    return Judged(torch.cat(examples), torch.cat(losses), joined)


def _counted(values: Tensor, y: Tensor) -> Tensor:
    """Which losses are of targets that are not ignored."""
    if y.is_floating_point() or values.shape != y.shape:
        return torch.ones_like(values, dtype=torch.bool)
    return y != IGNORED


def _classes(output: Any, y: Tensor) -> Classes | None:
    if not is_classes(output, y) or not output.is_floating_point():
        return None
    kept = (y != IGNORED).cpu()
    logits: Tensor = in_full_precision(output).cpu()[kept]  # (K, classes)
    target = y.cpu()[kept].long()
    predicted = logits.argmax(-1)
    probabilities = logits.double().softmax(-1)
    of_target, of_predicted = (probabilities.gather(1, one[:, None])[:, 0] for one in (target, predicted))
    return Classes(target, predicted, of_target, of_predicted)
