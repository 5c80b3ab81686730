"""Settings of an optimizer that are edited in config.json take effect in a run that is resumed with --allow-changes."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from conftest import Zoo
from dropping import WORDS, install

import zoo

FROM = 6  # the step from which `factor` counts


class InTheGroup(torch.optim.SGD):
    """Its setting is in param_groups, which a state restores. From step 6 on the learning rate is multiplied by it."""

    def __init__(self, params: Any, lr: float, factor: float = 1.0) -> None:
        super().__init__(params, lr, momentum=0.5)
        for group in self.param_groups:
            group.update(factor=factor, count=0)

    def step(self, closure: Any = None) -> None:  # type: ignore[override]
        for group in self.param_groups:
            group["count"] += 1
            group["lr"] *= group["factor"] if group["count"] > FROM else 1.0
        super().step(closure)


class InAnAttribute(InTheGroup):
    """Its setting is nowhere in the state."""

    def __init__(self, params: Any, lr: float, factor: float = 1.0) -> None:
        super().__init__(params, lr, 1.0)
        self.factor = factor

    def step(self, closure: Any = None) -> None:  # type: ignore[override]
        for group in self.param_groups:
            group["lr"] *= self.factor if group["count"] >= FROM else 1.0
        super().step(closure)


class Wrapper:
    """The groups are within a state of its own form."""

    def __init__(self, params: Any, lr: float, factor: float = 1.0) -> None:
        self.inner = InTheGroup(params, lr, factor)
        self.step, self.zero_grad = self.inner.step, self.inner.zero_grad

    @property
    def param_groups(self) -> list[dict[str, Any]]:
        return self.inner.param_groups

    def state_dict(self) -> dict[str, Any]:
        return {"inner": self.inner.state_dict()}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.inner.load_state_dict(state["inner"])


KINDS = {"group": InTheGroup, "attribute": InAnAttribute, "wrapper": Wrapper}


class Plugin:
    @zoo.hookimpl
    def zoo_optimizers(self) -> list[zoo.OptimizerSpec]:
        return [zoo.OptimizerSpec(name, kind, lr=0.1) for name, kind in KINDS.items()]

    @zoo.hookimpl
    def zoo_datasets(self) -> list[zoo.DatasetSpec]:
        return [zoo.DatasetSpec("words", lambda: zoo.TextDataset(WORDS.split()))]


@pytest.fixture(autouse=True)
def plugin(monkeypatch: pytest.MonkeyPatch) -> None:
    install(monkeypatch, Plugin(), "zoo-factors")


def run(optimizer: str, out: str, steps: int, **settings: object) -> None:
    zoo.run(
        "mlp-char",
        dataset="words",
        optimizer=optimizer,
        steps=steps,
        settings={"model.hidden_size": 4, **{f"optimizer.{key}": value for key, value in settings.items()}},
        device="cpu",
        plots=False,
        out=out,
    )


def edit(out: str, key: str, value: object) -> None:
    path = Path(out) / "config.json"
    config = json.loads(path.read_text())
    config["optimizer"]["hyperparameters"][key] = value
    path.write_text(json.dumps(config))


@pytest.mark.parametrize("kind", list(KINDS))
def test_an_edited_setting_takes_effect_as_if_the_run_had_been_begun_with_it(kind: str) -> None:
    run(kind, "whole", 12, factor=3.0)
    run(kind, "edited", 4)
    edit("edited", "factor", 3.0)
    edited = zoo.resume("edited", steps=12, allow_changes=True, plots=False)
    whole = zoo.load("whole")
    assert edited.config["optimizer"]["hyperparameters"] == whole.config["optimizer"]["hyperparameters"]
    for name, tensor in whole.model.state_dict().items():
        assert torch.equal(tensor, edited.model.state_dict()[name]), name


@pytest.mark.parametrize("kind", list(KINDS))
def test_the_setting_matters(kind: str) -> None:
    """Else the test above could not fail."""
    run(kind, "one", 12)
    run(kind, "other", 12, factor=3.0)
    assert not torch.equal(zoo.load("one").model.C, zoo.load("other").model.C)  # type: ignore[arg-type]


def test_a_setting_that_does_not_fit_what_was_learnt_is_refused_in_one_line(zoo_here: Zoo) -> None:
    run("adamw", "out", 4)
    edit("out", "amsgrad", True)
    outcome = zoo_here("resume", "out", "--steps", 8, "--allow-changes", "--no-plots")
    assert outcome.code == 1
    assert outcome.err.count("\n") == 1
    assert "does not fit the optimizer.hyperparameters that were edited: KeyError: 'max_exp_avg_sq'" in outcome.err


def test_without_leave_an_edited_setting_is_refused(zoo_here: Zoo) -> None:
    run("group", "out", 4)
    edit("out", "factor", 3.0)
    outcome = zoo_here("resume", "out", "--steps", 8, "--no-plots")
    assert outcome.code == 1
    assert "config.json was edited: optimizer.hyperparameters.factor" in outcome.err
