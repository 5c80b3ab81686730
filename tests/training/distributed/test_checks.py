"""What several ranks would train otherwise than one process: refused, each for its own reason."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor, nn

from zoo.data.examples import TensorExamples
from zoo.errors import UsageError
from zoo.training.distributed.checks import check_engine, check_parallel
from zoo.training.objective.loss import CROSS_ENTROPY, FunctionLoss, Loss

X = torch.arange(40.0).view(10, 4)
CLASSES = TensorExamples(X, torch.arange(10) % 3, torch.float32)
NUMBERS = TensorExamples(X, X[:, :3].clone(), torch.float32, torch.float32)


class Net(nn.Module):
    def __init__(self, *more: nn.Module) -> None:
        super().__init__()
        self.layers = nn.Sequential(nn.Linear(4, 3), *more)

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.layers(x)
        return out


class RunningMean(nn.Module):
    """Subtracts a mean that it keeps of the batches, in the way of batch norm and not of its class."""

    mean: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("mean", torch.zeros(3))

    def forward(self, x: Tensor) -> Tensor:
        if self.training:
            self.mean = 0.9 * self.mean + 0.1 * x.detach().mean(0)
        return x - self.mean


class CountsCalls(nn.Module):
    calls: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("calls", torch.zeros((), dtype=torch.int64))

    def forward(self, x: Tensor) -> Tensor:
        self.calls += 1
        return x


NET = Net()


def by_weight(output: Tensor, target: Tensor, *, reduction: str = "mean") -> Tensor:
    """A loss whose mean is weighted: no sum by the number of targets."""
    values, weights = (output - target).square().mean(1), target.abs().mean(1)
    return (values * weights).sum() / weights.sum() if reduction == "mean" else values * weights


def loss_of(function: Any) -> Loss:
    return FunctionLoss("it", function, "it", "it", asked=frozenset({"reduction"}))


def check(net: nn.Module, examples: TensorExamples = CLASSES, loss: Loss = CROSS_ENTROPY, size: int = 8) -> None:
    check_parallel(net, examples, loss, size, 2, "model 'it'")


@pytest.mark.parametrize(
    ("net", "reason"),
    [
        (Net(nn.BatchNorm1d(3)), "batch norm"),
        (Net(nn.BatchNorm1d(3, track_running_stats=False)), "batch norm"),
        (Net(RunningMean()), "keeps 'layers.1.mean' of the batches"),
        (Net().requires_grad_(False), "is not trained in steps"),
        (nn.Sequential(nn.Embedding(40, 3, sparse=True)), "sparse gradients"),
    ],
)
def test_models(net: nn.Module, reason: str) -> None:
    before = {name: tensor.clone() for name, tensor in net.state_dict().items()}
    with pytest.raises(UsageError, match=reason):
        check(net)
    assert all(torch.equal(tensor, before[name]) for name, tensor in net.state_dict().items())


@pytest.mark.parametrize("net", [Net(), Net(nn.Dropout(0.5)), Net(CountsCalls()), Net(nn.LayerNorm(3))])
def test_sound_models(net: nn.Module) -> None:
    training, state = net.training, torch.get_rng_state()
    check(net)
    assert net.training == training
    assert torch.equal(state, torch.get_rng_state())


def test_losses() -> None:
    check(NET, NUMBERS, loss_of(nn.functional.l1_loss))
    with pytest.raises(UsageError, match="the mean of the loss it is not its sum by the number of targets"):
        check(NET, NUMBERS, loss_of(by_weight))


def test_batches_and_engines() -> None:
    check(NET, size=2)
    with pytest.raises(UsageError, match="batch_size=1 is fewer examples than there are ranks"):
        check(NET, size=1)
    told: list[str] = []
    check_engine("auto", 2, None)
    check_engine("autograd", 2, told.append)
    assert told == []
    check_engine("fused", 2, told.append)
    assert told == ["engine 'fused' trains in one process, and there are 2 ranks; using 'autograd' instead"]
    with pytest.raises(UsageError, match='engine="autograd" trains with all of them'):
        check_engine("fused", 2, None)
