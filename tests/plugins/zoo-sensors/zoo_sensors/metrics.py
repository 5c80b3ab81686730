"""What a model of the temperature is judged by. Outputs and targets have shape (B, 1)."""

from __future__ import annotations

import torch
from torch import Tensor


def within(output: Tensor, target: Tensor, tolerance: float) -> Tensor:
    """Whether each temperature is right but for `tolerance`, which the dataset provides."""
    return (output - target).abs() <= tolerance


within.higher_is_better = True  # type: ignore[attr-defined]


class Worst:
    """The largest error."""

    higher_is_better = False

    def __init__(self) -> None:
        self.error = torch.zeros(())

    def update(self, output: Tensor, target: Tensor) -> None:
        self.error = torch.maximum(self.error.to(output), (output - target).abs().amax())

    def compute(self) -> Tensor:
        return self.error
