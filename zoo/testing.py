"""Checks that plugin authors can run over all that they register; zoo's own tests run them over the built-in plugins.

```python
import zoo.testing


def test_my_plugin_keeps_its_side_of_the_contract() -> None:
    zoo.testing.check_plugin("my-distribution")
```

Each check raises AssertionError with a message; a `zoo.ZooError` says what failed before anything could be compared.
"""

from __future__ import annotations

import copy
import itertools
import math
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path

import torch
from torch import Tensor

from zoo.ambient import in_neutral_state
from zoo.api import load, run
from zoo.data.datasets import SPLITS, Dataset, TextDataset
from zoo.data.download import fetcher
from zoo.data.loading import encode, load_dataset
from zoo.engines import Stop
from zoo.errors import UnavailableError, UsageError
from zoo.options.run import RunOptions
from zoo.options.training import AUTOGRAD
from zoo.plugin.manager import load_plugins
from zoo.plugin.registry import Registry
from zoo.plugin.settings import signature_of
from zoo.runs.plan import RunPlan, make_plan
from zoo.training.building import asked_inputs, build_model, build_optimizer, context_length, seeded
from zoo.training.device import choose_device
from zoo.training.engines import choose_engine
from zoo.training.loop import never

STEPS = 5

_BLOCK = 50  # steps that an engine does in one go, and again in parts
_OF_LOSS, _OF_UPDATE = 1e-4, 1e-3  # how far an engine may be off, as a share
_ROUNDING = 1e-6  # of a weight; in an update that is small beside the weight it shows
_NOISE = 1e-5  # of the largest update: what rounding makes of a gradient that is 0 on paper


@in_neutral_state
def check_plugin(distribution: str, *, dataset: str | Path | None = None) -> None:
    """Check everything that a distribution brings.

    Args:
        distribution: its name, as pip has it.
        dataset: trained on in place of the models' own, for tests without a network.
    """
    registry = _registry()
    mine = {kind.kind: [e for e in kind if e.plugin.distribution == distribution] for kind in registry.kinds()}
    assert any(mine.values()), (
        f"no plugin of {distribution!r} is loaded: is it installed, and does 'zoo plugins' show it?"
    )
    for entry in mine["dataset"]:
        check_dataset(entry.full_name)
    for entry in mine["model"]:
        check_model(entry.full_name, dataset=dataset)
        check_engines(entry.full_name, dataset=dataset)
    for entry in mine["optimizer"]:
        check_optimizer(entry.full_name)


@in_neutral_state
def check_dataset(name: str) -> None:
    """A dataset is the same each time it is made, and the command line can parse the types of its settings.

    One that must be downloaded is checked only where it can be.
    """
    registry = _registry()
    entry = registry.datasets.get(name)
    signature = signature_of(entry)
    if "fetch" in signature.inputs and fetcher().offline:
        return
    settings = signature.resolve("data", {})
    first, second = (load_dataset(entry, settings, fetcher()) for _ in range(2))
    assert first.sha256 == second.sha256, f"dataset {name!r} differs each time it is made: give it a seed"
    for split in SPLITS:
        size = len(first.splits[split]) if isinstance(first, TextDataset) else len(first.splits[split][1])
        assert size > 0, f"dataset {name!r} has an empty {split} split"


@in_neutral_state
def check_model(name: str, *, dataset: str | Path | None = None, optimizer: str | None = None) -> None:
    """A model trains, gives the same weights from the same seed, is saved, reloaded, and samples if it reads text."""
    with tempfile.TemporaryDirectory() as folder:
        first, second = (
            run(
                name,
                dataset=dataset,
                optimizer=optimizer,
                device="cpu",
                steps=STEPS,
                out=Path(folder) / part,
                plots=False,
            )
            for part in ("a", "b")
        )
        assert all(map(math.isfinite, first.step_losses)), f"model {name!r} has losses {first.step_losses}"
        same = first.step_losses == second.step_losses
        assert same, f"model {name!r} differs with the same seed: initialize its weights from 'generator'"
        loaded = load(first.path)
        for key, tensor in first.model.state_dict().items():
            back = loaded.model.state_dict()[key]
            assert torch.equal(tensor.nan_to_num(), back.nan_to_num()), f"{key!r} of {name!r} is changed by saving"
        if loaded.checked.vocabulary is not None:
            words = loaded.sample(3, seed=1)
            assert words == load(first.path).sample(3, seed=1), f"model {name!r} samples other words from the same seed"


