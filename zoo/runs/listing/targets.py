"""The runs that a person names: run folders, folders of them, lone weights, models with shipped weights."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from zoo.errors import UsageError
from zoo.files import from_person, kind_of
from zoo.runs.listing.finding import find_runs
from zoo.runs.listing.record import RunRecord, read_run
from zoo.storage import WEIGHTS_FILE
from zoo.storage.config import RunConfig, read_metrics
from zoo.text import shown

if TYPE_CHECKING:
    from zoo.plugin.registry import Registry


ReadFolder = Callable[[Path], list[RunRecord]]


def runs_in(folder: Path) -> list[RunRecord]:
    """The runs in a folder, or the folder's own, if it is a run's."""
    return [read_run(*found) for found in find_runs(folder)]


def named_runs(
    targets: Sequence[str], registry: Callable[[], Registry], read_folder: ReadFolder = runs_in
) -> list[RunRecord]:
    """The runs that are named, each once, in that order, with names that differ.

    Args:
        targets: run folders, folders that have run folders in them, `.safetensors` files, or names of models with
            shipped weights.
        registry: asked for where a target is no folder. Only then is torch imported.
        read_folder: reads the runs in a folder.

    Raises:
        UsageError: a target is none of these, or has no run in it.
        CheckpointError: a `.safetensors` file is damaged. A damaged run folder is a record.
    """
    found: dict[Path, RunRecord] = {}
    for target in targets:
        for run in _runs(target, registry, read_folder):
            found.setdefault(run.path.resolve(), run)
    runs = list(found.values())
    names = [run.name if run.sweep or kind_of(run.path) != "folder" else run.path.resolve().name for run in runs]
    if len(set(names)) < len(names):
        names = [str(run.path) for run in runs]
    return [replace(run, name=name) for run, name in zip(runs, names, strict=True)]


def _runs(target: str, registry: Callable[[], Registry], read_folder: ReadFolder) -> list[RunRecord]:
    path = from_person(target)
    kind = kind_of(path)
    if kind == "file" and path.name == WEIGHTS_FILE:
        path, kind = path.parent, "folder"
    if kind == "folder":
        runs = read_folder(path)
        if not runs:
            raise UsageError(f"there is no run in {shown(path)}: give run folders, or a folder of them")
        return runs
    return [_lone(target, registry())]


def _lone(target: str, registry: Registry) -> RunRecord:
    """Of weights without a folder; their result is in the file beside them that has the suffix `.json`, if any."""
    from zoo.storage.checkpoint import load_meta
    from zoo.storage.loading import find_weights

    path = find_weights(target, registry)
    config = RunConfig.read(load_meta(path).get("config"), path)
    file = path.with_suffix(".json")
    result = {} if kind_of(file) == "nothing" else read_metrics(file)
    return RunRecord(target, path, "finished", path.stat().st_mtime, config=config, result=result)
