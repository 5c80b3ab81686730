"""Metrics: what they are by default, that they are of a whole split, and which of them decides."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
from objectives import ENTRY, Linear, Parts, Squeezed, dataset, objective, pair
from torch import Tensor, nn

from zoo import PluginError, UnknownNameError, UsageError
from zoo.data.loading import encode_tensors
from zoo.training.building import check_forward
from zoo.training.evaluation import Evaluation, evaluate, metrics_of
from zoo.training.objective.metrics import R2
from zoo.training.objective.objective import LOSS, Monitor, _monitor


class Largest:
    """As torchmetrics' classes are."""

    higher_is_better = True

    def __init__(self, num_outputs: int = 1) -> None:
        self.largest = torch.zeros(num_outputs)

    def update(self, output: Tensor, target: Tensor) -> None:
        self.largest = torch.maximum(self.largest, (output - target).abs().amax(0))

    def compute(self) -> Tensor:
        return self.largest.max()


class Seen(nn.Module):
    """A module: it is moved to the device. It counts the targets that it gets."""

    higher_is_better = False

    def __init__(self) -> None:
        super().__init__()
        self.count = 0

    def update(self, output: Tensor, target: Tensor) -> None:
        assert output.shape[:-1] == target.shape
        assert int(target.min()) >= 0
        self.count += len(target)

    def compute(self) -> int:
        return self.count


def nearest(output: Tensor, target: Tensor) -> Tensor:
    return (output - target).abs().amin(1)


def of_parts(output: dict[str, Tensor], target: Tensor) -> Tensor:
    return output["more"]


