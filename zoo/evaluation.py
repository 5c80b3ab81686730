"""The loss over a whole split."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import nn

from zoo.datasets import Examples, SplitName
from zoo.training import IGNORED, cross_entropy

_MOST_NUMBERS = 1 << 20  # of the inputs of one batch
_MOST_WORK = 1 << 27  # examples times parameters: a model that is large inside gets fewer examples at a time


@torch.no_grad()
def evaluate(model: nn.Module, examples: Examples) -> float:
    """Mean cross-entropy in nats over every target of `examples` that is not ignored.

    The model is on the device of the examples; the mode of each of its parts is left as it was.
    """
    modes = [(module, module.training) for module in model.modules()]
    model.eval()
    device = examples.y.device
    total = torch.zeros((), dtype=torch.float64, device=device if device.type != "mps" else "cpu")
    count = torch.zeros((), dtype=torch.int64, device=total.device)
    for x, y in examples.in_order(_batch_size(model, examples)):
        total += cross_entropy(model(x), y, "sum").to(total.device, torch.float64)
        count += (y != IGNORED).sum().to(count.device)
    for module, training in modes:  # one by one: a part may have been frozen in evaluation mode
        module.training = training
    return float(total / count)


def evaluate_splits(model: nn.Module, splits: Mapping[SplitName, Examples]) -> dict[str, float]:
    """`evaluate` for each split."""
    return {name: evaluate(model, examples) for name, examples in splits.items()}


def _batch_size(model: nn.Module, examples: Examples) -> int:
    parameters = sum(p.numel() for p in model.parameters())
    by_work = _MOST_WORK // max(1, parameters)
    by_inputs = _MOST_NUMBERS // max(1, examples.x[0].numel())
    return max(1, min(1 << 14, by_work, by_inputs))
