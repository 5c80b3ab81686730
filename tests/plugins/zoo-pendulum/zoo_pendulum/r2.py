"""The coefficient of determination, with the interface of torchmetrics."""

from __future__ import annotations

import torch
from torch import Tensor


class R2Score:
    """The share of the targets' variance that the model explains, for outputs and targets of shape (B, 1)."""

    higher_is_better = True

    def __init__(self) -> None:
        self.outputs: list[Tensor] = []
        self.targets: list[Tensor] = []

    def update(self, output: Tensor, target: Tensor) -> None:
        self.outputs.append(output)
        self.targets.append(target)

    def compute(self) -> Tensor:
        y = torch.cat(self.targets).double()
        return 1 - (torch.cat(self.outputs) - y).square().sum() / (y - y.mean()).square().sum()
