"""Optimizers of every kind that an author may write or name: each trains, is stopped and resumes exactly."""

from __future__ import annotations

import math
import struct
import weakref
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from conftest import Zoo
from dropping import WORDS, Dropping, install
from torch import Tensor, nn

import zoo
import zoo.testing
from zoo.plugin.optimizer_state import flatten_state, unflatten_state

# Optimizers of one's own


class OwnAttributes(torch.optim.SGD):
    def __init__(self, params: Any, lr: float, limit: float = 0.1) -> None:
        super().__init__(params, lr, momentum=0.9)
        self.limit, self.names = limit, ["a"]

    def step(self, closure: Any = None) -> None:  # type: ignore[override]
        nn.utils.clip_grad_value_([p for group in self.param_groups for p in group["params"]], self.limit)
        super().step(closure)


class Wrapper:
    """Not of torch's class; keeps slow weights beside an optimizer that has attributes of its own."""

    def __init__(self, params: Any, lr: float) -> None:
        self.params = list(params)
        self.inner = OwnAttributes(self.params, lr)
        self.slow = [p.detach().clone() for p in self.params]
        self.count = 0

    @property
    def param_groups(self) -> list[dict[str, Any]]:
        return self.inner.param_groups

    def zero_grad(self) -> None:
        self.inner.zero_grad()

    @torch.no_grad()
    def step(self) -> None:
        self.inner.step()
        self.count += 1
        if self.count % 2 == 0:
            for p, slow in zip(self.params, self.slow, strict=True):
                p.copy_(slow.lerp_(p, 0.5))

    def state_dict(self) -> dict[str, Any]:
        return {"inner": self.inner.state_dict(), "slow": self.slow, "count": self.count}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.inner.load_state_dict(state["inner"])
        self.slow, self.count = [slow.clone() for slow in state["slow"]], state["count"]


class Scheduled(torch.optim.SGD):
    """A scheduler inside, which replaces `step` by a function and refers to its optimizer."""

    def __init__(self, params: Any, lr: float) -> None:
        super().__init__(params, lr)
        self.param_groups[0]["momentum"] = 0.5
        self.schedule = torch.optim.lr_scheduler.LambdaLR(self, lambda epoch: 1 / (1 + epoch))

    def step(self, closure: Any = None) -> None:  # type: ignore[override]
        super().step(closure)
        self.schedule.step()
        for group in self.param_groups:
            group["momentum"] = 0.5 + 0.01 * self.schedule.last_epoch

    def state_dict(self) -> dict[str, Any]:
        return {**super().state_dict(), "schedule": self.schedule.state_dict()}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        super().load_state_dict({key: state[key] for key in ("state", "param_groups")})
        self.schedule.load_state_dict(state["schedule"])


class Closures(torch.optim.SGD):
    """Functions that hold its parameters, and what cannot be copied: a lock's kin, a generator, weak references."""

    def __init__(self, params: Any, lr: float) -> None:
        super().__init__(params, lr)
        ours = self.param_groups[0]["params"]
        self.updates = [lambda p=p: p.sub_(0.01 * p.grad) for p in ours]
        self.generator = torch.Generator().manual_seed(1)
        self.lines = (line for line in "abc")
        self.refs = weakref.WeakSet(ours)

    @torch.no_grad()
    def step(self) -> None:  # type: ignore[override]
        for update in self.updates:
            update()  # type: ignore[no-untyped-call]


class NeedsClosure(torch.optim.SGD):
    """Asks for the loss twice in a step, and changes the weights between."""

    @torch.no_grad()
    def step(self, closure: Any) -> Any:  # type: ignore[override]
        loss = closure()
        super().step()
        closure()
        super().step()
        return loss


# State that is not what it was at step 1


class Later(torch.optim.SGD):
    """`fill` is called in each step with the state of a parameter and the number of the step, from 1."""

    def fill(self, state: dict[str, Any], step: int, p: Tensor) -> None:
        raise NotImplementedError

    def step(self, closure: Any = None) -> None:  # type: ignore[override]
        for group in self.param_groups:
            group["count"] = group.get("count", 0) + 1
            for p in group["params"]:
                self.fill(self.state[p], group["count"], p)
        super().step(closure)


class AtStep3(Later):
    def fill(self, state: dict[str, Any], step: int, p: Tensor) -> None:
        if step == 3:
            state["sum"] = torch.ones(2, 5)
            state["notes"] = {"at": (step, "x")}


