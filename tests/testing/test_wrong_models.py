"""Deliberately wrong models, losses, metrics and samplers: each rule of `zoo.testing` finds what it is for."""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import Any, ClassVar

import numpy as np
import pytest
import torch
from offering import Offer
from torch import Tensor, nn
from torch.nn import functional

import zoo
import zoo.testing
from zoo.testing.models.forward import FORWARD
from zoo.testing.models.objectives import LOSS, METRICS
from zoo.testing.models.runs import RUNS
from zoo.testing.models.samples import SAMPLES


class Right(nn.Module):
    """Logits (B, 2) of points (B, 3). Each wrong model changes one thing."""

    def __init__(self, num_features: int, num_classes: int, generator: torch.Generator) -> None:
        super().__init__()
        self.table = nn.Parameter(self.drawn((num_features, num_classes), generator))
        self.register_buffer("scale", torch.ones(()))
        self.dropout = nn.Dropout(0.2)

    def drawn(self, shape: tuple[int, ...], generator: torch.Generator) -> Tensor:
        return torch.randn(shape, generator=generator)

    def forward(self, x: Tensor) -> Tensor:
        logits: Tensor = self.dropout(x @ self.table) * self.get_buffer("scale")
        return logits


class FromTheSystem(Right):
    def drawn(self, shape: tuple[int, ...], generator: torch.Generator) -> Tensor:
        return torch.tensor(np.random.default_rng().normal(size=shape), dtype=torch.float32)


class FromRandom(Right):
    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x) * (random.random() if self.training else 1.0)


class FromNumpy(Right):
    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x) + float(np.random.rand())


class FromTorch(Right):
    """Dropout that is never turned off."""

    def forward(self, x: Tensor) -> Tensor:
        return functional.dropout(super().forward(x), 0.2)


class FromItsOwnGenerator(Right):
    def forward(self, x: Tensor) -> Tensor:
        fresh = torch.Generator()
        fresh.seed()
        return super().forward(x) + torch.rand((), generator=fresh) * self.training


class Attribute(Right):
    """A warm-up that counts in an attribute: lost when a run is resumed."""

    calls = 0

    def forward(self, x: Tensor) -> Tensor:
        self.calls += self.training
        return super().forward(x) * min(1.0, 0.1 + 0.1 * self.calls)


class CountsInABuffer(Right):
    """Attribute's right twin."""

    def forward(self, x: Tensor) -> Tensor:
        if self.training:
            self.get_buffer("scale").add_(0.1)
        return super().forward(x)


class BufferInEvaluation(Right):
    def forward(self, x: Tensor) -> Tensor:
        self.get_buffer("scale").add_(0.1)
        return super().forward(x)


class InPlace(Right):
    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x.sub_(x.mean(1, keepdim=True)))


class OverTheBatch(Right):
    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x - x.mean(0))


class NeedsFour(Right):
    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x.view(-1, 2, x.shape[1]).flatten(0, 1))  # two examples at a time


class Detached(Right):
    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x).detach()


class Dead(Right):
    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x).clamp(max=-1e9)


class Infinite(Right):
    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x) + (self.table * 0).sqrt().sum()


class LoadedOtherwise(Right):
    """Rounds its weights as it loads them."""

    def _load_from_state_dict(self, state: dict[str, Any], *args: Any) -> None:
        super()._load_from_state_dict({key: value.bfloat16() for key, value in state.items()}, *args)


MADE = [0]


class CountsModels(Right):
    """Each one made in a process is another: only whole runs tell."""

    def __init__(self, num_features: int, num_classes: int, generator: torch.Generator) -> None:
        super().__init__(num_features, num_classes, generator)
        MADE[0] += 1
        self.factor = 1.0 if MADE[0] < LATER[0] else 1.5

    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x) * self.factor


LATER = [0]


