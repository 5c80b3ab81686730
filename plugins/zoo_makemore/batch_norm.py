"""Batch norm over the last axis of a tensor of any shape.

Ioffe, Szegedy, "Batch Normalization: Accelerating Deep Network Training by Reducing Internal Covariate Shift", ICML
2015; the lecture "Building makemore Part 3: Activations & Gradients, BatchNorm" builds it by hand.
"""

from __future__ import annotations

from torch import Tensor, nn

import zoo


class BatchNorm(nn.BatchNorm1d):
    """Features normalized by mean and standard deviation over all other axes, with a learned gain and bias."""

    def forward(self, x: Tensor) -> Tensor:
        """(..., C) to (..., C).

        Raises:
            zoo.UsageError: in training, each feature has only one value, and therefore no standard deviation.
        """
        flat = x.flatten(0, -2)  # (N, C)
        if self.training and len(flat) == 1:
            raise zoo.UsageError("batch norm needs more than one example in a batch: give a larger batch size")
        return super().forward(flat).reshape_as(x)