class OneMoreAtStep3(Later):
    def fill(self, state: dict[str, Any], step: int, p: Tensor) -> None:
        state.setdefault("sum", torch.zeros_like(p)).add_(1)
        if step == 3:
            state["copy"] = p.detach().clone()


class NoneAtFirst(Later):
    def fill(self, state: dict[str, Any], step: int, p: Tensor) -> None:
        state["copy"] = None if step < 3 else p.detach().clone()


class Growing(Later):
    def fill(self, state: dict[str, Any], step: int, p: Tensor) -> None:
        state["seen"] = [*state.get("seen", []), torch.tensor(step)]


class Infinite(Later):
    def fill(self, state: dict[str, Any], step: int, p: Tensor) -> None:
        state["best"], state["worst"], state["none"] = math.inf, -math.inf, math.nan
        state["bounds"] = torch.tensor([math.inf, -math.inf, math.nan])
        assert not state.get("broken")


class WithGraph(Later):
    """A tensor that torch cannot copy: it is not a leaf."""

    def fill(self, state: dict[str, Any], step: int, p: Tensor) -> None:
        state["scaled"] = p * 2


LATER = (AtStep3, OneMoreAtStep3, NoneAtFirst, Growing, Infinite, WithGraph)
OWN: dict[str, type] = {
    kind.__name__.lower(): kind for kind in (OwnAttributes, Wrapper, Scheduled, Closures, NeedsClosure, *LATER)
}


# What no state may hold, at once or later


class Odd(Later):
    value: Any = None
    since = 1

    def fill(self, state: dict[str, Any], step: int, p: Tensor) -> None:
        if step >= self.since:
            state["odd"] = self.value


class Pair(tuple[int, ...]):
    pass


SELF: list[Any] = []
SELF.append(SELF)

REFUSED: dict[str, tuple[Any, str]] = {
    "float32": (np.float32(1), "a numpy.float32"),
    "float64": (np.float64(1), "a numpy.float64"),
    "int64": (np.int64(1), "a numpy.int64"),
    "array": (np.ones(2), "a numpy.ndarray"),
    "set": ({1}, "a set"),
    "bytes": (b"x", "a bytes"),
    "complex": (1j, "a complex"),
    "object": (object(), "an object"),
    "function": (len, "a builtin_function_or_method"),
    "tuple": (Pair([1]), f"a {Pair.__module__}.Pair"),
    "key": ({(1, 2): 3}, "a tuple as a key"),
    "type": (torch.float32, "a torch.dtype"),
    "sparse": (torch.eye(2).to_sparse(), "a tensor of layout torch.sparse_coo"),
    "large": (1 << 70, "too large an int"),
    "endless": (SELF, "nested too deeply"),
    "surrogate": ("\ud800", "a str that is not valid Unicode"),
}
ODD: dict[str, type[Odd]] = {
    f"{name}-{since}": type("Of", (Odd,), {"value": value, "since": since})
    for name, (value, _) in REFUSED.items()
    for since in (1, 3)
}

# Every class of torch

TORCHS = {
    name.lower(): kind
    for name, kind in vars(torch.optim).items()
    if isinstance(kind, type) and issubclass(kind, torch.optim.Optimizer) and kind is not torch.optim.Optimizer
}
KINDS = {**OWN, **TORCHS}


class Table(nn.Module):
    """All of its gradients are sparse."""

    context_length = 1

    def __init__(self, vocab_size: int) -> None:
        super().__init__()
        self.logits = nn.Embedding(vocab_size, vocab_size, sparse=True)

    def forward(self, x: Tensor) -> Tensor:
        logits: Tensor = self.logits(x[:, 0])
        return logits


class Matrices(Table):
    """Nothing but a matrix, as Muon wants."""

    def __init__(self, vocab_size: int) -> None:
        super().__init__(vocab_size)
        self.logits.sparse = False


class Plugin:
    @zoo.hookimpl
    def zoo_models(self) -> list[zoo.ModelSpec]:
        models = {"dropping": Dropping, "table": Table, "matrices": Matrices}
        return [zoo.ModelSpec(name, model, optimizer="adam", lr=0.01) for name, model in models.items()]

    @zoo.hookimpl
    def zoo_datasets(self) -> list[zoo.DatasetSpec]:
        return [zoo.DatasetSpec("words", lambda: zoo.TextDataset(WORDS.split()))]

    @zoo.hookimpl
    def zoo_optimizers(self) -> list[zoo.OptimizerSpec]:
        own = [zoo.OptimizerSpec(name, kind, lr=0.05) for name, kind in {**OWN, **ODD}.items()]
        return own + [
            zoo.OptimizerSpec(f"torch-{name}", f"torch.optim:{kind.__name__}", lr=0.01) for name, kind in TORCHS.items()
        ]


