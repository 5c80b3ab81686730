"""One member of a sweep: an ordinary run in its own folder, and the row that becomes of it."""

from __future__ import annotations

import contextlib
import errno
from pathlib import Path

from zoo.errors import DivergedError, OutOfMemoryError, ZooError
from zoo.files import kind_of
from zoo.options.run import ResumeOptions
from zoo.plugin.registry import Registry
from zoo.runs.observer import Observer
from zoo.runs.plan import make_plan
from zoo.runs.result import Run
from zoo.runs.runner import execute, resume
from zoo.storage import STATE_FILE
from zoo.storage.config import WEIGHTS_KEY
from zoo.sweeps.member import DIVERGED, FAILED, FINISHED, OUT_OF_MEMORY, Member, Row, State


def train_member(registry: Registry, member: Member, folder: Path | None, observer: Observer) -> Row:
    """Train a member, or resume it where it was stopped; whatever goes wrong with it is in its row.

    Args:
        registry: what the plugins bring.
        member: what to train.
        folder: its run folder; None where nothing of it is kept.
        observer: of the run.

    Raises:
        InterruptedRunError: a signal has stopped it.
        OSError: the disk is full, or cannot be written.
    """
    try:
        run = _trained(registry, member, folder, observer)
    except ZooError as error:
        if isinstance(error.__cause__, OSError) and error.__cause__.errno in (errno.ENOSPC, errno.EROFS):
            raise
        steps = error.step if isinstance(error, DivergedError | OutOfMemoryError) else None
        return Row(member.number, member.settings, member.seed, _state(error), str(error), steps)
    finally:
        if folder is not None:
            with contextlib.suppress(FileNotFoundError):
                (folder / STATE_FILE).unlink()
    metrics = run.metrics
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


def _trained(registry: Registry, member: Member, folder: Path | None, observer: Observer) -> Run:
    if folder is not None and kind_of(folder / STATE_FILE) == "file":
        return resume(folder, registry, ResumeOptions(plots=False, offline=member.options.offline), observer)
    options = member.options
    if folder is None:
        return execute(make_plan(registry, options), observer, keep=False)
    from dataclasses import replace

    return execute(make_plan(registry, replace(options, out=folder)), observer)


def _state(error: ZooError) -> State:
    if isinstance(error, DivergedError):
        return DIVERGED
    return OUT_OF_MEMORY if isinstance(error, OutOfMemoryError) else FAILED