class Tied(Right):
    """Right: one weight under two names, one a transposed view."""

    def __init__(self, num_features: int, num_classes: int, generator: torch.Generator) -> None:
        super().__init__(num_features, num_classes, generator)
        self.other = nn.Linear(num_features, num_classes, bias=False)
        self.other.weight = nn.Parameter(self.table.detach().T)
        self.again = self.table

    def forward(self, x: Tensor) -> Tensor:
        logits: Tensor = super().forward(x) + self.other(x)
        return logits


class Expanded(Right):
    """A buffer of which all elements are one number of memory: nothing can be loaded into it."""

    def __init__(self, num_features: int, num_classes: int, generator: torch.Generator) -> None:
        super().__init__(num_features, num_classes, generator)
        self.register_buffer("shift", torch.zeros(1).expand(num_classes))


class IgnoresItsWidth(Right):
    def __init__(self, num_features: int, num_classes: int, generator: torch.Generator, width: int = 8) -> None:
        super().__init__(num_features, num_classes, generator)


WRONG_MODELS: list[tuple[type[Right], str, str]] = [
    (FromTheSystem, "its weights follow from the seed", "another 'table' each time its constructor is called"),
    (
        FromRandom,
        "its forward pass leaves the generators of Python and NumPy alone",
        "draws from 'random' (testing/test_",
    ),
    (
        FromNumpy,
        "its forward pass leaves the generators of Python and NumPy alone",
        "draws from 'numpy.random' (testing",
    ),
    (
        FromItsOwnGenerator,
        "its forward pass has no state but weights and buffers",
        "something else for the same inputs",
    ),
    (Attribute, "its forward pass has no state but weights and buffers", "changes 'calls', in no state_dict"),
    (InPlace, "its forward pass leaves its inputs as they are", "changes its input in place, in training"),
    (FromTorch, "evaluation gives the same twice", "draws from torch's generator: draw only where self.training"),
    (BufferInEvaluation, "evaluation gives the same twice", "changes 'scale': change it only where self.training"),
    (OverTheBatch, "evaluation takes each example alone", "something else for an example when others are in its batch"),
    (
        NeedsFour,
        "evaluation takes each example alone",
        "fails on a batch of 1 in evaluation, such as the last of a split",
    ),
    (
        Detached,
        "its gradients are finite, and not all zero",
        "has no gradient: its output does not depend on its weights",
    ),
    (Dead, "its gradients are finite, and not all zero", "learns nothing: all its gradients are zero"),
    (Infinite, "its gradients are finite, and not all zero", "a gradient of 'table' that is NaN or infinite"),
    (IgnoresItsWidth, "its width makes it larger", "has 6 parameters with twice its width 'width', and 6 with"),
    (LoadedOtherwise, "its forward pass has no state but weights and buffers", "something else for the same inputs"),
]


def of_model(kind: Callable[..., nn.Module], **more: Any) -> zoo.ModelSpec:
    more |= {"width": "width"} if kind is IgnoresItsWidth else {}
    return zoo.ModelSpec("wrong", kind, dataset="points", optimizer="sgd", lr=0.1, batch_size=4, **more)


@pytest.mark.parametrize(("kind", "rule", "said"), WRONG_MODELS, ids=[kind.__name__ for kind, *_ in WRONG_MODELS])
def test_a_fault_of_a_model_is_found(kind: type[Right], rule: str, said: str, offer: Offer) -> None:
    offer(of_model(kind))
    assert rule in FORWARD
    with pytest.raises(AssertionError, match="model 'wrong'") as found:
        zoo.testing.check_model("wrong")
    assert said in str(found.value)
    assert "\n" not in str(found.value)


@pytest.mark.parametrize("kind", [Right, CountsInABuffer, Tied])
def test_a_right_model_passes_every_rule(kind: type[Right], offer: Offer) -> None:
    offer(of_model(kind))
    report = zoo.testing.check_model("wrong")
    for rule in (*FORWARD, *LOSS, *METRICS, *RUNS, *SAMPLES):
        assert f"model 'wrong': {rule}" in report.passed
    assert not report.skipped


def test_every_rule_has_a_wrong_model() -> None:
    tried = {rule for _, rule, _ in WRONG_MODELS} | {rule for *_, rule, _ in WRONG_LOSSES}
    assert set(FORWARD) <= tried
    assert set(LOSS) <= tried


