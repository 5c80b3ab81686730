"""One run, from a plan to a folder: data, model, training, losses, pictures. And the same from where a run stopped."""

from __future__ import annotations

import math
import shlex
import time
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from zoo.data.datasets import Dataset, Examples, SplitName, TextDataset
from zoo.data.download import fetcher
from zoo.data.loading import encode, load_dataset
from zoo.errors import DivergedError, InterruptedRunError, UnavailableError
from zoo.plots.plot import embeddings_plot, has_embeddings, loss_plot
from zoo.plots.worker import PlotWorker, save_plots
from zoo.plugin.registry import Entry, Registry
from zoo.plugin.specs import DatasetSpec
from zoo.runs.plan import RunPlan, is_fitted
from zoo.runs.resuming import ResumeOptions, check_unchanged, inexact, plan_resumption
from zoo.storage import state as states
from zoo.storage.card import model_card
from zoo.storage.config import make_config
from zoo.storage.folder import STATE_FILE, RunFolder
from zoo.training.building import (
    asked_inputs,
    build_model,
    build_optimizer,
    check_forward,
    context_length,
    fit_model,
    seeded,
)
from zoo.training.checkpoint_schedule import DEFAULT, Cadence, Pacer
from zoo.training.device import check_precision, choose_device, describe_device, synchronize
from zoo.training.engines import Engine, Optimizer, StepOptions, choose_engine
from zoo.training.evaluation import evaluate_splits
from zoo.training.loop import Training, train
from zoo.training.signals import stop_signals
from zoo.training.synthetic import Lesson, prepare_lesson
from zoo.training.validation import Validation


