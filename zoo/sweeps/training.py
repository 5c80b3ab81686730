"""One member of a sweep: an ordinary run in its own folder, and the row that becomes of it."""

from __future__ import annotations

import contextlib
import errno
import os
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from zoo.data.sources.cache import DataCache
from zoo.errors import CheckpointError, DivergedError, OutOfMemoryError, ZooError
from zoo.files import kind_of
from zoo.options.run import ResumeOptions
from zoo.phrasing import command_line
from zoo.plugin.registry import Registry
from zoo.runs.observer import Observer
from zoo.runs.plan import make_plan
from zoo.runs.result import Run
from zoo.runs.runner import RunContext, execute, resume
from zoo.storage import METRICS_FILE, STATE_FILE, WEIGHTS_FILE, checkpoint
from zoo.storage.config import WEIGHTS_KEY, read_metrics
from zoo.storage.members.folder import HaltedFolder, MemberFolder
from zoo.storage.open_folder import InUseError
from zoo.sweeps.continuing import begin_continuation
from zoo.sweeps.member import DIVERGED, FAILED, FINISHED, OUT_OF_MEMORY, Member, Row, State
from zoo.text import message

_OF_THE_DISK = {errno.ENOSPC, errno.EROFS, errno.EDQUOT, errno.EIO, errno.EACCES, errno.EPERM}
_ADVICE = ("try a smaller ", "nothing is kept ")  # parts of a message that are for a person at the run


def train_member(
    registry: Registry, member: Member, folder: Path | None, observer: Observer, data: DataCache | None = None
) -> Row:
    """Train a member, or resume it where it was stopped; whatever goes wrong with it is in its row.

    Args:
        registry: what the plugins bring.
        member: what to train.
        folder: its run folder; None where nothing of it is kept.
        observer: of the run.
        data: what earlier members have read and encoded.

    Raises:
        InterruptedRunError: a signal has stopped it.
        InUseError: another process trains it.
        OSError, ZooError: the disk is full or cannot be written, which is no fault of this member.
    """
    found = None if folder is None else finished_before(member, folder)
    if found is not None:
        return found
    try:
        with as_alone():
            run = _trained(registry, member, folder, observer, data)
    except Exception as error:
        return ended_by(error, member, folder)
    return finished(member, run.metrics)


@contextlib.contextmanager
def as_alone() -> Iterator[None]:
    """What a member does is worded as of `zoo run`, whoever asked for the sweep, and leaves the working directory.

    A model may change that, and the paths of members are relative to it.
    """
    before = None
    with contextlib.suppress(OSError):  # it was deleted
        before = Path.cwd()
    try:
        with command_line():
            yield
    finally:
        if before is not None:
            with contextlib.suppress(OSError):
                os.chdir(before)


def ended_by(error: Exception, member: Member, folder: Path | None) -> Row:
    """The row of a member that an error has ended.

    Raises:
        InUseError, OSError, ZooError: the error, where it is no fault of this member; see `train_member`.
    """
    if isinstance(error, InUseError | OSError):
        raise error
    if not isinstance(error, ZooError):  # a mistake in a plugin, or in zoo, is this member's alone
        return failed(member, FAILED, message(f"unexpected {type(error).__name__}: {error}"))
    if isinstance(error.__cause__, OSError) and error.__cause__.errno in _OF_THE_DISK:
        raise error
    return failed(member, _state(error), _reason(error, folder), _steps(error))


def finished(member: Member, metrics: Mapping[str, Any]) -> Row:
    """The row of a member with this result."""
    return Row(
        member.number,
        member.settings,
        member.seed,
        FINISHED,
        "",
        metrics["steps"],
        metrics["parameters"],
        metrics["losses"],
        metrics["metrics"],
        metrics[WEIGHTS_KEY],
    )


def failed(member: Member, state: State, reason: str, steps: int | None = None) -> Row:
    """The row of a member that has no result."""
    return Row(member.number, member.settings, member.seed, state, reason, steps)


def _trained(
    registry: Registry, member: Member, folder: Path | None, observer: Observer, data: DataCache | None
) -> Run:
    options, context = member.options, RunContext(data=data or DataCache())
    if folder is None:
        return execute(make_plan(registry, options), observer, keep=False, context=context)
    context = replace(context, folders=MemberFolder if member.until is None else HaltedFolder)
    if member.continues is not None:
        begin_continuation(member, folder)
    if kind_of(folder / STATE_FILE) == "file":
        return resume(folder, registry, resumption(member), observer, until=member.until, context=context)
    plan = replace(make_plan(registry, replace(options, out=folder)), until=member.until)
    return execute(plan, observer, context=context)


def resumption(member: Member) -> ResumeOptions:
    """What resumes a member as it began: data of this process is nowhere else."""
    options = member.options
    of_logger = {key: value for key, value in (options.settings or {}).items() if key.startswith("logger.")}
    here = {} if _is_found(options.dataset) else {"dataset": options.dataset}
    return ResumeOptions(
        plots=False,
        offline=options.offline,
        checkpoint_every=options.checkpoint_every,
        log=options.log,
        settings=of_logger or None,
        **here,  # type: ignore[arg-type]  # of these types it is
    )


def _is_found(dataset: object) -> bool:
    """Whether a checkpoint can say where data is: it has a name, or is a file."""
    return dataset is None or isinstance(dataset, str | Path)


def finished_before(member: Member, folder: Path) -> Row | None:
    """The row of a member whose folder is finished: only its row was not written any more."""
    if kind_of(folder / METRICS_FILE) != "file":
        return None
    try:
        metrics = read_metrics(folder / METRICS_FILE)
        if checkpoint.load(folder / WEIGHTS_FILE).meta["sha256"] == metrics[WEIGHTS_KEY]:
            return finished(member, metrics)
    except (CheckpointError, KeyError):  # after a power failure
        pass
    return None


def _state(error: ZooError) -> State:
    if isinstance(error, DivergedError):
        return DIVERGED
    return OUT_OF_MEMORY if isinstance(error, OutOfMemoryError) else FAILED


def _steps(error: ZooError) -> int | None:
    """How many steps were done, where that is known."""
    for one in (error, error.__cause__):
        if isinstance(one, DivergedError | OutOfMemoryError) and one.step is not None:
            return one.step
    return None


def _reason(error: ZooError, folder: Path | None) -> str:
    """What went wrong, in the same words wherever the sweep is: without its path, and what a person could do."""
    cause = error.__cause__
    text = str(cause if isinstance(cause, DivergedError) else error)
    parts = [part for part in text.split("; ") if not part.startswith(_ADVICE)]
    return "; ".join(part for part in parts if folder is None or str(folder) not in part) or text
