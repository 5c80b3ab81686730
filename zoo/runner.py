"""One run, from a plan to a folder: data, model, training, losses, pictures."""

from __future__ import annotations

import math
import signal
import threading
import time
import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from zoo import pictures
from zoo.building import asked_inputs, build_model, build_optimizer, check_forward, context_length, seeded
from zoo.card import model_card
from zoo.config import make_config
from zoo.data import encode, load_dataset
from zoo.datasets import Dataset, Examples, SplitName, TextDataset
from zoo.device import choose_device, describe_device, synchronize
from zoo.download import fetcher
from zoo.errors import DivergedError, InterruptedRunError, UnavailableError
from zoo.evaluation import evaluate_splits
from zoo.plan import RunPlan
from zoo.registry import Entry
from zoo.run_folder import RunFolder
from zoo.specs import DatasetSpec
from zoo.training import Training, train


class Observer:
    """Told how a run is going. This one passes warnings on to Python's own, and keeps the rest to itself."""

    def stage(self, text: str) -> None:
        """A part of the run begins."""

    def progress(self, step: int, steps: int, loss: float) -> None:
        """`step` of `steps` are done; `loss` was the last one's."""

    def warning(self, text: str) -> None:
        """Something that the user should know, and that does not stop the run."""
        warnings.warn(text, stacklevel=3)


@dataclass(frozen=True)
class Run:
    """A finished run.

    Attributes:
        path: its folder.
        metrics: the result, as `metrics.json` and `zoo run --json` have it.
        config: as in `config.json`.
        step_losses: the loss of every step, in nats.
        model: the trained module, on the device it was trained on.
    """

    path: Path
    metrics: dict[str, Any]
    config: dict[str, Any]
    step_losses: list[float]
    model: torch.nn.Module

    @property
    def losses(self) -> dict[str, float]:
        """The loss over the whole of each split: `train`, `val` and `test`."""
        return dict(self.metrics["losses"])


def execute(plan: RunPlan, observer: Observer | None = None) -> Run:
    """Do a run.

    Raises:
        ZooError: anything that one sentence explains; see `zoo.errors`. What was trained until then is saved.
    """
    observer = observer or Observer()
    clock = _Clock()
    device = choose_device(plan.device)
    observer.stage("Reading the data")
    with clock.measure("data"):
        ready = _prepare(plan, device, observer)
    training = Training(
        model=ready.model,
        optimizer=build_optimizer(plan.optimizer, ready.model, plan.lr, plan.optimizer_settings),
        examples=ready.examples["train"],
        batch_size=plan.batch_size,
        lr=plan.lr,
        schedule=plan.schedule,
        generator=torch.Generator().manual_seed(plan.seed),
    )
    folder = RunFolder.create(plan.model.spec.name, plan.out)
    try:
        observer.stage("Training")
        with clock.measure("train", device), seeded(plan.seed, device):
            _train(training, plan.steps, folder, ready.config, observer)
        observer.stage("Evaluating")
        with clock.measure("eval", device):
            losses = evaluate_splits(ready.model, ready.examples)
        _check_finite(losses, plan, folder)
    finally:
        folder.discard_if_empty()
    drawn = _draw(plan, folder, training, ready, losses, observer) if plan.plots else []
    metrics = _metrics(plan, ready, losses, clock, folder)
    folder.write_card(model_card(ready.config, metrics, pictures=drawn))
    folder.write_metrics(metrics)
    return Run(folder.path, metrics, ready.config, training.losses, ready.model)


@dataclass(frozen=True)
class _Ready:
    """What training needs, made and checked."""

    dataset: Dataset
    examples: dict[SplitName, Examples]  # on the device
    model: torch.nn.Module  # on the device
    config: dict[str, Any]


def _prepare(plan: RunPlan, device: torch.device, observer: Observer) -> _Ready:
    source, dataset = _load(plan, observer)
    inputs = asked_inputs(plan.model, dataset)
    model = build_model(plan.model, {**plan.model_settings, **inputs}, plan.init_seed).to(device)
    examples = encode(dataset, plan.model.spec.reads, context_length(model))
    examples = {name: split.to(device) for name, split in examples.items()}
    check_forward(plan.model, model, examples["train"])
    parameters = sum(p.numel() for p in model.parameters())
    config = make_config(plan, source, dataset, examples, inputs, parameters, describe_device(device), "autograd")
    return _Ready(dataset, examples, model, config)


