"""Doing a sweep: its members, as its strategy names them, until all are done; and resuming one."""

from __future__ import annotations

import signal
import sys
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any, Protocol

from zoo.ambient import in_neutral_state
from zoo.data.sources.cache import DataCache
from zoo.data.sources.found import find_source
from zoo.errors import CheckpointError, InterruptedRunError, UsageError
from zoo.files import from_person, has_digest, parse_json, readable_json, sync_file_system
from zoo.options.declaration import declared
from zoo.options.run import ResumeOptions, RunOptions
from zoo.options.sweep import BEST, NONE, SweepOptions
from zoo.phrasing import command, option, told
from zoo.plugin.registry import Registry
from zoo.runs.observer import Observer
from zoo.runs.plan import check_options, keeping_nothing, make_plan
from zoo.sweeps.continuing import drop_state, is_of_several
from zoo.sweeps.folder import PLOT_FILE, SWEEP_STATE_FILE, SweepFolder
from zoo.sweeps.judging.until_decided import planned_tests
from zoo.sweeps.judging.verdict import verdict_of
from zoo.sweeps.kinds import strategy_of
from zoo.sweeps.member import Member, Row
from zoo.sweeps.request import Request, request_of
from zoo.sweeps.results.next_command import until_decided
from zoo.sweeps.results.plotting import plot_rows
from zoo.sweeps.results.settings import best_row
from zoo.sweeps.results.sweep import Sweep
from zoo.sweeps.sheet import SWEEP_FILE, read_sweep
from zoo.sweeps.strategy import Strategy
from zoo.sweeps.workers.choosing import (
    Prepared,
    check_jobs,
    first_of_settings,
    pool_of,
    prepare_members,
    refuse_wrong_values,
)
from zoo.sweeps.workers.forked import StoppedError
from zoo.sweeps.workers.pool import Pool
from zoo.sweeps.workers.telling import Telling, guarded
from zoo.text import shown
from zoo.training.signals import StopRequests, stop_signals
from zoo.verdicts.sentences import as_json, sentences
from zoo.verdicts.verdict import Verdict

_SETTLING = "To add seeds until it is clear"
_GIVEN_AGAIN = ("dataset", "schedule")
_OF_A_CALL: dict[str, Any] = {"out": None, "share": None}  # options that a sweep does not have when it is resumed


class AnyFolder(Protocol):
    """What training needs of a sweep's folder; see `SweepFolder`, and `ShareFolder` for that of one share."""

    rows: dict[int, Row]

    @property
    def path(self) -> Path: ...
    def of_member(self, member: Member) -> Path: ...
    def takes(self, member: Member) -> bool: ...
    def write_rows(self) -> None: ...
    def wait_for_others(self, members: Sequence[Member]) -> bool: ...


@in_neutral_state
def sweep(request: Request, registry: Registry, observer: Observer) -> Sweep:
    """Do a sweep.

    Raises:
        UsageError: a value is wrong in every setting that has it.
        InterruptedRunError: a signal has stopped it.
        ZooError: see `zoo.errors`. The members that are done are in its folder, with those under way.
    """
    doing = Doing(request, registry, observer)
    doing.check()
    out = None if request.options.out is None else from_person(request.options.out)
    with SweepFolder.create(name_of_sweep(request, registry), out, warn=doing.observer.warning) as folder:
        folder.write_json(SWEEP_STATE_FILE, state_of(request, registry))
        folder.write_json(SWEEP_FILE, doing.description())
        return doing.finish(folder)


