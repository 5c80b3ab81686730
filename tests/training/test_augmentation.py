"""Augmentation changes training batches by the seed and the step alone."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor

from zoo.errors import PluginError
from zoo.training.augmentation import Augmentation

X, Y = torch.arange(24.0).view(4, 3, 2), torch.arange(12).view(4, 3)


def noise(x: Tensor, y: Tensor, generator: torch.Generator) -> tuple[Tensor, Tensor]:
    return x + torch.randn(x.shape, generator=generator), y


def ambient(x: Tensor, y: Tensor, generator: torch.Generator) -> tuple[Tensor, Tensor]:
    return x + torch.randn(x.shape), y


@pytest.mark.parametrize("function", [noise, ambient])
def test_blocks_of_any_length_see_the_same_batches(function: Any) -> None:
    augmentation = Augmentation(function, "augment", 7)
    whole, targets = augmentation.block(X, Y, 10)
    for first, last in ((0, 1), (1, 4), (2, 3)):
        part, _ = augmentation.block(X[first:last], Y[first:last], 10 + first)
        assert torch.equal(part, whole[first:last])
    assert torch.equal(targets, Y)
    assert not torch.equal(whole[0] - X[0], whole[1] - X[1])  # each step has its own
    assert not torch.equal(Augmentation(function, "augment", 8).block(X, Y, 10)[0], whole)


def test_shapes_may_change_alike_for_all_steps() -> None:
    x, y = Augmentation(lambda x, y, generator: (x[:, :1], y * 2), "augment", 0).block(X, Y, 0)
    assert x.shape == (4, 3, 1)
    assert torch.equal(y, Y * 2)


@pytest.mark.parametrize(
    ("function", "told"),
    [
        (lambda x, y, generator: x, "does not return a pair"),
        (lambda x, y, generator: (x, 3), "does not return a pair"),
        (lambda x, y, generator: (x[:1], y), "returns 1 inputs and 3 targets"),
        (lambda x, y, generator: 1 / 0, "fails: ZeroDivisionError"),
        (lambda x, y, generator: (x[:, : 1 + int(x[0, 0] > 0)], y), "does not return batches of one shape"),
    ],
)
def test_one_that_is_wrong_is_named(function: Any, told: str) -> None:
    with pytest.raises(PluginError) as caught:
        Augmentation(function, "augment of dataset 'digits' of plugin zoo-digits 1.0", 0).block(X, Y, 0)
    assert str(caught.value).startswith("augment of dataset 'digits' of plugin zoo-digits 1.0 ")
    assert told in str(caught.value)


def test_inputs_keep_the_type_that_the_model_asked_for() -> None:
    x, _ = Augmentation(lambda x, y, generator: (x.double(), y), "augment", 0).block(X, Y, 0)
    assert x.dtype == torch.float32
    pixels, _ = Augmentation(lambda x, y, generator: (x / 255, y), "augment", 0).block(X.byte(), Y, 0)
    assert pixels.dtype == torch.float32  # whole numbers may become others
