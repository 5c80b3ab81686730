"""Doing a run: from a plan to a folder with the trained weights, the losses and the plots; and resuming one."""

from __future__ import annotations

import contextlib
import math
import signal
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from zoo import cuda, stages
from zoo.ambient import in_neutral_state
from zoo.data.finding import Place
from zoo.data.kinds import vocabulary_of
from zoo.data.sources.cache import DataCache
from zoo.errors import (
    DivergedError,
    OutOfMemoryError,
    PluginError,
    RankLostError,
    ZooError,
    gpu_failed,
    memory_errors,
    out_of_memory,
    smaller_again,
)
from zoo.options.declaration import decided
from zoo.options.run import ResumeOptions
from zoo.plots.plot import Record, embeddings_plot, loss_plot
from zoo.plots.worker import PlotWorker, save_plots
from zoo.plugin.calling import is_of_plugin
from zoo.plugin.recorded import naming_versions
from zoo.plugin.registry import Registry
from zoo.runs import failures
from zoo.runs.checkpoint_schedule import CheckpointSchedule, CheckpointTimer, Saver
from zoo.runs.clock import Clock
from zoo.runs.loggers import Loggers, loggers_of
from zoo.runs.observer import Guarded, Observer
from zoo.runs.plan import RunPlan, check_options, keeping_nothing
from zoo.runs.prepare import PreparedRun, device_of, prepare, tell_once
from zoo.runs.result import Run, result
from zoo.runs.resuming import (
    begun_with,
    check_unchanged,
    idle_steps,
    inexact,
    other_versions,
    plan_resumption,
    same_data,
)
from zoo.storage import state as states
from zoo.storage.card import model_card
from zoo.storage.config import classes_of, sealed
from zoo.storage.folder import STATE_FILE, AnyFolder, NoFolder, RunFolder
from zoo.training.building import seeded
from zoo.training.device import fewer_threads, threads
from zoo.training.evaluation import evaluate_splits, metrics_of
from zoo.training.loop import Train, Training, train
from zoo.training.objective.chance import remark
from zoo.training.objective.objective import LOSS
from zoo.training.signals import StopRequests, stop_signals

if TYPE_CHECKING:
    from zoo.training.distributed.group import Ranks


@dataclass(frozen=True)
class RunContext:
    """What surrounds a run, and is no part of its plan.

    Attributes:
        plot_worker: makes the plots, if there is one.
        data: what earlier runs of this process have read and encoded; what is in it is said of its first run alone.
        folders: what its folder is; None where nothing is kept.
        clock: of the run's times, and of its time limit.
        ranks: the processes that train with this one; see `zoo.runs.launched`.
        signals: those of many runs at once; None: it has its own.
    """

    plot_worker: PlotWorker | None = None
    data: DataCache = field(default_factory=DataCache)
    folders: type[RunFolder] | None = RunFolder
    clock: Clock = field(default_factory=Clock)
    ranks: Ranks | None = None
    signals: StopRequests | None = None


@in_neutral_state
@memory_errors()
def execute(
    plan: RunPlan, observer: Observer | None = None, *, keep: bool = True, context: RunContext | None = None
) -> Run:
    """Do a run.

    Args:
        plan: what to do.
        observer: receives progress and warnings.
        keep: keep the run in its folder; otherwise nothing is written.
        context: what surrounds it.

    Raises:
        ZooError: see `zoo.errors`. What was trained until then is saved.
    """
    guarded, context = Guarded(observer or Observer()), context or RunContext()
    if not keep:
        plan, context = keeping_nothing(plan), replace(context, folders=None)
    with stages.told(guarded), begun(plan, guarded, context) as execution:
        return execution.finish()


