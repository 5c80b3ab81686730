"""Parts that the models share: checks of arguments, dropout, and layers initialized from a given generator."""

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
    """Raise ValueError for a dropout probability outside [0, 1)."""
    if not 0 <= dropout < 1:
        raise ValueError(f"dropout must be from 0 to below 1, got {dropout}")


class Dropout(nn.Module):
    """Dropout in a third of the time of torch's on a CPU, by using each random 64-bit integer for four elements.

    Srivastava, Hinton, Krizhevsky, Sutskever, Salakhutdinov, "Dropout: A Simple Way to Prevent Neural Networks from
    Overfitting", JMLR 15 (2014). Like torch's, it uses torch's global generator.
    """

    def __init__(self, p: float) -> None:
        """Set the probability of dropping an element; on a CPU it is rounded to a multiple of 1 / 65,536.

        Raises:
            ValueError: `p` is outside [0, 1).
        """
        super().__init__()
        check_dropout(p)
        self.p = p

    def forward(self, x: Tensor) -> Tensor:
        """`x` of any shape; unchanged in evaluation mode."""
        if not self.training or self.p == 0:
            return x
        if x.device.type != "cpu" or torch.compiler.is_compiling():
            return F.dropout(x, self.p)
        dropped = min(round(self.p * _LEVELS), _LEVELS - 1)
        random = torch.empty(-(-x.numel() // 4), dtype=torch.int64).random_(-(2**63), None).view(torch.int16)
        kept = random[: x.numel()].view(x.shape) >= dropped - _LEVELS // 2
        return x * (kept * (_LEVELS / (_LEVELS - dropped)))


def uninitialized(kind: type[M], *args: Any, **kwargs: Any) -> M:
    """A layer of torch that is yet to be initialized, made without changing torch's global generator.

    Making it on the device `meta` would import torch's compiler, which takes a second.
    """
    with torch.random.fork_rng(devices=[]):
        return kind(*args, **kwargs)


def embedding(rows: int, dim: int, generator: torch.Generator | None, std: float = 1.0) -> nn.Embedding:
    """An embedding table of shape (rows, dim), initialized from a normal distribution."""
    table = uninitialized(nn.Embedding, rows, dim)
    nn.init.normal_(table.weight, std=std, generator=generator)
    return table


def linear(
    n_in: int, n_out: int, generator: torch.Generator | None, *, gain: float = 1.0, bias: bool = True
) -> nn.Linear:
    """A linear layer with normal weights of standard deviation `gain / sqrt(n_in)` and biases of 0.

    A gain of 1 preserves the variance: He, Zhang, Ren, Sun, "Delving Deep into Rectifiers" (2015).
    """
    layer = uninitialized(nn.Linear, n_in, n_out, bias=bias)
    nn.init.normal_(layer.weight, std=gain / math.sqrt(n_in), generator=generator)
    if bias:
        nn.init.zeros_(layer.bias)
    return layer
