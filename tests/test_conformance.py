"""The conformance checks that plugin authors use, over the built-in plugin, and that they do find faults."""

from __future__ import annotations

import copy
import importlib.util
import re
import sys
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

import zoo.testing
from zoo.engines import Optimizer, Stop
from zoo.plugin.manager import load_plugins
from zoo.plugin.registry import Entry, Plugin, Registry
from zoo.training.autograd import Autograd

PLUGINS_README = Path(__file__).resolve().parent.parent / "plugins" / "README.md"
FAST = importlib.util.find_spec("numba") is not None


@pytest.mark.skipif(not hasattr(torch.optim, "Muon"), reason="of its optimizers, Muon needs torch 2.9")
def test_builtin_plugin_conforms(words_file: Path) -> None:
    table = words_file.with_name("table.csv")
    rows = [f"{x},{x * x % 7},{'even' if x % 2 == 0 else 'odd'}" for x in range(40)]
    table.write_text("\n".join(["x,square,parity", *rows]) + "\n")
    of_tables = ("linear-table", "mlp-table")
    with pytest.warns(match="^not checked: "):
        report = zoo.testing.check_plugin(
            "zoo-models",
            dataset=words_file,
            datasets=dict.fromkeys(of_tables, table),
            settings={name: {"data.target": "parity"} for name in of_tables},
        )
    not_here = {"logger 'zoo-models/tensorboard'"} if importlib.util.find_spec("tensorboard") is None else set()
    assert {what.partition(":")[0] for what, _ in report.skipped} == {
        "dataset 'zoo-models/names'",
        "engine 'fused' of 'mlp-char', for populations",  # of CUDA
        *not_here,
    }


def test_an_absent_distribution_is_an_error() -> None:
    with pytest.raises(AssertionError, match="no plugin of 'zoo-nowhere' is loaded"):
        zoo.testing.check_plugin("zoo-nowhere")


# Engines


class Bigram(nn.Module):
    """Logits (B, V) from a table, with whatever makes training depend on more than the weights."""

    def __init__(self, vocab_size: int, dropout: float = 0.0, generator: torch.Generator | None = None) -> None:
        super().__init__()
        self.context_length = 2
        self.table = nn.Parameter(torch.randn((vocab_size, vocab_size), generator=generator))
        self.bias = nn.Parameter(torch.zeros(vocab_size))
        self.seen = nn.BatchNorm1d(vocab_size)
        self.dropout = nn.Dropout(dropout)
        self.register_buffer("mask", torch.full((vocab_size,), -torch.inf))

    def forward(self, x: Tensor) -> Tensor:
        logits: Tensor = self.dropout(self.seen(self.table[x].sum(1))) + self.bias
        return torch.maximum(logits, self.get_buffer("mask"))


class Right(Autograd):
    """An engine that is autograd under another name."""

    def __init__(self, model: nn.Module, optimizer: Optimizer, batch_size: int) -> None:
        super().__init__(model, optimizer)


class OtherLoss(Right):
    def run(self, x: Tensor, y: Tensor, lrs: Sequence[float], stop: Stop) -> Tensor:
        return super().run(x, y, lrs, stop) * 1.0002


class OtherRate(Right):
    """Goes by a learning rate of the optimizer's, not by the step's own."""

    def run(self, x: Tensor, y: Tensor, lrs: Sequence[float], stop: Stop) -> Tensor:
        return super().run(x, y, [self._optimizer.param_groups[0]["lr"]] * len(lrs), stop)


class LeavesOneOut(Right):
    """A gradient in which one weight of many is forgotten."""

    def run(self, x: Tensor, y: Tensor, lrs: Sequence[float], stop: Stop) -> Tensor:
        kept = self._model.get_parameter("table").detach().clone()
        losses = super().run(x, y, lrs, stop)
        with torch.no_grad():
            self._model.get_parameter("table")[1, 2] = kept[1, 2]
        return losses


class SmallInaccuracy(Right):
    def run(self, x: Tensor, y: Tensor, lrs: Sequence[float], stop: Stop) -> Tensor:
        return super().run(x, y, [0.997 * lr for lr in lrs], stop)


class NoNumbers(Right):
    def run(self, x: Tensor, y: Tensor, lrs: Sequence[float], stop: Stop) -> Tensor:
        losses = super().run(x, y, lrs, stop)
        with torch.no_grad():
            self._model.get_parameter("bias").fill_(torch.nan)
        return losses


