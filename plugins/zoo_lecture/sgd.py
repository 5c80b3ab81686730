"""The lecture's update, by hand: `p.data += -lr * p.grad`, nothing else. No torch.optim."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Any

import torch
from torch import nn


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

    @torch.no_grad()
    def step(self) -> None:
        """`p.data += -lr * p.grad` for all parameters in two calls: the same numbers, to the last bit."""
        for group in self.param_groups:
            moved = [p for p in group["params"] if p.grad is not None]
            if moved:
                torch._foreach_add_(moved, torch._foreach_mul([p.grad for p in moved], -group["lr"]))

    def state_dict(self) -> dict[str, Any]:
        """The learning rate of each group: there is no other state."""
        return {"state": {}, "param_groups": [{"lr": group["lr"]} for group in self.param_groups]}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        for group, saved in zip(self.param_groups, state_dict["param_groups"], strict=True):
            group["lr"] = saved["lr"]
