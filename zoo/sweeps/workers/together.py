"""Members that one engine trains at once in this process, each in its own run folder and with its own row.

A member is opened as a run is, trained with the others of the same sizes, and from then on finished as a run is: by the
same functions, which evaluate it and write what there is of it.
"""

from __future__ import annotations

import contextlib
import time
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

from zoo import cuda, stages
from zoo.data.sources.cache import DataCache
from zoo.engines import PopulationEngine
from zoo.errors import EngineUnavailableError, InterruptedRunError, ZooError, memory_errors
from zoo.files import kind_of
from zoo.options.declaration import decided
from zoo.options.training import STACKED
from zoo.plugin.registry import Registry
from zoo.runs.observer import Guarded
from zoo.runs.plan import keeping_nothing, make_plan
from zoo.runs.prepare import PreparedRun, net_of, stacked_together
from zoo.runs.runner import Execution, RunContext, begun, resumed
from zoo.storage import STATE_FILE
from zoo.storage.members.folder import MemberFolder
from zoo.sweeps.member import Member, Row
from zoo.sweeps.training import as_alone, ended_by, finished, finished_before, resumption
from zoo.sweeps.workers.pool import InThisProcess
from zoo.sweeps.workers.telling import Telling
from zoo.training.autograd import StepOptions
from zoo.training.device import threads
from zoo.training.engines import population_engine
from zoo.training.loop import Report, Train, Training
from zoo.training.population import loop
from zoo.training.signals import StopRequests, stop_signals


class _Opened(NamedTuple):
    """A member before its training."""

    member: Member
    folder: Path | None
    execution: Execution


class Together(InThisProcess):
    """Trains populations of members, one population after the other; see `zoo.sweeps.workers.pool.Pool`.

    Those for which there is no engine for populations are trained one after the other.
    """

    def __init__(self, registry: Registry, telling: Telling, data: DataCache, *, most: int) -> None:
        """Args:
        registry, telling, data: of the sweep.
        most: how many members are trained at once.
        """
        super().__init__()
        self._registry, self._telling, self._data, self._most = registry, telling, data, most
        self._rows: deque[Row] = deque()
        self._interrupted: InterruptedRunError | None = None

    @property
    def free(self) -> int:
        return self._most - len(self._waiting) - len(self._rows)

    def wait(self) -> Row:
        if not self._rows:
            taken, self._waiting = self._waiting, deque()
            self._train(taken)
        return self._rows.popleft()

    def _train(self, taken: Iterable[tuple[Member, Path | None]]) -> None:
        """Train members, and add their rows."""
        with contextlib.ExitStack() as stack:
            signals = stack.enter_context(stop_signals())
            groups: dict[str, list[_Opened]] = {}
            for member, folder in taken:
                if (one := self._open(member, folder, stack, signals)) is not None:
                    timed = one.execution.training.time_limit is not None  # such a member has a time of its own
                    groups.setdefault(member.name if timed else _alike(one.execution.run), []).append(one)
            for group in groups.values():
                self._train_group(group, signals)
        if self._interrupted is not None:
            raise self._interrupted

    def _open(
        self, member: Member, folder: Path | None, stack: contextlib.ExitStack, signals: StopRequests
    ) -> _Opened | None:
        """A member before its training; None where it has its row already."""
        row = None if folder is None else finished_before(member, folder)
        if row is None:
            try:
                with as_alone(), memory_errors():
                    observer = Guarded(self._telling.of_member(member.number))
                    with stages.told(observer):
                        run = _opened(self._registry, member, folder, observer, self._data, signals)
                        return _Opened(member, folder, stack.enter_context(run))
            except Exception as error:
                row = ended_by(error, member, folder)
        self._rows.append(row)
        return None

    def _train_group(self, group: Sequence[_Opened], signals: StopRequests) -> None:
        """Train members of the same sizes, and add their rows; or, where a signal has come, save them."""
        engine = _engine(group) if len(group) > 1 and not signals else None
        left = dict(enumerate(group))
        if engine is not None:
            started = time.perf_counter()

            def ended(number: int, error: ZooError | None) -> None:
                one = left.pop(number)
                one.execution.clock.add("train", time.perf_counter() - started)
                self._conclude(one, signals, partial(_trained_before, error))

            members = [
                loop.Member(
                    one.execution.training,
                    one.execution.run.plan.steps,
                    self._reports(one.member.number, one.execution.run.plan.steps),
                    one.execution.saver(),
                )
                for one in group
            ]
            with as_alone(), threads(decided(group[0].execution.run.plan.options.threads)):
                loop.train_population(members, engine, ended=ended, stop=lambda: bool(signals))
        for one in left.values():
            self._conclude(one, signals, None if engine is None else partial(_trained_before, None))

    def _reports(self, number: int, steps: int) -> Report:
        return lambda step, loss: self._telling.at(number, step, steps)

    def _conclude(self, one: _Opened, signals: StopRequests, instead: Train | None) -> None:
        """Do what is left of a member, and add its row; where a signal has come, it is saved and has none."""
        try:
            with as_alone(), memory_errors():
                run = one.execution.finish(instead)
        except InterruptedRunError as error:
            self._interrupted = error
            signals.defer()  # until the others are saved
            return
        except Exception as error:
            row = ended_by(error, one.member, one.folder)
        else:
            row = finished(one.member, run.metrics)
        self._rows.append(row)


