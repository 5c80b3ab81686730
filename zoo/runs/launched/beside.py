"""What the other ranks of a run do: they prepare the same run as rank 0, train with it, and write nothing."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from zoo import cuda
from zoo.ambient import in_neutral_state
from zoo.errors import memory_errors, smaller_again
from zoo.options.declaration import decided
from zoo.options.run import CallOptions, ResumeOptions
from zoo.plugin.registry import Registry
from zoo.runs.checkpoint_schedule import CheckpointSchedule, CheckpointTimer, Saver
from zoo.runs.clock import Clock
from zoo.runs.observer import Silent
from zoo.runs.plan import RunPlan
from zoo.runs.prepare import PreparedRun, device_of, prepare
from zoo.runs.resuming import begun_with, plan_resumption
from zoo.storage import STATE_FILE
from zoo.storage import state as states
from zoo.storage.folder import NoFolder
from zoo.training.building import seeded
from zoo.training.device import threads
from zoo.training.distributed.group import Ranks
from zoo.training.loop import Training, train
from zoo.training.signals import stop_signals


@in_neutral_state
@memory_errors()
def train_beside(plan: RunPlan, ranks: Ranks) -> None:
    """Train in a new run.

    Raises:
        ZooError: as `zoo.runs.runner.execute`; rank 0 tells what was raised here alone.
    """
    observer = Silent()
    run = prepare(_without_files(plan), device_of(plan, observer, ranks), observer, Clock(), ranks=ranks)
    training = run.new_training()
    with seeded(plan.options.seed, run.device):
        _train(run, training, plan.options)


@in_neutral_state
@memory_errors(smaller_again)
def resume_beside(path: Path, registry: Registry, options: ResumeOptions, ranks: Ranks) -> None:
    """Train in a resumed run, whose folder must be here too: rank 0 has locked it, and this one only reads it."""
    observer = Silent()
    state = states.load(path / STATE_FILE)
    plan, config = plan_resumption(registry, state, path, options)
    device = device_of(plan, observer, ranks)
    run = prepare(_without_files(plan), device, observer, Clock(), state.building(), ranks=ranks)
    training = run.new_training()
    with cuda.current(run.device):
        state.restore(training, begun_with(config, plan))
        with seeded(plan.options.seed, run.device):
            _train(run, training, options)


def _train(run: PreparedRun, training: Training, options: CallOptions) -> None:
    assert run.ranks is not None
    with cuda.current(run.device), stop_signals() as signals, threads(decided(run.plan.options.threads)):
        timer = CheckpointTimer(CheckpointSchedule.of(options))  # so that blocks end where rank 0 may have to save
        saver = Saver(NoFolder(), training, run.config, timer)
        train(training, run.plan.most_steps, stop=lambda: bool(signals), saver=saver)
        run.ranks.leave()


def _without_files(plan: RunPlan) -> RunPlan:
    return replace(plan, loggers=(), options=replace(plan.options, plots=False))
