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


class LazyNorm(Dropping):
    def __init__(self, vocab_size: int) -> None:
        super().__init__(vocab_size)
        self.norm = nn.LazyBatchNorm1d()


class Late(Dropping):
    def __init__(self, vocab_size: int) -> None:
        super().__init__(vocab_size)
        self.late: nn.Linear | None = None

    def forward(self, x: Tensor) -> Tensor:
        self.late = self.late or nn.Linear(6, 6)
        logits: Tensor = self.late(super().forward(x))
        return logits


class LateBuffer(Dropping):
    def forward(self, x: Tensor) -> Tensor:
        self.register_buffer("seen", x[0])
        return super().forward(x)


class NoLength(nn.Linear):
    def __init__(self, vocab_size: int) -> None:
        super().__init__(vocab_size, vocab_size)


class ZeroLength(Dropping):
    context_length = 0


class Argument(nn.Module):
    """Takes `context_length`, and keeps no attribute of that name."""

    def __init__(self, vocab_size: int, context_length: int = 2) -> None:
        super().__init__()
        self.embedding = nn.Embedding(vocab_size, 4)
        self.out = nn.Linear(4 * context_length, vocab_size)

    def forward(self, x: Tensor) -> Tensor:
        logits: Tensor = self.out(self.embedding(x).flatten(1))
        return logits


def argument(vocab_size: int, context_length: int = 2) -> nn.Module:
    return nn.Sequential(nn.Embedding(vocab_size, 4), nn.Flatten(), nn.Linear(4 * context_length, vocab_size))


class Rare(Dropping):
    """Fails in the training step of this number."""

    at = 0

    def forward(self, x: Tensor) -> Tensor:
        self.calls = getattr(self, "calls", -1) + self.training
        if self.training and self.calls == self.at:
            raise IndexError("Target 2 is out of bounds." + " CPU: registered at kernel.cpp:12" * 1000)
        return super().forward(x)


class RareLater(Rare):
    at = 3


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
    "lazy": (Lazy, "has the lazy layer 'out' (LazyLinear), whose weights would not be seeded: give it its"),
    "lazy-norm": (LazyNorm, "has the lazy layer 'norm' (LazyBatchNorm1d), whose weights would not be seeded"),
    "late": (Late, "makes 'late.bias' in its forward pass: weights must be made in the constructor"),
    "late-buffer": (LateBuffer, "makes 'seen' in its forward pass: weights must be made in the constructor"),
    "no-length": (NoLength, "reads windows, and has no 'context_length' of at least 1: neither an attribute"),
    "zero-length": (ZeroLength, "reads windows, and has no 'context_length' of at least 1: neither an attribute"),
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
        models |= {"from-numpy": FromNumpy, "not-a-number": NotANumber, "rare": Rare, "rare-later": RareLater}
        models |= {"argument": Argument, "argument-of-a-function": argument, "linear": linear}
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


@pytest.mark.parametrize("name", ["argument", "argument-of-a-function"])
@pytest.mark.parametrize("given", [(), ("--set", "model.context_length=4")])
def test_a_model_is_served_windows_of_the_length_that_its_constructor_takes(
    name: str, given: tuple[str, ...], zoo_here: Zoo
) -> None:
    trained = zoo_here("run", name, "--dataset", "words", *given, *RUN).result
    assert zoo_here("eval", "out", "--json").result["losses"] == trained["losses"]
    assert zoo.load("out").config["model"]["hyperparameters"] == {
        "context_length": 4 if given else 2
    }  # of which the layers' shapes are made
    assert len(zoo.load("out").sample(3)) == 3
    assert zoo_here("resume", "out", "--steps", 3, "--no-plots", "--json").code == 0


def test_a_failure_in_the_first_step_names_the_model_and_leaves_no_folder(zoo_here: Zoo) -> None:
    outcome = zoo_here("run", "rare", "--dataset", "words", *RUN)
    assert outcome.code == 1
    assert outcome.err.startswith(
        "zoo: error: model 'rare' of plugin zoo-hasty 1.0 fails in a step: IndexError: Target"
    )
    assert outcome.err.count("\n") == 1
    assert len(outcome.err) < 700
    assert not Path("out").exists()
    Path("out").mkdir()
    assert "fails in a step" in zoo_here("run", "rare", "--dataset", "words", *RUN).err
    assert zoo_here("run", "from-numpy", "--dataset", "words", *RUN).code == 0  # in the same folder


def test_a_failure_in_a_later_step_loses_nothing(zoo_here: Zoo, monkeypatch: pytest.MonkeyPatch) -> None:
    options = ("--dataset", "words", "--steps", 9, *RUN[2:])
    outcome = zoo_here("run", "rare-later", *options)
    assert outcome.code == 1
    assert "model 'rare-later' of plugin zoo-hasty 1.0 fails in a step: IndexError" in outcome.err
    step = 3  # blocks of 1, 2 and 4 steps
    assert f"the checkpoint of step {step} is in out" in outcome.err
    assert f"training state at step {step}," in zoo_here("verify", "out").out
    monkeypatch.setattr(RareLater, "at", 100)
    resumed = zoo_here("resume", "out", "--no-plots", "--json")
    assert resumed.code == 0, resumed.err
    whole = zoo_here("run", "rare-later", *options[:-2], "whole", "--json").result
    assert resumed.result["losses"] == whole["losses"]


def test_a_failure_in_the_first_step_of_a_resumed_run_keeps_its_folder(
    zoo_here: Zoo, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Rare, "at", 100)
    with monkeypatch.context() as patch:
        patch.setattr("zoo.runs.runner.train", interrupt)
        with pytest.raises(KeyboardInterrupt):
            zoo.run("rare", dataset="words", steps=2, device="cpu", plots=False, out="out")
    monkeypatch.setattr(Rare, "at", 0)
    outcome = zoo_here("resume", "out", "--no-plots")
    assert "model 'rare' of plugin zoo-hasty 1.0 fails in a step" in outcome.err
    assert "training state at step 0," in zoo_here("verify", "out").out


def interrupt(*_: object, **__: object) -> None:
    raise KeyboardInterrupt


def test_nan_in_the_data_is_told_before_training_and_not_blamed_on_the_learning_rate(zoo_here: Zoo) -> None:
    outcome = zoo_here("run", "linear", "--dataset", "gaps", *RUN)
    [line] = outcome.err.splitlines()
    assert "dataset 'gaps': the train split has NaN in X, at row 4, column 1" in line
    assert "--lr" not in line
    assert not Path("out").exists()
