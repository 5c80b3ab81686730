"""Doing a share of a sweep, and putting the shares together."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import timedelta
from pathlib import Path
from typing import Any

from zoo.ambient import in_neutral_state
from zoo.errors import UsageError
from zoo.files import from_person, kind_of, readable_json, sync_file_system, write_bytes
from zoo.options.sweep import NONE
from zoo.phrasing import option
from zoo.plots.worker import usable_cores
from zoo.plugin.registry import Registry
from zoo.runs.launched.attempts import job_folder, write_job
from zoo.runs.observer import Observer
from zoo.storage import SWEEPS
from zoo.sweeps.folder import SHARES, SWEEP_STATE_FILE, SweepFolder
from zoo.sweeps.request import Request
from zoo.sweeps.results.sweep import Sweep
from zoo.sweeps.shares.folder import ShareFolder
from zoo.sweeps.shares.share import Share
from zoo.sweeps.sheet import SHEET_FILE, SWEEP_FILE, is_sweep, read_sweep
from zoo.sweeps.strategy import Grid
from zoo.sweeps.sweeping import Doing, name_of_sweep, request_from, resume_sweep, state_of, with_values
from zoo.training.distributed.launch import Launch, meeting_place

_PATIENCE = timedelta(hours=24)  # while rank 0 reads the data; where it fails, torchrun ends the others
_FOLDER = "sweep"
_OF_A_MACHINE = ("jobs",)  # options that may differ between shares


@dataclass(frozen=True)
class Part:
    """A share that is done, of a sweep that is not.

    Attributes:
        path: the sweep's folder.
        share: which one.
        done: how many members of the sweep are done.
        of: how many it has.
    """

    path: Path
    share: Share
    done: int
    of: int


@in_neutral_state
def sweep_share(request: Request, registry: Registry, observer: Observer) -> Sweep | Part:
    """Do the share that a request names, in the folder that it names; the last one to end puts all together.

    Raises:
        UsageError: as `zoo.sweeps.sweeping.sweep`; or there is no folder, that of another sweep, or a strategy that
            needs all members to decide which there are.
        ZooError: another process trains this share, and as `sweep`.
    """
    share = Share.parse(str(request.options.share))
    if request.options.out is None:
        raise UsageError(f"{option('share', share)} needs {option('out', 'DIR')}: the folder of all shares")
    path, doing = from_person(request.options.out), Doing(request, registry, observer)
    if not isinstance(doing.strategy, Grid):
        raise UsageError(
            f"{option('share', share)}: which members this sweep has is decided by those before, so that its shares "
            "must run at the same time: start them with torchrun"
        )
    doing.check()
    _begin(path, doing, state_of(request, registry))
    if read_sweep(path).get("finished") is True:
        return resume_sweep(path, registry, observer)
    with ShareFolder.open(path, share, doing.strategy) as folder:
        members = doing.train(folder)
        sync_file_system(path)  # before others hear that they are done
        folder.read_others()
    if any(member.number not in folder.rows for member in members):
        return Part(path, share, len(folder.rows), len(members))
    with SweepFolder.open(path, beside=True) as whole:  # of several that end at the same time, one after the other
        with_values(whole.rows, doing.strategy)
        return doing.conclude(whole, members, read_sweep(path).get("verdict"))


@in_neutral_state
def sweep_launched(
    request: Request | Path, registry: Registry, observer: Observer, launch: Launch, given: Mapping[str, Any]
) -> Sweep | None:
    """Do a sweep with all ranks of a launch, each on its share, or resume one.

    Rank 0 makes the folder and has it locked; it waits for the others, and puts all together.

    Args:
        request: what is wanted; or the folder of a sweep that is to be resumed.
        registry, observer: as for `zoo.sweeps.sweeping.sweep`.
        launch: what torchrun says.
        given: as for `zoo.sweeps.sweeping.resume_sweep`.

    Returns:
        The sweep; None at the other ranks.
    """
    if isinstance(request, Request) and request.options.share is not None:
        raise UsageError(f"leave out {option('share')}: torchrun says which share is whose")
    meeting = meeting_place(launch, _PATIENCE)
    if not launch.leads:
        path = Path(meeting.get(_FOLDER).decode())
        if read_sweep(path).get("finished") is not True:
            doing = _doing(request_from(path, registry, given), registry, observer, launch)
            doing.check()
            waits = not isinstance(doing.strategy, Grid)
            with ShareFolder.open(path, _share(launch), doing.strategy, waits=waits) as folder:
                doing.train(folder)
            sync_file_system(path)
        return None
    path_left = request if isinstance(request, Path) else _left(request, registry, launch)
    wanted = request_from(path_left, registry, given) if isinstance(path_left, Path) else request
    assert isinstance(wanted, Request)
    doing = _doing(wanted, registry, observer, launch)
    doing.check()
    with _opened(path_left, wanted, doing, launch) as whole:
        meeting.set(_FOLDER, str(whole.path))
        begun = read_sweep(whole.path)
        if begun.get("finished") is True:
            return doing.conclude(whole, doing.strategy.members(whole.rows), begun.get("verdict"))
        with ShareFolder.open(whole.path, _share(launch), doing.strategy, waits=True) as folder:
            members = doing.train(folder)
        whole.rows = folder.rows
        return doing.conclude(whole, members)


@contextlib.contextmanager
def _opened(left: Path | None, request: Request, doing: Doing, launch: Launch) -> Any:
    """The folder of a sweep that is resumed, or a new one."""
    if left is not None:
        with SweepFolder.open(left, warn=doing.observer.warning, beside=True) as folder:
            doing.check_data(left)
            with_values(folder.rows, doing.strategy)
            if request.options.keep != NONE and read_sweep(left).get("finished") is not True:
                folder.forget_rows_without_weights()
            folder.remove_shares()  # all that they have is in its own sheet now
            yield folder
        return
    out = None if request.options.out is None else from_person(request.options.out)
    with SweepFolder.create(name_of_sweep(request, doing.registry), out, warn=doing.observer.warning) as folder:
        folder.write(*write_job(launch.job))
        folder.write_json(SWEEP_STATE_FILE, state_of(request, doing.registry))
        folder.write_json(SWEEP_FILE, doing.description())
        yield folder


def _left(request: Request, registry: Registry, launch: Launch) -> Path | None:
    """The folder that an earlier attempt of this job has made."""
    if not launch.restarts:
        return None
    out = None if request.options.out is None else from_person(request.options.out)
    return job_folder(launch.job, SWEEPS, name_of_sweep(request, registry), out, SWEEP_FILE)


def _doing(request: Request, registry: Registry, observer: Observer, launch: Launch) -> Doing:
    """The sweep, with this rank's share of the cores of its machine."""
    if request.options.jobs is None:
        cores = max(1, usable_cores() // launch.local_ranks)
        request = replace(request, options=replace(request.options, jobs=cores))
    return Doing(request, registry, observer)


def _share(launch: Launch) -> Share:
    return Share(launch.rank + 1, launch.ranks)


def _begin(path: Path, doing: Doing, state: Mapping[str, Any]) -> None:
    """Make the folder of a sweep, whichever share comes first: all of them would write the same.

    Raises:
        UsageError: something else is there.
        CheckpointError: its data is another.
    """
    path.mkdir(parents=True, exist_ok=True)
    if kind_of(path / SWEEP_STATE_FILE) == "file" and is_sweep(path):
        begun = read_sweep(path, SWEEP_STATE_FILE)
        if _of_all(begun) != _of_all(state):
            raise UsageError(f"{path} is the folder of another sweep: choose another {option('out')}")
        doing.check_data(path)
        return
    known = {SWEEP_FILE, SWEEP_STATE_FILE, SHEET_FILE, SHARES}
    if any(entry.name not in known and not entry.name.startswith(".") for entry in path.iterdir()):
        raise UsageError(f"{path} already exists, and is no sweep: choose another {option('out')}")
    write_bytes(path / SWEEP_FILE, readable_json(doing.description()).encode())
    write_bytes(path / SWEEP_STATE_FILE, readable_json(state).encode())


def _of_all(state: Mapping[str, Any]) -> dict[str, Any]:
    """A sweep's state without what each share may choose."""
    options = {name: value for name, value in state["options"].items() if name not in _OF_A_MACHINE}
    return {**state, "options": options}
