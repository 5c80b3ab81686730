"""Files, run folders and weights, by what is typed of their path."""

from __future__ import annotations

import os
from collections.abc import Iterator

from click.shell_completion import CompletionItem

from zoo.cli.completion.shells import NO_SPACE
from zoo.errors import ZooError
from zoo.files import from_person

_MOST = 500  # paths


def files(incomplete: str) -> list[CompletionItem]:
    """Files and folders."""
    return [_item(path, entry) for path, entry in _listed(incomplete)]


def weights(incomplete: str) -> list[CompletionItem]:
    """Files of weights."""
    return [CompletionItem(path) for path, entry in _listed(incomplete) if path.endswith(".safetensors")]


def runs(incomplete: str) -> list[CompletionItem]:
    """Run folders, the newest first, and folders that may hold some. Where nothing is typed, those of `runs/`, too."""
    from zoo.storage import RUNS

    listed = list(_listed(incomplete))
    if not incomplete:
        listed += _listed(f"{RUNS}{os.sep}")
    folders = [(path, entry) for path, entry in listed if entry.is_dir()]
    found = [(path, entry) for path, entry in folders if _is_run(entry)]
    found.sort(key=lambda item: -item[1].stat().st_mtime)
    others = [(path, entry) for path, entry in folders if not _is_run(entry) and (incomplete or path != str(RUNS))]
    if not incomplete and found:
        others = []
    return [*(CompletionItem(path, help="run") for path, _ in found), *(_item(path, entry) for path, entry in others)]


def _item(path: str, entry: os.DirEntry[str]) -> CompletionItem:
    return CompletionItem(f"{path}{os.sep}", NO_SPACE) if entry.is_dir() else CompletionItem(path)


def _is_run(entry: os.DirEntry[str]) -> bool:
    from zoo.runs.listing.finding import is_run

    try:
        return is_run(frozenset(os.listdir(entry.path)))  # noqa: PTH208  # fast
    except OSError:
        return False


def _listed(incomplete: str) -> Iterator[tuple[str, os.DirEntry[str]]]:
    """What is in a folder and begins with the rest of a path, as it would be typed; hidden names only if they are."""
    folder, slash, start = incomplete.rpartition(os.sep)
    try:
        with os.scandir(from_person(folder + slash or ".")) as entries:
            found = sorted((entry for entry in entries if entry.name.startswith(start)), key=lambda entry: entry.name)
    except (OSError, ZooError):  # there is no such folder, or user
        return
    for entry in found[:_MOST]:
        if start or not entry.name.startswith("."):
            yield f"{folder}{slash}{entry.name}", entry
