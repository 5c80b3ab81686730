"""Synthetic images of a bar in four directions: flat, upright, falling or rising.

Axes: N images, S pixels on each side, K directions.
"""

from __future__ import annotations

import math

import torch

import zoo

SIZE = 8
DIRECTIONS = ("flat", "upright", "falling", "rising")


def bars(examples: int = 1000, noise: float = 0.3, seed: int = 0) -> zoo.TensorDataset:
    """Equally many images of each direction in random order, 80 % for training and 10 % each for validation and test.

    Args:
        examples: the number of images.
        noise: standard deviation of the noise added to the pixels, which are 0, or 1 on the bar.
        seed: of all random numbers.

    Raises:
        ValueError: too few examples to fill three splits, or noise below 0.
    """
    if examples < 10:
        raise ValueError(f"examples must be at least 10, got {examples}")
    if not 0 <= noise < math.inf:
        raise ValueError(f"noise must be 0 or above, got {noise}")
    generator = torch.Generator().manual_seed(seed)
    y = torch.randperm(examples, generator=generator) % len(DIRECTIONS)  # (N,)
    place = torch.randint(SIZE, (examples, 1, 1), generator=generator)  # (N, 1, 1): where the bar is
    row = torch.arange(SIZE).expand(SIZE, SIZE).T  # (S, S)
    column = row.T
    along = torch.stack([row, column, (row - column) % SIZE, (row + column) % SIZE])  # (K, S, S)
    images = (along[y] == place).float()  # (N, S, S)
    images += noise * torch.randn(images.shape, generator=generator)
    x = images.unsqueeze(1)  # (N, 1, S, S): one channel
    first, second = int(examples * 0.8), int(examples * 0.9)
    return zoo.TensorDataset(
        train=(x[:first], y[:first]), val=(x[first:second], y[first:second]), test=(x[second:], y[second:])
    )
