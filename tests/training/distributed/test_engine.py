"""The step of two ranks against that of one process with the same batch, from the same weights."""

from __future__ import annotations

import copy
import json
import os
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch
from launching import launch_function
from torch import Tensor, nn
from torch.nn import functional

from zoo.data.examples import TensorExamples
from zoo.options.schedule import Schedule
from zoo.training.augmentation import Augmentation
from zoo.training.autograd import PLAIN, Autograd, StepOptions
from zoo.training.distributed.engine import DataParallel
from zoo.training.distributed.group import Ranks
from zoo.training.distributed.launch import Launch
from zoo.training.loop import NextSteps, Training
from zoo.training.objective.loss import CROSS_ENTROPY, MEAN_SQUARED, FunctionLoss, Loss

SAME = 1e-6  # relative, of a loss
STEPS = 4


class Net(nn.Module):
    """Two layers, and one that no step uses; a buffer that every step uses."""

    def __init__(self, outputs: int) -> None:
        super().__init__()
        self.first, self.last, self.unused = nn.Linear(6, 16), nn.Linear(16, outputs), nn.Linear(3, 3)
        self.register_buffer("scale", torch.full((16,), 0.5))

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.last(torch.tanh(self.first(x)).mul(self.get_buffer("scale")))
        return out


def numbers(shape: tuple[int, ...], seed: int) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def classes(shape: tuple[int, ...], seed: int) -> Tensor:
    return torch.randint(0, 5, shape, generator=torch.Generator().manual_seed(seed))


