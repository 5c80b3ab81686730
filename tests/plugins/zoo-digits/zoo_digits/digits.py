"""Images of digits, drawn with a font of 5×7 pixels.

Axes: N images of the data, B of a batch; S pixels on each side.
"""

from __future__ import annotations

import torch
from torch import Tensor

import zoo

SIZE = 12
FONT = """
 ###    #    ###  #####    #  #####  ###  #####  ###   ###
#   #  ##   #   #    #    ##  #     #   #     # #   # #   #
#  ##   #       #   #    # #  ####  #        #  #   # #   #
# # #   #      #     #  #  #      # ####    #    ###   ####
##  #   #     #       # #####     # #   #  #    #   #     #
#   #   #    #    #   #    #  #   # #   #  #    #   # #   #
 ###   ###  #####  ###     #   ###   ###   #     ###   ###
""".strip("\n").splitlines()


def digits(examples: int = 2000, noise: float = 0.2, seed: int = 0) -> zoo.TensorDataset:
    """Digits at random places, 80 % for training and 10 % each for validation and test.

    Args:
        examples: the number of images.
        noise: standard deviation of the noise added to the pixels, which are 0, or 1 on the digit.
        seed: of all random numbers.

    Raises:
        ValueError: too few examples to fill three splits.
    """
    if examples < 10:
        raise ValueError(f"examples must be at least 10, got {examples}")
    generator = torch.Generator().manual_seed(seed)
    y = torch.randint(10, (examples,), generator=generator)
    x = torch.zeros(examples, 1, SIZE, SIZE)
    x[:, :, 2:9, 3:8] = font()[y].unsqueeze(1)
    x = shifted(x, generator)
    x += noise * torch.randn(x.shape, generator=generator)
    ends = int(examples * 0.8), int(examples * 0.9)
    train, val, test = zip(x.tensor_split(ends), y.tensor_split(ends), strict=True)
    return zoo.TensorDataset(train, val, test, classes=[str(digit) for digit in range(10)], augment=augment)


def font() -> Tensor:
    """The ten digits, shape (10, 7, 5)."""
    rows = torch.tensor([[float(pixel == "#") for pixel in line.ljust(60)] for line in FONT])  # (7, 60)
    return rows.reshape(7, 10, 6)[:, :, :5].permute(1, 0, 2)


def augment(x: Tensor, y: Tensor, generator: torch.Generator) -> tuple[Tensor, Tensor]:
    """Shift each image of a batch by up to a pixel, and add a little noise."""
    noise = torch.randn(x.shape, generator=generator).to(x.device)
    return shifted(x, generator) + 0.1 * noise, y


def shifted(x: Tensor, generator: torch.Generator) -> Tensor:
    """Images (N, 1, S, S), each shifted by up to a pixel down or up, and right or left."""
    shift = torch.randint(-1, 2, (2, len(x), 1), generator=generator).to(x.device)
    rows, columns = (torch.arange(SIZE, device=x.device) + shift) % SIZE  # (N, S) each
    images = torch.arange(len(x), device=x.device)[:, None, None]
    return x[images, 0, rows[:, :, None], columns[:, None, :]].unsqueeze(1)
