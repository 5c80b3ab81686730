"""Rotary position embeddings: queries and keys are rotated by angles that grow with their position.

The product of a query and a key then depends on their distance alone. Su and others, "RoFormer: Enhanced Transformer
with Rotary Position Embedding" (2021), https://arxiv.org/abs/2104.09864

Axes: L positions, D dimensions of an attention head.
"""

from __future__ import annotations

import torch
from torch import Tensor

_BASE = 10_000.0  # of the paper: the slowest pair of dimensions turns by about 1 / _BASE a position


def check_rotary(head_size: int) -> None:
    """Raise ValueError for a head that does not consist of pairs of dimensions."""
    if head_size % 2:
        raise ValueError(f"rotary needs an even n_embd / n_head, got {head_size}")


def rotations(length: int, head_size: int, device: torch.device) -> Tensor:
    """For each position and pair of dimensions a complex number of absolute value 1, shape (L, D / 2)."""
    pairs = torch.arange(head_size // 2, device=device) * (-2 / head_size)
    angles = torch.arange(length, device=device)[:, None] * _BASE**pairs
    return torch.polar(torch.ones_like(angles), angles)


def rotate(x: Tensor, by: Tensor) -> Tensor:
    """Queries or keys (..., L, D) with each pair of dimensions rotated by `by`, of shape (L, D / 2), in float32."""
    pairs = torch.view_as_complex(x.float().view(*x.shape[:-1], -1, 2))  # (..., L, D / 2)
    return torch.view_as_real(pairs * by).flatten(-2)