class KeepsWeights(Right):
    """Goes on with its own weights, and not with the model's."""

    def __init__(self, model: nn.Module, optimizer: Optimizer, batch_size: int) -> None:
        super().__init__(model, optimizer, batch_size)
        self._own: dict[str, Tensor] | None = None

    def run(self, x: Tensor, y: Tensor, lrs: Sequence[float], stop: Stop) -> Tensor:
        if self._own is not None:
            self._model.load_state_dict(self._own)
        losses = super().run(x, y, lrs, stop)
        self._own = copy.deepcopy(self._model.state_dict())
        return losses


class KeepsMomentum(Right):
    """Never tells the optimizer of its state."""

    def run(self, x: Tensor, y: Tensor, lrs: Sequence[float], stop: Stop) -> Tensor:
        before = copy.deepcopy(self._optimizer.state_dict())
        losses = super().run(x, y, lrs, stop)
        self._optimizer.load_state_dict(before)
        return losses


class BlocksDiffer(Right):
    """Rounds otherwise in a block than in a step alone."""

    def run(self, x: Tensor, y: Tensor, lrs: Sequence[float], stop: Stop) -> Tensor:
        losses = super().run(x, y, lrs, stop)
        if len(lrs) > 1:
            with torch.no_grad():
                self._model.get_parameter("table").mul_(1 + 2e-7)
        return losses


class CountsSteps(Right):
    """Depends on how many steps it has done: one that is made anew begins from 0."""

    done = 0

    def run(self, x: Tensor, y: Tensor, lrs: Sequence[float], stop: Stop) -> Tensor:
        lrs = [lr * (1 + 1e-6 * (self.done + k)) for k, lr in enumerate(lrs)]
        self.done += len(lrs)
        return super().run(x, y, lrs, stop)


class ForgetsAStep(Right):
    """Asks after the step, which is done, and leaves its loss out."""

    def run(self, x: Tensor, y: Tensor, lrs: Sequence[float], stop: Stop) -> Tensor:
        losses = []
        for k in range(len(lrs)):
            loss = super().run(x[k : k + 1], y[k : k + 1], lrs[k : k + 1], lambda: False)
            if stop():
                break
            losses.append(loss)
        return torch.cat(losses) if losses else torch.empty(0)


class OneLossTooFew(Right):
    def run(self, x: Tensor, y: Tensor, lrs: Sequence[float], stop: Stop) -> Tensor:
        return super().run(x, y, lrs, stop)[:-1]


class NotHere(Right):
    def __init__(self, model: nn.Module, optimizer: Optimizer, batch_size: int) -> None:
        raise zoo.EngineUnavailableError("it needs another processor")


class Together:
    """Right, for many nets."""

    def __init__(self, nets: Sequence[tuple[nn.Module, Optimizer]], batch_size: int) -> None:
        self._engines = [Right(model, optimizer, batch_size) for model, optimizer in nets]

    def run(self, members: Sequence[int], x: Tensor, y: Tensor, lrs: Sequence[Sequence[float]], stop: Stop) -> Tensor:
        return torch.stack([self._engines[m].run(x[i], y[i], lrs[i], stop) for i, m in enumerate(members)])


class InTheWrongOrder(Together):
    def run(self, members: Sequence[int], x: Tensor, y: Tensor, lrs: Sequence[Sequence[float]], stop: Stop) -> Tensor:
        return super().run(sorted(members), x, y, lrs, stop)


class OneRateForAll(Together):
    def run(self, members: Sequence[int], x: Tensor, y: Tensor, lrs: Sequence[Sequence[float]], stop: Stop) -> Tensor:
        return super().run(members, x, y, [lrs[0]] * len(members), stop)


class RoundsOtherwise(Together):
    def run(self, members: Sequence[int], x: Tensor, y: Tensor, lrs: Sequence[Sequence[float]], stop: Stop) -> Tensor:
        losses = super().run(members, x, y, lrs, stop)
        with torch.no_grad():
            self._engines[members[-1]]._model.get_parameter("bias").mul_(1 + 2e-7)
        return losses


