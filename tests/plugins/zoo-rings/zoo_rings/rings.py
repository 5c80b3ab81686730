"""Images of rings of different sizes at different places. There is nothing to predict."""

from __future__ import annotations

import torch

import zoo

SIZE = 12


def rings(examples: int = 2000, seed: int = 0) -> zoo.TensorDataset:
    """Images of shape (N, 12, 12) with pixels in 0..1, 80 % for training and 10 % each for validation and test."""
    generator = torch.Generator().manual_seed(seed)
    place, radius = torch.rand(examples, 2, 1, 1, generator=generator), torch.rand(examples, 1, 1, generator=generator)
    row, column = torch.meshgrid(torch.arange(SIZE), torch.arange(SIZE), indexing="ij")
    distance = torch.hypot(row - 4 - 3 * place[:, 0], column - 4 - 3 * place[:, 1])  # (N, 12, 12), from the centre
    x = torch.exp(-((distance - 2 - 2 * radius) ** 2))
    return zoo.TensorDataset(*x.tensor_split((int(examples * 0.8), int(examples * 0.9))))