@in_neutral_state
def resume_sweep(path: Path, registry: Registry, observer: Observer, **given: Any) -> Sweep:
    """Resume a sweep that was stopped or killed. What it ends with has the bytes of an uninterrupted one.

    Args:
        path: its folder.
        registry, observer: as for `sweep`.
        given: `dataset`, where its data was given in Python or is no longer where it was, and `schedule`, where that is
            a function: no file may cause an import.

    Raises:
        UsageError: it is not a sweep, or something must be given again.
        CheckpointError: its files are damaged, or its data is another.
    """
    with SweepFolder.open(path, warn=observer.warning) as folder:
        request = request_from(path, registry, given)
        doing = Doing(request, registry, observer)
        begun = read_sweep(path)
        with_values(folder.rows, doing.strategy)
        if begun.get("finished") is True:  # all but what was to be deleted
            doing.prepared = Prepared(data=tuple((begun.get("data") or {}).values()) or None)
            return doing.conclude(folder, doing.strategy.members(folder.rows), begun.get("verdict"))
        if request.options.keep != NONE:
            folder.forget_rows_without_weights()
        doing.check()
        doing.check_data(path)
        return doing.finish(folder)


def with_values(rows: dict[int, Row], strategy: Strategy) -> None:
    """Put the values of settings in the place of their texts, which a sheet has."""
    for member in strategy.members(rows):
        if member.number in rows:
            rows[member.number] = replace(rows[member.number], settings=member.settings)


def given_again(options: ResumeOptions) -> dict[str, Any]:
    """What `resume_sweep` takes of the options of a resumption.

    Raises:
        UsageError: there is one that a sweep does not take.
    """
    usual, names = ResumeOptions(), declared(ResumeOptions)
    given = {name: value for name in names if (value := getattr(options, name)) != getattr(usual, name)}
    wrong = next((name for name in given if name not in _GIVEN_AGAIN), None)
    if wrong is not None:
        known = " and ".join(map(option, _GIVEN_AGAIN))
        raise UsageError(f"a sweep is resumed as it began: leave out {option(wrong)}; it takes {known}")
    return given


