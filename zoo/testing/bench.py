"""What the checks train: batches of a plan, and models as a run begins with them."""

from __future__ import annotations

import copy
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from zoo import cuda
from zoo.data.loading import offered_values
from zoo.engines import Stop
from zoo.options.run import RunOptions
from zoo.options.training import AUTOGRAD
from zoo.plugin.manager import PluginStatus, load_plugins
from zoo.plugin.registry import Entry, Registry
from zoo.plugin.settings import is_fitted
from zoo.runs.clock import Clock
from zoo.runs.observer import Observer
from zoo.runs.plan import RunPlan
from zoo.runs.prepare import PreparedRun, net_of, prepare, stacked_together
from zoo.training.autograd import PLAIN, StepOptions
from zoo.training.building import build_model, build_optimizer, fit_model
from zoo.training.device import choose_device
from zoo.training.engines import choose_engine
from zoo.training.loop import never
from zoo.training.objective.objective import Objective, make_objective
from zoo.training.population.nets import Net, OfOne


def load_registry() -> Registry:
    """All that the installed plugins register."""
    return load_installed()[0]


def load_installed() -> tuple[Registry, list[PluginStatus]]:
    """All that the installed plugins register, and how it went with each."""
    return load_plugins()


def options_of(
    name: str,
    *,
    steps: int,
    dataset: str | Path | None = None,
    optimizer: str | None = None,
    batch_size: int | None = None,
    settings: Mapping[str, object] | None = None,
    device: str = "cpu",
    engine: str = AUTOGRAD,
    **more: Any,
) -> RunOptions:
    """The options of a run as the checks take them."""
    return RunOptions(
        name,
        dataset=dataset,
        optimizer=optimizer,
        device=device,
        engine=engine,
        steps=steps,
        batch_size=batch_size,
        settings=settings,
        **more,
    )


class Quiet(Observer):
    """Of a check, which says itself what matters."""

    def warning(self, text: str) -> None:
        """Nothing: whatever a run warns of, the run of the same check through `zoo.run` warns of."""


class Bench:
    """Batches, and models to train on them.

    Attributes:
        run: the run that was planned, before its first step.
        x, y: batches of all steps, shapes (K, B, ...).
        lrs: a learning rate for each step, all different from the one before.
    """

    def __init__(self, plan: RunPlan) -> None:
        self.device = choose_device(plan.options.device)
        with cuda.current(self.device):
            self.run: PreparedRun = prepare(plan, self.device, Quiet(), Clock())
        self.plan = self.run.plan
        examples = self.run.examples["train"]
        generator = torch.Generator().manual_seed(plan.options.seed)
        indices = torch.randint(0, len(examples), (plan.steps, plan.batch_size), generator=generator)
        self.x, self.y = examples.gather(indices)
        self.lrs = [plan.lr * (1 - 0.1 * (k % 5)) for k in range(plan.steps)]

    def on(self, device: torch.device) -> Bench:
        """The same on another device."""
        other = copy.copy(self)
        x = self.x.to(device)
        other.device, other.x, other.y = device, x, x if self.y is self.x else self.y.to(device)
        return other

    def model(self) -> nn.Module:
        """A model as a run begins with it, in training mode."""
        plan = self.plan
        inputs = self.run.config["model"]["inputs"]
        arguments = {**plan.model_settings, **inputs}
        if is_fitted(plan.model):  # the sizes of its tables are found by fitting it
            arguments = {name: value for name, value in arguments.items() if name not in plan.model.spec.fitted}
        model = build_model(plan.model, arguments, plan.options.init_seed).to(self.run.device)
        if is_fitted(plan.model):
            fit_model(plan.model, model, self.run.examples["train"])
        return model.to(self.device).train()

    def objective(self, model: nn.Module) -> Objective:
        """What a model is trained on and judged by: a loss may ask for the model."""
        run = self.run
        return make_objective(
            self.plan.model,
            run.source if isinstance(run.source, Entry) else None,
            run.dataset,
            model,
            settings=self.plan.loss_settings,
            offered=offered_values(run.dataset),
        )

    def new(self, engine: str, options: StepOptions = PLAIN) -> Trained:
        """A model as a run begins with it, with what trains it.

        Raises:
            UsageError: the engine cannot train it here.
        """
        return Trained(self, self.model(), engine, options)


class Trained:
    """A model, its optimizer, and the engine that trains it."""

    def __init__(self, bench: Bench, model: nn.Module, engine: str, options: StepOptions) -> None:
        plan = bench.plan
        self._bench, self.model = bench, model
        self.loss = bench.objective(model).loss
        self.optimizer = build_optimizer(plan.optimizer, model, plan.lr, plan.optimizer_settings)
        _, self._engine = choose_engine(
            engine,
            plan.model,
            model,
            self.optimizer,
            batch_size=plan.batch_size,
            steps=plan.steps,
            options=options,
            loss=self.loss,
            stacked=lambda: OfOne(stacked_together(plan, [self.net], bench.run.train_on, self.loss)),
        )

    @property
    def net(self) -> Net:
        """As a population has it."""
        return net_of(self._bench.plan, self.model, self.optimizer)

    def run(self, start: int, end: int, stop: Stop = never) -> list[float]:
        """Train on the batches from `start` to before `end`, in one block; the losses."""
        values: list[float] = self.block(start, end, stop).tolist()
        return values

    def block(self, start: int, end: int, stop: Stop = never) -> Tensor:
        """As `run`; the losses are where the engine leaves them, shape (K,)."""
        bench = self._bench
        return self._engine.run(bench.x[start:end], bench.y[start:end], bench.lrs[start:end], stop)

    def take(self, other: Trained) -> None:
        """Take over the state of another."""
        self.model.load_state_dict(other.model.state_dict())
        self.optimizer.load_state_dict(copy.deepcopy(other.optimizer.state_dict()))

    def numbers(self) -> dict[tuple[str, ...], Tensor]:
        """Copies of all numbers of the model and the optimizer, the learning rate aside: an engine need not set it."""
        trees = {"model": self.model.state_dict(), "optimizer": self.optimizer.state_dict()}
        return dict(_flat(trees, ()))


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