def _metrics(
    plan: RunPlan, ready: _Ready, losses: dict[str, float], clock: _Clock, folder: RunFolder
) -> dict[str, Any]:
    config = ready.config
    return {
        "model": plan.model.spec.name,
        "dataset": {key: config["dataset"][key] for key in ("name", "sha256", "examples")},
        "parameters": config["model"]["parameters"],
        "device": config["training"]["device"],
        "engine": config["training"]["engine"],
        "optimizer": plan.optimizer.spec.name,
        "steps": plan.steps,
        "batch_size": plan.batch_size,
        "lr": plan.lr,
        "seed": plan.seed,
        "init_seed": plan.init_seed,
        "losses": losses,
        "seconds": clock.seconds(),
        "run_dir": str(folder.path),
    }


def _load(plan: RunPlan, observer: Observer) -> tuple[Entry[DatasetSpec] | Path, Dataset]:
    """The data, or the fallback's where the plan allows it; and which of the two it was."""
    fetch = fetcher(offline=plan.offline)
    try:
        return plan.dataset, load_dataset(plan.dataset, plan.data_settings, fetch)
    except UnavailableError as error:
        if plan.fallback is None:
            raise
        observer.warning(f"{error}; going on with the bundled {plan.fallback.spec.name!r}")
        return plan.fallback, load_dataset(plan.fallback, plan.data_settings, fetch)


def _train(training: Training, steps: int, folder: RunFolder, config: Mapping[str, Any], observer: Observer) -> None:
    """Train, and save, whether it ends as planned, diverges or is interrupted."""
    with _stop_signals() as signals:
        try:
            train(
                training,
                steps,
                report=lambda step, loss: observer.progress(step, steps, loss),
                stop=lambda: bool(signals),
            )
        except DivergedError as error:
            kept = "nothing was trained before that"
            if training.step > 0:
                folder.write_checkpoint(training, config)
                kept = f"the checkpoint of step {training.step} is in {folder.path}"
            raise DivergedError(f"{error}, at learning rate {training.lr:g}; {kept}; try a smaller --lr") from error
        folder.write_checkpoint(training, config)
    if training.step < steps:
        raise InterruptedRunError(
            f"stopped at step {training.step} of {steps}; what was trained is in {folder.path}", signals[0]
        )


def _check_finite(losses: Mapping[str, float], plan: RunPlan, folder: RunFolder) -> None:
    """A batch may still have a finite loss when a whole split has none."""
    for name, loss in losses.items():
        if not math.isfinite(loss):
            raise DivergedError(
                f"the loss over the {name} split is {loss} after {plan.steps} steps at learning rate {plan.lr:g}; "
                f"the checkpoint is in {folder.path}; try a smaller --lr"
            )


def _draw(
    plan: RunPlan, folder: RunFolder, training: Training, ready: _Ready, losses: dict[str, float], observer: Observer
) -> list[str]:
    """Draw what there is to draw; the names of the pictures. A picture that fails must not cost a run."""
    observer.stage("Drawing")
    vocabulary = ready.dataset.vocabulary if isinstance(ready.dataset, TextDataset) else None
    spec = plan.model.spec
    loss, embeddings = folder.path / "loss.png", folder.path / "embeddings.png"
    jobs: dict[Path, Callable[[], None]] = {
        loss: lambda: pictures.draw_loss(loss, ready.config, training.losses, losses)
    }
    if pictures.has_embeddings(spec, vocabulary):
        jobs[embeddings] = lambda: pictures.draw_embeddings(embeddings, ready.config, spec, ready.model, vocabulary)
    drawn = []
    for path, draw in jobs.items():
        try:
            draw()
            drawn.append(path.name)
        except Exception as error:  # matplotlib may raise anything, and so may the fonts it finds
            observer.warning(f"{path.name} was not drawn: {error}")
    return drawn


class _Clock:
    """Seconds of each part of a run, and of all of it."""

    def __init__(self) -> None:
        self._started = time.perf_counter()
        self._parts: dict[str, float] = {}

    @contextmanager
    def measure(self, part: str, device: torch.device | None = None) -> Iterator[None]:
        started = time.perf_counter()
        yield
        if device is not None:
            synchronize(device)
        self._parts[part] = time.perf_counter() - started

    def seconds(self) -> dict[str, float]:
        total = time.perf_counter() - self._started
        return {name: round(value, 4) for name, value in {**self._parts, "total": total}.items()}


@contextmanager
def _stop_signals() -> Iterator[list[int]]:
    """Signals that asked to stop, as they come. The first is noted, so that a step ends whole; the second is not."""
    received: list[int] = []
    if threading.current_thread() is not threading.main_thread():
        yield received  # only the main thread can listen to signals
        return

    def note(number: int, frame: object) -> None:
        received.append(number)
        if len(received) > 1:
            raise KeyboardInterrupt

    previous = {number: signal.signal(number, note) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield received
    finally:
        for number, handler in previous.items():
            signal.signal(number, handler)