class Mixes(Together):
    """One net that is no number makes all so."""

    def run(self, members: Sequence[int], x: Tensor, y: Tensor, lrs: Sequence[Sequence[float]], stop: Stop) -> Tensor:
        losses = super().run(members, x, y, lrs, stop)
        return losses + 0 * losses.sum()


class NotHereForMany(Together):
    def __init__(self, nets: Sequence[tuple[nn.Module, Optimizer]], batch_size: int) -> None:
        raise zoo.EngineUnavailableError("it needs a larger processor")


OPTIMIZERS = {"momentum": "torch.optim:SGD", "decayed": "torch.optim:AdamW"}

Offer = Callable[..., None]


@pytest.fixture
def offer(monkeypatch: pytest.MonkeyPatch) -> Offer:
    """`offer(fast=Right)`: a plugin whose model has that engine."""

    def make(populations: Any = {}, **engines: Any) -> None:  # noqa: B006  # is not changed
        def load(*args: Any, **kwargs: Any) -> Any:
            registry, statuses = load_plugins(*args, **kwargs)
            plugin = Plugin("tables", "zoo-tables", "1.0")
            of_runs: dict[str, Any] = {"optimizer": "sgd", "lr": 0.1, "batch_size": 8}
            spec = zoo.ModelSpec("pairs", Bigram, engines=engines, populations=populations, **of_runs)
            registry.models.add(Entry(spec, plugin))
            for name, factory in OPTIMIZERS.items():
                registry.optimizers.add(Entry(zoo.OptimizerSpec(name, factory, lr=0.01), plugin))
            return registry, statuses

        monkeypatch.setattr("zoo.testing.bench.load_plugins", load)
        monkeypatch.setattr("zoo.api.load_plugins", load)

    return make


@pytest.mark.parametrize("optimizer", ["sgd", "momentum", "decayed"])
@pytest.mark.parametrize("dropout", [0.0, 0.3])
def test_an_engine_that_does_what_autograd_does_passes(
    offer: Offer, words_file: Path, optimizer: str, dropout: float
) -> None:
    offer(right=Right)
    settings: dict[str, object] = {"model.dropout": dropout}
    if optimizer == "momentum":
        settings["optimizer.momentum"] = 0.9
    checked = zoo.testing.check_engines(
        "pairs", dataset=words_file, optimizer=optimizer, settings=settings, batch_size=5, steps=60
    )
    assert "engine 'right'" in checked


@pytest.mark.parametrize(
    ("engine", "fault"),
    [
        (OtherLoss, r"engine 'faulty' of 'pairs' has the loss \d\.\d+ at step 0, autograd \d\.\d+$"),
        (OtherRate, "at step 1 changes 'model.table' otherwise than autograd: by a vector of length"),
        (LeavesOneOut, r"at step \d+ changes 'model.table' otherwise than autograd"),
        (SmallInaccuracy, "at step 0 changes 'model.table' otherwise than autograd"),
        (NoNumbers, r"at step \d+ changes 'model.bias' otherwise than autograd"),
        (KeepsWeights, "ignores the state that is loaded into the model"),
        (KeepsMomentum, r"at step 0 leaves no 'optimizer.state.0.momentum_buffer', as autograd does"),
        (BlocksDiffer, "does not do in a block what it does step by step"),
        (CountsSteps, "does not do in a block what it does step by step"),
        (ForgetsAStep, "differs from an uninterrupted run after a stop"),
        (OneLossTooFew, "returns 0 losses of 1 step"),
    ],
)
def test_a_fault_of_an_engine_is_found(offer: Offer, words_file: Path, engine: type[Right], fault: str) -> None:
    offer(faulty=engine)
    momentum = {"optimizer": "momentum", "settings": {"optimizer.momentum": 0.9}} if engine is KeepsMomentum else {}
    with pytest.raises(AssertionError, match=fault):
        zoo.testing.check_engines("pairs", dataset=words_file, **momentum)  # type: ignore[arg-type]


def test_every_engine_of_a_plugin_is_tested_against_autograd(offer: Offer, words_file: Path) -> None:
    offer(right=Right, faulty=OtherLoss)
    with pytest.raises(AssertionError, match="engine 'faulty' of 'pairs'"):
        zoo.testing.check_plugin("zoo-tables", dataset=words_file)


