"""The optimizers of torch.optim on other devices than the CPU: which implementation, and where their state is.

The device is `meta`, whose tensors have shapes and no values.
"""

from __future__ import annotations

from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from zoo.plugin.manager import load_plugins
from zoo_torch import optimizers, zoo_optimizers

NAMES = [spec.name for spec in zoo_optimizers() if spec.name != "muon" or hasattr(torch.optim, "Muon")]
SHAPES = [(7, 3), (6, 5), (5,), (5, 5), (5, 7), ()]

IMPLEMENTATIONS = {
    "adamw": "fused",
    "adam": "fused",
    "nadam": "foreach",
    "radam": "foreach",
    "rmsprop": "foreach",
    "adagrad": "fused",
    "sgd-momentum": "fused",
}
ANSWERS: dict[str, tuple[Any, str]] = {  # of torch, when it is asked whether it has a kernel, and what is taken then
    "it has": (lambda name, key: True, "fused"),
    "it has not": (lambda name, key: False, "foreach"),
    "it does not know the operator": (lambda name, key: torch._C._dispatch_has_kernel("no"), "foreach"),
    "it cannot be asked": (None, "foreach"),
}


def made(name: str, params: list[nn.Parameter]) -> Any:
    return load_plugins()[0].optimizers.get(name).factory()(params, lr=0.01)


def implementation(group: dict[str, Any]) -> str:
    [name] = [name for name in ("fused", "foreach") if group.get(name)]
    return name


def test_every_optimizer_has_its_implementation_here() -> None:
    assert {*IMPLEMENTATIONS, "muon"} == {spec.name for spec in zoo_optimizers()}


@pytest.mark.parametrize("name", list(IMPLEMENTATIONS))
def test_the_implementation_on_the_cpu_and_on_a_device_that_nobody_knows(name: str) -> None:
    for device, wanted in (("cpu", IMPLEMENTATIONS[name]), ("meta", "foreach")):
        optimizer = made(name, [nn.Parameter(torch.zeros(2, device=device))])
        assert implementation(optimizer.param_groups[0]) == wanted


@pytest.mark.parametrize("name", ["adam", "adamw", "adagrad", "sgd"])
@pytest.mark.parametrize("answer", list(ANSWERS))
def test_on_cuda_torch_is_asked_for_its_kernel(name: str, answer: str, monkeypatch: pytest.MonkeyPatch) -> None:
    has_kernel, wanted = ANSWERS[answer]
    asked: list[tuple[str, str]] = []

    def ask(operator: str, key: str) -> bool:
        asked.append((operator, key))
        return bool(has_kernel(operator, key))

    if has_kernel is None:
        monkeypatch.delattr(torch._C, "_dispatch_has_kernel_for_dispatch_key")
    else:
        monkeypatch.setattr(torch._C, "_dispatch_has_kernel_for_dispatch_key", ask)
    on_cuda: Any = SimpleNamespace(device=torch.device("cuda:1"), is_floating_point=lambda: True)
    assert implementation(optimizers._implementation(name, [on_cuda])) == wanted
    assert set(asked) == ({(f"aten::_fused_{name}_", "CUDA")} if has_kernel else set())


@pytest.mark.parametrize("name", ["adam", "adamw", "adagrad", "sgd"])
def test_torch_knows_the_operators_that_it_is_asked_for(name: str) -> None:
    assert torch._C._dispatch_has_kernel_for_dispatch_key(f"aten::_fused_{name}_", "CPU")


# Resuming on another device


def stepped(name: str, device: str, state: Any = None) -> Any:
    """The optimizer of some parameters, one of them a scalar, after a step; with a state, without one."""
    params = [nn.Parameter(torch.ones(shape, device=device)) for shape in SHAPES]
    optimizer = made(name, params)
    if state is not None:
        optimizer.load_state_dict(state)
        return optimizer
    for p in params:
        p.grad = torch.ones_like(p)
    optimizer.step()
    return optimizer


def tensors(tree: Any, path: str = "") -> Iterator[tuple[str, Tensor]]:
    if isinstance(tree, Tensor):
        yield path, tree
    elif isinstance(tree, dict):
        for key, value in tree.items():
            yield from tensors(value, f"{path}.{key}")


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("saved_on", ["cpu", "meta"])
def test_a_loaded_state_is_on_the_devices_where_the_first_step_makes_it(name: str, saved_on: str) -> None:
    """What an optimizer counts on the CPU must stay there: elsewhere, every step would wait to read it."""
    state = stepped(name, saved_on).state_dict()
    wanted = {path: tensor.device for path, tensor in tensors(stepped(name, "meta").state_dict())}
    loaded = dict(tensors(stepped(name, "meta", state).state_dict()))
    assert {path: tensor.device for path, tensor in loaded.items()} == wanted
    assert {device.type for device in wanted.values()} - {"cpu"} == {"meta"}
    for path, tensor in tensors(state):
        if loaded[path].device.type == "cpu":
            assert torch.equal(loaded[path], tensor)


@pytest.mark.parametrize("name", NAMES)
def test_a_loaded_state_does_not_change_the_implementation(name: str) -> None:
    state = stepped(name, "cpu").state_dict()
    own, loaded = stepped(name, "meta").param_groups, stepped(name, "meta", state).param_groups
    for one, other in zip(own, loaded, strict=True):
        assert (one.get("fused"), one.get("foreach")) == (other.get("fused"), other.get("foreach"))


@pytest.mark.parametrize("name", NAMES)
def test_a_loaded_state_shares_no_scalar_with_the_one_it_is_loaded_from(name: str) -> None:
    """Or training on would change a state that was kept to go back to."""
    state = stepped(name, "cpu").state_dict()
    before = {path: tensor.clone() for path, tensor in tensors(state)}
    optimizer = stepped(name, "meta", state)
    for group in optimizer.param_groups:
        for p in group["params"]:
            p.grad = torch.ones_like(p)
    optimizer.step()
    assert all(torch.equal(tensor, before[path]) for path, tensor in tensors(state))
