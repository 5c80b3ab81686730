"""What an earlier attempt of a job has left: `torchrun --max-restarts` starts all ranks again where one has failed.

The folder of a run that it started has a file with the digest of the job, so that a restart goes on in it, and makes no
second one.
"""

from __future__ import annotations

import contextlib
from pathlib import Path
from typing import Any, NamedTuple

from zoo.errors import ZooError
from zoo.files import kind_of, parse_json, read_text, readable_json
from zoo.storage import CONFIG_FILE, METRICS_FILE, RUNS, STATE_FILE
from zoo.storage.config import read_json, read_metrics
from zoo.storage.folder import RunFolder, Warn, ignore
from zoo.storage.open_folder import OpenFolder

JOB_FILE = ".torchrun"


class Done(NamedTuple):
    """The result of a run: as `metrics.json` has it, its config, and the step from which it was resumed."""

    metrics: dict[str, Any]
    config: dict[str, Any]
    resumed_at: int = 0


def folder_for(job: str) -> type[RunFolder]:
    """The kind of a new run folder that says which job it is of."""

    class JobFolder(RunFolder):
        @classmethod
        def create(cls, model_name: str, out: Path | None = None, *, warn: Warn = ignore) -> RunFolder:
            folder = super().create(model_name, out, warn=warn)
            try:
                folder.write(*write_job(job))
            except BaseException:
                folder.close()
                raise
            return folder

    return JobFolder


def folder_of(job: str, model: str, out: Path | None) -> Path | None:
    """The run folder that an earlier attempt of a job has made; None where there is none to go on in.

    One that was begun and has no checkpoint yet is deleted.

    Args:
        job: its digest.
        model: the name of the model.
        out: the folder that was asked for; None for the next free `runs/MODEL-N`.

    Raises:
        ZooError: another process is using it.
    """
    return job_folder(job, RUNS, model, out, STATE_FILE)


def write_job(job: str) -> tuple[str, bytes]:
    """The file by which a job finds its folder: its name and content."""
    return JOB_FILE, readable_json({"job": job}).encode()


def job_folder(job: str, base: Path, name: str, out: Path | None, needed: str) -> Path | None:
    """The folder `out`, or the newest of `base/NAME-N`, that an earlier attempt of a job has made.

    None if there is none; one that lacks what is needed to go on in it is deleted.
    """
    found = next((path for path in _folders(base, name) if _job_of(path) == job), None) if out is None else out
    if found is None or _job_of(found) != job:
        return None
    if kind_of(found / needed) == "file":
        return found
    folder = OpenFolder(found)
    for name in folder.names():
        folder.remove_tree(name)
    folder.close(delete_if_empty=True)
    return None


def result_of(folder: Path, steps: int | None) -> Done | None:
    """The result of a run that an earlier attempt has finished; None if it has not.

    Args:
        folder: of the run.
        steps: how many it is to have; None for as many as were planned.
    """
    with contextlib.suppress(ZooError, OSError, KeyError, TypeError):
        metrics, config = read_metrics(folder / METRICS_FILE), read_json(folder / CONFIG_FILE)
        if metrics["steps"] >= (steps or config["training"]["steps"]):
            return Done(metrics, config)
    return None


def _folders(base: Path, name: str) -> list[Path]:
    """The folders `base/NAME-N`, the newest first."""
    prefix = f"{name}-"
    with contextlib.suppress(OSError):
        numbered = [path for path in base.iterdir() if path.name.removeprefix(prefix).isdecimal()]
        return sorted(
            (path for path in numbered if path.name.startswith(prefix)),
            key=lambda path: int(path.name.removeprefix(prefix)),
            reverse=True,
        )
    return []


def _job_of(folder: Path) -> str | None:
    with contextlib.suppress(OSError, ValueError):
        found = parse_json(read_text(folder / JOB_FILE))
        return found["job"] if isinstance(found, dict) and isinstance(found.get("job"), str) else None
    return None