class Observer:
    """Told how a run is going. This one passes warnings on to Python's own, and keeps the rest to itself."""

    def stage(self, text: str) -> None:
        """A part of the run begins."""

    def progress(self, step: int, steps: int, loss: float) -> None:
        """`step` of `steps` are done; `loss` was the last one's."""

    def validated(self, step: int, loss: float) -> None:
        """The validation loss was looked at after `step` steps."""

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
        resumed_at: the step from which it went on; 0 for a run in one go. `metrics["seconds"]` counts from there.
    """

    path: Path
    metrics: dict[str, Any]
    config: dict[str, Any]
    step_losses: list[float]
    model: torch.nn.Module
    resumed_at: int = 0

    @property
    def losses(self) -> dict[str, float]:
        """The loss over the whole of each split: `train`, `val` and `test`."""
        return dict(self.metrics["losses"])


def execute(
    plan: RunPlan, observer: Observer | None = None, *, cadence: Cadence = DEFAULT, painter: PlotWorker | None = None
) -> Run:
    """Do a run.

    Args:
        plan: what to do.
        observer: is told how it goes.
        cadence: when to save.
        painter: draws the pictures, if there is one.

    Raises:
        ZooError: anything that one sentence explains; see `zoo.errors`. What was trained until then is saved.
    """
    observer = observer or Observer()
    clock = _Clock()
    device = choose_device(plan.device)
    check_precision(plan.precision, device)
    ready = _prepare(plan, device, observer, clock)
    training = _new_training(plan, ready)
    with RunFolder.create(plan.model.spec.name, plan.out) as folder, seeded(plan.seed, device):
        folder.write_first_checkpoint(training, ready.config)
        return _Work(plan, ready, training, folder, observer, clock, device, painter).do(cadence)


def resume(
    path: Path,
    registry: Registry,
    options: ResumeOptions,
    observer: Observer | None = None,
    *,
    cadence: Cadence = DEFAULT,
    painter: PlotWorker | None = None,
) -> Run:
    """Go on with a run from its last checkpoint, to where it would have come undisturbed; see `plan_resumption`.

    Raises:
        ZooError: as `execute`, and where the run cannot go on as it began.
    """
    observer = observer or Observer()
    clock = _Clock()
    with RunFolder.open(path) as folder:
        state = states.load(path / STATE_FILE)
        plan = plan_resumption(registry, state, path, options)
        chosen = choose_device(plan.device)
        check_precision(plan.precision, chosen)
        ready = _prepare(plan, chosen, observer, clock)
        check_unchanged(state, ready.config, path, allow_changes=options.allow_changes)
        for line in inexact(state, ready.config):
            observer.warning(f"the last digits may not be those of an undisturbed run: {line}")
        training = _new_training(plan, ready)
        state.restore(training)
        with seeded(plan.seed, chosen):
            state.restore_global_generators(chosen)
            return _Work(plan, ready, training, folder, observer, clock, chosen, painter).do(cadence)


@dataclass(frozen=True)
class _Ready:
    """What training needs, made and checked."""

    dataset: Dataset
    examples: dict[SplitName, Examples]  # on the device
    train_on: Examples  # the training split, and what a teacher adds to it
    model: torch.nn.Module  # on the device
    optimizer: Optimizer
    engine: Engine
    config: dict[str, Any]


def _prepare(plan: RunPlan, device: torch.device, observer: Observer, clock: _Clock) -> _Ready:
    with clock.measure("data", device):
        observer.stage("Reading the data")
        source, dataset = _load(plan, observer)
        inputs = asked_inputs(plan.model, dataset)
        model = build_model(plan.model, {**plan.model_settings, **inputs}, plan.init_seed).to(device)
        examples = encode(dataset, plan.model.spec.reads, context_length(model))
        examples = {name: split.to(device) for name, split in examples.items()}
    with clock.measure("train", device):
        if is_fitted(plan.model):
            observer.stage("Fitting")
            inputs["fitted_size"] = fit_model(plan.model, model, examples["train"])
        lesson, train_on = _lesson(plan, dataset, observer), examples["train"]
        if lesson is not None:
            train_on = lesson.beside(train_on, plan.model.spec.reads, context_length(model))
    check_forward(plan.model, model, examples["train"])
    optimizer = build_optimizer(plan.optimizer, model, plan.lr, plan.optimizer_settings)
    engine_name, engine = choose_engine(
        plan.engine,
        plan.model,
        model,
        optimizer,
        batch_size=plan.batch_size,
        steps=plan.steps,
        options=StepOptions(plan.clip_norm, plan.precision, plan.compile),
    )
    parameters = sum(p.numel() for p in model.parameters()) + inputs.get("fitted_size", 0)
    config = make_config(
        plan, source, dataset, examples, lesson, inputs, parameters, describe_device(device), engine_name
    )
    return _Ready(dataset, examples, train_on, model, optimizer, engine, config)


def _lesson(plan: RunPlan, dataset: Dataset, observer: Observer) -> Lesson | None:
    if plan.teaching is None:
        return None
    observer.stage("Asking the teacher")
    return prepare_lesson(plan.teaching, dataset, plan.seed)


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


def _new_training(plan: RunPlan, ready: _Ready) -> Training:
    return Training(
        model=ready.model,
        optimizer=ready.optimizer,
        examples=ready.train_on,
        batch_size=plan.batch_size,
        lr=plan.lr,
        schedule=plan.schedule,
        generator=torch.Generator().manual_seed(plan.seed),
        engine=ready.engine,
        validation=_validation(plan, ready),
    )


def _validation(plan: RunPlan, ready: _Ready) -> Validation | None:
    if plan.validate_every is None:
        return None
    return Validation(ready.examples["val"], plan.validate_every, plan.patience)


@dataclass(frozen=True)
class _Work:
    """What a new run and one that goes on have in common: everything from the first step on."""

    plan: RunPlan
    ready: _Ready
    training: Training
    folder: RunFolder
    observer: Observer
    clock: _Clock
    device: torch.device
    painter: PlotWorker | None

    def do(self, cadence: Cadence) -> Run:
        first_step = self.training.step
        self.observer.stage("Training")
        with self.clock.measure("train", self.device):
            self._train(cadence)
        self.observer.stage("Evaluating")
        with self.clock.measure("eval", self.device):
            self._take_best()
            losses = evaluate_splits(self.ready.model, self.ready.examples)
        self._check_finite(losses)
        drawn = self._draw(losses) if self.plan.plots else []
        metrics = self._metrics(losses)
        self.folder.write_card(model_card(self.ready.config, metrics, pictures=drawn))
        self.folder.write_metrics(metrics)
        return Run(self.folder.path, metrics, self.ready.config, self.training.losses, self.ready.model, first_step)

    def _train(self, cadence: Cadence) -> None:
        """Train, and save, whether it ends as planned, diverges or is stopped."""
        training, steps, path = self.training, self.plan.steps, self.folder.path
        with stop_signals() as signals:
            try:
                train(
                    training,
                    steps,
                    report=self._report,
                    stop=lambda: bool(signals),
                    saver=_Saver(self.folder, training, self.ready.config, Pacer(cadence)),
                )
            except DivergedError as error:
                self.folder.write_checkpoint(training, self.ready.config)
                raise DivergedError(
                    f"{error}, at learning rate {training.lr:g}; the checkpoint of step {training.step} is in {path}; "
                    "try a smaller --lr"
                ) from error
            self.folder.write_checkpoint(training, self.ready.config)
        if training.step < steps and not training.stopped_early:
            remedy = f"zoo resume {shlex.quote(str(path))}"
            raise InterruptedRunError(f"stopped at step {training.step} of {steps}; to go on: {remedy}", signals[0])

    def _report(self, step: int, loss: float) -> None:
        validation = self.training.validation
        if validation is not None and validation.steps[-1:] == [step]:
            self.observer.validated(step, validation.losses[-1])
        self.observer.progress(step, self.plan.steps, loss)

    def _take_best(self) -> None:
        """The model is to be what people get, and `model.safetensors` too."""
        training = self.training
        if training.validation is not None:
            training.validation.look_at_the_end(training.model, training.step)
            training.model.load_state_dict(training.to_keep()[1])
            self.folder.write_weights(training, self.ready.config)

    def _check_finite(self, losses: Mapping[str, float]) -> None:
        """A batch may still have a finite loss when a whole split has none."""
        for name, loss in losses.items():
            if not math.isfinite(loss):
                raise DivergedError(
                    f"the loss over the {name} split is {loss} after {self.plan.steps} steps at learning rate "
                    f"{self.plan.lr:g}; the checkpoint is in {self.folder.path}; try a smaller --lr"
                )

    def _draw(self, losses: dict[str, float]) -> list[str]:
        """Draw what there is to draw; the names of the pictures."""
        self.observer.stage("Drawing")
        ready, spec, folder = self.ready, self.plan.model.spec, self.folder.path
        vocabulary = ready.dataset.vocabulary if isinstance(ready.dataset, TextDataset) else None
        pictures = [loss_plot(folder / "loss.png", ready.config, self.training.losses, losses, self._looks())]
        if has_embeddings(spec, vocabulary):
            path = folder / "embeddings.png"
            try:
                pictures.append(embeddings_plot(path, ready.config, spec, ready.model, vocabulary))
            except Exception as error:  # a plugin's model may raise anything
                self.observer.warning(f"{path.name} was not drawn: {error}")
        return save_plots(pictures, self.painter, self.observer.warning)

    def _metrics(self, losses: dict[str, float]) -> dict[str, Any]:
        plan, config = self.plan, self.ready.config
        return {
            "model": plan.model.spec.name,
            "dataset": {key: config["dataset"][key] for key in ("name", "sha256", "examples")},
            "parameters": config["model"]["parameters"],
            "device": config["training"]["device"],
            "engine": config["training"]["engine"],
            "optimizer": plan.optimizer.spec.name,
            "steps": self.training.step,
            "batch_size": plan.batch_size,
            "lr": plan.lr,
            "seed": plan.seed,
            "init_seed": plan.init_seed,
            "losses": losses,
            **self._best(),
            "seconds": self.clock.seconds(),
            "run_dir": str(self.folder.path),
        }

    def _looks(self) -> list[tuple[int, float]]:
        validation = self.training.validation
        return list(zip(validation.steps, validation.losses, strict=True)) if validation is not None else []

    def _best(self) -> dict[str, Any]:
        """After how many steps the weights were the best, where validation looked on the way."""
        kept = self.training.validation.kept if self.training.validation is not None else None
        return {"best": {"step": kept.step, "loss": kept.loss}} if kept is not None else {}


class _Saver:
    """Writes a checkpoint when the pacer says so."""

    def __init__(self, folder: RunFolder, training: Training, config: Mapping[str, Any], pacer: Pacer) -> None:
        self._folder, self._training, self._config, self._pacer = folder, training, config, pacer

    def steps_left(self, step: int) -> int | None:
        return self._pacer.steps_left(step)

    def save_if_due(self) -> None:
        if self._pacer.due(self._training.step):
            started = time.perf_counter()
            self._folder.write_checkpoint(self._training, self._config)
            self._pacer.saved(time.perf_counter() - started)


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
        self._parts[part] = self._parts.get(part, 0.0) + time.perf_counter() - started

    def seconds(self) -> dict[str, float]:
        total = time.perf_counter() - self._started
        return {name: round(value, 4) for name, value in {**self._parts, "total": total}.items()}