def ragged(shape: tuple[int, ...], seed: int) -> Tensor:
    """Classes of which most are to be ignored, and far more of them in the first half of a batch."""
    y = classes(shape, seed)
    y[:, : shape[1] // 2, 1:] = -1
    y[:, 0] = -1
    return y


def of_each(output: Tensor, target: Tensor, *, x: Tensor, model: nn.Module) -> Tensor:
    """A loss of each example that also looks at the inputs and the weights."""
    penalty = sum(p.square().sum() for p in model.parameters())
    return (output - target).square().mean(1) + 0.01 * penalty + 0.1 * x.square().mean(1)


Targets = Callable[[int], Tensor]
SGD = partial(torch.optim.SGD, lr=0.1)


@dataclass(frozen=True)
class Case:
    """What is trained, on what, and how: batches of 7 examples, which two ranks cannot halve."""

    y: Targets
    loss: Callable[[nn.Module], Loss] = lambda model: CROSS_ENTROPY
    optimizer: Callable[..., Any] = SGD
    options: StepOptions = PLAIN
    tolerance: float = SAME
    positions: tuple[int, ...] = ()


def torch_loss(function: Callable[..., Any], **settings: Any) -> Callable[[nn.Module], Loss]:
    return lambda model: FunctionLoss("it", function, "it", "it", settings, frozenset({"reduction", "ignore_index"}))


def own_loss(model: nn.Module) -> Loss:
    return FunctionLoss("it", of_each, "it", "it", asked=frozenset({"x", "model"}), model=model)


FLOATS, WHOLE, RAGGED = partial(numbers, (STEPS, 7, 5)), partial(classes, (STEPS, 7)), partial(ragged, (STEPS, 7, 4))
CASES = {
    "cross-entropy": Case(WHOLE),
    "ignored targets": Case(RAGGED, positions=(4,)),
    "label smoothing": Case(RAGGED, torch_loss(functional.cross_entropy, label_smoothing=0.1), positions=(4,)),
    "squared error": Case(FLOATS, lambda model: MEAN_SQUARED),
    "Huber": Case(
        FLOATS,
        lambda model: FunctionLoss("it", functional.huber_loss, "it", "it", {"delta": 0.5}, frozenset({"reduction"})),
    ),
    "a loss of each example": Case(FLOATS, own_loss),
    "AdamW": Case(WHOLE, optimizer=partial(torch.optim.AdamW, lr=0.01)),
    "clipping": Case(WHOLE, options=StepOptions(clip_norm=0.05)),
    "a closure": Case(
        FLOATS, lambda model: MEAN_SQUARED, partial(torch.optim.LBFGS, lr=0.1, max_iter=3), tolerance=1e-5
    ),
    "bfloat16": Case(WHOLE, options=StepOptions(precision="bfloat16"), tolerance=2e-2),
}


def compare(path: Path) -> None:
    """What differs in each case, in each step, relative to the loss and to the update; written by rank 0."""
    launch = Launch.of(os.environ, [])
    assert launch is not None
    found: dict[str, list[list[float]]] = {}
    with Ranks(launch) as ranks:
        for name, case in CASES.items():
            found[name] = [*differences(case, ranks)]
    if launch.leads:
        path.write_text(json.dumps(found))


def differences(case: Case, ranks: Ranks) -> list[list[float]]:
    torch.manual_seed(1)
    one = Net(5)
    other = copy.deepcopy(one)
    y = case.y(2)
    x = numbers((STEPS, 7, *case.positions, 6), 3)
    own = ranks.part(7)
    first, second = case.optimizer(one.parameters()), case.optimizer(other.parameters())
    alone = Autograd(one, first, case.options, case.loss(one))
    cpu = torch.device("cpu")
    together = DataParallel(other, second, case.options, case.loss(other), ranks=ranks, seed=1, device=cpu)
    found = []
    for k in range(STEPS):
        other.load_state_dict(one.state_dict())
        second.load_state_dict(copy.deepcopy(first.state_dict()))
        before = [p.detach().clone() for p in one.parameters()]
        block = slice(k, k + 1)
        expected = alone.run(x[block], y[block], [0.1], lambda: False)
        got = together.run(x[block, own], y[block, own], [0.1], lambda: False)
        update = sum((p - b).square().sum() for p, b in zip(one.parameters(), before, strict=True)) ** 0.5
        off = sum((p - q).square().sum() for p, q in zip(one.parameters(), other.parameters(), strict=True)) ** 0.5
        found.append([float((got - expected).abs() / expected), float(off / update)])
        assert (one.unused.weight.grad is None) == (other.unused.weight.grad is None)
    return found


@pytest.fixture(scope="module")
def found(tmp_path_factory: pytest.TempPathFactory) -> dict[str, list[list[float]]]:
    folder = tmp_path_factory.mktemp("ranks")
    launched = launch_function(lambda: compare(folder / "found.json"), folder=folder)
    assert launched.wait() == [0, 0], launched.said
    result: dict[str, list[list[float]]] = json.loads((folder / "found.json").read_text())
    return result


@pytest.mark.parametrize("name", CASES)
def test_a_step_is_that_of_one_process(name: str, found: dict[str, list[list[float]]]) -> None:
    losses, updates = zip(*found[name], strict=True)
    assert max(losses) < CASES[name].tolerance
    assert max(updates) < 100 * CASES[name].tolerance
    assert len(losses) == STEPS


class OneOfTwo(Ranks):
    """Knows which part of a batch is its own."""

    def __init__(self, rank: int) -> None:
        self.rank, self.count = rank, 2


@pytest.mark.parametrize("augmented", [False, True])
def test_the_parts_of_a_batch_are_the_batch(augmented: bool) -> None:
    def noisy(x: Tensor, y: Tensor, generator: torch.Generator) -> tuple[Tensor, Tensor]:
        return x + torch.randn(x.shape, generator=generator), y

    def training(ranks: Any) -> Training:
        model = Net(5)
        examples = TensorExamples(numbers((50, 6), 1), classes((50,), 2), torch.float32)
        generator = torch.Generator().manual_seed(4)
        optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
        made = Training(model, optimizer, examples, 7, 0.1, Schedule(), generator)
        made.augment = Augmentation(noisy, "it", 1) if augmented else None
        made.ranks = ranks or made.ranks
        return made

    with torch.random.fork_rng():
        whole = NextSteps(training(None), 3).own()
        parts = [NextSteps(training(OneOfTwo(rank)), 3).own() for rank in (0, 1)]
    for k in (0, 1):
        assert torch.equal(torch.cat([part[k] for part in parts], 1), whole[k])
    assert [len(part[0][0]) for part in parts] == [3, 4]