# Losses


def each(output: Tensor, target: Tensor) -> Tensor:
    """Right: a number for each example."""
    return functional.cross_entropy(output, target, reduction="none")


def reduced(output: Tensor, target: Tensor, reduction: str = "mean") -> Tensor:
    """Right, too."""
    return functional.cross_entropy(output, target, reduction=reduction)


def in_place(output: Tensor, target: Tensor) -> Tensor:
    return each(output.data.sub_(1), target) + output.sum(1) * 0


def half_the_mean(output: Tensor, target: Tensor, reduction: str = "mean") -> Tensor:
    return reduced(output, target, reduction) * (0.5 if reduction == "mean" else 1.0)


def broadcasts(output: Tensor, target: Tensor) -> Tensor:
    """(B, 1) against (B,) is (B, B)."""
    return (output[:, :1] - target).square().mean(1)


def detached(output: Tensor, target: Tensor) -> Tensor:
    return each(output.detach(), target)


def steep(output: Tensor, target: Tensor) -> Tensor:
    return (output.sum(1) * 0).abs().sqrt()


def one_number(output: Tensor, target: Tensor) -> Tensor:
    return reduced(output, target)


WRONG_LOSSES: list[tuple[Callable[..., Tensor], str, str]] = [
    (in_place, "its loss changes nothing in place", "changes the output, the targets or the inputs in place"),
    (
        half_the_mean,
        "its loss is the mean of its numbers",
        "it would be trained on another loss than it is evaluated by",
    ),
    (broadcasts, "its loss takes each example alone", "its number for an example depends on the others"),
    (detached, "its loss has a finite gradient", "has no gradient for the output: it is detached"),
    (steep, "its loss has a finite gradient", "has a gradient that is NaN or infinite"),
]


@pytest.mark.parametrize(("loss", "rule", "said"), WRONG_LOSSES, ids=[loss.__name__ for loss, *_ in WRONG_LOSSES])
def test_a_fault_of_a_loss_is_found(loss: Callable[..., Tensor], rule: str, said: str, offer: Offer) -> None:
    offer(of_model(Right, loss=loss))
    with pytest.raises(AssertionError, match=f"has the loss '{loss.__name__}', which") as found:
        zoo.testing.check_loss("wrong")
    assert said in str(found.value)


def test_a_loss_that_returns_one_number_is_named_before_anything_is_tried(offer: Offer) -> None:
    offer(of_model(Right, loss=one_number))
    with pytest.raises(zoo.PluginError, match=r"loss 'one_number' of .* returns one number for 2 examples"):
        zoo.testing.check_loss("wrong")


@pytest.mark.parametrize("loss", [each, reduced, "torch.nn.functional:cross_entropy", None])
def test_a_right_loss_passes(loss: Any, offer: Offer) -> None:
    offer(of_model(Right, loss=loss))
    assert zoo.testing.check_loss("wrong").checks == len(LOSS)


# Metrics


class Sums:
    """Right: sums and a count."""

    def __init__(self) -> None:
        self.right, self.count = torch.zeros(()), 0

    def update(self, output: Tensor, target: Tensor) -> None:
        self.right, self.count = self.right + (output.argmax(1) == target).sum(), self.count + len(target)

    def compute(self) -> Tensor:
        return self.right / self.count


class MeanOfMeans(Sums):
    def update(self, output: Tensor, target: Tensor) -> None:
        self.right, self.count = self.right + (output.argmax(1) == target).float().mean(), self.count + 1


class OfTheClass(Sums):
    """Keeps what it has seen for all of its kind."""

    seen: ClassVar[list[float]] = []

    def compute(self) -> Tensor:
        self.seen.append(float(super().compute()))
        return torch.tensor(len(self.seen))


class Spoils(Sums):
    def update(self, output: Tensor, target: Tensor) -> None:
        output.sigmoid_()
        super().update(output, target)


