"""Activations, dead units, gradients and updates, against torch and NumPy computed in other ways."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from dropping import install
from reading import read
from torch import Tensor, nn
from torch.nn import functional as F

import zoo
from zoo.errors import PluginError
from zoo.files import canonical_json
from zoo.reports.health.activations import BINS, FUNCTIONS, Layer, activations
from zoo.reports.health.batches import Measured
from zoo.reports.health.findings import findings
from zoo.reports.health.steps import Parameter, Steps, measure_steps
from zoo.reports.reported import ReportedRun
from zoo.reports.sections import health
from zoo.training.building import seeded

NO_TARGETS = torch.zeros(0)


def batches(*shape: int, count: int = 3) -> list[tuple[Tensor, Tensor]]:
    g = torch.Generator().manual_seed(1)
    return [(torch.randn(shape, generator=g), torch.zeros(shape[0], dtype=torch.int64)) for _ in range(count)]


class Sick(nn.Module):
    """10 relu units of which 3 are dead, and 6 tanh units of which 2 are always saturated and 1 nearly always."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.second = nn.Linear(4, 10), nn.Linear(10, 6)
        with torch.no_grad():
            self.first.weight[:3] = 0
            self.first.bias[:3] = -1
            self.second.weight.mul_(0.1)
            self.second.weight[:2] = 0
            self.second.bias[:3] = torch.tensor([5.0, -5.0, 0.0])
            self.second.weight[2] = 0
            self.second.weight[2, 3] = 100.0

    def forward(self, x: Tensor) -> Tensor:
        return torch.tanh(self.second(F.relu(self.first(x))))


def test_dead_and_saturated_units_are_found_exactly() -> None:
    with seeded(0):
        model, data = Sick(), batches(32, 4, count=4)
    relu, tanh = activations(model, data)
    model.requires_grad_(requires_grad=False)
    x = torch.cat([one for one, _ in data])
    first = model.first(x).clamp(min=0)
    second = model.second(first).tanh()
    assert (relu.function.name, relu.units, relu.examples, relu.dead) == ("relu", 10, 128, 3 + _dead_by_chance(first))
    assert tanh.dead == int((second.abs() > 0.97).all(0).sum()) >= 2
    assert relu.flat == pytest.approx(float((first == 0).double().mean()))
    assert tanh.flat == pytest.approx(float((second.abs() > 0.97).double().mean()))
    assert tanh.unit_flat is not None
    np.testing.assert_allclose(tanh.unit_flat, (second.abs() > 0.97).double().mean(0))
    for layer, outputs in ((relu, first), (tanh, second)):
        assert layer.mean == pytest.approx(float(outputs.mean()), rel=1e-5)
        assert layer.std == pytest.approx(float(outputs.std()), rel=1e-5)
    counts, _ = np.histogram(second.detach(), BINS, (-1, 1))
    assert tanh.counts == counts.tolist()
    assert tanh.edges == (-1, 1)
    assert relu.edges[0] == 0
    assert relu.edges[1] == pytest.approx(float(first.max()))


def _dead_by_chance(outputs: Tensor) -> int:
    return int((outputs == 0).all(0)[3:].sum())


def test_they_are_said_in_sentences() -> None:
    flat = torch.tensor([1.0, 1.0, 0.95, 0.2])
    layer = Layer("forward", FUNCTIONS["tanh"], 4, 128, 0.7875, flat, 0, 1, [1] * BINS, (-1, 1))
    assert findings([layer], None) == [
        "79 % of the outputs of tanh are saturated (|tanh| > 0.97); with Kaiming-scaled initialization it is a few "
        "percent at first. Little gradient passes there: the weights before it are large.",
        "3 of 4 tanh units are saturated for more than 90 % of the examples.",
        "2 of 4 tanh units are dead: |tanh| > 0.97 for every one of 128 examples, so that next to no gradient reaches "
        "the weights before.",
    ]
    relu = Layer("h\u202e", FUNCTIONS["relu"], 4, 128, 0.7875, flat, 0, 1, [1] * BINS, (0, 1))
    assert [line.split(":")[0] for line in findings([relu, relu], None)] == [
        "2 of 4 relu units of h\\u202e are dead"
    ] * 2
    fine = Layer("forward", FUNCTIONS["tanh"], 4, 128, 0.2, torch.full((4,), 0.2), 0, 1, [1] * BINS, (-1, 1))
    assert findings([fine], None) == []


