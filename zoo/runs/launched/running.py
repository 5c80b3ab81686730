"""`zoo run` and `zoo resume` as `torchrun` starts them: one run by all ranks, and what an attempt before has left."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path

from zoo.errors import UsageError
from zoo.options.declaration import NOT_GIVEN
from zoo.options.run import ResumeOptions, RunOptions
from zoo.options.schedule import SCHEDULES
from zoo.phrasing import option
from zoo.plots.worker import PlotWorker
from zoo.plugin.registry import Registry
from zoo.plugin.settings import split_sections
from zoo.plugin.specs import SECTIONS
from zoo.runs.launched.attempts import Done, folder_for, folder_of, result_of
from zoo.runs.launched.beside import resume_beside, train_beside
from zoo.runs.observer import Observer
from zoo.runs.plan import make_plan
from zoo.runs.runner import RunContext, execute, resume
from zoo.training.distributed.group import Ranks
from zoo.training.distributed.launch import Launch


def run_launched(
    options: RunOptions,
    registry: Callable[[], Registry],
    launch: Launch,
    observer: Observer,
    plot_worker: PlotWorker | None,
) -> Done | None:
    """Do a run with all ranks of a launch, or go on with what an earlier attempt of it has left.

    Args:
        options: of the run.
        registry: loads the plugins.
        launch: what torchrun says.
        observer, plot_worker: of rank 0.

    Returns:
        The result; None at the other ranks.

    Raises:
        ZooError: see `zoo.errors`. What was trained until then is saved.
    """
    with joined(launch) as ranks:
        check_device(options.device, launch)
        plan = make_plan(registry(), options)
        left = ""
        if launch.leads and launch.restarts:
            out = None if plan.options.out is None else Path(plan.options.out)
            left = str(folder_of(launch.job, plan.model.spec.name, out) or "")
        left = left if ranks is None else ranks.text(left)
        if left:
            again = _again(options)
            return _resumed(Path(left), registry(), again, launch, ranks, observer, plot_worker)
        if ranks is not None and not launch.leads:
            train_beside(plan, ranks)
            return None
        context = RunContext(plot_worker=plot_worker, ranks=ranks, folders=folder_for(launch.job))
        run = execute(plan, observer, context=context)
        return Done(run.metrics, run.config)


def resume_launched(
    path: Path,
    options: ResumeOptions,
    registry: Callable[[], Registry],
    launch: Launch,
    observer: Observer,
    plot_worker: PlotWorker | None,
) -> Done | None:
    """Resume a run with all ranks of a launch. Its folder must be at the same path for all of them.

    Raises:
        ZooError: as `run_launched`, and where the run cannot be resumed as it began.
    """
    with joined(launch) as ranks:
        check_device(options.device, launch)
        return _resumed(path, registry(), options, launch, ranks, observer, plot_worker)


def _resumed(
    path: Path,
    registry: Registry,
    options: ResumeOptions,
    launch: Launch,
    ranks: Ranks | None,
    observer: Observer,
    plot_worker: PlotWorker | None,
) -> Done | None:
    done = result_of(path, options.steps) if launch.leads and launch.restarts else None
    finished = ranks.first(done is not None) if ranks is not None else done is not None
    if finished:
        return done
    if ranks is not None and not launch.leads:
        resume_beside(path, registry, options, ranks)
        return None
    run = resume(path, registry, options, observer, context=RunContext(plot_worker=plot_worker, ranks=ranks))
    return Done(run.metrics, run.config, run.resumed_at)


def joined(launch: Launch) -> AbstractContextManager[Ranks | None]:
    """A block in which the ranks are together; None where there is one only."""
    return Ranks(launch) if launch.ranks > 1 else nullcontext()


def check_device(device: str | None, launch: Launch) -> None:
    """Refuse one GPU for several ranks.

    Raises:
        UsageError: a device is named by its number.
    """
    if launch.ranks > 1 and isinstance(device, str) and device.startswith("cuda:"):
        raise UsageError(
            f"{option('device', device)} is one device, and there are {launch.ranks} ranks: with "
            f"{option('device', 'cuda')} each takes that of its number on its machine"
        )


def _again(options: RunOptions) -> ResumeOptions:
    """How a run is resumed that was begun with these options: those that a checkpoint does not have."""
    loggers = split_sections(options.settings or {}, SECTIONS)["logger"]
    named = isinstance(options.schedule, str) and options.schedule not in SCHEDULES
    return ResumeOptions(
        checkpoint_every=options.checkpoint_every,
        log=options.log,
        plots=options.plots,
        offline=options.offline,
        schedule=options.schedule if named else NOT_GIVEN,  # type: ignore[arg-type]  # it is a path
        settings={f"logger.{key}": value for key, value in loggers.items()} or None,
    )
