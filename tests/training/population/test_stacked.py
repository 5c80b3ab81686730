"""The engine `stacked`: many nets at once by torch.func, each step held against autograd's from the same weights."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

import zoo
from zoo.engines import Optimizer
from zoo.options.training import AUTOGRAD, STACKED
from zoo.plugin.manager import load_plugins
from zoo.plugin.registry import Registry
from zoo.runs.plan import make_plan
from zoo.testing.bench import Bench, Trained, options_of
from zoo.training.autograd import PLAIN, Autograd, StepOptions
from zoo.training.building import build_optimizer
from zoo.training.loop import never
from zoo.training.objective.loss import MEAN_SQUARED, FunctionLoss
from zoo.training.population.nets import Net, OfOne, Stack, StackedOptimizer
from zoo.training.population.stacked import Stacked

NETS, STEPS = 3, 6
OF_LOSS, OF_UPDATE, ROUNDING = 1e-5, 1e-3, 1e-6  # shares of a loss, of an update, and of the weights

# What torch.func can do, in small: buffers, embeddings by index and by sums, layers of torch, positions of words.
MODELS = {
    "mlp-char": {"model.hidden_size": 16},
    "mlp-bn": {"model.n_hidden": 16},
    "bigram": {},
    "bow": {"model.n_embd": 8, "model.n_embd2": 8},
    "wavenet": {"model.n_embd": 4, "model.n_hidden": 8},
}
REFUSED = {
    "mlp": "its forward pass depends on the values of a tensor",
    "rnn": "its forward pass depends on the values of a tensor",
    "gru": "its forward pass depends on the values of a tensor",
    "lstm": "its forward pass depends on the values of a tensor",
    "transformer": "its forward pass depends on the values of a tensor",
}


@pytest.fixture(scope="module")
def registry() -> Registry:
    return load_plugins()[0]


def bench(registry: Registry, name: str, optimizer: str | None = None, **settings: Any) -> Bench:
    options = options_of(
        name,
        dataset="names-ssa-2018",
        optimizer=optimizer,
        settings={**MODELS.get(name, {}), **settings} or None,
        steps=NETS * STEPS,
        batch_size=8,
    )
    return Bench(make_plan(registry, options))


def others(one: Bench) -> list[Trained]:
    """Nets of different weights, for autograd."""
    nets = [one.new(AUTOGRAD) for _ in range(NETS)]
    with torch.no_grad():
        for number, net in enumerate(nets):
            for p in net.model.parameters():
                p.mul_(1 + 0.1 * number)
    return nets


def check_steps(one: Bench, options: StepOptions = PLAIN, lrs: tuple[float, ...] = (1.0, 1.0, 0.5)) -> None:
    """Each step of all nets against autograd's, both from what autograd has come to."""
    alone, stacked = others(one), others(one)
    engines = [Autograd(net.model, net.optimizer, options, net.loss) for net in alone]
    engine = Stacked([net.net for net in stacked], stacked[0].loss, options)
    for k in range(STEPS):
        before = [net.numbers() for net in alone]
        for own, other in zip(stacked, alone, strict=True):
            own.take(other)
        x, y = (torch.stack([part[m * STEPS + k] for m in range(NETS)])[:, None] for part in (one.x, one.y))
        rates = [[factor * one.lrs[k]] for factor in lrs]
        wanted = [engines[m].run(x[m], y[m], rates[m], never) for m in range(NETS)]
        losses = engine.run(range(NETS), x, y, rates, never)
        torch.testing.assert_close(losses, torch.stack(wanted), rtol=OF_LOSS, atol=ROUNDING)
        for m in range(NETS):
            check_update(before[m], alone[m].numbers(), stacked[m].numbers())


def check_update(before: Any, after: Any, found: Any) -> None:
    assert found.keys() == after.keys()
    moved = {path: float((tensor - before.get(path, 0)).norm()) for path, tensor in after.items()}
    for path, tensor in after.items():
        largest = max(length for other, length in moved.items() if other[0] == path[0])
        allowed = OF_UPDATE * moved[path] + ROUNDING * (largest + float(tensor.norm()))
        assert float((found[path] - tensor).norm()) <= allowed, path


@pytest.mark.parametrize("name", MODELS)
def test_each_step_of_many_nets_is_autograds(name: str, registry: Registry) -> None:
    check_steps(bench(registry, name))


@pytest.mark.parametrize("name", ["sgd", "adamw", "adam", "nadam", "radam", "rmsprop", "adagrad", "sgd-momentum"])
def test_whatever_updates_each_number_by_itself(name: str, registry: Registry) -> None:
    one = bench(registry, "mlp-char", name)
    assert one.plan.optimizer.spec.elementwise
    check_steps(one)