@pytest.mark.parametrize(
    ("metric", "said"),
    [
        (MeanOfMeans, "add up sums and counts, and divide in 'compute'"),
        (OfTheClass, "it keeps something"),
        (Spoils, "changes the output or the targets in place"),
    ],
)
def test_a_fault_of_a_metric_is_found(metric: type[Sums], said: str, offer: Offer) -> None:
    offer(of_model(Right, metrics={"own": metric}))
    with pytest.raises(AssertionError, match="own") as found:
        zoo.testing.check_metrics("wrong")
    assert said in str(found.value)


@pytest.mark.parametrize("metric", [Sums, each])
def test_a_right_metric_passes(metric: Any, offer: Offer) -> None:
    offer(of_model(Right, metrics={"own": metric}))
    assert zoo.testing.check_metrics("wrong").checks == len(METRICS)


# Runs and samples


def test_a_model_that_cannot_be_loaded_is_found(offer: Offer) -> None:
    offer(of_model(Expanded))
    with pytest.raises((AssertionError, zoo.ZooError, RuntimeError)):
        zoo.testing.check_model("wrong")


@pytest.mark.parametrize(
    ("made", "said"),
    [(1, "trains otherwise each time"), (2, "stopped and resumed"), (3, "loss over train when it is loaded")],
)
def test_whole_runs_are_compared(made: int, said: str, offer: Offer, monkeypatch: pytest.MonkeyPatch) -> None:
    """The model is another one in the stopped run, in the resumed one, in the loaded one: nothing else finds that."""
    offer(of_model(CountsModels))
    monkeypatch.setattr("zoo.testing.models.check.FORWARD", {})
    monkeypatch.setattr("zoo.testing.models.check.LOSS", {})
    monkeypatch.setattr("zoo.testing.models.check.METRICS", {})
    MADE[0], LATER[0] = 0, made + 1
    with pytest.raises(AssertionError, match=said):
        zoo.testing.check_model("wrong")


def texts(model: nn.Module, n: int, generator: torch.Generator) -> list[str]:
    """Right."""
    return [str(float(torch.rand((), generator=generator))) for _ in range(n)]


def pictures(model: nn.Module, n: int, generator: torch.Generator) -> Tensor:
    """Right."""
    return torch.rand((n, 4, 5), generator=generator)


def unseeded(model: nn.Module, n: int, generator: torch.Generator) -> Tensor:
    return torch.tensor(np.random.default_rng().random((n, 4, 5)))


def always_the_same(model: nn.Module, n: int, generator: torch.Generator) -> Tensor:
    return torch.rand((n, 4, 5), generator=torch.Generator().manual_seed(0))


def too_few(model: nn.Module, n: int, generator: torch.Generator) -> list[str]:
    return texts(model, n - 1, generator)


def too_bright(model: nn.Module, n: int, generator: torch.Generator) -> Tensor:
    return 255 * pictures(model, n, generator)


def flat(model: nn.Module, n: int, generator: torch.Generator) -> Tensor:
    return pictures(model, n, generator).flatten(1)


@pytest.mark.parametrize(
    ("function", "said"),
    [
        (unseeded, "makes something else from the same seed: draw from its argument 'generator'"),
        (always_the_same, "makes the same from every seed: draw from its argument 'generator'"),
        (too_few, "makes 2 texts where 3 are wanted"),
        (too_bright, "numbers from"),
        (flat, r"pictures of shape (3, 20): (3, H, W) or (3, 3, H, W) is wanted"),
    ],
)
def test_a_fault_of_generate_is_found(function: Callable[..., Any], said: str, offer: Offer) -> None:
    offer(of_model(Right, generate=function))
    with pytest.raises(AssertionError, match="'generate' of model 'wrong' makes") as found:
        zoo.testing.check_model("wrong")
    assert said in str(found.value)


@pytest.mark.parametrize("function", [texts, pictures])
def test_a_right_generate_passes(function: Callable[..., Any], offer: Offer) -> None:
    offer(of_model(Right, generate=function))
    assert "its 'generate' makes what is wanted" in zoo.testing.check_model("wrong")
