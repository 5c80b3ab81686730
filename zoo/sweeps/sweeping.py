"""Doing a sweep: its members, as its strategy names them, until all are done; and resuming one."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from zoo.ambient import in_neutral_state
from zoo.data.sources.cache import DataCache
from zoo.errors import CheckpointError, InterruptedRunError, UsageError
from zoo.files import from_person, sync_file_system
from zoo.options.sweep import BEST, NONE, SweepOptions
from zoo.phrasing import command, told
from zoo.plugin.registry import Registry
from zoo.runs.observer import Observer
from zoo.runs.plan import keeping_nothing, make_plan
from zoo.sweeps.folder import SWEEP_STATE_FILE, SweepFolder
from zoo.sweeps.member import Member
from zoo.sweeps.request import Request, request_of
from zoo.sweeps.result import Sweep, best_row
from zoo.sweeps.sheet import SWEEP_FILE, read_sweep
from zoo.sweeps.strategy import Strategy, strategy_of
from zoo.sweeps.workers.choosing import check_jobs, pool_of, prepare_members
from zoo.sweeps.workers.forked import StoppedError
from zoo.sweeps.workers.pool import Pool
from zoo.sweeps.workers.telling import Telling, guarded
from zoo.training.signals import StopRequests, stop_signals


@in_neutral_state
def sweep(request: Request, registry: Registry, observer: Observer) -> Sweep:
    """Do a sweep.

    Raises:
        UsageError: what was asked for is wrong for every setting.
        InterruptedRunError: a signal has stopped it.
        ZooError: see `zoo.errors`. The members that are done are in its folder, with those under way.
    """
    doing = _Doing(request, registry, observer)
    doing.check()
    out = None if request.options.out is None else from_person(request.options.out)
    with SweepFolder.create(_name(request, registry), out, warn=doing.observer.warning) as folder:
        folder.write_json(SWEEP_STATE_FILE, _state_of(request))
        folder.write_json(SWEEP_FILE, _description(request))
        return doing.finish(folder)


@in_neutral_state
def resume_sweep(path: Path, registry: Registry, observer: Observer, dataset: object = None) -> Sweep:
    """Resume a sweep that was stopped or killed. What it ends with has the bytes of an uninterrupted one.

    Args:
        path: its folder.
        registry, observer: as for `sweep`.
        dataset: its data, where that was given in Python, or is no longer where it was.

    Raises:
        UsageError: it is not a sweep.
        CheckpointError: its files are damaged.
    """
    with SweepFolder.open(path, warn=observer.warning) as folder:
        request = _request_from(read_sweep(path, SWEEP_STATE_FILE), path, dataset)
        doing = _Doing(request, registry, observer)
        if read_sweep(path).get("finished") is True:  # all but what was to be deleted
            return doing.conclude(folder, doing.strategy.members(folder.rows))
        if request.options.keep != NONE:
            folder.forget_rows_without_weights()
        doing.check()
        return doing.finish(folder)


class _Doing:
    """A sweep that is being done."""

    def __init__(self, request: Request, registry: Registry, observer: Observer) -> None:
        self.request, self.registry, self.observer = request, registry, guarded(observer)
        self.strategy: Strategy = strategy_of(request)
        self._data = DataCache()
        self._on_cpu = True

    def check(self) -> None:
        """Read the data, and refuse what is wrong for every setting, before anything starts.

        Raises:
            UsageError: of the first setting.
            DataError: the data cannot be had or used.
        """
        wrong: list[UsageError] = []
        members = self.strategy.members({})
        settings = {repr(member.settings): member for member in reversed(members)}
        check_jobs(self.request.options, members[0].options.threads or 1)
        for member in reversed(settings.values()):
            try:
                plan = make_plan(self.registry, member.options)
                if self.request.options.keep == NONE:
                    keeping_nothing(plan)
            except UsageError as error:
                wrong.append(error)
        if wrong and len(wrong) == len(settings):
            raise wrong[0]
        self._on_cpu = prepare_members(members, self.registry, self.observer, self._data)

    def finish(self, folder: SweepFolder) -> Sweep:
        """Train the members that are not done, and conclude."""
        telling, first = Telling(self.observer), self.strategy.members(folder.rows)[0]
        with stop_signals() as signals:

            def stopped(number: int) -> InterruptedRunError:
                signals.defer()  # members save what they have; Ctrl-C once more ends that
                telling.stage("Saving the members under way")
                return self._interrupted(folder, number)

            try:
                with pool_of(
                    self.request.options, first, self.registry, telling, self._data, on_cpu=self._on_cpu
                ) as pool:
                    members = self._train(folder, pool, telling, signals, stopped)
            except InterruptedRunError as error:
                raise self._interrupted(folder, error.exit_code - 128) from error
            except StoppedError as error:
                raise self._interrupted(folder, error.number) from error
        return self.conclude(folder, members)

    def conclude(self, folder: SweepFolder, members: Sequence[Member]) -> Sweep:
        """Write what there is to say when all members are done."""
        folder.sort_rows()
        sync_file_system(folder.path)  # members did not wait for the disk
        folder.write_json(SWEEP_FILE, _description(self.request) | {"finished": True})
        monitor = self.request.same.get("monitor")
        if self.request.options.keep == BEST:
            best = best_row(folder.rows.values(), monitor)
            for member in members:
                if best is None or member.number != best.member:
                    folder.remove_member(member)
        return Sweep(folder.path, [*folder.rows.values()], monitor, self.registry)

    def _train(
        self,
        folder: SweepFolder,
        pool: Pool,
        telling: Telling,
        signals: StopRequests,
        stopped: Callable[[int], InterruptedRunError],
    ) -> Sequence[Member]:
        """Train all members that are not done; all of them."""
        waiting, known, under_way = deque[Member](), 0, 0
        while True:
            members = self.strategy.members(folder.rows)
            waiting.extend(one for one in members[known:] if one.number not in folder.rows)
            known = len(members)
            telling.known(known, folder.rows)
            while waiting and pool.free > 0:
                member = waiting.popleft()
                pool.start(member, None if self.request.options.keep == NONE else folder.of_member(member))
                under_way += 1
            folder.write_rows()  # while the workers train
            if not under_way:
                return members
            signals.raise_at_once(stopped)
            row = pool.wait()
            signals.defer()
            under_way -= 1
            folder.rows[row.member] = row
            telling.done(row)

    def _interrupted(self, folder: SweepFolder, number: int) -> InterruptedRunError:
        done, of = len(folder.rows), len(self.strategy.members(folder.rows))
        resume = told(typed=command("resume", folder.path), python=command("resume_sweep", folder.path))
        return InterruptedRunError(f"stopped with {done:,} of {of:,} members done; to resume: {resume}", number)


def _name(request: Request, registry: Registry) -> str:
    """Of its folder: the models' names."""
    return "+".join(registry.models.get(name).spec.name for name in request.models)


def _state_of(request: Request) -> dict[str, Any]:
    options = asdict(request.options) | {"out": None}
    return {"options": options, "given": {**request.same, **request.grid, "settings": request.settings}}


def _request_from(state: Mapping[str, Any], path: Path, dataset: object) -> Request:
    try:
        given = dict(state["given"]) | ({} if dataset is None else {"dataset": dataset})
        settings = {**given.pop("settings"), **{name: given.pop(name) for name in [*given] if "." in name}}
        return request_of(SweepOptions(**state["options"]), {**given, "settings": settings})
    except (KeyError, TypeError, AttributeError) as error:
        raise CheckpointError(f"{path / SWEEP_STATE_FILE} is damaged: it is not the state of a sweep") from error


def _description(request: Request) -> dict[str, Any]:
    """What `sweep.json` says from the start."""
    return {
        "schema": 1,
        "models": request.models,
        "seeds": request.seeds,
        "grid": {name: [*values] for name, values in request.grid.items()},
        "same": {name: str(value) for name, value in request.same.items()},
        "settings": dict(request.settings),
        "finished": False,
    }