def test_every_optimizer_of_zoo_says_whether_it_is_elementwise(registry: Registry) -> None:
    """`zoo.testing.check_optimizer` tries those that say so."""
    own = [entry.spec for entry in registry.optimizers if entry.plugin.distribution == "zoo-models"]
    assert {spec.name for spec in own if not spec.elementwise} == {"muon"}


def test_gradients_are_clipped_for_each_net_by_its_own_norm(registry: Registry) -> None:
    one = bench(registry, "mlp-char", "sgd")
    for norm in (0.05, 1.0, 1e6):
        check_steps(one, StepOptions(clip_norm=norm))


@pytest.mark.parametrize("name", ["sgd-momentum", "adamw", "nadam"])
def test_nets_at_different_steps_and_rates_are_updated_each_as_it_is(name: str, registry: Registry) -> None:
    """Momentum and counters of steps are each net's own, also where one optimizer cannot update all of them."""
    one = bench(registry, "mlp-char", name)
    alone, stacked = others(one), others(one)
    for m, net in enumerate(alone):
        net.run(0, 2 * m)
        stacked[m].take(net)
    x, y = (torch.stack([part[m : m + 3] for m in range(NETS)]) for part in (one.x, one.y))
    rates = [[0.01, 0.02, 0.01], [0.001, 0.002, 0.001], [0.01, 0.02, 0.01]]
    engine = Stacked([net.net for net in stacked], stacked[0].loss)
    losses = engine.run(range(NETS), x, y, rates, never)
    for m, net in enumerate(alone):
        wanted = Autograd(net.model, net.optimizer, loss=net.loss).run(x[m], y[m], rates[m], never)
        torch.testing.assert_close(losses[m], wanted, rtol=1e-4, atol=ROUNDING)
        assert stacked[m].optimizer.state_dict().keys() == net.optimizer.state_dict().keys()
        for path, tensor in net.numbers().items():
            torch.testing.assert_close(stacked[m].numbers()[path], tensor, rtol=1e-3, atol=1e-5, msg=str(path))


def test_losses_come_back_in_the_order_of_the_nets_that_took_part(registry: Registry) -> None:
    one = bench(registry, "mlp-char", "sgd")
    nets = others(one)
    engine = Stacked([net.net for net in nets], nets[0].loss)
    x, y = (torch.stack([part[m : m + 2] for m in (2, 0)]) for part in (one.x, one.y))
    untouched = nets[1].numbers()
    losses = engine.run([2, 0], x, y, [[0.1, 0.2], [0.2, 0.1]], never)
    assert all(torch.equal(tensor, nets[1].numbers()[path]) for path, tensor in untouched.items())
    for row, m in enumerate((2, 0)):
        net = others(one)[m]
        wanted = net.block(m, m + 2)[:1]
        torch.testing.assert_close(losses[row, :1], wanted, rtol=OF_LOSS, atol=ROUNDING)


def test_a_stop_leaves_out_the_rest_of_the_block_for_all(registry: Registry) -> None:
    one = bench(registry, "mlp-char", "adamw")
    nets = others(one)
    engine = Stacked([net.net for net in nets], nets[0].loss)
    x, y = (torch.stack([part[:4]] * NETS) for part in (one.x, one.y))
    asked = iter([False, False, True])
    assert engine.run(range(NETS), x, y, [[0.1] * 4] * NETS, lambda: next(asked)).shape == (NETS, 2)
    assert {int(net.optimizer.state_dict()["state"][0]["step"]) for net in nets} == {2}
    before = [net.numbers() for net in nets]
    assert engine.run(range(NETS), x, y, [[0.1] * 4] * NETS, lambda: True).shape == (NETS, 0)
    assert all(
        torch.equal(old[path], net.numbers()[path]) for old, net in zip(before, nets, strict=True) for path in old
    )


def test_a_net_that_is_no_number_leaves_the_others_as_they_are(registry: Registry) -> None:
    one = bench(registry, "mlp-bn", "adamw")
    found = []
    for broken in (False, True):
        nets = others(one)
        if broken:
            with torch.no_grad():
                next(nets[1].model.parameters()).fill_(float("nan"))
        engine = Stacked([net.net for net in nets], nets[0].loss, StepOptions(clip_norm=1.0))
        x, y = (torch.stack([part[m : m + 3] for m in range(NETS)]) for part in (one.x, one.y))
        losses = engine.run(range(NETS), x, y, [[0.01] * 3] * NETS, never)
        found.append((losses, [net.numbers() for net in nets]))
    assert found[1][0][1].isnan().all()
    for m in (0, 2):
        assert torch.equal(found[0][0][m], found[1][0][m])
        assert all(torch.equal(tensor, found[1][1][m][path]) for path, tensor in found[0][1][m].items())