@pytest.fixture(autouse=True)
def plugin(monkeypatch: pytest.MonkeyPatch) -> None:
    install(monkeypatch, Plugin(), "zoo-kinds")


MODEL_OF = {"sparseadam": "table", "muon": "matrices"}


def options(name: str, **more: Any) -> dict[str, Any]:
    optimizer = name if name not in TORCHS else f"torch-{name}"
    model = {"optimizer": optimizer, "dataset": "words", "device": "cpu", "batch_size": 4, "plots": False}
    return {"model": MODEL_OF.get(name, "dropping"), **model, **more}


@pytest.mark.parametrize("name", KINDS)
def test_each_kind_of_optimizer_trains_and_resumes_to_the_same_bytes(name: str) -> None:
    full = zoo.run(**options(name, steps=6, out="whole"))
    half = zoo.run(**options(name, steps=4, out="half"))
    assert full.step_losses[0] != full.step_losses[-1]
    resumed = zoo.resume(half.path, steps=6, plots=False)
    assert resumed.step_losses == full.step_losses
    for file in ("model.safetensors", "training_state.safetensors"):
        assert (resumed.path / file).read_bytes() == (full.path / file).read_bytes(), file


@pytest.mark.parametrize("name", ODD)
def test_a_state_that_no_file_can_hold_is_named_and_costs_no_training(name: str, zoo_here: Zoo) -> None:
    run = ("--dataset", "words", "--steps", 9, "--device", "cpu", "--no-plots", "--out", "out")
    outcome = zoo_here("run", "dropping", "--optimizer", name, *run)
    assert outcome.code == 1
    assert outcome.err.count("\n") == 1
    assert f"optimizer '{name}' of plugin zoo-kinds 1.0 keeps " in outcome.err
    wanted = REFUSED[name.partition("-")[0]][1]
    assert wanted in outcome.err
    if "nested" not in wanted:
        assert "optimizer.state.0.odd" in outcome.err
    if name.endswith("-1"):
        assert not Path("out").exists()
    else:  # found in the block after the one in which it appeared
        assert "the checkpoint of step 1 is in out" in outcome.err
        assert "training state at step 1," in zoo_here("verify", "out").out


BITS = ["7ff0000000000000", "fff0000000000000", "7ff8000000000000", "fff8000000000001", "8000000000000000"]


@pytest.mark.parametrize("bits", BITS)
def test_every_number_keeps_its_bits(bits: str) -> None:
    number = struct.unpack(">d", bytes.fromhex(bits))[0]
    tensors, tree = flatten_state({"best": number, "all": [number]}, "optimizer")
    back = unflatten_state(tree, tensors)
    assert [struct.pack(">d", one).hex() for one in (back["best"], *back["all"])] == [bits, bits]


def test_an_optimizer_of_sparse_gradients_says_so_of_a_model_with_dense_ones(zoo_here: Zoo) -> None:
    outcome = zoo_here("run", "dropping", "--dataset", "words", "--optimizer", "torch-sparseadam", "--out", "out")
    assert outcome.code == 1
    assert outcome.err.count("\n") == 1
    assert "optimizer 'torch-sparseadam' of plugin zoo-kinds 1.0 fails in a step: RuntimeError: Spa" in outcome.err
    assert not Path("out").exists()


class NeverCalls(NeedsClosure):
    def step(self, closure: Any) -> Any:  # type: ignore[override]
        pass


def test_a_step_that_never_calls_its_closure_is_named(zoo_here: Zoo, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(OWN, "needsclosure", NeverCalls)
    outcome = zoo_here("run", "dropping", "--dataset", "words", "--optimizer", "needsclosure", "--out", "out")
    assert outcome.code == 1
    assert "optimizer 'needsclosure' of plugin zoo-kinds 1.0 never calls the closure" in outcome.err


@pytest.mark.parametrize("name", ["torch-lbfgs", "needsclosure", "scheduled", "wrapper"])
def test_the_checks_for_authors_pass_them(name: str) -> None:
    zoo.testing.check_optimizer(name)


def test_the_fault_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    """An optimizer that forgets what it learnt: these tests would see it."""
    forgets: Callable[..., None] = lambda self, state: None  # noqa: E731
    monkeypatch.setattr(OwnAttributes, "load_state_dict", forgets)
    with pytest.raises(AssertionError):
        test_each_kind_of_optimizer_trains_and_resumes_to_the_same_bytes("ownattributes")
