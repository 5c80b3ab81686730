"""The lecture's update, by hand: `p.data += -lr * p.grad`, nothing else. No torch.optim."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Any

import torch
from torch import Tensor, nn

_COMPUTED_AS_THEY_ARE = {torch.float32, torch.float64}  # not in a wider type, as the halves are
_ONE = torch.ones(())


class SGD:
    """Stochastic gradient descent without momentum, weight decay or state.

    It has the methods of `torch.optim.Optimizer` that a training loop calls.
    """

    def __init__(self, params: Iterable[nn.Parameter], lr: float = 0.1) -> None:
        """Take the parameters to update.

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
        """`p.data += -lr * p.grad` for all parameters in one call or two: the same numbers, to the last bit."""
        enabled = torch.is_grad_enabled()
        torch._C._set_grad_enabled(False)  # as `no_grad` does, which takes longer than a small net's products
        try:
            for group in self.param_groups:
                moved = [p for p in group["params"] if p.grad is not None]
                if moved:
                    _add(moved, [p.grad for p in moved], -group["lr"])
        finally:
            torch._C._set_grad_enabled(enabled)

    def state_dict(self) -> dict[str, Any]:
        """The learning rate of each group: there is no other state."""
        return {"state": {}, "param_groups": [{"lr": group["lr"]} for group in self.param_groups]}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        for group, saved in zip(self.param_groups, state_dict["param_groups"], strict=True):
            group["lr"] = saved["lr"]


def _add(tensors: list[Tensor], gradients: list[Tensor], factor: float) -> None:
    """`tensor += factor * gradient` of each, with two roundings, as Python's operators have them.

    On a CPU `addcmul` multiplies from the left, so it rounds `factor * gradient`; times 1, the sum is all that is left
    to round. On a GPU it may have one rounding for both.
    """
    if gradients[0].is_cpu and gradients[0].dtype in _COMPUTED_AS_THEY_ARE:
        torch._foreach_addcmul_(tensors, gradients, [_ONE] * len(tensors), value=factor)
    else:
        torch._foreach_add_(tensors, torch._foreach_mul(gradients, factor))
