"""Sign descent: every weight moves by the learning rate, in the direction that its gradient's sign says.

With `momentum` the sign is that of a running mean of the gradients, after Bernstein, Wang, Azizzadenesheli and
Anandkumar, "signSGD: Compressed Optimisation for Non-Convex Problems", ICML 2018.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import torch
from torch import Tensor, nn


class SignSGD:
    """An optimizer with the methods of `torch.optim.Optimizer` that a training loop calls."""

    def __init__(self, params: Iterable[nn.Parameter], lr: float = 0.01, momentum: float = 0.0) -> None:
        """Take the parameters to update.

        Args:
            params: the parameters.
            lr: how far each weight moves in a step.
            momentum: the share of the running mean that is kept at each step; at 0 there is none.

        Raises:
            ValueError: `momentum` is not from 0 to below 1.
        """
        if not 0 <= momentum < 1:
            raise ValueError(f"momentum must be from 0 to below 1, got {momentum}")
        self.param_groups: list[dict[str, Any]] = [{"params": list(params), "lr": lr, "momentum": momentum}]
        self._means: dict[int, Tensor] = {}  # by the parameter's number

    def zero_grad(self) -> None:
        for _, p, _ in self._numbered():
            p.grad = None

    @torch.no_grad()
    def step(self) -> None:
        for number, p, group in self._numbered():
            if p.grad is None:
                continue
            direction = p.grad
            if group["momentum"]:
                mean = self._means.setdefault(number, torch.zeros_like(p))
                direction = mean.lerp_(p.grad, 1 - group["momentum"])
            p.sub_(group["lr"] * direction.sign())

    def state_dict(self) -> dict[str, Any]:
        """The running means, and the settings of each group."""
        settings = [{key: value for key, value in group.items() if key != "params"} for group in self.param_groups]
        return {"state": dict(self._means), "param_groups": settings}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        parameters = {number: p for number, p, _ in self._numbered()}
        self._means = {number: mean.to(parameters[number]) for number, mean in state_dict["state"].items()}
        for group, saved in zip(self.param_groups, state_dict["param_groups"], strict=True):
            group.update(saved)

    def _numbered(self) -> list[tuple[int, nn.Parameter, dict[str, Any]]]:
        """Each parameter with its number and its group."""
        pairs = [(p, group) for group in self.param_groups for p in group["params"]]
        return [(number, p, group) for number, (p, group) in enumerate(pairs)]
