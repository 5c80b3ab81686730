"""A plugin with models of every kind that can be sampled or asked for predictions; its data is tiny."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from dropping import install
from torch import Tensor, nn

import zoo

FEATURES = 4
NAMES = ["ant", "bee", "cat, big"]
SIDE = 5


def classifier(num_features: int, num_classes: int, generator: torch.Generator) -> nn.Module:
    layer = nn.Linear(num_features, num_classes)
    nn.init.normal_(layer.weight, generator=generator)
    nn.init.zeros_(layer.bias)
    return layer


def regression(num_features: int, num_outputs: int, generator: torch.Generator) -> nn.Module:
    return classifier(num_features, num_outputs, generator)


class Positions(nn.Module):
    """Logits at each of three positions."""

    def __init__(self, num_features: int, num_classes: int) -> None:
        super().__init__()
        self.layer = nn.Linear(num_features, 3 * num_classes)

    def forward(self, x: Tensor) -> Tensor:
        logits: Tensor = self.layer(x).view(len(x), 3, -1)
        return logits


class Pictures(nn.Module):
    """As a VAE has it: it returns its input anew and something beside it, and pictures are made of noise."""

    def __init__(self, num_features: int) -> None:
        super().__init__()
        self.layer = nn.Linear(num_features, SIDE * SIDE)
        self.out = nn.Linear(SIDE * SIDE, num_features)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        hidden = self.layer(x)
        return self.out(hidden), hidden


def squared(output: Any, target: Tensor) -> Tensor:
    """A number for each example."""
    loss: Tensor = (output[0] - target).square().mean(1)
    return loss


def draw(model: nn.Module, n: int, generator: torch.Generator, brightness: float = 1.0) -> Tensor:
    assert not model.training
    assert not torch.is_grad_enabled()
    return brightness * torch.rand(n, SIDE, SIDE, generator=generator)


def ambient(model: nn.Module, n: int) -> Any:
    """Of the global generators, which are seeded for it."""
    return torch.rand(n, SIDE, SIDE).numpy() * np.random.rand()


def texts(n: int, classes: list[str], generator: torch.Generator, num_features: int) -> list[str]:
    """It asks for what the data provides, and not for the model."""
    assert num_features == FEATURES
    return [f"{classes[int(i)]}\nand more" for i in torch.randint(len(classes), (n,), generator=generator)]


def _x(n: int) -> Tensor:
    return torch.linspace(-1, 1, n * FEATURES).view(n, FEATURES).sin() * 3


def animals() -> zoo.TensorDataset:
    splits = [(_x(n), [i % 3 for i in range(n)]) for n in (30, 25, 6)]
    return zoo.TensorDataset(*splits, classes=NAMES)


def amounts() -> zoo.TensorDataset:
    return zoo.TensorDataset(*((_x(n), _x(n)[:, :2]) for n in (30, 25, 6)))


def pieces() -> zoo.TensorDataset:
    return zoo.TensorDataset(*(_x(n) for n in (30, 25, 6)))


def spots() -> zoo.TensorDataset:
    return zoo.TensorDataset(*((_x(n), [[i % 2, -1, 1] for i in range(n)]) for n in (30, 25, 6)))


class Plugin:
    @zoo.hookimpl
    def zoo_models(self) -> list[zoo.ModelSpec]:
        more: dict[str, Any] = {"optimizer": "sgd", "lr": 0.01, "steps": 2, "batch_size": 4}
        picturing = {"dataset": "pieces", "loss": squared, "metrics": {}, **more}
        return [
            zoo.ModelSpec("classifier", classifier, dataset="animals", **more),
            zoo.ModelSpec("regression", regression, dataset="amounts", **more),
            zoo.ModelSpec("positions", Positions, dataset="spots", **more),
            zoo.ModelSpec("pictures", Pictures, generate=draw, **picturing),
            zoo.ModelSpec("ambient", Pictures, generate=ambient, **picturing),
            zoo.ModelSpec("texts", classifier, dataset="animals", generate=texts, **more),
        ]

    @zoo.hookimpl
    def zoo_datasets(self) -> list[zoo.DatasetSpec]:
        return [zoo.DatasetSpec(made.__name__, made) for made in (animals, amounts, pieces, spots)]


MODELS = ("classifier", "regression", "positions", "pictures", "ambient", "texts")


def train(patch: pytest.MonkeyPatch, name: str) -> Any:
    """The plugin is there; a run of one of its models, loaded from its folder, which has its name."""
    install(patch, Plugin(), "zoo-trained")
    return zoo.load(zoo.run(name, device="cpu", plots=False, out=name).path)


def install_generate(patch: pytest.MonkeyPatch, function: Callable[..., Any]) -> None:
    """Another `generate` for the models that have one."""
    plugin = Plugin()
    made = plugin.zoo_models()
    for spec in made:
        if spec.generate is not None:
            object.__setattr__(spec, "generate", function)
    patch.setattr(Plugin, "zoo_models", zoo.hookimpl(lambda self: made))
    install(patch, Plugin(), "zoo-trained")
