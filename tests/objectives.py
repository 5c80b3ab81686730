"""Small models and data of every kind of target, and the objective that a spec names for them."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from zoo import DatasetSpec, ModelSpec, TensorDataset
from zoo.data.loading import offered_values
from zoo.plugin.registry import Entry, Plugin
from zoo.training.objective.objective import Objective, make_objective

PLUGIN = Plugin("stars", "zoo-stars", "1.0")


class Linear(nn.Module):
    """Outputs (B, outputs) of inputs (B, 4)."""

    def __init__(self, outputs: int = 3) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.randn(4, outputs, generator=torch.Generator().manual_seed(1)))

    def forward(self, x: Tensor) -> Any:
        return x @ self.weight


class Parts(Linear):
    """A dict, as of a VAE."""

    def forward(self, x: Tensor) -> dict[str, Tensor]:
        return {"out": x @ self.weight, "more": x.square().sum(1)}


class Squeezed(Linear):
    def forward(self, x: Tensor) -> Tensor:
        return (x @ self.weight)[:, 0]


def pair(kind: str, n: int = 37) -> Any:
    g = torch.Generator().manual_seed(3)
    x = torch.randn(n, 4, generator=g)
    y = {
        "classes": torch.randint(0, 3, (n,), generator=g),
        "ignoring": torch.randint(0, 3, (n,), generator=g).where(torch.arange(n) % 4 > 0, -1),
        "numbers": torch.randn(n, 3, generator=g),
        "one number": torch.randn(n, generator=g),
        "one column": torch.randn(n, 1, generator=g),
    }
    return x if kind == "inputs" else (x, y[kind])


def dataset(kind: str, **more: Any) -> TensorDataset:
    return TensorDataset(pair(kind), pair(kind, 11), pair(kind, 12), **more)


def objective(
    data: TensorDataset, model: nn.Module, settings: dict[str, object] | None = None, of_data: Any = None, **spec: Any
) -> Objective:
    model_entry = Entry(ModelSpec("net", "m:Net", **spec), PLUGIN)
    data_entry = Entry(DatasetSpec("data", "m:data", **of_data), PLUGIN) if of_data else None
    offered = offered_values(data)
    return make_objective(model_entry, data_entry, data, model, settings=settings or {}, offered=offered)


ENTRY = Entry(ModelSpec("net", "m:Net"), PLUGIN)
