"""What authors of plugins overlook: it works all the same, or one message names the plugin before training starts."""

from __future__ import annotations

import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from conftest import Zoo
from dropping import WORDS, Dropping, install
from torch import Tensor, nn

import zoo


class FromNumpy(Dropping):
    """Its weights, and numbers that no file has, are from every global generator."""

    def __init__(self, vocab_size: int) -> None:
        super().__init__(vocab_size)
        self.scale = random.random() + float(np.random.rand()) + float(torch.rand(()))

    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x) * self.scale


class Momentum(torch.optim.SGD):
    """Keeps attributes of its own."""

    def __init__(self, params: Any, lr: float) -> None:
        super().__init__(params, lr)
        self.count = 0
        self.names = ["a"]

    def step(self, closure: Any = None) -> None:  # type: ignore[override]
        self.count += len(self.names)
        super().step(closure)


class Lazy(Dropping):
    def __init__(self, vocab_size: int) -> None:
        super().__init__(vocab_size)
        self.out = nn.LazyLinear(vocab_size)


class Extra(Dropping):
    def get_extra_state(self) -> dict[str, int]:
        return {"calls": 1}


class Sparse(Dropping):
    def __init__(self, vocab_size: int) -> None:
        super().__init__(vocab_size)
        self.register_buffer("table", torch.eye(3).to_sparse())


class Whole(Dropping):
    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x).long()


class TooFew(Dropping):
    """Too few logits for the last character, which is in none of the first examples."""

    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x)[:, :-1]


class Wordy(Dropping):
    def forward(self, x: Tensor) -> Tensor:
        raise RuntimeError("\n".join(f"backend {number} is not there" for number in range(200)))


class NotANumber(Dropping):
    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x) * torch.nan


def drawn() -> zoo.TextDataset:
    return zoo.TextDataset([*random.sample(WORDS.split(), 20), WORDS.split()[int(np.random.randint(25))]])


def gaps() -> zoo.TensorDataset:
    """Numbers with a missing one."""
    full, y = torch.ones(6, 2), [0, 1, 0, 1, 0, 1]
    missing = full.clone()
    missing[4, 1] = torch.nan
    return zoo.TensorDataset((missing, y), (full, y), (full, y))


def linear(num_features: int, num_classes: int) -> nn.Module:
    return nn.Linear(num_features, num_classes)


REFUSED: dict[str, tuple[type[nn.Module], str]] = {
    "lazy": (Lazy, "has a lazy module: the shape of 'out.weight' must be known when it is made"),
    "extra": (Extra, "has '_extra_state' in its state, a dict: only tensors are saved"),
    "sparse": (Sparse, "has the sparse tensor 'table' in its state: only dense ones are saved"),
    "whole": (Whole, "returns logits of type torch.int64: floating-point numbers are wanted"),
    "too-few": (TooFew, "returns 5 logits, too few for target 5"),
    "wordy": (Wordy, "backend 0 is not there"),
}


class Plugin:
    @zoo.hookimpl
    def zoo_models(self) -> list[zoo.ModelSpec]:
        models: dict[str, Callable[..., Any]] = {name: model for name, (model, _) in REFUSED.items()}
        models |= {"from-numpy": FromNumpy, "not-a-number": NotANumber, "linear": linear}
        return [zoo.ModelSpec(name, model, optimizer="sgd", lr=0.01) for name, model in models.items()]

    @zoo.hookimpl
    def zoo_datasets(self) -> list[zoo.DatasetSpec]:
        return [
            zoo.DatasetSpec("drawn", drawn),
            zoo.DatasetSpec("gaps", gaps),
            zoo.DatasetSpec("few", lambda: zoo.TextDataset(["a"])),
            zoo.DatasetSpec("words", lambda: zoo.TextDataset(WORDS.split())),
        ]

    @zoo.hookimpl
    def zoo_optimizers(self) -> list[zoo.OptimizerSpec]:
        return [zoo.OptimizerSpec("momentum", Momentum, lr=0.1)]


RUN = ("--steps", 2, "--no-plots", "--device", "cpu", "--out", "out", "--json")


@pytest.fixture(autouse=True)
def plugin(monkeypatch: pytest.MonkeyPatch) -> None:
    install(monkeypatch, Plugin(), "zoo-hasty")


@pytest.mark.parametrize("name", REFUSED)
def test_a_model_that_cannot_be_used_is_refused_in_one_line_before_training(name: str, zoo_here: Zoo) -> None:
    outcome = zoo_here("run", name, "--dataset", "words", *RUN)
    lines = outcome.err.strip().splitlines()
    assert outcome.code == 1
    assert len(lines) == 1
    assert len(lines[0]) < 1500
    assert REFUSED[name][1] in lines[0]
    assert f"model '{name}' of plugin zoo-hasty" in lines[0]


def test_a_loaded_model_is_the_one_that_was_trained_whatever_its_constructor_draws(zoo_here: Zoo) -> None:
    states = random.getstate(), np.random.get_state()[1].tolist()  # type: ignore[index]
    trained = zoo_here("run", "from-numpy", "--dataset", "words", *RUN).result["losses"]
    assert zoo_here("eval", "out", "--json").result["losses"] == trained
    assert (random.getstate(), np.random.get_state()[1].tolist()) == states  # type: ignore[index]


def test_data_that_a_function_draws_is_found_again(zoo_here: Zoo) -> None:
    trained = zoo_here("run", "from-numpy", "--dataset", "drawn", *RUN).result
    random.random()
    assert zoo_here("resume", "out", "--steps", 3, "--no-plots", "--json").result["dataset"] == trained["dataset"]


def test_what_is_wrong_with_the_words_of_a_dataset_names_it(zoo_here: Zoo) -> None:
    assert "dataset 'few': has 1 word, too few" in zoo_here("run", "from-numpy", "--dataset", "few", *RUN).err


def test_a_run_with_an_optimizer_that_has_attributes_of_its_own_can_be_resumed(zoo_here: Zoo) -> None:
    assert zoo_here("run", "from-numpy", "--dataset", "words", "--optimizer", "momentum", *RUN).code == 0
    outcome = zoo_here("resume", "out", "--steps", 3, "--no-plots", "--json")
    assert outcome.code == 0, outcome.err


def test_a_loss_that_was_never_a_number_is_not_blamed_on_the_learning_rate(zoo_here: Zoo) -> None:
    err = zoo_here("run", "not-a-number", "--dataset", "words", *RUN).err
    assert "before the first update" in err
    assert "--lr" not in err


def test_nan_in_the_data_is_told_before_training_and_not_blamed_on_the_learning_rate(zoo_here: Zoo) -> None:
    outcome = zoo_here("run", "linear", "--dataset", "gaps", *RUN)
    [line] = outcome.err.splitlines()
    assert "dataset 'gaps': the train split has NaN in X, at row 4, column 1" in line
    assert "--lr" not in line
    assert not Path("out").exists()
