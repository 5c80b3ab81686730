"""Finding the run folders below a folder."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

from zoo.errors import UsageError
from zoo.files import kind_of
from zoo.storage import CONFIG_FILE, METRICS_FILE, STATE_FILE, WEIGHTS_FILE
from zoo.storage.losses import LOSSES_FILE
from zoo.text import shown

DEPTH = 4  # levels of folders below the one that is given: runs, a sweep, its settings, its seeds

_OF_EVERY_RUN = frozenset((STATE_FILE, LOSSES_FILE))
_OF_A_RUN = frozenset((CONFIG_FILE, METRICS_FILE, WEIGHTS_FILE))  # of other programs' folders, too: two of them count


def is_run(names: frozenset[str]) -> bool:
    """Whether a folder with files of these names is a run's, be it damaged or not."""
    return bool(names & _OF_EVERY_RUN) or len(names & _OF_A_RUN) > 1


def find_runs(folder: Path) -> Iterator[tuple[str, Path, OSError | None]]:
    """The run folders in a folder, and in those in it, to a depth of `DEPTH`; or the folder alone, if it is a run's.

    Links to folders are followed, and each folder is visited once. Hidden folders are left out, and so is what is
    within a run folder.

    Yields:
        Its name from `folder`, its path, and why it cannot be read; that may also be a folder that has none.

    Raises:
        UsageError: `folder` is something else than a folder.
    """
    kind = kind_of(folder)
    if kind == "nothing":
        return
    if kind != "folder":
        raise UsageError(f"{shown(folder)} is not a folder: give a run folder, or one that has run folders in it")
    yield from _search(folder, "", set(), DEPTH)


def _search(
    folder: Path, name: str, visited: set[tuple[int, int]], depth: int
) -> Iterator[tuple[str, Path, OSError | None]]:
    try:
        status = folder.stat()
        if (status.st_dev, status.st_ino) in visited:
            return
        visited.add((status.st_dev, status.st_ino))
        with os.scandir(folder) as entries:
            found = list(entries)
    except OSError as error:
        yield name or folder.name, folder, error
        return
    if is_run(frozenset(entry.name for entry in found)):
        yield name or folder.resolve().name, folder, None
        return
    if depth > 0:
        for entry in sorted(found, key=lambda entry: entry.name):
            if not entry.name.startswith(".") and _is_folder(entry):
                inner = f"{name}/{entry.name}" if name else entry.name
                yield from _search(folder / entry.name, inner, visited, depth - 1)


def _is_folder(entry: os.DirEntry[str]) -> bool:
    try:
        return entry.is_dir()
    except OSError:  # a link that leads in a circle
        return False