@contextlib.contextmanager
def begun(plan: RunPlan, observer: Guarded, context: RunContext) -> Iterator[Execution]:
    """A new run before its first step, for `execute`, or for many at once."""
    checkpoints = CheckpointSchedule.of(plan.options)
    ranks, clock, data = context.ranks, context.clock, context.data
    run = prepare(plan, device_of(plan, observer, ranks), observer, clock, data=data, ranks=ranks)
    training, device = run.new_training(clock.now), run.device
    with cuda.current(device):
        training.trial.check(plan.optimizer.who)
    with (
        cuda.current(device),
        stop_signals(context.signals) as signals,
        _new_folder(plan, observer, context) as folder,
        seeded(plan.options.seed, device),
        loggers_of(plan.loggers, plan.model.spec.embedding, folder, observer.warning) as loggers,
    ):
        folder.place = _place(run, folder)
        folder.write_first_checkpoint(training, run.config)
        for warning in plan.warnings:
            observer.warning(warning)
        tell_once(run, observer, data)
        yield Execution(run, training, folder, observer, clock, signals, context.plot_worker, loggers, checkpoints)


def _new_folder(plan: RunPlan, observer: Observer, context: RunContext) -> AnyFolder:
    if context.folders is None:
        return NoFolder()
    out = None if plan.options.out is None else Path(plan.options.out)
    return context.folders.create(plan.model.spec.name, out, warn=observer.warning)


@in_neutral_state
@memory_errors(smaller_again)
def resume(
    path: Path,
    registry: Registry,
    options: ResumeOptions,
    observer: Observer | None = None,
    *,
    until: int | None = None,
    context: RunContext | None = None,
) -> Run:
    """Resume a run from its last checkpoint. It ends where an uninterrupted run would have; see `plan_resumption`.

    Args:
        path: its folder.
        registry, options: what the plugins bring; what the user says.
        observer, context: as those of `execute`.
        until: that of `RunPlan`.

    Raises:
        ZooError: as `execute`, and where the run cannot be resumed as it began.
    """
    guarded = Guarded(observer or Observer())
    with (
        stages.told(guarded),
        resumed(path, registry, options, guarded, context or RunContext(), until=until) as execution,
    ):
        return execution.finish()


@contextlib.contextmanager
def resumed(
    path: Path,
    registry: Registry,
    options: ResumeOptions,
    observer: Guarded,
    context: RunContext,
    *,
    until: int | None = None,
) -> Iterator[Execution]:
    """A run at its last checkpoint, for `resume`, or for many at once."""
    check_options(options)
    checkpoints = CheckpointSchedule.of(options)
    ranks, clock, folders = context.ranks, context.clock, context.folders or RunFolder
    with folders.open(path, warn=observer.warning) as folder:
        state = states.load(path / STATE_FILE)
        plan, config = plan_resumption(registry, state, path, options)
        plan = replace(plan, until=until)
        others = other_versions(state, plan)
        with naming_versions(others):
            run = prepare(
                plan, device_of(plan, observer, ranks), observer, clock, state.building(), context.data, ranks
            )
            run = replace(run, config=same_data(config, run.config, run.dataset))
            folder.place = _place(run, folder) or state.place
            check_unchanged(config, run.config, path, allow_changes=options.allow_changes)
        for line in inexact(config, run.config):
            observer.warning(f"the last digits may not be those of an uninterrupted run: {line}")
        if (idle := idle_steps(plan)) is not None:
            observer.warning(idle)
        training = run.new_training(clock.now)
        with cuda.current(run.device):
            with naming_versions(others):
                state.restore(training, begun_with(config, plan))
            folder.go_on_after(state)
            with (
                stop_signals(context.signals) as signals,
                seeded(plan.options.seed, run.device),
                loggers_of(plan.loggers, plan.model.spec.embedding, folder, observer.warning, state.step) as loggers,
            ):
                state.restore_global_generators(run.device)
                worker = context.plot_worker
                yield Execution(run, training, folder, observer, clock, signals, worker, loggers, checkpoints)