class Doing:
    """A sweep that is being done."""

    def __init__(self, request: Request, registry: Registry, observer: Observer) -> None:
        self.request, self.registry, self.observer = request, registry, guarded(observer)
        self.strategy: Strategy = strategy_of(request, registry)
        self.prepared = Prepared()
        self._data = DataCache()

    def check(self) -> None:
        """Read the data, and refuse a value that is wrong in every setting that has it, before anything starts.

        A value that is wrong beside some others only is refused in no setting: the members that have it fail.

        Raises:
            UsageError: of the first such setting.
            DataError: the data cannot be had or used.
        """
        members = self.strategy.members({})
        settings = first_of_settings(members)
        check_jobs(self.request.options, members[0].options.threads or 1)
        wrong = {member.number: error for member in settings if (error := self._wrong(member)) is not None}
        has_all = self.request.options.search is None  # one has tried too few at its start
        refuse_wrong_values(settings, wrong, has_all=has_all)
        self.prepared = prepare_members(settings, self.registry, self.observer, self._data, has_all=has_all)

    def _wrong(self, member: Member) -> UsageError | None:
        """What is wrong with what a member was given, as far as that is known without the data."""
        try:
            plan = make_plan(self.registry, member.options)
            if self.request.options.keep == NONE:
                keeping_nothing(plan)
        except UsageError as error:
            return error
        return None

    def check_data(self, path: Path) -> None:
        """Raises CheckpointError where the data of the sweep in that folder is another."""
        if read_sweep(path).get("data") != self.description()["data"]:
            raise CheckpointError(f"the data of the sweep in {path} has changed: give {option('dataset', 'FILE')}")

    def finish(self, folder: SweepFolder) -> Sweep:
        """Train the members that are not done, and conclude."""
        members = self.train(folder)
        try:
            return self.conclude(folder, members)
        except KeyboardInterrupt as error:
            raise self._interrupted(folder, signal.SIGINT) from error

    def train(self, folder: AnyFolder) -> Sequence[Member]:
        """Train the members that are not done; all that are known then."""
        telling, first = Telling(self.observer), self.strategy.members(folder.rows)[0]
        with stop_signals() as signals:

            def stopped(number: int) -> InterruptedRunError:
                signals.defer()  # members save what they have; Ctrl-C once more ends that
                telling.stage("Saving the members under way")
                return self._interrupted(folder, number)

            try:
                with pool_of(self.request.options, first, self.registry, telling, self._data, self.prepared) as pool:
                    return self._train(folder, pool, telling, signals, stopped)
            except InterruptedRunError as error:
                raise self._interrupted(folder, error.exit_code - 128) from error
            except StoppedError as error:
                raise self._interrupted(folder, error.number) from error

    def conclude(self, folder: SweepFolder, members: Sequence[Member], recorded: object = None) -> Sweep:
        """Write what there is to say when all members are done.

        Args:
            folder: of the sweep.
            members: all of them.
            recorded: the verdict, where it is in `sweep.json`: members that it is from may have been deleted since.
        """
        folder.sort_rows()
        folder.remove_shares()
        sync_file_system(folder.path)  # members did not wait for the disk
        verdict, found = self._verdict(folder), self.strategy.conclusion(folder.rows)
        judged = recorded or (None if verdict is None else as_json(verdict))
        description = self.description() | {"verdict": judged} | ({} if found is None else {found.name: found.value})
        if self.request.options.plots:
            self._plot(folder, description)
        folder.write_json(SWEEP_FILE, description | {"finished": True})
        monitor, keep = self.request.same.get("monitor"), self.request.options.keep
        best = best_row(folder.rows.values(), monitor)
        for member in members:
            is_best = best is not None and member.number == best.member
            if (keep == BEST and not is_best) or (keep == NONE and is_of_several(member)):
                folder.remove_member(member)
            elif member.until is not None:
                drop_state(folder.of_member(member))
        said = [*self._said(verdict), *([] if found is None else found.sentences)]
        rows = [*folder.rows.values()]
        return Sweep(folder.path, rows, monitor, self.registry, verdict, said, self.request.options.search)

    def _verdict(self, folder: SweepFolder) -> Verdict | None:
        if not self.strategy.is_judged:
            return None
        return verdict_of(folder.path, self.description(), [*folder.rows.values()])

    def _said(self, verdict: Verdict | None) -> list[str]:
        """What the verdict says, and a command that would settle what it leaves open."""
        if verdict is None:
            return []
        settling = until_decided(self.request, verdict)
        return [*sentences(verdict), *([] if settling is None else [f"{_SETTLING}:", settling])]

    def _plot(self, folder: SweepFolder, description: Mapping[str, Any]) -> None:
        """Write the plot; a sweep without one is still done."""
        self.observer.stage("Plotting")
        rows = [*folder.rows.values()]
        try:
            folder.write(PLOT_FILE, plot_rows(folder.path, rows, description))
        except Exception as error:  # of matplotlib, or of a disk
            self.observer.warning(f"{PLOT_FILE} was not made: {error}")

    def _train(
        self,
        folder: AnyFolder,
        pool: Pool,
        telling: Telling,
        signals: StopRequests,
        stopped: Callable[[int], InterruptedRunError],
    ) -> Sequence[Member]:
        """Train all members that are not done; all of them."""
        waiting, known, under_way = deque[Member](), 0, 0
        telling.stage("Training")
        while True:
            members = self.strategy.members(folder.rows)
            self.strategy.record(folder.path, folder.rows, self.observer.warning)
            waiting.extend(filter(folder.takes, members[known:]))
            known = len(members)
            telling.known(known, folder.rows)
            while waiting and pool.free > 0:
                member = waiting.popleft()
                kept = self.request.options.keep != NONE or is_of_several(member)
                pool.start(member, folder.of_member(member) if kept else None)
                under_way += 1
            folder.write_rows()  # while the workers train
            signals.raise_at_once(stopped)
            if not under_way:
                if folder.wait_for_others(members):
                    signals.defer()
                    continue
                signals.defer()
                return members
            row = pool.wait()
            signals.defer()
            under_way -= 1
            folder.rows[row.member] = row
            telling.done(row)

    def description(self) -> dict[str, Any]:
        """What `sweep.json` says from the start."""
        request, data = self.request, self.prepared.data
        same = {name: value for name, value in request.same.items() if name != "dataset"}
        return {
            "schema": 1,
            "models": request.models,
            "data": None if data is None else dict(zip(("name", "sha256"), data, strict=True)),
            "seeds": request.seeds,
            "grid": {name: [*values] for name, values in request.grid.items()},
            "ranges": {name: str(interval) for name, interval in request.ranges.items()},
            "same": same,
            "settings": dict(request.settings),
            "keep": request.options.keep,
            **({"tests_after": [*planned_tests(request)]} if request.options.until_decided else {}),
            "finished": False,
        }

    def _interrupted(self, folder: AnyFolder, number: int) -> InterruptedRunError:
        done, of = len(folder.rows), len(self.strategy.members(folder.rows))
        resume = told(typed=command("resume", folder.path), python=command("resume_sweep", folder.path))
        return InterruptedRunError(f"stopped with {done:,} of {of:,} members done; to resume: {resume}", number)