@pytest.mark.parametrize("name", ["sgd", "adamw", "nadam", "adagrad", "sgd-momentum"])
def test_an_update_has_the_same_bits_however_many_nets_there_are(name: str, registry: Registry) -> None:
    """The kernels of some optimizers treat the last numbers of a tensor otherwise; here no net's are the last."""
    entry = registry.optimizers.get(name)
    shapes = [(27, 27), (5,), (3, 7, 5), ()]

    def make(model: nn.Module) -> Optimizer:
        return build_optimizer(entry, model, 0.1, {})

    def updated(count: int) -> list[Tensor]:
        nets = []
        for number in range(count):
            own = torch.Generator().manual_seed(number)
            model = nn.ParameterList(nn.Parameter(torch.randn(shape, generator=own)) for shape in shapes)
            nets.append(
                Net(model, build_optimizer(entry, model, 0.1, {}), lambda m: build_optimizer(entry, m, 0.1, {}))
            )
        stack = Stack([net.model for net in nets])
        optimizer = StackedOptimizer(nets, stack, slice(0, count))
        for _ in range(3):
            optimizer.step({key: rows * 0.3 + 0.1 * (rows != 0) for key, rows in stack.rows.items()}, 0.05)
        stack.write()
        optimizer.write()
        return [*nets[0].model.parameters()]

    assert all(map(torch.equal, updated(1), updated(4)))


class Odd(nn.Module):
    """A module under two names, a parameter without axes, one that is not trained, and one that is not used."""

    calls: Tensor
    mean: Tensor

    def __init__(self, seed: int) -> None:
        super().__init__()
        g = torch.Generator().manual_seed(seed)
        with torch.random.fork_rng(devices=[]):
            self.one, self.fixed, self.unused = nn.Linear(4, 4), nn.Linear(4, 3), nn.Linear(2, 2)
        self.same = self.one
        self.fixed.requires_grad_(requires_grad=False)
        self.factor = nn.Parameter(torch.ones(()))
        self.register_buffer("calls", torch.zeros((), dtype=torch.int64))
        self.register_buffer("mean", torch.zeros(3))
        with torch.no_grad():
            for p in self.parameters():
                p.copy_(torch.randn(p.shape, generator=g))

    def forward(self, x: Tensor) -> Tensor:
        self.calls += 1
        output: Tensor = self.factor * self.fixed(torch.tanh(self.same(torch.tanh(self.one(x)))))
        self.mean = 0.9 * self.mean + 0.1 * output.detach().mean(0)  # not in place
        return output


def odd(seed: int, make: Callable[[nn.Module], Optimizer]) -> Net:
    model = Odd(seed)
    return Net(model, make(model), make)


def adamw(model: nn.Module) -> Optimizer:
    return torch.optim.AdamW([p for p in model.parameters() if p.requires_grad], lr=0.01, weight_decay=0.1)


def test_parameters_of_any_kind_and_buffers_that_are_replaced() -> None:
    nets, alone = [odd(seed, adamw) for seed in range(NETS)], [odd(seed, adamw) for seed in range(NETS)]
    g = torch.Generator().manual_seed(5)
    x, y = torch.randn((NETS, 4, 6, 4), generator=g), torch.randn((NETS, 4, 6, 3), generator=g)
    rates = [[0.01] * 4, [0.02] * 4, [0.01] * 4]
    losses = Stacked(nets, MEAN_SQUARED).run(range(NETS), x, y, rates, never)
    for m, net in enumerate(alone):
        wanted = Autograd(net.model, net.optimizer, loss=MEAN_SQUARED).run(x[m], y[m], rates[m], never)
        torch.testing.assert_close(losses[m], wanted, rtol=1e-5, atol=1e-6)
        for name, tensor in net.model.state_dict().items():
            torch.testing.assert_close(nets[m].model.state_dict()[name], tensor, rtol=1e-5, atol=1e-5, msg=name)
        unused = {i for i, p in enumerate(net.model.parameters()) if p.grad is None}
        assert nets[m].optimizer.state_dict()["state"].keys() == net.optimizer.state_dict()["state"].keys(), unused
    with torch.no_grad():
        left = nets[0].model.get_parameter("unused.weight")  # what has no gradient does not decay
        assert torch.equal(left, Odd(0).unused.weight)