@in_neutral_state
def check_engines(
    name: str,
    *,
    dataset: str | Path | None = None,
    optimizer: str | None = None,
    batch_size: int | None = None,
    settings: Mapping[str, object] | None = None,
    device: str = "cpu",
    steps: int = 200,
) -> list[str]:
    """Each engine of a model does the same steps as autograd, with no state but the model's and the optimizer's.

    Steps are compared one by one, each from the weights and the optimizer state that autograd has reached.
    Run side by side, two correct implementations drift apart by rounding. An engine's loss may be
    off by 0.01 % of autograd's, an update by 0.1 % of its norm. The learning rate differs at every step.

    What an engine does in one block it must also do, to the last bit, one step at a time, recreated midway from the
    saved state, and stopped between steps.

    Args:
        name: the model's name.
        dataset, optimizer, batch_size, settings, device: of the training, as `zoo.run` takes them.
        steps: how many are compared.

    Returns:
        The engines that were checked: those that can train this here. A test may ask that one is among them.
    """
    registry = _registry()
    entry = registry.models.get(name)
    if not entry.spec.engines:
        return []
    options = RunOptions(
        name,
        dataset=dataset,
        optimizer=optimizer,
        device=device,
        engine=AUTOGRAD,
        steps=steps,
        batch_size=batch_size,
        settings=settings,
    )
    bench = _Bench(make_plan(registry, options))
    bench.new(AUTOGRAD)  # what is wrong with the options is said here
    checked = []
    for engine in entry.spec.engines:
        try:
            bench.new(engine)
        except UsageError:  # it cannot train this here
            continue
        _check_steps(bench, engine)
        _check_blocks(bench, engine)
        checked.append(engine)
    return checked


@in_neutral_state
def check_optimizer(name: str) -> None:
    """An optimizer reduces a quadratic, and from a saved state continues as in an uninterrupted run."""
    entry = _registry().optimizers.get(name)
    lr = entry.spec.lr or 1e-3

    def descend(steps: int, start: torch.Tensor, state: object = None) -> tuple[torch.Tensor, dict[str, object]]:
        p = torch.nn.Parameter(start.clone())
        optimizer = entry.factory()([p], lr=lr)
        if state is not None:
            optimizer.load_state_dict(state)
        for _ in range(steps):
            optimizer.zero_grad()
            (p**2).sum().backward()  # type: ignore[no-untyped-call]  # torch
            optimizer.step()
        return p.detach(), optimizer.state_dict()

    start = torch.linspace(0.5, 1.5, 4)
    whole, _ = descend(6, start)
    assert (whole**2).sum() < (start**2).sum(), f"optimizer {name!r} does not lower a quadratic at its own lr {lr:g}"
    half, state = descend(3, start)
    resumed, _ = descend(3, half, state)
    assert torch.equal(whole, resumed), f"optimizer {name!r} does not continue from its own state_dict"


def _registry() -> Registry:
    return load_plugins()[0]


class _Bench:
    """Batches, and models to train on them."""

    def __init__(self, plan: RunPlan) -> None:
        self.plan, self.device = plan, choose_device(plan.options.device)
        self._dataset = _load(plan)
        model = self._model()
        examples = encode(self._dataset, plan.model.spec.reads, context_length(model))["train"].to(self.device)
        generator = torch.Generator().manual_seed(plan.options.seed)
        indices = torch.randint(0, len(examples), (plan.steps, plan.batch_size), generator=generator)
        self.x, self.y = examples.gather(indices.to(self.device))
        self.lrs = [plan.lr * (1 - 0.1 * (k % 5)) for k in range(plan.steps)]

    def new(self, engine: str) -> _Trained:
        """A model as a run begins with it.

        Raises:
            UsageError: the engine cannot train it here.
        """
        return _Trained(self, self._model(), engine)

    def _model(self) -> torch.nn.Module:
        arguments = {**self.plan.model_settings, **asked_inputs(self.plan.model, self._dataset)}
        return build_model(self.plan.model, arguments, self.plan.options.init_seed).to(self.device).train()


class _Trained:
    """A model, its optimizer, and the engine that trains it."""

    def __init__(self, bench: _Bench, model: torch.nn.Module, engine: str) -> None:
        plan = bench.plan
        self._bench, self.model = bench, model
        self.optimizer = build_optimizer(plan.optimizer, model, plan.lr, plan.optimizer_settings)
        _, self._engine = choose_engine(
            engine, plan.model, model, self.optimizer, batch_size=plan.batch_size, steps=plan.steps
        )

    def run(self, start: int, end: int, stop: Stop = never) -> list[float]:
        """Train on the batches from `start` to before `end`, in one block; the losses."""
        bench = self._bench
        losses = self._engine.run(bench.x[start:end], bench.y[start:end], bench.lrs[start:end], stop)
        values: list[float] = losses.tolist()
        return values

    def take(self, other: _Trained) -> None:
        """Take over the state of another."""
        self.model.load_state_dict(other.model.state_dict())
        self.optimizer.load_state_dict(copy.deepcopy(other.optimizer.state_dict()))

    def numbers(self) -> dict[tuple[str, ...], Tensor]:
        """Copies of all numbers of the model and the optimizer, the learning rate aside: an engine need not set it."""
        trees = {"model": self.model.state_dict(), "optimizer": self.optimizer.state_dict()}
        return dict(_flat(trees, ()))