def name_of_sweep(request: Request, registry: Registry) -> str:
    """Of its folder: the models' names."""
    return "+".join(registry.models.get(name).spec.name for name in request.models)


def state_of(request: Request, registry: Registry) -> dict[str, Any]:
    """What resuming needs: the request, as it was given."""
    ranges = {name: str(interval) for name, interval in request.ranges.items()}
    given = {**request.same, **request.grid, **ranges, "settings": dict(request.settings)}
    if "dataset" in given:
        source = find_source(registry, given["dataset"]).source
        given["dataset"] = str(source.absolute()) if isinstance(source, Path) else _name_of(given["dataset"])
    state = {"options": asdict(request.options) | _OF_A_CALL, "given": given}
    try:
        return {**state, **parse_json(readable_json(state))}
    except (TypeError, ValueError) as error:
        raise UsageError(f"an option has a value that no file can hold: {error}") from error


def _name_of(dataset: object) -> str | None:
    """The name of a dataset; None for data that only this process has."""
    return dataset if isinstance(dataset, str) and dataset != "-" else None


def request_from(path: Path, registry: Registry, given: Mapping[str, Any]) -> Request:
    """The request that `state_of` has recorded, with what is `given` again."""
    damaged = f"{path / SWEEP_STATE_FILE} is damaged: it is not the state of a sweep"
    try:
        state = read_sweep(path, SWEEP_STATE_FILE)
        recorded = dict(state["given"])
        settings = {**recorded.pop("settings"), **{name: recorded.pop(name) for name in [*recorded] if "." in name}}
        options = SweepOptions(**state["options"])
        check_options(options)
    except (KeyError, TypeError, AttributeError, OSError, UsageError) as error:
        raise CheckpointError(damaged) from error
    if not {*recorded} <= {"model", *declared(RunOptions)}:  # of another version
        raise CheckpointError(damaged)
    _check_recorded(recorded, path, registry, given)
    return request_of(options, {**recorded, **given, "settings": settings})


def _check_recorded(recorded: Mapping[str, Any], path: Path, registry: Registry, given: Mapping[str, Any]) -> None:
    """Refuse what must be given again: a file may not say what is imported, nor what is read if it is not the data."""
    schedules = _listed(recorded.get("schedule"))
    if any(":" in str(one) for one in schedules) and _listed(given.get("schedule")) != schedules:
        again = option("schedule", ",".join(map(str, schedules)))
        raise UsageError(
            f"the sweep in {path} has a schedule that is a function, which no file may import: add {again}"
        )
    if "dataset" not in recorded or "dataset" in given:
        return
    data, known = recorded["dataset"], read_sweep(path).get("data")
    wanted = known if isinstance(known, dict) else {}
    is_there = isinstance(data, str) and (data in registry.datasets or _has(Path(data), str(wanted.get("sha256"))))
    if not is_there:
        name = shown(str(wanted.get("name")))
        raise UsageError(f"the data {name} of the sweep in {path} is not found: add {option('dataset', 'FILE')}")


def _has(path: Path, sha256: str) -> bool:
    """Whether the data is there: a path that is not absolute could be one in the home of whoever resumes."""
    return path.is_absolute() and has_digest(path, sha256, max_bytes=sys.maxsize)


def _listed(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [] if value is None else [value]