def test_a_trial_leaves_no_trace() -> None:
    net = odd(1, adamw)
    net.model.eval()
    net.model.get_submodule("one").train()
    before, random = copy.deepcopy(net.model.state_dict()), torch.get_rng_state()
    Stacked([net], MEAN_SQUARED).check(torch.ones(6, 4), torch.ones(6, 3))
    assert all(torch.equal(tensor, net.model.state_dict()[name]) for name, tensor in before.items())
    assert all(p.grad is None for p in net.model.parameters())
    assert not net.model.training
    assert net.model.get_submodule("one").training
    assert torch.equal(random, torch.get_rng_state())


class Reads(Odd):
    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x) if float(x.sum()) > -1e9 else x


class Drops(Odd):
    def forward(self, x: Tensor) -> Tensor:
        return F.dropout(super().forward(x), 0.1, self.training)


class Masks(Odd):
    def forward(self, x: Tensor) -> Tensor:
        output = super().forward(x)
        return output + output[output > 0].mean()


class Square(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        ctx.save_for_backward(x)
        return x * x

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> Tensor:
        (x,) = ctx.saved_tensors
        doubled: Tensor = 2 * x * gradient
        return doubled


class OwnFunction(Odd):
    def forward(self, x: Tensor) -> Tensor:
        return Square.apply(super().forward(x))  # type: ignore[no-any-return, no-untyped-call]


class Hidden(Odd):
    """Its output depends on a tensor that is neither a parameter nor a buffer, and changes with each call."""

    def __init__(self, seed: int) -> None:
        super().__init__(seed)
        self.number = 1.0

    def forward(self, x: Tensor) -> Tensor:
        self.number += 0.5
        return self.number * super().forward(x)


@pytest.mark.parametrize(
    ("kind", "reason"),
    [
        (
            Reads,
            "cannot vectorize Reads: its forward pass depends on the values of a tensor, as '.item()' and an",
        ),
        (Drops, "cannot vectorize Drops: it draws random numbers in training, as dropout does"),
        (
            Masks,
            "cannot vectorize Masks: the shape of a tensor in its forward pass depends on values, as with 'nonzero'",
        ),
        (OwnFunction, "cannot vectorize OwnFunction: it has a torch.autograd.Function that torch.func cannot use"),
        (Hidden, "torch.func computes something else than autograd here: a loss of "),
    ],
)
def test_what_cannot_be_stacked_is_said_in_one_line(kind: type[Odd], reason: str) -> None:
    model = kind(1)
    with pytest.raises(zoo.EngineUnavailableError) as caught:
        Stacked([Net(model, adamw(model), adamw)], MEAN_SQUARED).check(torch.ones(6, 4), torch.ones(6, 3))
    assert reason in str(caught.value)
    assert "\n" not in str(caught.value)


def test_what_else_is_refused() -> None:
    net = odd(1, adamw)
    with pytest.raises(zoo.EngineUnavailableError, match=r"it does not compute in bfloat16 or use torch\.compile"):
        Stacked([net], MEAN_SQUARED, StepOptions(1.0, "bfloat16", compiled=True))
    asks = FunctionLoss("loss", F.mse_loss, "mine", "mine", asked=frozenset({"model"}), model=net.model)
    with pytest.raises(zoo.EngineUnavailableError, match="the loss mine asks for the model"):
        Stacked([net], asks)
    with torch.random.fork_rng(devices=[]):
        model = nn.Linear(4, 3)
    with pytest.raises(zoo.EngineUnavailableError, match="not of the same class and sizes"):
        Stacked([net, Net(model, adamw(model), adamw)], MEAN_SQUARED)


@pytest.mark.parametrize("name", REFUSED)
def test_models_of_zoo_that_cannot_be_stacked_on_a_cpu_say_why(name: str, registry: Registry) -> None:
    with pytest.raises(zoo.UsageError) as caught:
        bench(registry, name).new(STACKED)
    assert REFUSED[name] in str(caught.value)
    assert str(caught.value).startswith("engine 'stacked' cannot train this: torch.func cannot vectorize ")
    assert str(caught.value).endswith('; engine="auto" takes one that can')


def test_an_optimizer_that_looks_at_a_whole_matrix_is_refused(registry: Registry) -> None:
    one = bench(registry, "mlp-char", "muon")
    with pytest.raises(zoo.UsageError, match="optimizer 'muon' is not one that updates each number by itself"):
        one.new(STACKED)


def test_a_run_takes_it_by_name_as_a_population_of_one(registry: Registry) -> None:
    one = bench(registry, "mlp-char", "adamw")
    own, other = one.new(STACKED), one.new(AUTOGRAD)
    assert isinstance(own._engine, OfOne)
    assert own.run(0, 3) == pytest.approx(other.run(0, 3), rel=1e-4)
