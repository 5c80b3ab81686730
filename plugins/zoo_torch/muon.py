"""Muon for the hidden matrices of a net and AdamW for everything else, as the authors of Muon use it.

Jordan and others, https://kellerjordan.github.io/posts/muon/ (2024): the momentum of a matrix is brought near to an
orthogonal matrix by a few steps of a Newton-Schulz iteration before it is added. That is meant for the matrices inside
a net; embeddings, the output layer, biases and gains go to AdamW.

An optimizer is given parameters and not what they are for. Here the first and the last matrix are taken for the
embeddings and the output layer, which they are in every text model that creates its parameters in the order of use.

As in Liu and others, "Muon is Scalable for LLM Training" (2025), an update of Muon is scaled to the size that one of
AdamW has, so that one learning rate, schedule and weight decay do for both.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import torch
from torch import nn
from torch.optim import Optimizer

from zoo_torch.light import light
from zoo_torch.optimizers import adamw


class Muon:
    """Two optimizers of torch under one name, with the methods of one that a training loop calls."""

    def __init__(
        self,
        params: Iterable[nn.Parameter],
        lr: float = 1e-3,
        weight_decay: float = 0.1,
        momentum: float = 0.95,
        nesterov: bool = True,
        ns_steps: int = 5,
        betas: tuple[float, float] = (0.9, 0.95),
    ) -> None:
        """Part the parameters.

        Args:
            params: in the order in which the net uses them.
            lr, weight_decay: of both.
            momentum, nesterov, ns_steps: of Muon; `ns_steps` iterations of Newton and Schulz.
            betas: of AdamW.

        Raises:
            ValueError: a value is out of range, or this torch has no Muon.
        """
        if not hasattr(torch.optim, "Muon"):
            raise ValueError(f"torch {torch.__version__} has no Muon: torch 2.9 has")
        params = list(params)
        hidden = {id(p) for p in [p for p in params if p.ndim == 2][1:-1]}
        matrices = [p for p in params if id(p) in hidden]
        rest = [p for p in params if id(p) not in hidden]
        self._parts: dict[str, Optimizer] = {}
        if rest:
            self._parts["adamw"] = adamw(rest, lr, betas, weight_decay=weight_decay)
        if matrices:
            self._parts["muon"] = light(torch.optim.Muon)(
                matrices,
                lr,
                weight_decay,
                momentum,
                nesterov,
                ns_steps=ns_steps,
                adjust_lr_fn="match_rms_adamw",
            )

    @property
    def param_groups(self) -> list[dict[str, Any]]:
        """The groups of both, in which a schedule writes the learning rate."""
        return [group for part in self._parts.values() for group in part.param_groups]

    def zero_grad(self) -> None:
        for part in self._parts.values():
            part.zero_grad()

    def step(self) -> None:
        for part in self._parts.values():
            part.step()

    def state_dict(self) -> dict[str, Any]:
        """The state of each, under its name."""
        return {name: part.state_dict() for name, part in self._parts.items()}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Go on from a state. Raises ValueError where it has other parts."""
        if state_dict.keys() != self._parts.keys():
            raise ValueError(f"a state of {list(state_dict)} does not fit {list(self._parts)}")
        for name, part in self._parts.items():
            part.load_state_dict(state_dict[name])
