"""A small net for numbers. Axes: B examples, F features, O outputs."""

from __future__ import annotations

from torch import Tensor, nn


class Net(nn.Module):
    """One hidden layer."""

    def __init__(self, num_features: int, num_outputs: int, hidden_size: int = 32) -> None:
        super().__init__()
        self.hidden = nn.Linear(num_features, hidden_size)
        self.head = nn.Linear(hidden_size, num_outputs)

    def forward(self, x: Tensor) -> Tensor:
        """Numbers (B, O) of features (B, F)."""
        output: Tensor = self.head(self.hidden(x).tanh())
        return output