@pytest.mark.parametrize(
    ("kind", "names"),
    [("classes", ["accuracy"]), ("ignoring", ["accuracy"]), ("numbers", ["rmse", "r2"]), ("inputs", ["rmse"])],
)
@pytest.mark.parametrize("size", [1, 5, 37])
def test_by_default_the_targets_decide_and_the_batches_do_not(
    kind: str, names: list[str], size: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    data, model = dataset(kind), Linear(4 if kind == "inputs" else 3)
    found = objective(data, model)
    monkeypatch.setattr("zoo.training.evaluation.batch_size_of", lambda *_: size)
    measured = evaluate(model, encode_tensors(data)["train"], found).metrics
    assert list(measured) == names
    x, y = pair(kind) if kind != "inputs" else (pair(kind), pair(kind))
    output = model(x).detach().double()
    if names == ["accuracy"]:
        kept = y >= 0
        assert measured["accuracy"] == float((output.argmax(1) == y)[kept].double().mean())
        return
    error = output - y.double()
    assert measured["rmse"] == pytest.approx(float(error.square().mean().sqrt()), rel=1e-6)
    if "r2" in names:
        total = (y.double() - y.double().mean(0)).square().sum(0)
        assert measured["r2"] == pytest.approx(float((1 - error.square().sum(0) / total).mean()), rel=1e-6)


@pytest.mark.parametrize("offset", [0.0, 1e6])
def test_r2_loses_no_digits_far_from_0(offset: float) -> None:
    g = torch.Generator().manual_seed(0)
    y = torch.randn(1000, generator=g, dtype=torch.float64)
    output = y + 0.1 * torch.randn(1000, generator=g, dtype=torch.float64)
    metric = R2()
    for start in range(0, 1000, 70):
        metric.update(output[start : start + 70] + offset, y[start : start + 70] + offset)
    expected = 1 - float((output - y).square().sum() / (y - y.mean()).square().sum())
    assert metric.compute() == pytest.approx(expected, rel=1e-6)


def test_one_example_has_no_r2() -> None:
    metric = R2()
    metric.update(torch.ones(1, 1), torch.ones(1, 1))
    assert math.isnan(metric.compute())
    assert metrics_of({"val": Evaluation(1.0, {"r2": math.nan})}) == {"val": {"r2": None}}


NAMED: dict[str, tuple[Any, str, Any]] = {
    "a path of torch": ("torch.nn.functional:l1_loss", "numbers", lambda o, y: (o - y).abs().mean()),
    "a number for each example": (nearest, "numbers", lambda o, y: (o - y).abs().amin(1).mean()),
    "a class, with an argument of the data's": (Largest, "numbers", lambda o, y: (o - y).abs().max()),
    "a module": (Seen, "ignoring", lambda o, y: (y >= 0).sum()),
}


@pytest.mark.parametrize("name", NAMED)
@pytest.mark.parametrize("size", [1, 5, 37])
def test_a_named_metric_is_of_the_whole_split(name: str, size: int, monkeypatch: pytest.MonkeyPatch) -> None:
    factory, kind, expected = NAMED[name]
    data, model = dataset(kind), Linear()
    found = objective(data, model, metrics={"one": factory}, of_data={"metrics": {"two": factory}})
    monkeypatch.setattr("zoo.training.evaluation.batch_size_of", lambda *_: size)
    measured = evaluate(model, encode_tensors(data)["train"], found).metrics
    x, y = pair(kind)
    assert list(measured) == ["one", "two"]
    assert measured["one"] == measured["two"] == pytest.approx(float(expected(model(x).detach(), y)), rel=1e-6)


def test_a_metric_of_an_output_with_parts_gets_all_of_it() -> None:
    data, model = dataset("numbers"), Parts()
    found = objective(data, model, loss=lambda output, target: output["more"], metrics={"more": of_parts})
    measured = evaluate(model, encode_tensors(data)["train"], found)
    assert measured.metrics["more"] == pytest.approx(measured.loss)


def test_an_output_that_only_its_loss_understands_has_no_metrics_by_default() -> None:
    for kind in ("numbers", "inputs"):
        data, model = dataset(kind), Parts()
        found = objective(data, model, loss=lambda output, target: output["more"])
        assert found.metrics.names() == []
        check_forward(ENTRY, model, encode_tensors(data)["train"], found)
    assert objective(dataset("numbers"), Linear(), loss="torch.nn:HuberLoss").metrics.names() == ["rmse", "r2"]


class Empty:
    pass


class Pair:
    def update(self, output: Tensor, target: Tensor) -> None: ...
    def compute(self) -> Tensor:
        return torch.zeros(2)


WRONG: dict[str, tuple[Any, str]] = {
    "no class of metrics": (Empty, "has no method 'update'"),
    "two numbers": (Pair, "computes a tensor of shape (2,), not one number"),
    "one number for a batch": (lambda output, target: (output - target).mean(), "returns one number for"),
    "it raises": (lambda output, target: 1 / 0, "fails: ZeroDivisionError"),
    "broadcast": (lambda output, target: output[:, :1] - target[:, 0], "returns shape"),
}


@pytest.mark.parametrize("name", WRONG)
def test_a_wrong_metric_is_named(name: str) -> None:
    factory, told = WRONG[name]
    data, model = dataset("numbers"), Linear()
    found = objective(data, model, metrics={"odd": factory})
    examples = encode_tensors(data)["train"]

    def try_it() -> None:
        check_forward(ENTRY, model, examples, found)
        evaluate(model, examples, found)

    with pytest.raises(PluginError) as caught:
        try_it()
    assert str(caught.value).startswith("metric 'odd' of model 'net' of plugin zoo-stars 1.0 ")
    assert told in str(caught.value)


@pytest.mark.parametrize(
    ("asked", "expected"),
    [
        (None, Monitor()),
        ("loss", Monitor()),
        ("r2", Monitor("r2", True)),
        ("rmse", Monitor("rmse", False)),
        ("r2:min", Monitor("r2", False)),
        ("rmse:max", Monitor("rmse", True)),
    ],
)
def test_a_metric_says_whether_higher_is_better_and_a_person_may_say_otherwise(
    asked: str | None, expected: Monitor
) -> None:
    metrics = objective(dataset("one number"), Squeezed()).metrics
    assert _monitor(asked, metrics) == expected
    assert expected.rank(2.0, {"r2": 3.0, "rmse": 3.0}) == (
        2.0 if expected.name == LOSS else 3.0 * (1 - 2 * expected.higher)
    )


@pytest.mark.parametrize(
    ("asked", "error", "told"),
    [
        ("acuracy", UnknownNameError, "this run has no metric 'acuracy'; there are: loss, near"),
        ("near", UsageError, 'does not say whether higher is better: monitor="near:max" or near:min'),
        ("near:up", UsageError, "takes NAME, NAME:max or NAME:min"),
    ],
)
def test_what_cannot_be_monitored_is_refused(asked: str, error: type[Exception], told: str) -> None:
    metrics = objective(dataset("numbers"), Linear(), metrics={"near": nearest}).metrics
    with pytest.raises(error, match=told):
        _monitor(asked, metrics)
