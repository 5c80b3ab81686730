"""What the models share: checked sizes, and layers whose weights come from a generator that is given."""

from __future__ import annotations

import math
from typing import Any, TypeVar

import torch
from torch import nn

M = TypeVar("M", bound=nn.Module)


def check_sizes(**sizes: int) -> None:
    """Raise ValueError for a size below 1."""
    for name, size in sizes.items():
        if size < 1:
            raise ValueError(f"{name} must be at least 1, got {size}")


def check_dropout(dropout: float) -> None:
    """Raise ValueError for a share that leaves nothing, or is none."""
    if not 0 <= dropout < 1:
        raise ValueError(f"dropout must be from 0 to below 1, got {dropout}")


def blank(kind: type[M], *args: Any, **kwargs: Any) -> M:
    """A layer of torch's whose weights are still to be drawn: its own would come from torch's global generator."""
    return kind(*args, **kwargs, device="meta").to_empty(device="cpu")


def embedding(rows: int, dim: int, generator: torch.Generator | None, std: float = 1.0) -> nn.Embedding:
    """A table of normal numbers, (rows, dim)."""
    table = blank(nn.Embedding, rows, dim)
    nn.init.normal_(table.weight, std=std, generator=generator)
    return table


def linear(
    n_in: int, n_out: int, generator: torch.Generator | None, *, gain: float = 1.0, bias: bool = True
) -> nn.Linear:
    """A layer of normal weights of deviation `gain / sqrt(n_in)`, and biases of 0.

    With a gain of 1 outputs vary as much as inputs do: He, Zhang, Ren, Sun, "Delving Deep into Rectifiers" (2015).
    """
    layer = blank(nn.Linear, n_in, n_out, bias=bias)
    nn.init.normal_(layer.weight, std=gain / math.sqrt(n_in), generator=generator)
    if bias:
        nn.init.zeros_(layer.bias)
    return layer