def test_an_engine_that_cannot_be_had_here_is_left_out(offer: Offer, words_file: Path) -> None:
    offer(absent=NotHere, right=Right)
    report = zoo.testing.check_engines("pairs", dataset=words_file, steps=20)
    assert "engine 'right'" in report
    [(what, why)] = report.skipped
    assert what == "engine 'absent' of 'pairs'"
    assert "it needs another processor" in why


@pytest.mark.parametrize("kind", [InTheWrongOrder, OneRateForAll, RoundsOtherwise, Mixes])
def test_a_fault_of_an_engine_for_populations_is_found(offer: Offer, words_file: Path, kind: type[Together]) -> None:
    offer({"right": kind}, right=Right)
    said = "engine 'right' of 'pairs' for populations does not train a net as it trains it alone"
    with pytest.raises(AssertionError, match=said):
        zoo.testing.check_engines("pairs", dataset=words_file, steps=20)


def test_an_engine_for_populations_is_tested_with_the_one_of_its_name(offer: Offer, words_file: Path) -> None:
    offer({"right": Together}, right=Right, other=Right)
    report = zoo.testing.check_engines("pairs", dataset=words_file, steps=20)
    assert "engine 'right' of 'pairs': in a population" in report
    assert "engine 'other' of 'pairs': in a population" not in report
    offer({"right": NotHereForMany}, right=Right)
    [(what, why)] = zoo.testing.check_engines("pairs", dataset=words_file, steps=20).skipped
    assert (what, why) == ("engine 'right' of 'pairs', for populations", "it needs a larger processor")


def test_a_model_without_engines(offer: Offer) -> None:
    offer()
    assert zoo.testing.check_engines("pairs") == zoo.testing.Report()


def test_a_broken_engine_is_the_plugins_fault(offer: Offer, words_file: Path) -> None:
    offer(broken=lambda *_: 1 / 0)
    with pytest.raises(zoo.PluginError, match="cannot be made: ZeroDivisionError"):
        zoo.testing.check_engines("pairs", dataset=words_file)


def test_wrong_settings_are_an_error_of_their_own(offer: Offer, words_file: Path) -> None:
    offer(right=Right)
    with pytest.raises(zoo.UsageError, match="dropout probability has to be between 0 and 1"):
        zoo.testing.check_engines("pairs", dataset=words_file, settings={"model.dropout": 3.0})


@pytest.mark.parametrize("batch_size", [1, 32, 50])
def test_the_lectures_engines_are_tested_against_autograd(batch_size: int) -> None:
    checked = zoo.testing.check_engines("mlp-char", batch_size=batch_size, settings={"model.hidden_size": 50})
    assert "engine 'manual'" in checked
    assert ("engine 'fused'" in checked) == FAST


def test_the_engine_that_plugins_are_taught_passes(
    words_file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The package of plugins/README.md, with the engine and the line that names it."""
    text = PLUGINS_README.read_text(encoding="utf-8")
    for name, code in re.findall(r"^`(zoo_stars/\w+\.py)`:\n\n```python\n(.*?)```", text, re.DOTALL | re.MULTILINE):
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(code, encoding="utf-8")
    monkeypatch.syspath_prepend(tmp_path)
    try:
        import zoo_stars  # type: ignore[import-not-found]

        [engines] = re.findall(r'`engines=\{"([\w-]+)": "([^"]+)"\}`', text)
        registry = Registry()
        plugin = Plugin("stars", "zoo-stars", "0.1.0")
        registry.models.add(Entry(replace(zoo_stars.zoo_models()[0], engines=dict([engines])), plugin))
        for dataset in zoo_stars.zoo_datasets():
            registry.datasets.add(Entry(dataset, plugin))
        for optimizer in zoo_stars.zoo_optimizers():
            registry.optimizers.add(Entry(optimizer, plugin))
        monkeypatch.setattr("zoo.testing.bench.load_plugins", lambda: (registry, []))
        name = f"engine {engines[0]!r}"
        assert name in zoo.testing.check_engines("linear-char")
        assert name in zoo.testing.check_engines("linear-char", settings={"model.context_length": 4})
        skipped = zoo.testing.check_engines("linear-char", optimizer="zoo-stars/asgd").skipped
        assert [what for what, _ in skipped] == [f"{name} of 'linear-char'"]
    finally:
        for module in [module for module in sys.modules if module.partition(".")[0] == "zoo_stars"]:
            del sys.modules[module]