def _place(run: PreparedRun, folder: AnyFolder) -> Place | None:
    """Where the data is, if it is a file."""
    if folder.path is None or not isinstance(run.plan.dataset, Path):
        return None
    return Place.of(run.plan.dataset, folder.path)


@dataclass(frozen=True)
class Execution:
    """What a new run and a resumed one have in common: everything from the first step on."""

    run: PreparedRun
    training: Training
    folder: AnyFolder
    observer: Observer
    clock: Clock
    signals: StopRequests
    plot_worker: PlotWorker | None
    loggers: Loggers
    checkpoints: CheckpointSchedule

    def finish(self, instead: Train | None = None) -> Run:
        """Train, by the training loop or what is given `instead`, evaluate, plot, and write the result."""
        try:
            return self._finish(instead or train)
        except BaseException as error:
            if gpu_failed(error):
                raise ZooError(failures.without_gpu(error, self.folder)) from error
            if not out_of_memory(error):
                raise
            raise OutOfMemoryError(failures.without_memory(error, self.run, self.training, self.folder)) from error

    def _finish(self, train: Train) -> Run:
        first_step, config = self.training.step, self.run.config
        count = decided(self.run.plan.options.threads)
        if (reason := fewer_threads(count)) is not None:
            self.observer.warning(reason)
        with threads(count):
            self.loggers.start(config)
            self.observer.stage("Training")
            with self.clock.measure("train", self.run.device):
                self._train(train)
            self.observer.stage("Evaluating")
            with self.clock.measure("eval", self.run.device):
                self._take_best()
                found = evaluate_splits(self.run.model, self.run.examples, self.run.objective)
        losses: dict[str, float] = {name: evaluation.loss for name, evaluation in found.items()}
        self._check_finite(losses)
        self.loggers.evaluated(self.training.to_keep()[0], found, self.run.model)
        plots = self._plot(losses) if self.run.plan.options.plots else []
        metrics = sealed(result(self.run, self.training, self.folder.path, self.clock, losses, metrics_of(found)))
        self.folder.write_card(model_card(config, metrics, plots=plots))
        self.folder.remove_plots(but=plots)  # what there is of them is of an earlier step
        self.signals.defer()  # the rest takes no time
        self.folder.write_metrics(metrics)
        self.loggers.finish(metrics, self.run.model)
        if (no_better := self._no_better_than_chance(metrics)) is not None:
            self.observer.warning(no_better)
        return Run(
            cast(Path, self.folder.path),
            metrics,
            config,
            self.training.losses,
            self.run.model,
            first_step,
            self._evaluations(),
            self.run.plan.model.spec.embedding,
        )

    def _train(self, train: Train) -> None:
        """Train, and save, whether it ends as planned, diverges or is stopped."""
        training = self.training
        try:
            train(
                training,
                self.run.plan.last_step,
                report=self.report,
                stop=lambda: bool(self.signals),
                saver=self.saver(),
            )
            if self.run.ranks is not None:
                self.run.ranks.leave()  # the rest is this one's alone
                if not (self.signals or failures.is_done(training, self.run.plan.most_steps)):
                    self.signals.handle(signal.SIGTERM, None)  # as another rank was asked to stop
            self._record_steps()
            if (training.stopped_early or training.out_of_time) and training.snapshots is not None:
                training.snapshots.take(training.model, training.step)  # the last, at a step that was not planned
        except DivergedError as error:
            self.folder.write_checkpoint(training, self.run.config)
            raise failures.diverged(error, training, self.folder) from error
        except RankLostError as error:
            self.folder.write_checkpoint(training, self.run.config)
            raise failures.rank_lost(error, training, self.run.plan.most_steps, self.folder) from error
        except PluginError as error:
            if training.step == 0 and not self.folder.holds_earlier_work:
                self.loggers.close()
                self.folder.empty()  # it would only block another run of the same --out
                raise
            self.folder.write_checkpoint(training, self.run.config)
            raise PluginError(f"{error}; {failures.saved_in(self.folder, training.step)}") from error
        if self.signals:
            self.folder.write_checkpoint(training, self.run.config)
        else:
            self.folder.write_last_checkpoint(training, self.run.config)
        self.signals.raise_at_once(
            lambda number: failures.interrupted(number, training, self.run.plan.most_steps, self.folder)
        )  # what follows, a resumption does again

    def saver(self) -> Saver:
        """What writes the checkpoints that are due."""
        return Saver(self.folder, self.training, self.run.config, CheckpointTimer(self.checkpoints))

    def report(self, step: int, loss: float) -> None:
        """Tell of so many steps, the last with this loss."""
        validation = self.training.validation
        self.loggers.report(self.training)
        if validation is not None and validation.steps[-1:] == [step]:
            self.observer.validated(step, validation.losses[-1])
            name, known = self.run.objective.monitor.name, list(map(math.isfinite, validation.ranks))
            if name != LOSS and not known[-1] and known.count(False) == 1:  # said once
                what = f"{name} of the validation split is NaN or infinite after {step:,} steps"
                self.observer.warning(f"{what}: such weights are never the best")
        self.observer.progress(step, self._expected_steps(step), loss)

    def _expected_steps(self, step: int) -> int:
        """How many there will be in all, as far as one can tell."""
        most, limit = self.run.plan.last_step, self.training.time_limit
        return decided(most) if limit is None else limit.expected_steps(step, most)

    def _record_steps(self) -> None:
        """Put the steps done into the config where the time decided how many: with so many it can be run again."""
        training, most = self.training, self.run.plan.most_steps
        if (most is None and training.stopped_early) or training.out_of_time:
            self.run.config["training"]["steps"] = training.step

    def _take_best(self) -> None:
        """Put the best weights into the model and into `model.safetensors`."""
        training = self.training
        if training.validation is not None:
            training.validation.evaluate_at_the_end(training.model, training.step)
            training.model.load_state_dict(training.to_keep()[1])
            self.folder.write_weights(training, self.run.config)

    def _check_finite(self, losses: Mapping[str, float]) -> None:
        """A batch may still have a finite loss when a whole split has none."""
        for name, loss in losses.items():
            if not math.isfinite(loss):
                raise failures.not_finite(name, loss, self.run, self.training, self.folder)

    def _no_better_than_chance(self, metrics: Mapping[str, Any]) -> str | None:
        """What to say if the trained model is not; None if it is."""
        training, config = self.training, self.run.config
        if not training.losses:
            return None
        classes = classes_of(config) if config["loss"]["unit"] == "nats" else None
        found = metrics["losses"], metrics["metrics"]
        return remark(*found, first=training.losses[0], classes=classes, steps=training.step)

    def _plot(self, losses: Mapping[str, float]) -> list[str]:
        """Make the plots that the run has; their file names."""
        self.observer.stage("Plotting")
        run, step = self.run, self.training.to_keep()[0]
        best = None if step == self.training.step else step
        vocabulary, evaluations = vocabulary_of(run.dataset), self._evaluations()
        of = (run.config, run.plan.model.spec.embedding, run.model, vocabulary, step)
        record = Record(*of, self.training.losses, losses, evaluations, best)
        plots = [loss_plot("loss.png", record)]
        if record.has_embeddings:
            try:
                plots.append(embeddings_plot("embeddings.png", record))
            except BaseException as error:  # a plugin's model may raise anything
                if not (is_of_plugin(error) or isinstance(error, ZooError) or out_of_memory(error)):
                    raise
                self.observer.warning(f"embeddings.png was not made: {error}")
        folder = self.folder
        return save_plots(plots, self.plot_worker, self.observer.warning, folder.write_plot, folder.path)

    def _evaluations(self) -> list[tuple[int, float]]:
        validation = self.training.validation
        return list(zip(validation.steps, validation.losses, strict=True)) if validation is not None else []
