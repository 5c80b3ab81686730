"""A plugin whose models and data use torch's global generator, as dropout and torch's own initializations do."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor, nn

import zoo
from zoo.plugin import manager
from zoo.plugin.entry_points import FoundDistribution

WORDS = "\n".join(a + b for a in "abeln" for b in "abeln")


class Dropping(nn.Module):
    """Its weights and its dropout come from torch's global generator."""

    context_length = 3

    def __init__(self, vocab_size: int) -> None:
        super().__init__()
        self.embedding = nn.Embedding(vocab_size, 4)
        self.out = nn.Linear(12, vocab_size)
        self.dropout = nn.Dropout(0.5)

    def forward(self, x: Tensor) -> Tensor:
        logits: Tensor = self.out(self.dropout(self.embedding(x).flatten(1)))
        return logits


def linear(num_features: int, num_classes: int) -> nn.Module:
    return nn.Linear(num_features, num_classes)


def numbers() -> zoo.TensorDataset:
    """Data made by torch, from its global generator and in its default type."""
    x = [[float(i), i / 3, float(torch.rand(()))] for i in range(12)]
    y = [i % 3 for i in range(12)]
    return zoo.TensorDataset((x, y), (x, y), (x, y))


class Plugin:
    @zoo.hookimpl
    def zoo_models(self) -> list[zoo.ModelSpec]:
        return [
            zoo.ModelSpec("dropping", Dropping, optimizer="adam", lr=0.01),
            zoo.ModelSpec("linear", linear, optimizer="sgd", lr=0.01),
        ]

    @zoo.hookimpl
    def zoo_datasets(self) -> list[zoo.DatasetSpec]:
        return [zoo.DatasetSpec("numbers", numbers)]


class Point:
    """An entry point that needs no installation."""

    name = "main"

    def __init__(self, plugin: object, distribution: str = "zoo-dropping") -> None:
        self._plugin = plugin
        self.dist = FoundDistribution(distribution, "1.0")

    def load(self) -> object:
        return self._plugin


def install(patch: pytest.MonkeyPatch, plugin: object, distribution: str = "zoo-dropping") -> None:
    """Let zoo find a plugin beside those that are installed."""
    find: Any = vars(manager)["find_entry_points"]
    patch.setattr(manager, "find_entry_points", lambda group: [*find(group), Point(plugin, distribution)])
