"""The optimizers of torch.optim in zoo: the same steps as in torch, typed settings, and exact resuming."""

from __future__ import annotations

import copy
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from conftest import Zoo, run_python
from torch import Tensor, nn

import zoo
import zoo.testing
import zoo_torch
from zoo.options.run import RunOptions
from zoo.plugin.optimizer_state import flatten_state, unflatten_state
from zoo.plugin.registry import Registry
from zoo.runs.plan import make_plan
from zoo_torch import optimizers
from zoo_torch.light import light
from zoo_torch.muon import Muon

NAMES = [spec.name for spec in zoo_torch.zoo_optimizers()]
needs_muon = pytest.mark.skipif(not hasattr(torch.optim, "Muon"), reason="torch has Muon from 2.9 on")
each_optimizer = pytest.mark.parametrize(
    "name", [pytest.param(name, marks=needs_muon) if name == "muon" else name for name in NAMES]
)
FACTORIES: dict[str, Callable[..., Any]] = {
    "adamw": optimizers.adamw,
    "adam": optimizers.adam,
    "nadam": optimizers.nadam,
    "radam": optimizers.radam,
    "rmsprop": optimizers.rmsprop,
    "adagrad": optimizers.adagrad,
    "sgd-momentum": optimizers.sgd_momentum,
    "muon": Muon,
}
TORCHS: dict[str, Callable[..., torch.optim.Optimizer]] = {
    "adamw": torch.optim.AdamW,
    "adam": torch.optim.Adam,
    "nadam": torch.optim.NAdam,
    "radam": torch.optim.RAdam,
    "rmsprop": torch.optim.RMSprop,
    "adagrad": torch.optim.Adagrad,
    "sgd-momentum": torch.optim.SGD,
}
MODELS = {
    "mlp-char": {"model.hidden_size": 8},
    "mlp-bn": {"model.n_hidden": 8},
    "gru": {"model.n_embd": 4, "model.n_embd2": 8},
    "transformer": {"model.n_embd": 8, "model.n_head": 2, "model.n_layer": 1, "model.dropout": 0.2},
}
SHAPES = [(7, 3), (6, 5), (5,), (5, 5), (5, 7), (7,)]


def parameters() -> list[nn.Parameter]:
    g = torch.Generator().manual_seed(1)
    return [nn.Parameter(torch.randn(shape, generator=g)) for shape in SHAPES]


def steps(optimizer: Any, params: list[nn.Parameter], count: int, seed: int = 2) -> list[Tensor]:
    """The parameters after some steps with random gradients."""
    g = torch.Generator().manual_seed(seed)
    for _ in range(count):
        optimizer.zero_grad()
        for p in params:
            p.grad = torch.randn(p.shape, generator=g)
        optimizer.step()
    return [p.detach().clone() for p in params]


def test_every_optimizer_is_tested_here() -> None:
    assert list(FACTORIES) == NAMES


@each_optimizer
def test_optimizer_conforms(name: str) -> None:
    zoo.testing.check_optimizer(name)


@pytest.mark.parametrize("name", NAMES)
def test_spec_has_a_summary_and_references(name: str, registry: Registry) -> None:
    spec = registry.optimizers.get(name).spec
    assert spec.lr
    assert spec.summary
    assert spec.references


# The steps


