"""A net of convolutions for small images, and what its logits are judged by.

Axes: B images, C channels, S pixels on each side, K classes.
"""

from __future__ import annotations

from torch import Tensor, nn


class CNN(nn.Module):
    """Two layers of convolutions, each with pooling, and an output layer."""

    def __init__(self, num_features: int, num_classes: int, channels: int = 16) -> None:
        super().__init__()
        size = round(num_features**0.5) // 4  # pixels on each side after pooling twice
        self.first = nn.Conv2d(1, channels, 3, padding=1)
        self.second = nn.Conv2d(channels, channels, 3, padding=1)
        self.head = nn.Linear(channels * size * size, num_classes)

    def forward(self, x: Tensor) -> Tensor:
        """Logits (B, K) of images (B, 1, S, S)."""
        hidden = nn.functional.max_pool2d(self.first(x).relu(), 2)  # (B, C, S/2, S/2)
        hidden = nn.functional.max_pool2d(self.second(hidden).relu(), 2)  # (B, C, S/4, S/4)
        logits: Tensor = self.head(hidden.flatten(1))
        return logits


def accuracy(output: Tensor, target: Tensor) -> Tensor:
    """Whether the class with the largest logit is the right one, shape (B,)."""
    return output.argmax(1) == target


def top2(output: Tensor, target: Tensor) -> Tensor:
    """Whether the right class is among the two with the largest logits, shape (B,)."""
    return (output.topk(2).indices == target[:, None]).any(1)
