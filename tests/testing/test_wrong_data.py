"""Deliberately wrong datasets and optimizers: each rule of `zoo.testing` finds what it is for."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from offering import Offer, points
from torch import Tensor

import zoo
import zoo.testing
from zoo.testing import datasets, optimizers

# Datasets


class Rows:
    """Right: a split that is gathered."""

    def __init__(self, first: int = 0, count: int = 20) -> None:
        self.x = torch.arange(first, first + 3 * count, dtype=torch.float32).view(count, 3)
        self.calls = 0

    def __len__(self) -> int:
        return len(self.x)

    def gather(self, indices: Tensor) -> tuple[Any, Any]:
        self.calls += 1
        return self.x[indices], (indices % 2).long()


class OneByOne(Rows):
    """A file that is read on from where it was, whatever is asked for."""

    def gather(self, indices: Tensor) -> tuple[Any, Any]:
        return super().gather((indices + self.calls) % len(self))


class Sorted(Rows):
    def gather(self, indices: Tensor) -> tuple[Any, Any]:
        return super().gather(indices.sort().values)


class Unique(Rows):
    def gather(self, indices: Tensor) -> tuple[Any, Any]:
        x, y = super().gather(torch.tensor(sorted(set(indices.tolist()))))
        rows = torch.arange(len(indices)) % len(x)
        return x[rows], y[rows]


class Reuses(Rows):
    """One array for all batches of a size."""

    def __init__(self, first: int = 0, count: int = 20) -> None:
        super().__init__(first, count)
        self.arrays: dict[int, Tensor] = {}

    def gather(self, indices: Tensor) -> tuple[Any, Any]:
        x, y = super().gather(indices)
        return self.arrays.setdefault(len(indices), torch.empty_like(x)).copy_(x), y


class OtherType(Rows):
    def gather(self, indices: Tensor) -> tuple[Any, Any]:
        x, y = super().gather(indices)
        return (x.double() if len(indices) == 1 else x), y


def of_rows(kind: type[Rows]) -> Callable[[], zoo.TensorDataset]:
    return lambda: zoo.TensorDataset(kind(), kind(100, 5), kind(200, 5), classes=["even", "odd"])


def of_the_time() -> zoo.TensorDataset:
    split = torch.full((5, 2), float(time.perf_counter_ns() % 1_000_000)), torch.zeros(5, dtype=torch.long)
    return zoo.TensorDataset(split, split, split)


def of_the_system() -> zoo.TextDataset:
    letters = np.random.default_rng().choice(list("abcdef"), (9, 4))
    return zoo.TextDataset(words=["".join(word) for word in letters])


def augmented(augment: Callable[..., Any]) -> Callable[[], zoo.TensorDataset]:
    def make() -> zoo.TensorDataset:
        data = points()
        return zoo.TensorDataset(*data.splits.values(), augment=augment)

    return make


def noisy(x: Tensor, y: Tensor, generator: torch.Generator) -> tuple[Tensor, Tensor]:
    """Right."""
    return x + torch.randn(x.shape, generator=generator), y


def unseeded(x: Tensor, y: Tensor, generator: torch.Generator) -> tuple[Tensor, Tensor]:
    return x + torch.tensor(np.random.default_rng().normal(size=x.shape), dtype=x.dtype), y


def in_place(x: Tensor, y: Tensor, generator: torch.Generator) -> tuple[Tensor, Tensor]:
    return x.add_(torch.randn(x.shape, generator=generator)), y


def rounded(x: Tensor, y: Tensor, generator: torch.Generator) -> tuple[Tensor, Tensor]:
    return x.round().long(), y  # another type of floating-point numbers would be converted


def cut(x: Tensor, y: Tensor, generator: torch.Generator) -> tuple[Tensor, Tensor]:
    """As many columns as chance has it."""
    return x[:, : int(torch.randint(1, 4, (), generator=generator))], y


GATHERS = "a batch follows from its indices alone"
WRONG_DATA: list[tuple[str, Callable[[], Any], str, str]] = [
    ("time", of_the_time, "it is the same each time", "differs each time it is made"),
    ("system", of_the_system, "it is the same each time", "differs each time it is made"),
    ("one by one", of_rows(OneByOne), GATHERS, "has other rows where they are gathered again"),
    ("sorted", of_rows(Sorted), GATHERS, "has other rows where they are gathered in another order"),
    ("unique", of_rows(Unique), GATHERS, "has other rows where they are gathered in another order"),
    ("reuses", of_rows(Reuses), GATHERS, "changes when another is gathered: return new tensors"),
    (
        "other type",
        of_rows(OtherType),
        "its splits gather the same for the same indices",
        "have another type or shape in",
    ),
    (
        "unseeded",
        augmented(unseeded),
        "its augment follows from the generator alone",
        "draw from its argument 'generator'",
    ),
    ("in place", augmented(in_place), "its augment leaves the batch as it is", "augment changes its batch in place"),
    ("rounded", augmented(rounded), "its augment gives batches of one form", "all batches of a run need the same"),
    ("cut", augmented(cut), "its augment gives batches of one form", "all batches of a run need the same"),
]


@pytest.mark.parametrize(("name", "function", "rule", "said"), WRONG_DATA, ids=[name for name, *_ in WRONG_DATA])
def test_a_fault_of_a_dataset_is_found(name: str, function: Any, rule: str, said: str, offer: Offer) -> None:
    offer(zoo.DatasetSpec("wrong", function))
    assert rule in {**datasets.RULES, **datasets.OF_TENSORS, **datasets.OF_AUGMENT}
    with pytest.raises(AssertionError, match="dataset 'wrong'") as found:
        zoo.testing.check_dataset("wrong")
    assert said in str(found.value)


def words() -> zoo.TextDataset:
    return zoo.TextDataset(words=["abc", "bca", "cab", "aab", "bbc", "cca", "abb"])


class Pairs:
    """A tokenizer of pairs of characters."""

    vocab_size = 4

    def encode(self, text: str) -> list[int]:
        return [2 * (a == "b") + (b == "b") for a, b in zip(text[::2], text[1::2], strict=False)]

    def decode(self, ids: list[int]) -> str:
        return "".join("ab"[i // 2] + "ab"[i % 2] for i in ids)


@pytest.mark.parametrize(
    "given",
    [
        {"text": "So it goes.\nAnd so on. " * 40},
        {"text": "So it goes. " * 40, "split": (0.5, 1.0)},
        {"text": "abbaab" * 50, "tokenizer": Pairs()},
    ],
)
def test_running_text_passes_every_rule(given: dict[str, Any], offer: Offer) -> None:
    offer(zoo.DatasetSpec("wrong", lambda: zoo.CorpusDataset(**given)))
    report = zoo.testing.check_dataset("wrong")
    assert report.passed == tuple(f"dataset 'wrong': {rule}" for rule in datasets.RULES | datasets.OF_TEXT)


def without_targets() -> zoo.TensorDataset:
    x = np.arange(12, dtype=np.float32).reshape(6, 2)
    return zoo.TensorDataset(x, x, x, provides={"sizes": [1, 2], "name": "x"})


@pytest.mark.parametrize(
    ("function", "rules"),
    [
        (words, datasets.RULES | datasets.OF_TEXT),
        (points, datasets.RULES | datasets.OF_TENSORS),
        (without_targets, datasets.RULES | datasets.OF_TENSORS),
        (of_rows(Rows), datasets.RULES | datasets.OF_TENSORS),
        (augmented(noisy), datasets.RULES | datasets.OF_TENSORS | datasets.OF_AUGMENT),
    ],
)
def test_a_right_dataset_passes_every_rule(function: Any, rules: dict[str, Any], offer: Offer) -> None:
    offer(zoo.DatasetSpec("wrong", function))
    report = zoo.testing.check_dataset("wrong")
    assert report.passed == tuple(f"dataset 'wrong': {rule}" for rule in rules)


def test_data_that_is_downloaded_is_skipped_without_a_network(offer: Offer) -> None:
    offer(zoo.DatasetSpec("wrong", lambda fetch: fetch("x", "https://x.invalid", sha256="0" * 64)))
    report = zoo.testing.check_dataset("wrong")
    assert report.skipped == (("dataset 'wrong'", "it is downloaded, and ZOO_OFFLINE forbids that"),)
    assert str(report).splitlines()[0] == "0 checks passed, 1 skipped"


def test_data_that_only_asks_for_the_cache_is_checked_without_a_network(offer: Offer) -> None:
    def kept(fetch: zoo.Fetcher) -> zoo.TextDataset:
        path = fetch.cache / "words.txt"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("\n".join(["ada", "eve", "ian", "lea", "mia", "noa", "ona", "uli"] * 2))
        return zoo.TextDataset(words=path.read_text().split())

    offer(zoo.DatasetSpec("wrong", kept))
    report = zoo.testing.check_dataset("wrong")
    assert (bool(report.passed), report.skipped) == (True, ())


# Optimizers


class Right(torch.optim.SGD):
    def __init__(self, params: Any, lr: float) -> None:
        super().__init__(params, lr, momentum=0.9)


class Ascends(Right):
    def step(self, closure: Any = None) -> None:  # type: ignore[override]
        for group in self.param_groups:
            for p in group["params"]:
                p.grad = None if p.grad is None else -p.grad
        super().step(closure)


class OwnRate(torch.optim.SGD):
    """Keeps the learning rate that it was made with."""

    def __init__(self, params: Any, lr: float) -> None:
        super().__init__(params, lr)
        self.rate = lr

    def step(self, closure: Any = None) -> None:  # type: ignore[override]
        for group in self.param_groups:
            group["lr"] = self.rate
        super().step(closure)


class Counts(Right):
    """Halves its steps by a count of its own."""

    count = 0

    def step(self, closure: Any = None) -> None:  # type: ignore[override]
        self.count += 1
        for group in self.param_groups:
            group["lr"] /= self.count
        super().step(closure)


class CountsInTheGroup(Right):
    """The right twin of Counts."""

    def step(self, closure: Any = None) -> None:  # type: ignore[override]
        for group in self.param_groups:
            group["count"] = group.get("count", 0) + 1
            group["lr"] /= group["count"]
        super().step(closure)


class Noisy(Right):
    def step(self, closure: Any = None) -> None:  # type: ignore[override]
        for group in self.param_groups:
            group["lr"] *= 0.9 + 0.1 * float(np.random.rand())
        super().step(closure)


class NoisyByItself(Right):
    def step(self, closure: Any = None) -> None:  # type: ignore[override]
        for group in self.param_groups:
            group["lr"] *= 0.9 + 0.1 * float(np.random.default_rng().random())
        super().step(closure)


class Normalizes(Right):
    """Divides each gradient by its norm, and says that it treats each number alike."""

    elementwise = True

    def step(self, closure: Any = None) -> None:  # type: ignore[override]
        for group in self.param_groups:
            for p in group["params"]:
                p.grad = None if p.grad is None else p.grad / p.grad.norm()
        super().step(closure)


class NeedsAll(Right):
    """Takes it that each parameter has a gradient."""

    def step(self, closure: Any = None) -> None:  # type: ignore[override]
        for group in self.param_groups:
            for p in group["params"]:
                p.grad.clamp_(-1, 1)
        super().step(closure)


WRONG_OPTIMIZERS: list[tuple[type[Any], str, str]] = [
    (Ascends, "it lowers a loss", "does not lower a quadratic"),
    (OwnRate, "it goes by the learning rate of each step", "read it from param_groups in each step"),
    (Noisy, "it does the same each time", "draws from 'numpy.random' (testing/test_wrong_data.py:"),
    (NoisyByItself, "it does the same each time", "trains otherwise each time: the loss of step"),
    (
        Counts,
        "stopped and resumed, it has the bits of an undisturbed training",
        "differs (steps change its 'count'); whatever a step depends on must be in its state_dict",
    ),
    (Normalizes, "it treats each number alike, if it says so", "its spec must not say elementwise=True"),
]


@pytest.mark.parametrize(
    ("kind", "rule", "said"), WRONG_OPTIMIZERS, ids=[kind.__name__ for kind, *_ in WRONG_OPTIMIZERS]
)
def test_a_fault_of_an_optimizer_is_found(kind: type[Any], rule: str, said: str, offer: Offer) -> None:
    offer(zoo.OptimizerSpec("wrong", kind, lr=0.05, elementwise=getattr(kind, "elementwise", False)))
    assert rule in optimizers.RULES
    with pytest.raises(AssertionError, match="optimizer 'wrong' with dense gradients") as found:
        zoo.testing.check_optimizer("wrong")
    assert said in str(found.value)


def test_every_rule_has_a_wrong_twin() -> None:
    every = {**datasets.RULES, **datasets.OF_TEXT, **datasets.OF_TENSORS, **datasets.OF_AUGMENT}
    by_construction = {
        "each split has examples",  # of a dataset that could be made
        "its tokens are in its vocabulary",  # as zoo encodes them
        "it is evaluated on the same examples each time",  # as gathered
        "what it provides can be recorded",  # or the constructor refuses it
    }
    assert {rule for *_, rule, _ in WRONG_DATA} == every.keys() - by_construction
    assert {rule for _, rule, _ in WRONG_OPTIMIZERS} == optimizers.RULES.keys()


@pytest.mark.parametrize(
    ("kind", "with_"),
    [
        (Right, ["dense gradients"]),
        (CountsInTheGroup, ["dense gradients"]),
        ("torch.optim:SGD", ["dense gradients", "sparse gradients"]),
        ("torch.optim:LBFGS", ["dense gradients", "sparse gradients"]),
        ("torch.optim:SparseAdam", ["sparse gradients"]),
    ],
)
def test_an_optimizer_decides_what_it_is_for(kind: Any, with_: list[str], offer: Offer) -> None:
    offer(zoo.OptimizerSpec("wrong", kind, lr=0.05))
    report = zoo.testing.check_optimizer("wrong")
    assert report.checks == len(with_) * len(optimizers.RULES)
    assert all(f"optimizer 'wrong' with {kind}" in report for kind in with_)


def test_an_optimizer_that_takes_nothing_is_named(offer: Offer) -> None:
    def refuses(params: Any, lr: float) -> Any:
        raise RuntimeError("not today")

    offer(zoo.OptimizerSpec("wrong", refuses, lr=0.1))
    with pytest.raises(zoo.PluginError, match=r"optimizer 'wrong' of plugin zoo-wrong 1.0 cannot be made: .*not today"):
        zoo.testing.check_optimizer("wrong")


def test_an_optimizer_that_wants_a_gradient_of_each_parameter_is_named(offer: Offer) -> None:
    offer(zoo.OptimizerSpec("wrong", NeedsAll, lr=0.1))
    with pytest.raises(zoo.PluginError, match="fails in a step: AttributeError: 'NoneType' object"):
        zoo.testing.check_optimizer("wrong")