def _load(plan: RunPlan) -> Dataset:
    """The data, or its fallback where there is no network."""
    try:
        return load_dataset(plan.dataset, plan.data_settings, fetcher())
    except UnavailableError:
        if plan.fallback is None:
            raise
        return load_dataset(plan.fallback, plan.data_settings, fetcher())


def _flat(tree: object, path: tuple[str, ...]) -> Iterator[tuple[tuple[str, ...], Tensor]]:
    if isinstance(tree, Mapping):
        tree = dict(tree).items()
    elif isinstance(tree, list | tuple):
        tree = enumerate(tree)
    elif isinstance(tree, Tensor | int | float):
        number = torch.as_tensor(tree).detach().to("cpu", torch.float64, copy=True)
        yield path, number.nan_to_num(0.0, 0.0, 0.0)  # a mask may be of infinities
        return
    else:
        return
    for key, part in tree:
        if key != "lr":
            yield from _flat(part, (*path, str(key)))


def _check_steps(bench: _Bench, engine: str) -> None:
    """Every step against autograd's, both from what autograd has come to."""
    who = f"engine {engine!r} of {bench.plan.model.spec.name!r}"
    reference, own = bench.new(AUTOGRAD), bench.new(engine)
    before = reference.numbers()
    for k in range(bench.plan.steps):
        own.take(reference)
        results = []
        for trained in (reference, own):
            with seeded(k, bench.device):  # both drop out the same
                results.append(trained.run(k, k + 1))
        [wanted], losses = results
        assert len(losses) == 1, f"{who} returns {len(losses)} losses of 1 step"
        off = abs(losses[0] - wanted)
        assert off <= _OF_LOSS * abs(wanted) + 10 * _ROUNDING, (
            f"{who} has the loss {losses[0]} at step {k}, autograd {wanted}"
        )
        after = reference.numbers()
        _check_update(f"{who} at step {k}", before, after, own.numbers())
        before = after


def _check_update(
    who: str,
    before: Mapping[tuple[str, ...], Tensor],
    after: Mapping[tuple[str, ...], Tensor],
    own: Mapping[tuple[str, ...], Tensor],
) -> None:
    """That `own` is `after`, but for rounding."""
    moved = {path: float((tensor - before.get(path, 0)).norm()) for path, tensor in after.items()}
    most: dict[str, float] = {}  # of all weights, and of everything of one name that the optimizer has of each
    for path, length in moved.items():
        kind = _kind(path)
        most[kind] = max(length, most.get(kind, 0.0))
    for path, tensor in after.items():
        key = ".".join(path)
        assert path in own, f"{who} leaves no {key!r}, as autograd does"
        off = float((own[path] - tensor).norm())
        allowed = _OF_UPDATE * moved[path] + _NOISE * most[_kind(path)] + _ROUNDING * float(tensor.norm())
        assert off <= allowed, (
            f"{who} changes {key!r} otherwise than autograd: by a vector of length {moved[path]:.3g}, off by {off:.3g}"
        )


def _kind(path: tuple[str, ...]) -> str:
    return path[0] if path[0] == "model" else path[-1]


def _check_blocks(bench: _Bench, engine: str) -> None:
    """The same steps in one block, one by one and anew from the middle, stopped now and then, and from the start."""
    who = f"engine {engine!r} of {bench.plan.model.spec.name!r}"
    count = min(_BLOCK, bench.plan.steps)
    with seeded(0, bench.device):
        whole = bench.new(engine)
        losses = whole.run(0, count)
    assert len(losses) == count, f"{who} returns {len(losses)} losses of {count} steps"

    with seeded(0, bench.device):
        single, parts = bench.new(engine), []
        for k in range(count):
            if k == count // 2:
                first, single = single, bench.new(engine)
                single.take(first)
            parts += single.run(k, k + 1)
    _check_same(
        whole, losses, single, parts, f"{who} does not do in a block what it does step by step, made anew in between"
    )

    with seeded(0, bench.device):
        stopped, parts, asked = bench.new(engine), [], itertools.count(1)
        for _ in range(2 * count):
            if len(parts) < count:
                parts += stopped.run(len(parts), count, lambda: next(asked) % 3 == 0)
    _check_same(whole, losses, stopped, parts, f"{who} differs from an uninterrupted run after a stop")

    with seeded(0, bench.device):
        stopped.take(bench.new(AUTOGRAD))
        parts = stopped.run(0, count)
    _check_same(
        whole, losses, stopped, parts, f"{who} ignores the state that is loaded into the model and the optimizer"
    )


def _check_same(one: _Trained, losses: list[float], two: _Trained, others: list[float], message: str) -> None:
    assert losses == others, message
    first, second = one.numbers(), two.numbers()
    assert first.keys() == second.keys(), message
    assert all(torch.equal(tensor, second[path]) for path, tensor in first.items()), message
