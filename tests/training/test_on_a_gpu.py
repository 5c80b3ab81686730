"""What a training must do otherwise where its device is a GPU, with a fake of CUDA."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, ClassVar

import pytest
import torch
from fake_cuda import FakeCuda
from recording import cuda_error
from torch import Tensor, nn

import zoo
from zoo import PluginError, Schedule, ZooError, cuda
from zoo.ambient.neutral import neutral
from zoo.data.examples import Examples, TensorExamples
from zoo.plugin.manager import load_plugins
from zoo.runs.runner import Execution
from zoo.training.building import check_forward, fit_model, seeded
from zoo.training.device import suitable_device
from zoo.training.evaluation import evaluate
from zoo.training.loop import Training, train
from zoo.training.objective.objective import PLAIN
from zoo.training.validation import Validation

pytestmark = pytest.mark.usefixtures("typed")  # messages as at the command line


Fake = Callable[..., FakeCuda]
LATE = cuda_error("device-side assert triggered")


class Recurrent(nn.Module):
    """Logits (B, 3) of inputs (B, 4, 2); it remembers whether cuDNN might be used, by its mode."""

    def __init__(self, cell: Callable[..., nn.RNNBase], layers: int, dropout: float) -> None:
        super().__init__()
        self.rnn = cell(2, 3, layers, batch_first=True, dropout=dropout)
        self.cudnn: set[tuple[bool, bool]] = set()

    def forward(self, x: Tensor) -> Tensor:
        self.cudnn.add((self.training, torch.backends.cudnn.enabled))
        states: Tensor = self.rnn(x)[0]
        return states[:, -1]


def examples() -> Examples:
    g = torch.Generator().manual_seed(2)
    return TensorExamples(torch.randn((20, 4, 2), generator=g), torch.randint(0, 3, (20,), generator=g), torch.float32)


def training(model: nn.Module) -> Training:
    data = examples()
    options: dict[str, Any] = {"generator": torch.Generator().manual_seed(3), "validation": Validation(data, every=2)}
    return Training(model, torch.optim.SGD(model.parameters(), 0.1), data, 8, 0.1, Schedule(), **options)


@pytest.fixture
def cudnn() -> Iterator[None]:
    """It is as it was after the test, as are the generators."""
    before = torch.backends.cudnn.enabled
    with seeded(1):
        yield
    assert torch.backends.cudnn.enabled == before
    torch.backends.cudnn.enabled = before


@pytest.mark.usefixtures("cudnn")
@pytest.mark.parametrize("cell", [nn.RNN, nn.GRU, nn.LSTM])
def test_dropout_between_recurrent_layers_draws_from_the_generator_of_torch(
    fake_cuda: Fake, cell: type[nn.RNNBase]
) -> None:
    fake_cuda()
    model = Recurrent(cell, 2, 0.5)
    train(training(model), 5)
    assert model.cudnn == {(True, False), (False, True)}  # it is validated as at the end of a run


@pytest.mark.usefixtures("cudnn")
def test_cudnn_is_back_after_a_step_that_fails(fake_cuda: Fake) -> None:
    fake_cuda()
    model = Recurrent(nn.GRU, 2, 0.5)
    model.rnn.register_forward_pre_hook(lambda *_: 1 / 0)
    with pytest.raises(PluginError):
        train(training(model), 5)


@pytest.mark.usefixtures("cudnn")
@pytest.mark.parametrize(("layers", "dropout", "gpu"), [(2, 0.0, True), (1, 0.0, True), (2, 0.5, False)])
def test_cudnn_computes_all_other_recurrent_layers(fake_cuda: Fake, layers: int, dropout: float, gpu: bool) -> None:
    if gpu:
        fake_cuda()
    model = Recurrent(nn.GRU, layers, dropout)
    train(training(model), 5)
    assert model.cudnn == {(True, True), (False, True)}


class Buffered(nn.Module):
    """A model with a buffer, which is compared after an evaluation."""

    context_length: ClassVar[int] = 3

    def __init__(self) -> None:
        super().__init__()
        self.C = nn.Parameter(torch.zeros(7, 7))
        self.register_buffer("scale", torch.ones(1))

    def forward(self, x: Tensor) -> Tensor:
        return self.C[x[:, -1]]

    def fit(self, x: Tensor, y: Tensor) -> int:
        return len(x)


def tokens() -> Examples:
    g = torch.Generator().manual_seed(2)
    return TensorExamples(torch.randint(7, (20, 3), generator=g), torch.randint(7, (20,), generator=g), torch.int64)


def late(monkeypatch: pytest.MonkeyPatch, fake: FakeCuda) -> None:
    """Let a kernel fail that was launched: CUDA says so to the next one that waits, and then to all."""

    def fails(*_: object) -> Any:
        raise LATE

    fake.fail("synchronize", LATE)
    for name in ("tolist", "item", "__float__"):
        monkeypatch.setattr(Tensor, name, fails)
    monkeypatch.setattr(torch, "equal", fails)


def three_steps(model: Buffered) -> None:
    optimizer = torch.optim.SGD(model.parameters(), 0.1)
    train(Training(model, optimizer, tokens(), 8, 0.1, Schedule(), torch.Generator()), 3)


LATE_CALLS: dict[str, Callable[[Buffered], object]] = {
    "a step": three_steps,
    "the trial": lambda model: check_forward(load_plugins()[0].models.get("mlp-char"), model, tokens(), PLAIN),
    "fitting": lambda model: fit_model(load_plugins()[0].models.get("ngram"), model, tokens()),
    "evaluating": lambda model: evaluate(model, tokens()),
}


@pytest.mark.parametrize("call", LATE_CALLS)
def test_what_a_plugins_kernel_does_wrong_is_its_fault_although_cuda_says_so_later(
    fake_cuda: Fake, monkeypatch: pytest.MonkeyPatch, call: str
) -> None:
    fake, model = fake_cuda(), Buffered()
    late(monkeypatch, fake)
    with pytest.raises(PluginError, match="device-side assert triggered") as caught:
        LATE_CALLS[call](model)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("call", ["synchronize", "get_rng_state", "pin_memory"])
def test_a_gpu_that_fails_in_a_run_is_one_sentence_with_the_way_on(
    fake_cuda: Fake, words_file: Path, monkeypatch: pytest.MonkeyPatch, call: str
) -> None:
    fake = fake_cuda()
    begin = Execution._train

    def train_until_it_fails(*args: Any) -> None:
        fake.fail(call, cuda_error("unspecified launch failure\nFor debugging consider ..."))
        begin(*args)

    monkeypatch.setattr(Execution, "_train", train_until_it_fails)
    with pytest.raises(ZooError) as caught:
        zoo.run("bigram", dataset=words_file, steps=5, out="run", device="cpu", plots=False)
    assert str(caught.value) == (
        "the GPU failed: CUDA error: unspecified launch failure; the last checkpoint is in run; "
        "to resume: zoo resume run"
    )
    fake.mend()
    monkeypatch.setattr(Execution, "_train", begin)
    assert len(zoo.resume("run", device="cpu", plots=False).step_losses) == 5


def test_memory_is_asked_for_by_the_number_of_the_device(fake_cuda: Fake) -> None:
    fake_cuda(devices=2).set_device(1)
    assert cuda.memory(torch.device("cuda")) == (70 << 30, 80 << 30)


def test_generators_are_neutral_where_auto_brings_cuda_into_use(
    fake_cuda: Fake, monkeypatch: pytest.MonkeyPatch
) -> None:
    fake = fake_cuda()
    fake.in_use = False
    monkeypatch.setattr(cuda, "try_out", lambda device: fake.init())
    fake.default_generators[0].manual_seed(7)
    monkeypatch.setattr("zoo.training.device._largest_operation", lambda *_: 10**12)
    with neutral():
        suitable_device(None, None, None, pytest.fail)  # type: ignore[arg-type]
        assert fake._generators[0].tolist() == [0, 0]
    assert fake._generators[0].tolist() == [7, 0]
