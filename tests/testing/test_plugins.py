"""`check_plugin`: whose things it checks, with what, and what it says of it. Engines that learn nothing."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
import torch
from offering import DISTRIBUTION, Offer, points
from torch import Tensor, nn

import zoo
import zoo.testing
from zoo.engines import Optimizer, Stop
from zoo.testing.report import Report, Skip, SkippedError, try_rules
from zoo.training.autograd import Autograd


class Sized(nn.Module):
    """Has a setting without a default."""

    def __init__(self, num_features: int, num_classes: int, width: int, generator: torch.Generator) -> None:
        super().__init__()
        self.first = nn.Parameter(torch.randn((num_features, width), generator=generator))
        self.second = nn.Parameter(torch.randn((width, num_classes), generator=generator))

    def forward(self, x: Tensor) -> Tensor:
        return (x @ self.first).tanh() @ self.second


def noisy(noise: float) -> zoo.TensorDataset:
    """Has a setting without a default."""
    data = points()
    x, y = data.example("train")
    return zoo.TensorDataset((x + noise, y), data.splits["val"], data.splits["test"])


class Momentum(torch.optim.SGD):
    """Has a setting without a default."""

    def __init__(self, params: Any, lr: float, momentum: float) -> None:
        super().__init__(params, lr, momentum)


SPECS = (
    zoo.ModelSpec("sized", Sized, dataset="points", optimizer="sgd", lr=0.1, batch_size=4),
    zoo.DatasetSpec("noisy", noisy),
    zoo.OptimizerSpec("momentum", Momentum, lr=0.1),
)
SETTINGS: dict[str, dict[str, object]] = {
    "sized": {"model.width": 4},
    "noisy": {"data.noise": 0.1},
    "momentum": {"optimizer.momentum": 0.5},
}


@pytest.mark.parametrize("name", [DISTRIBUTION, "Zoo.Wrong", "ZOO__wrong"])
def test_a_distribution_is_found_under_every_form_of_its_name(name: str, offer: Offer) -> None:
    offer(SPECS[2])
    assert "optimizer 'zoo-wrong/momentum'" in zoo.testing.check_plugin(
        name, settings={"momentum": SETTINGS["momentum"]}
    )


def test_settings_without_a_default_are_given_by_name(offer: Offer) -> None:
    offer(*SPECS)
    report = zoo.testing.check_plugin(DISTRIBUTION, settings=SETTINGS)
    for what in (
        "model 'zoo-wrong/sized'",
        "dataset 'zoo-wrong/noisy'",
        "dataset 'zoo-wrong/points'",
        "'zoo-wrong/momentum'",
    ):
        assert what in report
    assert report.skipped == ()
    assert str(report) == f"{len(report.passed)} checks passed, 0 skipped"


@pytest.mark.parametrize("left_out", list(SETTINGS))
def test_a_setting_that_is_missing_is_named(left_out: str, offer: Offer) -> None:
    offer(*(spec for spec in SPECS if spec.name == left_out))
    [key] = SETTINGS[left_out]
    with pytest.raises(zoo.UsageError, match=key):
        zoo.testing.check_plugin(DISTRIBUTION)


def test_data_is_given_for_a_model(offer: Offer, words_file: Path) -> None:
    offer(SPECS[0])
    with pytest.raises(zoo.UsageError, match="num_features"):
        zoo.testing.check_plugin(DISTRIBUTION, settings={"sized": SETTINGS["sized"]}, datasets={"sized": words_file})


@pytest.mark.parametrize(
    ("given", "said"),
    [
        (
            {"settings": {"sizzed": {}}},
            "settings names 'sizzed', which this plugin does not have; did you mean 'sized'",
        ),
        ({"datasets": {"momentum": "x.txt"}}, "datasets names 'momentum', which this plugin does not have"),
    ],
)
def test_a_name_that_the_plugin_does_not_have_is_named(given: dict[str, Any], said: str, offer: Offer) -> None:
    offer(*SPECS)
    with pytest.raises(AssertionError) as found:
        zoo.testing.check_plugin(DISTRIBUTION, **given)
    assert said in str(found.value)


def test_what_is_skipped_is_listed_and_a_warning(offer: Offer) -> None:
    offer(zoo.DatasetSpec("wrong", lambda fetch: fetch("x", "https://x.invalid", sha256="0" * 64)))
    with pytest.warns(UserWarning, match="not checked: dataset 'zoo-wrong/wrong': it is downloaded"):
        report = zoo.testing.check_plugin(DISTRIBUTION)
    assert [what for what, _ in report.skipped] == ["dataset 'zoo-wrong/wrong'"]
    assert "\nskipped: dataset 'zoo-wrong/wrong': it is downloaded" in str(report)


def test_a_report_tells_what_passed_and_what_was_skipped_in_order() -> None:
    def skips(subject: int) -> None:
        raise SkippedError(f"not for {subject}")

    report = try_rules("it", {"counts": lambda subject: None, "waits": skips}, 3)
    assert report == Report(("it: counts",), (Skip("it: waits", "not for 3"),))
    assert report.checks == 1
    assert "counts" in report
    assert "waits" not in report
    assert str(report + report) == "2 checks passed, 2 skipped" + 2 * "\nskipped: it: waits: not for 3"


# Engines


class Engine(Autograd):
    def __init__(self, model: nn.Module, optimizer: Optimizer, batch_size: int) -> None:
        super().__init__(model, optimizer)


class DoesNothing(Engine):
    """Returns the right losses."""

    def run(self, x: Tensor, y: Tensor, lrs: Sequence[float], stop: Stop) -> Tensor:
        kept = {name: tensor.clone() for name, tensor in self._model.state_dict().items()}
        losses = super().run(x, y, lrs, stop)
        self._model.load_state_dict(kept)
        return losses


class ConstantRate(Engine):
    def run(self, x: Tensor, y: Tensor, lrs: Sequence[float], stop: Stop) -> Tensor:
        return super().run(x, y, [0.1] * len(lrs), stop)


def with_engine(engine: type[Engine], lr: float) -> zoo.ModelSpec:
    more: dict[str, Any] = {"dataset": "points", "optimizer": "sgd", "batch_size": 4, "lr": lr}
    return zoo.ModelSpec("sized", Sized, engines={"own": engine}, **more)


@pytest.mark.parametrize("engine", [Engine, DoesNothing, ConstantRate])
def test_nothing_is_said_of_engines_where_the_reference_learns_nothing(engine: type[Engine], offer: Offer) -> None:
    offer(with_engine(engine, lr=1e-12))
    with pytest.raises(AssertionError, match="the reference learns nothing, so that engines of 'sized' cannot be told"):
        zoo.testing.check_engines("sized", settings=SETTINGS["sized"])


@pytest.mark.parametrize("engine", [DoesNothing, ConstantRate])
def test_an_engine_that_leaves_out_updates_or_the_schedule_is_found(engine: type[Engine], offer: Offer) -> None:
    offer(with_engine(engine, lr=0.1))
    with pytest.raises(AssertionError, match=r"engine 'own' of 'sized' at step [01] changes 'model.first' otherwise"):
        zoo.testing.check_engines("sized", settings=SETTINGS["sized"], steps=60)


def test_an_engine_is_tried_on_the_loss_of_its_model(offer: Offer) -> None:
    """One that asks for the loss is; one that does not is for cross-entropy alone."""

    class Takes(Autograd):
        def __init__(self, model: nn.Module, optimizer: Optimizer, batch_size: int, loss: Any) -> None:
            super().__init__(model, optimizer, loss=loss)

    more: dict[str, Any] = {"dataset": "points", "optimizer": "sgd", "batch_size": 4, "lr": 0.1}
    loss = "torch.nn.functional:multi_margin_loss"
    offer(zoo.ModelSpec("sized", Sized, engines={"takes": Takes, "own": Engine}, loss=loss, **more))
    report = zoo.testing.check_engines("sized", settings=SETTINGS["sized"], steps=60)
    assert "engine 'takes'" in report
    [(what, why)] = report.skipped
    assert what == "engine 'own' of 'sized'"
    assert "it computes cross-entropy, and the loss is multi_margin_loss" in why