class InPlace(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(4, 5)

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.layer(x)
        return y.tanh_()


class Loop(nn.Module):
    """One cell, called at each of three positions; then a layer of the same function."""

    def __init__(self) -> None:
        super().__init__()
        self.cell, self.out = nn.Linear(4, 4), nn.Linear(4, 4)

    def forward(self, x: Tensor) -> Tensor:
        for _ in range(3):
            x = torch.tanh(self.cell(x))
        return torch.tanh(self.out(x))


class Layers(nn.Module):
    """Several layers, with the same line of code for each."""

    def __init__(self) -> None:
        super().__init__()
        self.layers = nn.ModuleList(nn.Linear(4, 4) for _ in range(2))

    def forward(self, x: Tensor) -> Tensor:
        for layer in self.layers:
            x = torch.tanh(layer(x))
        return x


class Cell(nn.Module):
    def __init__(self, kind: Any) -> None:
        super().__init__()
        self.rnn = kind(4, 5, batch_first=True)

    def forward(self, x: Tensor) -> Tensor:
        output: Tensor = self.rnn(x)[0]
        return output


def sequence(*modules: nn.Module) -> nn.Sequential:
    return nn.Sequential(nn.Linear(4, 5), *modules)


SEEN: dict[str, tuple[Callable[[], nn.Module], tuple[int, ...], list[tuple[str, str, int, int]]]] = {
    "a module": (lambda: sequence(nn.Tanh()), (8, 4), [("1", "tanh", 5, 24)]),
    "in place": (lambda: sequence(nn.ReLU(inplace=True)), (8, 4), [("1", "relu", 5, 24)]),
    "a method in place": (lambda: InPlace(), (8, 4), [("forward", "tanh", 5, 24)]),
    "several": (
        lambda: sequence(nn.GELU(), nn.SiLU(), nn.Sigmoid(), nn.ELU(), nn.LeakyReLU(), nn.Softplus(), nn.Hardtanh()),
        (8, 4),
        [
            (str(place), name, 5, 24)
            for place, name in enumerate(("gelu", "silu", "sigmoid", "elu", "leaky_relu", "softplus", "hardtanh"), 1)
        ],
    ),
    "a loop": (lambda: Loop(), (8, 4), [("forward, after cell", "tanh", 4, 72), ("forward, after out", "tanh", 4, 24)]),
    "several in a loop": (
        lambda: Layers(),
        (8, 4),
        [("forward, after layers.0", "tanh", 4, 24), ("forward, after layers.1", "tanh", 4, 24)],
    ),
    "within a module": (
        lambda: nn.Sequential(sequence(nn.Tanh()), nn.Linear(5, 4), InPlace()),
        (8, 4),
        [("0.1", "tanh", 5, 24), ("2", "tanh", 5, 24)],
    ),
    "pictures": (lambda: nn.Sequential(nn.Conv2d(1, 7, 3), nn.ReLU()), (8, 1, 6, 6), [("1", "relu", 7, 8 * 3 * 16)]),
    "positions": (lambda: sequence(nn.Tanh()), (8, 3, 4), [("1", "tanh", 5, 72)]),
    "an Elman RNN": (lambda: Cell(nn.RNN), (8, 3, 4), [("rnn", "rnn_tanh", 5, 72)]),
    "an LSTM": (lambda: Cell(nn.LSTM), (8, 3, 4), [("rnn", "lstm", 5, 72)]),
    "a GRU": (lambda: Cell(nn.GRU), (8, 3, 4), [("rnn", "gru", 5, 72)]),
    "none": (lambda: nn.Linear(4, 3), (8, 4), []),
}


@pytest.mark.parametrize("name", SEEN)
def test_functions_are_seen_wherever_they_are_called(name: str) -> None:
    make, shape, expected = SEEN[name]
    with seeded(0):
        model = make()
    layers = activations(model, batches(*shape))
    assert [(layer.place, layer.function.name, layer.units, layer.examples) for layer in layers] == expected


def test_what_is_dropped_is_not_dead() -> None:
    class Dropping(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.layer, self.drop = nn.Linear(4, 5), nn.Dropout(0.9)

        def forward(self, x: Tensor) -> Tensor:
            x = F.dropout(self.drop(self.layer(x)), 0.9, training=self.training)
            return torch.relu(torch.dropout(x, 0.9, self.training))

    with seeded(0):
        model, data = Dropping(), batches(16, 4)
    (layer,) = activations(model, data)
    model.requires_grad_(requires_grad=False)
    outputs = model.layer(torch.cat([x for x, _ in data])).clamp(min=0)
    assert layer.flat == pytest.approx(float((outputs == 0).double().mean()))
    assert layer.mean == pytest.approx(float(outputs.mean()), rel=1e-5)


def test_batch_normalization_uses_the_batch() -> None:
    with seeded(0):
        model, data = sequence(nn.BatchNorm1d(5), nn.Tanh()), batches(16, 4)
    (layer,) = activations(model.eval(), data)
    model.requires_grad_(requires_grad=False)
    normal = [F.batch_norm(model[0](x), None, None, training=True).tanh() for x, _ in data]
    assert layer.std == pytest.approx(float(torch.cat(normal).std()), rel=1e-4)


def test_padding_does_not_count() -> None:
    with seeded(0):
        model = sequence(nn.Tanh())
    x = torch.randn((6, 3, 4), generator=torch.Generator().manual_seed(2))
    y = torch.tensor([[1, 2, -1]] * 6)
    (layer,) = activations(model, [(x, y)])
    model.requires_grad_(requires_grad=False)
    assert layer.examples == 12
    assert layer.mean == pytest.approx(float(model[0](x[:, :2]).tanh().mean()), rel=1e-5)


def _train_batches(run: ReportedRun) -> list[tuple[Tensor, Tensor]]:
    """As the docs say: so many batches of the run's size, sampled uniformly by the seed."""
    size = run.config["training"]["batch_size"]
    examples = run.examples["train"]
    indices = torch.randint(0, len(examples), (32, size), generator=torch.Generator().manual_seed(run.seed))
    return [examples.gather(row) for row in indices]


def test_the_saturation_of_the_lectures_net_is_that_of_its_formula(finished_run: Path) -> None:
    run = read(finished_run, 5)
    measured = Measured.of(run)
    (layer,) = activations(measured.model, measured.batches)
    weights: Any = zoo.load(finished_run).model
    with torch.no_grad():
        x = torch.cat([x for x, _ in _train_batches(run)])
        h = torch.tanh(weights.C[x].view(-1, 30) @ weights.W1 + weights.b1)  # (1024, 200)
    assert (layer.units, layer.examples) == (200, 1024)
    assert layer.flat == pytest.approx(float((h.abs() > 0.97).double().mean()))
    assert layer.dead == int((h.abs() > 0.97).all(0).sum())
    assert layer.mean == pytest.approx(float(h.mean()), abs=1e-5)
    assert layer.std == pytest.approx(float(h.std()), rel=1e-5)


def _gradients(run: ReportedRun) -> list[dict[str, Tensor]]:
    model = zoo.load(run.folder).model
    found = []
    for x, y in _train_batches(run):
        grads = torch.autograd.grad(F.cross_entropy(model(x), y), list(model.parameters()))
        found.append(dict(zip(dict(model.named_parameters()), grads, strict=True)))
    return found


def measure(run: ReportedRun) -> Steps:
    steps = measure_steps(Measured.of(run))
    assert steps is not None
    return steps


def test_updates_of_sgd_are_the_gradient_times_the_rate(finished_run: Path) -> None:
    run = read(finished_run)
    steps, gradients = measure(run), _gradients(run)
    weights = zoo.load(finished_run).model.state_dict()
    assert [p.name for p in steps.parameters] == ["C", "W1", "b1", "W2", "b2"]
    assert (steps.lr, steps.peak) == (0.1, 0.1)
    assert "one step of sgd with its recorded state" in steps.how
    for p in steps.parameters:
        gradient = float(torch.stack([one[p.name].std() for one in gradients]).mean())
        std = float(weights[p.name].std())
        assert p.shape == tuple(weights[p.name].shape)
        assert p.std == pytest.approx(std, rel=1e-5)
        assert p.gradient == pytest.approx(gradient, rel=1e-4)
        assert p.gradient_ratio == pytest.approx(gradient / std, rel=1e-4)
        assert p.update_ratio == pytest.approx(math.log10(0.1 * gradient / std), abs=1e-3)


def test_updates_of_adam_are_those_of_its_recorded_state(words_file: Path) -> None:
    zoo.run("mlp-char", dataset=words_file, optimizer="adamw", lr=0.01, steps=30, device="cpu", plots=False, out="r")
    run = read("r")
    steps, gradients = measure(run), _gradients(run)
    state = torch_state("r")
    weights = zoo.load("r").model.state_dict()
    decay = run.config["optimizer"]["hyperparameters"]["weight_decay"]
    beta1, beta2 = run.config["optimizer"]["hyperparameters"]["betas"]
    eps = run.config["optimizer"]["hyperparameters"]["eps"]
    for index, p in enumerate(steps.parameters):
        m, v = state[f"optimizer.state.{index}.exp_avg"], state[f"optimizer.state.{index}.exp_avg_sq"]
        updates = []
        for one in gradients:
            g = one[p.name]
            m_hat = (beta1 * m + (1 - beta1) * g) / (1 - beta1**31)
            v_hat = (beta2 * v + (1 - beta2) * g * g) / (1 - beta2**31)
            updates.append((0.01 * m_hat / (v_hat.sqrt() + eps) + 0.01 * decay * weights[p.name]).std())
        assert p.update == pytest.approx(float(torch.stack(updates).mean()), rel=1e-3)
    assert "one step of adamw with its recorded state." in steps.how


def torch_state(folder: str) -> dict[str, Tensor]:
    from safetensors.torch import load_file

    return load_file(Path(folder) / "training_state.safetensors")


def test_without_a_state_it_is_said_that_updates_are_gradients(words_file: Path) -> None:
    Path("words.txt").write_text(words_file.read_text())  # the state alone has another path
    given: dict[str, Any] = {"dataset": "words.txt", "optimizer": "adamw", "device": "cpu", "plots": False}
    zoo.run("mlp-char", lr=0.01, steps=30, out="r", **given)
    with_state = measure(read("r"))
    Path("r/training_state.safetensors").unlink()
    steps = measure(read("r"))
    assert steps.how == (
        "Updates are the gradient times the learning rate, and not those of adamw: there is no "
        "training_state.safetensors beside the weights."
    )
    for one, other in zip(steps.parameters, with_state.parameters, strict=True):
        assert one.gradient == pytest.approx(other.gradient)
        assert one.update == pytest.approx(0.01 * one.gradient, rel=1e-4)
    zoo.run("mlp-char", lr=0.02, steps=3, out="other", **given)
    Path("other/training_state.safetensors").rename("r/training_state.safetensors")
    assert "training_state.safetensors is of another run" in measure(read("r")).how


def test_the_rate_is_that_of_the_last_step(words_file: Path) -> None:
    given: dict[str, Any] = {"dataset": words_file, "device": "cpu", "plots": False, "steps": 10, "lr": 0.5}
    zoo.run("mlp-char", schedule="cosine", out="r", **given)
    steps = measure(read("r"))
    assert steps.lr == pytest.approx(0.5 * (1 + math.cos(math.pi * 0.9)) / 2)
    assert steps.peak == 0.5
    for p in steps.parameters:
        assert p.peak_update == pytest.approx(0.5 * p.gradient, rel=1e-4)
        assert p.update == pytest.approx(steps.lr * p.gradient, rel=1e-4)
        assert p.peak_ratio - p.update_ratio == pytest.approx(math.log10(0.5 / steps.lr))


def test_updates_far_from_the_guide_are_said() -> None:
    sizes = {"fine": 1e-3, "a": 2e-2, "b": 1.0, "c": 1.0, "d": 1.0, "slow": 1e-5}
    made = [Parameter(name, (2, 2), 1.0, 1.0, update, update / 1e6) for name, update in sizes.items()]
    bias = Parameter("bias", (3,), 1.0, 1.0, 1.0, 1.0)
    still = Parameter("still", (2, 2), 1.0, 0.0, math.nan, math.nan)
    assert findings([], Steps([*made, bias, still], 0.1, 0.1, "")) == [
        "No gradient reaches still.",
        "One step changes a, b, c and 1 more by more than 0.01 of their size, where about 0.001 is usual: the rate may "
        "be too high.",
        "One step changes slow by less than 0.0001 of its size, where about 0.001 is usual: the rate may be too low.",
    ]
    (peak,) = findings([], Steps([made[-1]], 0.01, 0.1, ""))
    assert peak.startswith("One step at the peak learning rate changes slow by less than 0.0001 of its size")


def test_clipping_is_the_runs_own(words_file: Path) -> None:
    zoo.run(
        "mlp-char", dataset=words_file, steps=5, device="cpu", plots=False, out="r", clip_norm=0.01, engine="autograd"
    )
    run = read("r")
    norms = [math.sqrt(sum(float(g.square().sum()) for g in one.values())) for one in _gradients(run)]
    expected = np.mean(
        [float(one["W1"].std()) * min(1, 0.01 / norm) for one, norm in zip(_gradients(run), norms, strict=True)]
    )
    assert measure(run).parameters[1].gradient == pytest.approx(expected, rel=1e-3)


def test_the_model_is_left_as_it_was(finished_run: Path) -> None:
    run = read(finished_run)
    model = run.loaded.model
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    assert health.make(run) is not None
    assert all(torch.equal(before[name], tensor) for name, tensor in model.state_dict().items())
    assert all(p.grad is None for p in model.parameters())
    assert not any(module.training or module._forward_hooks for module in model.modules())


class Moody(nn.Module):
    """Fails in training mode, or its optimizer does."""

    context_length = 3

    def __init__(self, vocab_size: int) -> None:
        super().__init__()
        self.table = nn.Embedding(vocab_size, vocab_size)
        self.unused = nn.Parameter(torch.ones(3))

    def forward(self, x: Tensor) -> Tensor:
        if self.training and x.shape[0] > 4:
            raise RuntimeError("<b>not today</b>")
        logits: Tensor = self.table(x).tanh().sum(1)
        return logits


class Plugin:
    @zoo.hookimpl
    def zoo_models(self) -> list[zoo.ModelSpec]:
        return [zoo.ModelSpec("moody", Moody, optimizer="sgd", lr=0.1, batch_size=4, steps=3)]


def test_a_model_that_fails(words_file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    install(monkeypatch, Plugin(), "zoo-moody")
    zoo.run("moody", dataset=words_file, device="cpu", plots=False, out="r")
    run = read("r")
    steps = measure(run)
    assert [p.name for p in steps.parameters if p.has_no_gradient] == ["unused"]
    assert "No gradient reaches unused." in findings([], steps)
    measured = Measured.of(run)
    large = [(torch.cat([x, x]), torch.cat([y, y])) for x, y in measured.batches]
    broken = Measured(measured.run, measured.loaded, measured.dataset, large)
    with pytest.raises(
        PluginError, match=r"model 'moody' of plugin zoo-moody 1.0 fails in a step: RuntimeError: <b>not"
    ):
        measure_steps(broken)
    with pytest.raises(PluginError, match=r"model 'moody' of plugin zoo-moody 1.0 fails on its data"):
        activations(broken.model, large)


def test_a_model_that_only_counts_has_nothing(words_file: Path) -> None:
    zoo.run("ngram", dataset=words_file, device="cpu", plots=False, out="r")
    assert health.make(read("r")) is None


@pytest.mark.parametrize("model", ["mlp", "mlp-bn", "wavenet", "gru", "transformer"])
def test_models_of_every_kind(words_file: Path, model: str) -> None:
    zoo.run(model, dataset=words_file, device="cpu", steps=2, plots=False, out="r")
    part = health.make(read("r"))
    assert part is not None
    assert part.values["layers"]
    assert part.values["parameters"]
    assert part.values["steps_fail"] is None
    canonical_json({name: str(value) for name, value in part.values.items()})
    assert "with its recorded state" in part.values["how"]


def test_few_examples_of_large_inputs(finished_run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("zoo.reports.health.batches._MOST_EXAMPLES", 100)
    measured = Measured.of(read(finished_run))
    assert [len(x) for x, _ in measured.batches] == [32] * 3
    monkeypatch.setattr("zoo.reports.health.batches._MOST_INPUTS", 30)
    assert [len(x) for x, _ in Measured.of(read(finished_run)).batches] == [10]