def _trained_before(error: ZooError | None, training: Training, steps: int, *, report: Report | None, **_: Any) -> None:
    """In place of the training loop, for a training that has ended in a population, by an error if there is one."""
    if report is not None and training.losses:
        report(training.step, training.losses[-1])
    if error is not None:
        raise error


@contextlib.contextmanager
def _opened(
    registry: Registry,
    member: Member,
    folder: Path | None,
    observer: Guarded,
    data: DataCache,
    signals: StopRequests,
) -> Iterator[Execution]:
    """A member as a run, at its last checkpoint if there is one."""
    context = RunContext(data=data, folders=None if folder is None else MemberFolder, signals=signals)
    if folder is None:
        opened = begun(keeping_nothing(make_plan(registry, member.options)), observer, context)
    elif kind_of(folder / STATE_FILE) == "file":
        opened = resumed(folder, registry, resumption(member), observer, context)
    else:
        plan = make_plan(registry, replace(member.options, out=folder))
        opened = begun(plan, observer, context)
    with opened as execution:
        yield execution


def may_be_together(run: PreparedRun) -> bool:
    """Whether there is an engine for populations of such runs."""
    engine = decided(run.plan.options.engine)
    return engine == STACKED or (cuda.holds(run.device) and engine in run.plan.model.spec.populations)


def _engine(group: Sequence[_Opened]) -> PopulationEngine | None:
    """What trains runs of the same sizes together, if something does."""
    runs = [one.execution.run for one in group]
    nets = [net_of(run.plan, run.model, run.optimizer) for run in runs]
    plan, loss = runs[0].plan, runs[0].objective.loss
    name = decided(plan.options.engine)
    try:
        if name == STACKED:
            return stacked_together(plan, nets, runs[0].train_on, loss)
        return population_engine(name, plan.model, nets, batch_size=plan.batch_size, loss=loss)
    except EngineUnavailableError:
        return None


def _alike(run: PreparedRun) -> str:
    """Equal for runs that one population may have: of one size, by one engine, optimizer and loss, on one device."""
    plan, examples = run.plan, run.train_on
    settings = [sorted(of.items()) for of in (plan.model_settings, plan.optimizer_settings, plan.loss_settings)]
    inputs = run.config["model"]["inputs"]
    sizes = (plan.batch_size, examples.input_size, examples.target_size, inputs)
    names = (plan.model.full_name, plan.optimizer.full_name, plan.options.engine)
    return repr((*names, run.device, settings, sizes, StepOptions.of(plan.options)))
