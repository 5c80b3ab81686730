"""Stochastic gradient descent whose step is as long as loss and gradient say.

After Loizou, Vaswani, Laradji and Lacoste-Julien, "Stochastic Polyak Step-size for SGD", AISTATS 2021, with momentum.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable

import torch
from torch import Tensor, nn


class Polyak(torch.optim.Optimizer):
    """Steps of `min(lr, loss / (c |gradient|²))`, for losses whose minimum is near 0.

    The lowest loss so far is in its state: it starts at infinity.
    """

    def __init__(self, params: Iterable[nn.Parameter], lr: float = 0.5, c: float = 0.5, momentum: float = 0.5) -> None:
        if c <= 0:
            raise ValueError(f"c must be above 0, got {c}")
        super().__init__(params, {"lr": lr, "c": c, "momentum": momentum, "lowest": math.inf})

    @torch.no_grad()
    def step(self, closure: Callable[[], Tensor]) -> Tensor:  # type: ignore[override]
        loss = closure()
        for group in self.param_groups:
            used = [p for p in group["params"] if p.grad is not None]
            square = sum(p.grad.square().sum() for p in used)
            size = (loss / (group["c"] * square + 1e-12)).clamp(max=group["lr"])
            group["lowest"] = torch.minimum(loss, torch.as_tensor(group["lowest"]).to(loss))
            for p in used:
                state = self.state[p]
                velocity = state.setdefault("velocity", torch.zeros_like(p))
                velocity.mul_(group["momentum"]).addcmul_(p.grad, size, value=-1)
                p += velocity
        return loss
