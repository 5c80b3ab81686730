"""The entry points of installed distributions, found fast, and the import of the objects that they name.

`importlib.metadata` loads a parser of e-mail for the headers of distributions. With fifty of them it takes longer than
all of `zoo list` may take. This module reads the same files in the same order; a path with an entry that is not a
folder is left to `importlib.metadata`. Paths are strings because importing `pathlib` would double the time.
"""

from __future__ import annotations

import importlib
import os
import re
import sys
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, NamedTuple, Protocol

_FILES = {".dist-info": "METADATA", ".egg-info": "PKG-INFO"}  # suffix of a folder: the file with name and version
_SEPARATORS = re.compile(r"[-_.]+")


class Distribution(Protocol):
    """The part of `importlib.metadata.Distribution` that zoo uses."""

    @property
    def name(self) -> str: ...
    @property
    def version(self) -> str: ...


class EntryPoint(Protocol):
    """The part of `importlib.metadata.EntryPoint` that zoo uses."""

    @property
    def name(self) -> str: ...
    @property
    def dist(self) -> Distribution | None: ...
    def load(self) -> Any: ...


class FoundDistribution(NamedTuple):
    name: str
    version: str


class FoundEntryPoint(NamedTuple):
    """`name = value`, as a distribution declares it; `value` is `module`, `module:attribute` or either with extras."""

    name: str
    value: str
    dist: FoundDistribution

    def load(self) -> Any:
        """Import the object. The plugin's module may raise anything."""
        return import_object(self.value.partition("[")[0])  # extras, in brackets, are obsolete


def import_object(path: str) -> Any:
    """Import `package.module` or `package.module:attribute`. The module may raise anything."""
    module_name, _, attribute = path.partition(":")
    found: Any = importlib.import_module(module_name.strip())
    for part in filter(None, attribute.strip().split(".")):
        found = getattr(found, part)
    return found


def entry_points(group: str, path: Sequence[str] | None = None) -> Sequence[EntryPoint]:
    """The entry points of a group, as `importlib.metadata.entry_points(group=group)` finds them.

    Of two distributions of the same name, the first one on the path is used.

    Args:
        group: as in `[group]` of `entry_points.txt`.
        path: folders to search; by default `sys.path`.
    """
    folders = [entry or "." for entry in (sys.path if path is None else path)]
    if any(map(os.path.isfile, folders)):  # a zip archive, say
        from importlib import metadata

        found = metadata.distributions() if path is None else metadata.distributions(path=list(path))
        return [point for dist in _first_of_each(found) for point in dist.entry_points if point.group == group]
    return list(_in_folders(folders, group))


def _first_of_each(distributions: Iterable[Any]) -> Iterator[Any]:
    seen: set[str] = set()
    for distribution in distributions:
        name = _normalized(distribution.name)
        if name not in seen:
            seen.add(name)
            yield distribution


def _in_folders(folders: Iterable[str], group: str) -> Iterator[FoundEntryPoint]:
    seen: set[str] = set()
    for folder in folders:
        for info in _metadata_folders(folder):
            name = _normalized(_stem(info).partition("-")[0])
            if name in seen:
                continue
            seen.add(name)
            lines = _section(_read(info, "entry_points.txt"), group)
            distribution = _distribution(info) if lines else None
            for line in lines if distribution else ():
                key, _, value = line.partition("=")
                yield FoundEntryPoint(key.strip(), value.strip(), distribution)  # type: ignore[arg-type]  # not None


def _metadata_folders(folder: str) -> Iterator[str]:
    """The `.dist-info` and `.egg-info` folders, in the order of the directory, as in importlib.metadata."""
    try:
        names = os.listdir(folder)
    except OSError:
        return
    for name in names:
        if name.endswith(tuple(_FILES)):
            yield os.path.join(folder, name)


def _section(text: str, group: str) -> list[str]:
    """The lines below `[group]`, without blank ones and comments."""
    found: list[str] = []
    section = ""
    for line in map(str.strip, text.splitlines()):
        if line.startswith("[") and line.endswith("]"):
            section = line[1:-1].strip()
        elif section == group and "=" in line and not line.startswith("#"):
            found.append(line)
    return found


def _distribution(info: str) -> FoundDistribution:
    """Name and version from the headers, or else from the folder's name."""
    stem_name, _, stem_version = _stem(info).partition("-")
    headers = dict.fromkeys(("name", "version"), "")
    for line in _read(info, _FILES[os.path.splitext(info)[1]]).splitlines():
        if not line.strip():
            break  # the description follows
        key, _, value = line.partition(":")
        if key.lower() in headers and not headers[key.lower()]:
            headers[key.lower()] = value.strip()
    return FoundDistribution(headers["name"] or stem_name, headers["version"] or stem_version or "unknown")


def _stem(info: str) -> str:
    """`name-version` of a metadata folder."""
    return os.path.splitext(os.path.basename(info))[0]


def _read(info: str, name: str) -> str:
    try:
        with open(os.path.join(info, name), encoding="utf-8", errors="replace") as file:
            return file.read()
    except OSError:
        return ""


def _normalized(name: str) -> str:
    return _SEPARATORS.sub("_", name).lower()
