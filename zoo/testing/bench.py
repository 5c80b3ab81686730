"""What the checks train: batches of a plan, and models as a run begins with them."""

from __future__ import annotations

import copy
from collections.abc import Iterator, Mapping

import torch
from torch import Tensor

from zoo.data.download import fetcher
from zoo.data.kinds import Dataset
from zoo.data.loading import encode, load_dataset
from zoo.engines import Stop
from zoo.errors import UnavailableError
from zoo.plugin.manager import load_plugins
from zoo.plugin.registry import Registry
from zoo.plugin.settings import is_fitted
from zoo.runs.plan import RunPlan
from zoo.training.autograd import PLAIN, StepOptions
from zoo.training.building import asked_inputs, build_model, build_optimizer, context_length, fit_model
from zoo.training.device import choose_device
from zoo.training.engines import choose_engine
from zoo.training.loop import never


def load_registry() -> Registry:
    """All that the installed plugins register."""
    return load_plugins()[0]


class Bench:
    """Batches, and models to train on them."""

    def __init__(self, plan: RunPlan) -> None:
        self.plan, self.device = plan, choose_device(plan.options.device)
        self._dataset = _load(plan)
        length = context_length(self._built())
        self._examples = encode(self._dataset, plan.model.spec.reads, length)["train"].to(self.device)
        generator = torch.Generator().manual_seed(plan.options.seed)
        indices = torch.randint(0, len(self._examples), (plan.steps, plan.batch_size), generator=generator)
        self.x, self.y = self._examples.gather(indices.to(self.device))
        self.lrs = [plan.lr * (1 - 0.1 * (k % 5)) for k in range(plan.steps)]

    def on(self, device: torch.device) -> Bench:
        """The same on another device."""
        other = copy.copy(self)
        other.device, other.x, other.y = device, self.x.to(device), self.y.to(device)
        return other

    def new(self, engine: str, options: StepOptions = PLAIN) -> Trained:
        """A model as a run begins with it.

        Raises:
            UsageError: the engine cannot train it here.
        """
        model = self._built().to(self._examples.device)
        if is_fitted(self.plan.model):
            fit_model(self.plan.model, model, self._examples)
        return Trained(self, model.to(self.device).train(), engine, options)

    def _built(self) -> torch.nn.Module:
        """A model on the CPU, not fitted yet."""
        arguments = {**self.plan.model_settings, **asked_inputs(self.plan.model, self._dataset)}
        return build_model(self.plan.model, arguments, self.plan.options.init_seed)


class Trained:
    """A model, its optimizer, and the engine that trains it."""

    def __init__(self, bench: Bench, model: torch.nn.Module, engine: str, options: StepOptions) -> None:
        plan = bench.plan
        self._bench, self.model = bench, model
        self.optimizer = build_optimizer(plan.optimizer, model, plan.lr, plan.optimizer_settings)
        _, self._engine = choose_engine(
            engine,
            plan.model,
            model,
            self.optimizer,
            batch_size=plan.batch_size,
            steps=plan.steps,
            options=options,
        )

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
