"""What the models share: checked sizes, and layers whose weights come from a generator that is given."""

from __future__ import annotations

import math
from typing import Any, TypeVar

import torch
from torch import Tensor, nn
from torch.nn import functional as F

_LEVELS = 1 << 16

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


class Dropout(nn.Module):
    """Dropout in a third of the time of torch's on a CPU: four numbers of 16 bits from each one that is drawn.

    Srivastava, Hinton, Krizhevsky, Sutskever, Salakhutdinov, "Dropout: A Simple Way to Prevent Neural Networks from
    Overfitting", JMLR 15 (2014). What is drawn comes from torch's global generator, as torch's own does.
    """

    def __init__(self, share: float) -> None:
        """Take the share that is left out, rounded to a 65,536th on a CPU.

        Raises:
            ValueError: it leaves nothing, or is none.
        """
        super().__init__()
        check_dropout(share)
        self.share = share

    def forward(self, x: Tensor) -> Tensor:
        """Of any shape; in evaluation as it is."""
        if not self.training or self.share == 0:
            return x
        if x.device.type != "cpu" or torch.compiler.is_compiling():
            return F.dropout(x, self.share)
        left_out = min(round(self.share * _LEVELS), _LEVELS - 1)
        drawn = torch.empty(-(-x.numel() // 4), dtype=torch.int64).random_(-(2**63), None).view(torch.int16)
        kept = drawn[: x.numel()].view(x.shape) >= left_out - _LEVELS // 2
        return x * (kept * (_LEVELS / (_LEVELS - left_out)))


def blank(kind: type[M], *args: Any, **kwargs: Any) -> M:
    """A layer of torch's whose weights are still to be drawn: its own come from torch's global generator, which is put
    back. To make it without any, on the device `meta`, would import torch's compiler: that takes a second.
    """
    with torch.random.fork_rng(devices=[]):
        return kind(*args, **kwargs)


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
