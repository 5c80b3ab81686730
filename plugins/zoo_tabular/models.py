"""A linear model and an MLP of the columns of a table.

Inputs are the raw numbers of a row: their means and standard deviations are buffers of the model, so that a checkpoint
alone predicts from rows as they are. So are those of targets that are numbers, which the output is scaled by.

Axes: B rows, F features, H hidden units, O outputs: classes, or numbers.
"""

from __future__ import annotations

import itertools
import math

import torch
from torch import Tensor, nn


class Scaling(nn.Module):
    """The mean and the standard deviation of columns."""

    means: Tensor
    scales: Tensor

    def __init__(self, size: int, means: tuple[float, ...] | None, scales: tuple[float, ...] | None) -> None:
        """Keep them as buffers of shape (size,), which are saved with the weights.

        Raises:
            ValueError: there are more or fewer, or a deviation is not above 0.
        """
        super().__init__()
        means = (0.0,) * size if means is None else means
        scales = (1.0,) * size if scales is None else scales
        if len(means) != size or len(scales) != size:
            raise ValueError(f"{size} columns have {len(means)} means and {len(scales)} deviations")
        if not all(scale > 0 for scale in scales):
            raise ValueError("a standard deviation must be above 0")
        self.register_buffer("means", torch.tensor(means, dtype=torch.float32))
        self.register_buffer("scales", torch.tensor(scales, dtype=torch.float32))

    def standardize(self, x: Tensor) -> Tensor:
        """Columns with mean 0 and standard deviation 1, shape (B, size)."""
        return (x - self.means) / self.scales

    def restore(self, y: Tensor) -> Tensor:
        """The inverse of `standardize`."""
        return y * self.scales + self.means


class _Table(nn.Module):
    """What the models share: standardized inputs, and outputs in the units of the targets."""

    def __init__(
        self,
        num_features: int,
        num_classes: int | None,
        num_outputs: int | None,
        feature_means: tuple[float, ...] | None,
        feature_scales: tuple[float, ...] | None,
        target_means: tuple[float, ...] | None,
        target_scales: tuple[float, ...] | None,
    ) -> None:
        super().__init__()
        if num_classes is None and num_outputs is None:
            raise ValueError("num_classes or num_outputs must be given")
        self.size = num_classes if num_classes is not None else (num_outputs or 0)
        self.inputs = Scaling(num_features, feature_means, feature_scales)
        self.outputs = None if num_classes is not None else Scaling(self.size, target_means, target_scales)

    def layers(self, x: Tensor) -> Tensor:
        """The output of standardized rows, shape (B, O)."""
        raise NotImplementedError

    def forward(self, x: Tensor) -> Tensor:
        """Logits, or numbers in the units of the targets, shape (B, O), of rows as the table has them, (B, F)."""
        y = self.layers(self.inputs.standardize(x.flatten(1).float()))
        return y if self.outputs is None else self.outputs.restore(y)


class LinearTable(_Table):
    """One linear layer: logistic regression for classes, linear regression for numbers."""

    def __init__(
        self,
        num_features: int,
        num_classes: int | None = None,
        num_outputs: int | None = None,
        feature_means: tuple[float, ...] | None = None,
        feature_scales: tuple[float, ...] | None = None,
        target_means: tuple[float, ...] | None = None,
        target_scales: tuple[float, ...] | None = None,
        generator: torch.Generator | None = None,
    ) -> None:
        """Initialize the weights from `generator`.

        Args:
            num_features: of a row.
            num_classes: for a target of classes.
            num_outputs: for targets that are numbers.
            feature_means, feature_scales: of each feature in the training split; by default 0 and 1.
            target_means, target_scales: of each number, likewise.
            generator: a CPU generator; by default torch's global one.

        Raises:
            ValueError: there are neither classes nor outputs, or the sizes do not fit.
        """
        super().__init__(
            num_features, num_classes, num_outputs, feature_means, feature_scales, target_means, target_scales
        )
        self.linear = _linear(num_features, self.size, generator, gain=0.1)

    def layers(self, x: Tensor) -> Tensor:
        y: Tensor = self.linear(x)
        return y


class MLPTable(_Table):
    """Hidden layers of ReLU units, and a linear output layer."""

    def __init__(
        self,
        num_features: int,
        num_classes: int | None = None,
        num_outputs: int | None = None,
        feature_means: tuple[float, ...] | None = None,
        feature_scales: tuple[float, ...] | None = None,
        target_means: tuple[float, ...] | None = None,
        target_scales: tuple[float, ...] | None = None,
        hidden_sizes: tuple[int, ...] = (64, 64),
        dropout: float = 0.0,
        generator: torch.Generator | None = None,
    ) -> None:
        """Initialize the weights from `generator`.

        Args:
            num_features, num_classes, num_outputs: as of `LinearTable`.
            feature_means, feature_scales, target_means, target_scales: as of `LinearTable`.
            hidden_sizes: the units of each hidden layer.
            dropout: probability of dropping hidden units in training.
            generator: a CPU generator; by default torch's global one.

        Raises:
            ValueError: as `LinearTable`; a size is below 1, or `dropout` not in [0, 1).
        """
        super().__init__(
            num_features, num_classes, num_outputs, feature_means, feature_scales, target_means, target_scales
        )
        if not all(size >= 1 for size in hidden_sizes):
            raise ValueError(f"hidden_sizes must be 1 or above, got {', '.join(map(str, hidden_sizes))}")
        if not 0 <= dropout < 1:
            raise ValueError(f"dropout must be at least 0 and below 1, got {dropout}")
        sizes = [num_features, *hidden_sizes]
        self.hidden = nn.ModuleList(
            _linear(size, units, generator, gain=math.sqrt(2)) for size, units in itertools.pairwise(sizes)
        )
        self.dropout = nn.Dropout(dropout)
        self.head = _linear(sizes[-1], self.size, generator, gain=0.1)

    def layers(self, x: Tensor) -> Tensor:
        for layer in self.hidden:
            x = self.dropout(torch.relu(layer(x)))  # (B, H)
        y: Tensor = self.head(x)
        return y


def _linear(inputs: int, outputs: int, generator: torch.Generator | None, gain: float) -> nn.Linear:
    """A linear layer with normal weights of the standard deviation `gain / sqrt(inputs)`, and biases of 0.

    A `gain` of sqrt(2) is Kaiming's for ReLU; a small one for the output layer makes all classes nearly equally
    probable at first.
    """
    with torch.random.fork_rng(devices=[]):  # torch's own initialization would change its global generator
        layer = nn.Linear(inputs, outputs)
    with torch.no_grad():
        layer.weight.copy_(torch.randn(outputs, inputs, generator=generator) * (gain / math.sqrt(inputs)))
        layer.bias.zero_()
    return layer
