"""Two small classifiers.

Axes: B examples, H hidden units, K classes; C channels and S pixels on each side of a image.
"""

from __future__ import annotations

from torch import Tensor, nn


class TinyMLP(nn.Module):
    """One hidden layer over all features of an example, whatever its shape."""

    def __init__(self, num_features: int, num_classes: int, hidden_size: int = 32) -> None:
        """Make the layers.

        Args:
            num_features: numbers in one example.
            num_classes: kinds to tell apart.
            hidden_size: hidden units.
        """
        super().__init__()
        self.hidden = nn.Linear(num_features, hidden_size)
        self.head = nn.Linear(hidden_size, num_classes)

    def forward(self, x: Tensor) -> Tensor:
        """Logits, shape (B, K), for examples `x` of shape (B, ...)."""
        hidden = self.hidden(x.flatten(1)).relu()  # (B, H)
        logits: Tensor = self.head(hidden)
        return logits


class TinyConv(nn.Module):
    """Two layers of convolutions, and the mean over the image."""

    def __init__(self, num_classes: int = 4, channels: int = 16, kernel_size: int = 3) -> None:
        """Make the layers.

        Args:
            num_classes: kinds to tell apart.
            channels: of both layers.
            kernel_size: pixels on each side of a convolution; odd.

        Raises:
            ValueError: `kernel_size` is even.
        """
        super().__init__()
        if kernel_size % 2 == 0:
            raise ValueError(f"kernel_size must be odd, got {kernel_size}")
        self.first = nn.Conv2d(1, channels, kernel_size, padding="same")
        self.second = nn.Conv2d(channels, channels, kernel_size, padding="same")
        self.head = nn.Linear(channels, num_classes)

    def forward(self, x: Tensor) -> Tensor:
        """Logits, shape (B, K), for images `x` of shape (B, 1, S, S)."""
        features = self.second(self.first(x).relu()).relu()  # (B, C, S, S)
        logits: Tensor = self.head(features.mean(dim=(2, 3)))
        return logits