@pytest.mark.parametrize("name", list(TORCHS))
def test_steps_are_those_of_torchs_plainest_implementation(name: str) -> None:
    ours, theirs = parameters(), parameters()
    settings = {"momentum": 0.9} if name == "sgd-momentum" else {}
    wanted = steps(TORCHS[name](theirs, lr=0.01, foreach=False, **settings), theirs, 10)
    for one, other in zip(steps(FACTORIES[name](ours, lr=0.01), ours, 10), wanted, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("kind", [torch.optim.AdamW, torch.optim.NAdam, torch.optim.SGD])
def test_without_the_compiler_steps_are_the_same_to_the_last_bit(kind: Any) -> None:
    ours, theirs = parameters(), parameters()
    one, other = light(kind)(ours, lr=0.01), kind(theirs, lr=0.01)
    assert all(map(torch.equal, steps(one, ours, 5), steps(other, theirs, 5)))
    assert isinstance(one, kind)
    assert one.state_dict().keys() == other.state_dict().keys()


def test_decay_of_adamw_is_of_the_weight_and_of_adam_is_in_the_gradient() -> None:
    for factory, moved in ((optimizers.adamw, False), (optimizers.adam, True)):
        p = nn.Parameter(torch.ones(1))
        p.grad = torch.zeros(1)
        factory([p], lr=0.1, weight_decay=0.5).step()
        assert p.item() == pytest.approx(0.9 if moved else 0.95)


def test_training_starts_without_torchs_compiler() -> None:
    code = (
        "import sys, torch\nfrom zoo.plugin.manager import load_plugins\n"
        f"for name in {[name for name in NAMES if name != 'muon' or hasattr(torch.optim, 'Muon')]}:\n"
        "    p = [torch.nn.Parameter(torch.ones(3, 3)) for _ in range(3)]\n"
        "    o = load_plugins()[0].optimizers.get(name).factory()(p, lr=0.1)\n"
        "    o.zero_grad()\n    sum((q ** 2).sum() for q in p).backward()\n    o.step()\n"
        "    o.load_state_dict(o.state_dict())\n"
        "    assert 'torch._dynamo' not in sys.modules, name"
    )
    done = run_python("-c", code)
    assert done.returncode == 0, done.stderr


# State


@each_optimizer
def test_state_goes_through_a_checkpoint(name: str) -> None:
    full, half = parameters(), parameters()
    one, two = FACTORIES[name](full, lr=0.01), FACTORIES[name](half, lr=0.01)
    steps(one, full, 3)
    steps(two, half, 3)
    tensors, tree = flatten_state(two.state_dict(), "optimizer")
    three = FACTORIES[name](half, lr=0.5)
    three.load_state_dict(unflatten_state(tree, {key: tensor.clone() for key, tensor in tensors.items()}))
    assert [group["lr"] for group in three.param_groups] == [group["lr"] for group in one.param_groups]
    assert all(map(torch.equal, steps(one, full, 3, 9), steps(three, half, 3, 9)))


@each_optimizer
def test_a_copy_goes_its_own_way(name: str) -> None:
    params = parameters()
    optimizer = FACTORIES[name](params, lr=0.01)
    before = steps(optimizer, params, 1)
    others, other = copy.deepcopy((params, optimizer))
    steps(other, others, 1)
    assert all(map(torch.equal, before, params))
    assert not torch.equal(before[0], others[0])


@pytest.mark.parametrize("model", list(MODELS))
@each_optimizer
def test_every_optimizer_trains_every_kind_of_model_and_resumes_exactly(
    name: str, model: str, words_file: Path, tmp_path: Path
) -> None:
    options: dict[str, Any] = {
        "dataset": words_file,
        "optimizer": name,
        "device": "cpu",
        "batch_size": 8,
        "settings": MODELS[model],
        "plots": False,
    }
    full = zoo.run(model, steps=6, out=tmp_path / "whole", **options)
    half = zoo.run(model, steps=3, out=tmp_path / "half", **options)
    resumed = zoo.resume(half.path, steps=6, plots=False)
    assert resumed.step_losses == full.step_losses
    for file in ("model.safetensors", "training_state.safetensors"):
        assert (resumed.path / file).read_bytes() == (full.path / file).read_bytes(), file


# Settings


@pytest.mark.parametrize(
    ("name", "key", "text", "value"),
    [
        ("adamw", "weight_decay", "0.1", 0.1),
        ("adamw", "betas", "0.9,0.99", (0.9, 0.99)),
        ("adam", "amsgrad", "true", True),
        ("nadam", "momentum_decay", "0", 0.0),
        ("radam", "decoupled_weight_decay", "yes", True),
        ("rmsprop", "alpha", "0.9", 0.9),
        ("adagrad", "lr_decay", "0.01", 0.01),
        ("sgd-momentum", "nesterov", "true", True),
        ("muon", "ns_steps", "3", 3),
    ],
)
@pytest.mark.parametrize("model", ["mlp-char", "gru"])
def test_settings_are_typed(name: str, key: str, text: str, value: object, model: str, registry: Registry) -> None:
    options = RunOptions(model, dataset="names-ssa-2018", optimizer=name, settings={f"optimizer.{key}": text})
    assert make_plan(registry, options).optimizer_settings[key] == value


@pytest.mark.parametrize("name", NAMES)
def test_every_setting_can_be_given_on_the_command_line(name: str, registry: Registry) -> None:
    plan = make_plan(registry, RunOptions("mlp-char", dataset="names-ssa-2018", optimizer=name))
    given = {
        f"optimizer.{key}": ",".join(map(str, value)) if isinstance(value, tuple) else str(value)
        for key, value in plan.optimizer_settings.items()
    }
    again = make_plan(registry, RunOptions("mlp-char", dataset="names-ssa-2018", optimizer=name, settings=given))
    assert again.optimizer_settings == plan.optimizer_settings


@pytest.mark.parametrize(
    ("name", "setting", "said"),
    [
        ("adamw", "weight_decay=-1", "optimizer 'adamw': Invalid weight_decay value: -1.0"),
        ("adamw", "betas=0.9,1", "optimizer 'adamw': Invalid beta parameter at index 1: 1.0"),
        ("adamw", "weight_decy=1", "optimizer 'adamw' has no setting 'optimizer.weight_decy'; did you mean"),
        ("sgd-momentum", "momentum=lots", "'optimizer.momentum' takes float, not 'lots'"),
        ("muon", "momentum=-1", "optimizer 'muon': "),
    ],
)
def test_a_wrong_setting_is_one_line(name: str, setting: str, said: str, words_file: Path, zoo_here: Zoo) -> None:
    done = zoo_here(
        "run", "mlp-char", "--dataset", words_file, "--optimizer", name, "--set", f"optimizer.{setting}", "--steps", 1
    )
    assert done.code == 2
    assert said in done.err
    assert done.err.count("\n") == 1


# Muon


@needs_muon
def test_muon_takes_the_hidden_matrices_and_adamw_the_rest() -> None:
    params = parameters()
    adamw, muon = Muon(params).param_groups
    assert [tuple(p.shape) for p in muon["params"]] == [(6, 5), (5, 5)]
    assert [tuple(p.shape) for p in adamw["params"]] == [(7, 3), (5,), (5, 7), (7,)]


@needs_muon
def test_muon_updates_a_matrix_by_a_nearly_orthogonal_one() -> None:
    params = parameters()
    before = params[3].detach().clone()
    steps(Muon(params, lr=0.01, weight_decay=0.0), params, 1)
    sizes = torch.linalg.svdvals(before - params[3].detach())
    assert sizes.max() / sizes.min() < 2


@needs_muon
def test_both_parts_of_muon_go_by_the_rate_of_the_schedule() -> None:
    params = parameters()
    optimizer = Muon(params, lr=1.0, weight_decay=0.0)
    before = [p.detach().clone() for p in params]
    for group in optimizer.param_groups:
        group["lr"] = 1e-9
    for one, other in zip(steps(optimizer, params, 1), before, strict=True):
        torch.testing.assert_close(one, other, rtol=0, atol=1e-8)


@needs_muon
@pytest.mark.parametrize(("shapes", "parts"), [([(2, 2), (2,)], {"adamw"}), ([(2, 2)] * 3, {"adamw", "muon"})])
def test_a_net_without_hidden_matrices_is_adamws_alone(shapes: list[tuple[int, ...]], parts: set[str]) -> None:
    assert Muon([nn.Parameter(torch.ones(shape)) for shape in shapes]).state_dict().keys() == parts


@needs_muon
def test_a_state_of_other_parts_is_refused() -> None:
    with pytest.raises(ValueError, match="does not fit"):
        Muon(parameters()).load_state_dict(Muon(parameters()[:1]).state_dict())


def test_a_torch_without_muon_is_an_error(monkeypatch: pytest.MonkeyPatch, words_file: Path, zoo_here: Zoo) -> None:
    monkeypatch.delattr(torch.optim, "Muon", raising=False)
    done = zoo_here("run", "mlp-char", "--dataset", words_file, "--optimizer", "muon")
    assert (done.code, "has no Muon: it needs torch 2.9" in done.err) == (2, True)
