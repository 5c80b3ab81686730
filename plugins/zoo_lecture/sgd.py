"""The lecture's update, without torch.optim: `p.data += -lr * p.grad`."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Any

import torch
from torch import Tensor, nn

_NATIVE = {torch.float32, torch.float64}  # half-precision types are computed in float32
_ONE = torch.ones(())


class SGD:
    """Stochastic gradient descent without momentum and weight decay.

    It has the methods of `torch.optim.Optimizer` that a training loop calls.
    """

    def __init__(self, params: Iterable[nn.Parameter], lr: float = 0.1) -> None:
        """Set the parameters to update.

        Raises:
            ValueError: `lr` is not a positive number.
        """
        if not 0 < lr < math.inf:
            raise ValueError(f"lr must be a positive number, got {lr}")
        self.param_groups: list[dict[str, Any]] = [{"params": list(params), "lr": lr}]

    def zero_grad(self) -> None:
        for group in self.param_groups:
            for p in group["params"]:
                p.grad = None

    def step(self) -> None:
        """`p.data += -lr * p.grad` for all parameters in one or two calls, bit-identical to one call for each."""
        enabled = torch.is_grad_enabled()
        torch._C._set_grad_enabled(False)  # `no_grad` takes longer than the matrix products of a small net
        try:
            for group in self.param_groups:
                updated = [p for p in group["params"] if p.grad is not None]
                if updated:
                    _add(updated, [p.grad for p in updated], -group["lr"])
        finally:
            torch._C._set_grad_enabled(enabled)

    def state_dict(self) -> dict[str, Any]:
        """The learning rate of each group."""
        return {"state": {}, "param_groups": [{"lr": group["lr"]} for group in self.param_groups]}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        for group, saved in zip(self.param_groups, state_dict["param_groups"], strict=True):
            group["lr"] = saved["lr"]


def _add(tensors: list[Tensor], gradients: list[Tensor], factor: float) -> None:
    """`tensor += factor * gradient` for each pair, with a rounding after the product and one after the sum.

    On a CPU, `addcmul` computes `factor * gradient * 1` from left to right, so it rounds the product before the sum. On
    a GPU it may use a fused multiply-add, with one rounding.
    """
    if gradients[0].is_cpu and gradients[0].dtype in _NATIVE:
        torch._foreach_addcmul_(tensors, gradients, [_ONE] * len(tensors), value=factor)
    else:
        torch._foreach_add_(tensors, torch._foreach_mul(gradients, factor))
