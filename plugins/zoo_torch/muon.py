"""Muon for the hidden matrices of a net and AdamW for everything else, as the authors of Muon use it.

Jordan and others, https://kellerjordan.github.io/posts/muon/ (2024): a few steps of a Newton-Schulz iteration
approximately orthogonalize the momentum of a matrix before the update. This is meant for hidden matrices; embeddings,
the output layer, biases and gains are updated by AdamW.

An optimizer does not know the purpose of its parameters. The first and the last matrix are assumed to be the embedding
table and the output layer, as in every text model that creates its parameters in the order of use.

As in Liu and others, "Muon is Scalable for LLM Training" (2025), updates of Muon are scaled to the RMS of AdamW's, so
that both use the same learning rate, schedule and weight decay.
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
    """Two optimizers of torch.optim, with the methods of `torch.optim.Optimizer` that a training loop calls."""

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
        """Divide the parameters between Muon and AdamW.

        Args:
            params: in the order in which the net uses them.
            lr, weight_decay: of both.
            momentum, nesterov, ns_steps: of Muon; `ns_steps` is the number of Newton-Schulz iterations.
            betas: of AdamW.

        Raises:
            ValueError: a value is out of range, or this torch has no Muon.
        """
        if not hasattr(torch.optim, "Muon"):
            raise ValueError(f"torch {torch.__version__} has no Muon: it needs torch 2.9")
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
        """The parameter groups of both, in which a schedule sets the learning rate."""
        return [group for part in self._parts.values() for group in part.param_groups]

    def zero_grad(self) -> None:
        for part in self._parts.values():
            part.zero_grad()

    def step(self) -> None:
        for part in self._parts.values():
            part.step()

    def state_dict(self) -> dict[str, Any]:
        """The states of both, by name."""
        return {name: part.state_dict() for name, part in self._parts.items()}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Restore the states of both. Raises ValueError if the names differ."""
        if state_dict.keys() != self._parts.keys():
            raise ValueError(f"a state of {list(state_dict)} does not fit {list(self._parts)}")
        for name, part in self._parts.items():
            part.load_state_dict(state_dict[name])
