"""Losses: which one a run has, what it computes, and that a split's is a sum over a count."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import pytest
import torch
from objectives import ENTRY, Linear, Parts, Squeezed, dataset, objective, pair
from torch import Tensor, nn
from torch.nn import functional

from zoo import PluginError, UnknownNameError, UsageError
from zoo.data.examples import TensorExamples
from zoo.data.loading import encode_tensors
from zoo.training.building import check_forward
from zoo.training.evaluation import evaluate
from zoo.training.objective.loss import CROSS_ENTROPY, MEAN_SQUARED, FunctionLoss, Loss


def per_example(output: Tensor, target: Tensor) -> Tensor:
    return (output - target).abs().sum(1)


class PerExample(nn.Module):
    def forward(self, output: Tensor, target: Tensor) -> Tensor:
        return per_example(output, target)


def scaled(output: Tensor, target: Tensor, *, scale: float = 1.0) -> Tensor:
    return scale * (output - target).square().mean(1)


def reduced(output: Tensor, target: Tensor, *, reduction: str = "mean") -> Tensor:
    values = (output - target).abs().sum(1)
    return values if reduction == "none" else values.mean() if reduction == "mean" else values.sum()


def of_parts(output: dict[str, Tensor], target: Tensor, x: Tensor, model: nn.Module) -> Tensor:
    assert isinstance(model, Parts)
    return (output["out"] - target).square().sum(1) + output["more"] + x.sum(1)


def asking(output: Tensor, target: Tensor, weights: list[float]) -> Tensor:
    return (output - target).square() @ torch.tensor(weights)


def of_inputs(recon: Tensor, x: Tensor) -> Tensor:
    return (recon - x).square().sum(1)


def of_a_model(model: Tensor, target: Tensor) -> Tensor:
    return (model - target).square().sum(1)


of_nats = lambda output, target: per_example(output, target)  # noqa: E731  # it gets an attribute
of_nats.unit = "nats"  # type: ignore[attr-defined]

MODELS: dict[str, Callable[[], nn.Module]] = {
    "classes": Linear,
    "ignoring": Linear,
    "numbers": Linear,
    "one number": Squeezed,
    "one column": lambda: Linear(1),
    "inputs": lambda: Linear(4),
}


@pytest.mark.parametrize("kind", MODELS)
def test_without_a_name_the_targets_decide(kind: str) -> None:
    loss = objective(dataset(kind), MODELS[kind]()).loss
    classes = kind in ("classes", "ignoring")
    assert loss is (CROSS_ENTROPY if classes else MEAN_SQUARED)
    assert loss.unit == ("nats" if classes else "mse_loss")


NAMED: dict[str, tuple[Any, str, dict[str, object]]] = {
    "a path of torch": ("torch.nn.functional:huber_loss", "numbers", {"delta": 0.5}),
    "a function of torch": (functional.smooth_l1_loss, "numbers", {"beta": "0.3"}),
    "a class of torch": ("torch.nn:HuberLoss", "numbers", {"delta": 0.7}),
    "a module without settings": (PerExample, "numbers", {}),
    "smoothed classes": ("torch.nn.functional:cross_entropy", "classes", {"label_smoothing": 0.1}),
    "smoothed, some ignored": ("torch.nn.functional:cross_entropy", "ignoring", {"label_smoothing": 0.1}),
    "a number for each example": (per_example, "numbers", {}),
    "with a setting": (scaled, "numbers", {"scale": 2.5}),
    "with a reduction": (reduced, "numbers", {}),
    "of the inputs": (lambda output, target: (output - target).square().mean(1), "inputs", {}),
}


@pytest.mark.parametrize("name", NAMED)
@pytest.mark.parametrize("size", [1, 5, 37])
def test_the_loss_of_a_split_is_the_mean_over_all_of_it_whatever_the_batches(
    name: str, size: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    factory, kind, settings = NAMED[name]
    data, model = dataset(kind), MODELS[kind]()
    found = objective(data, model, settings, loss=factory)
    examples = encode_tensors(data)["train"]
    x, y = examples.gather(torch.arange(37))
    with torch.no_grad():
        expected = float(found.loss.mean(model(x), y, x))
    monkeypatch.setattr("zoo.training.evaluation.batch_size_of", lambda *_: size)
    assert evaluate(model, examples, found).loss == pytest.approx(expected, rel=1e-5)
    assert not found.loss.is_cross_entropy
    check_forward(ENTRY, model, examples, found)


def test_settings_reach_the_loss_and_others_are_refused_with_the_nearest() -> None:
    data, model = dataset("numbers"), Linear()
    loss = objective(data, model, {"delta": "0.5"}, loss="torch.nn.functional:huber_loss").loss
    output, target = torch.zeros(2, 3), torch.full((2, 3), 4.0)
    assert float(loss.mean(output, target, target)) == pytest.approx(0.5 * (4 - 0.25))
    with pytest.raises(UnknownNameError, match=r"'loss.detla'; did you mean 'loss.delta'"):
        objective(data, model, {"detla": 1}, loss="torch.nn.functional:huber_loss")
    with pytest.raises(UnknownNameError, match=r"mse_loss has no setting 'loss.delta'"):
        objective(data, model, {"delta": 1})
    with pytest.raises(UsageError, match=r"'loss.delta' takes float, not 'much'"):
        objective(data, model, {"delta": "much"}, loss="torch.nn.functional:huber_loss")


def test_torchs_cross_entropy_as_it_is_by_default_is_zoos_own_with_its_engines() -> None:
    assert objective(dataset("classes"), Linear(), loss="torch.nn.functional:cross_entropy").loss is CROSS_ENTROPY


def test_a_loss_may_ask_for_the_inputs_the_model_and_what_the_data_provides() -> None:
    model = Parts()
    loss = objective(dataset("numbers"), model, loss=of_parts).loss
    x = torch.ones(2, 4)
    assert loss.mean(model(x), torch.zeros(2, 3), x).ndim == 0
    data = dataset("numbers", provides={"weights": [1.0, 0.0, 2.0]})
    loss = objective(data, Linear(), loss=asking).loss
    assert float(loss.mean(torch.zeros(1, 3), torch.tensor([[1.0, 5.0, 3.0]]), x)) == 1 + 2 * 9


def test_a_unit_is_what_the_loss_says_or_its_name() -> None:
    data = dataset("numbers")
    assert objective(data, Linear(), loss=of_nats).loss.unit == "nats"
    assert objective(data, Linear(), loss=per_example).loss.unit == "per_example"
    assert objective(dataset("classes"), Linear(), loss="torch.nn:CrossEntropyLoss").loss.unit == "nats"


def test_a_models_loss_goes_before_its_datas_and_that_before_the_targets() -> None:
    data, of_data = dataset("numbers"), {"loss": scaled}
    assert objective(data, Linear(), of_data=of_data, loss=per_example).loss.name == "per_example"
    assert objective(data, Linear(), of_data=of_data).loss.name == "scaled"


def scalar(output: Tensor, target: Tensor) -> Tensor:
    return (output - target).abs().mean()


def broadcast(output: Tensor, target: Tensor) -> Tensor:
    return (output[:, :1] - target[:, 0]).abs()


def no_tensor(output: Tensor, target: Tensor) -> float:
    return 1.0


def no_mean(output: Tensor, target: Tensor, reduction: str) -> Tensor:
    return (output - target).abs().sum(1)


def raising(output: Tensor, target: Tensor) -> Tensor:
    raise RuntimeError("the cat is on the keyboard")


WRONG = {
    "one number": (scalar, "loss 'scalar' of model 'net' of plugin zoo-stars 1.0 returns one number for 2 examples"),
    "broadcast": (broadcast, "loss 'broadcast' of model 'net' of plugin zoo-stars 1.0 returns shape (2, 2)"),
    "no tensor": (no_tensor, "returns a float, not a tensor"),
    "no mean": (no_mean, "does not return one number where its 'reduction' is 'mean'"),
    "raises": (raising, "loss 'raising' of model 'net' of plugin zoo-stars 1.0 fails: RuntimeError: the cat"),
}


@pytest.mark.parametrize("name", WRONG)
def test_a_loss_that_cannot_be_averaged_is_told_before_training(name: str) -> None:
    factory, told = WRONG[name]
    data, model = dataset("numbers"), Linear()
    found = objective(data, model, loss=factory)
    with pytest.raises(PluginError) as caught:
        check_forward(ENTRY, model, encode_tensors(data)["train"], found)
    assert told in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("loss", [None, "torch.nn.functional:l1_loss", "torch.nn:SmoothL1Loss"])
@pytest.mark.parametrize(
    ("kind", "model"), [("one number", lambda: Linear(1)), ("one column", Squeezed), ("numbers", lambda: Linear(2))]
)
def test_an_output_of_another_shape_than_the_target_is_an_error_and_never_broadcast(
    kind: str, model: Callable[[], nn.Module], loss: str | None
) -> None:
    data, made = dataset(kind), model()
    found = objective(data, made, loss=loss)
    with pytest.raises(PluginError, match=r"zoo-stars 1.0 returns an output of shape .* never broadcasts"):
        check_forward(ENTRY, made, encode_tensors(data)["train"], found)


@pytest.mark.parametrize("reduction", [True, False])
def test_ignored_targets_count_neither_in_the_mean_nor_in_the_sum(reduction: bool) -> None:
    def values(output: Tensor, target: Tensor) -> Tensor:
        return output[..., 0] + 100.0 * (target == -1)

    loss: Loss = FunctionLoss("loss", values, "values", "values")
    output, target = torch.tensor([[1.0], [2.0], [3.0], [4.0]]), torch.tensor([0, -1, 2, -1])
    assert float(loss.mean(output, target, output)) == 2.0
    assert [float(part) for part in loss.total(output, target, output)] == [4.0, 2.0]


def test_half_precision_is_summed_as_float32() -> None:
    loss = FunctionLoss("loss", lambda output, target: output.sum(1), "sum", "sum")
    output = torch.full((4096, 1), 1.001, dtype=torch.bfloat16)
    total, count = loss.total(output, torch.zeros(4096, 1), output)
    assert total.dtype == torch.float32
    assert math.isclose(float(total / count), float(output[0]), rel_tol=1e-6)


def test_the_default_evaluation_is_the_sum_of_cross_entropy() -> None:
    model = Linear()
    x, y = pair("ignoring")
    expected = functional.cross_entropy(model(x), y, ignore_index=-1).item()
    assert evaluate(model, TensorExamples(x, y, torch.float32)).loss == pytest.approx(expected, rel=1e-6)


@pytest.mark.parametrize("shape", [(), (5,), (4, 3), (2, 3, 4)], ids=str)
def test_cross_entropy_takes_targets_of_any_shape(shape: tuple[int, ...]) -> None:
    generator = torch.Generator().manual_seed(0)
    logits = torch.randn(6, *shape, 7, generator=generator)
    target = torch.randint(-1, 7, (6, *shape), generator=generator)
    assert CROSS_ENTROPY.problem(logits, target, logits) is None
    loss = CROSS_ENTROPY.mean(logits, target, logits)
    total, count = CROSS_ENTROPY.total(logits, target, logits)
    expected = functional.cross_entropy(logits.reshape(-1, 7), target.reshape(-1), ignore_index=-1)
    assert torch.allclose(loss, expected)
    assert torch.allclose(total / count, expected)


@pytest.mark.parametrize("function", [of_inputs, of_a_model])
def test_output_and_target_go_by_their_places_whatever_their_names(function: Callable[..., Tensor]) -> None:
    loss = objective(dataset("inputs"), Linear(4), loss=function).loss
    output, x = torch.ones(3, 4), torch.zeros(3, 4)
    assert list(map(int, loss.total(output, x, x))) == [12, 3]
