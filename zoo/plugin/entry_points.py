"""The entry points of installed distributions, found fast.

`importlib.metadata` takes longer to import and to read fifty distributions than all of `zoo list` may take, since it
loads a parser of e-mail for their headers. This looks for the same files in the same order, and leaves everything that
is not a plain folder on the path to it. Paths are strings, since `pathlib` takes as long to import as the rest of this.
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
    """What is asked of a distribution; those of `importlib.metadata` will do."""

    @property
    def name(self) -> str: ...
    @property
    def version(self) -> str: ...


class EntryPoint(Protocol):
    """What is asked of an entry point; those of `importlib.metadata` will do."""

    @property
    def name(self) -> str: ...
    @property
    def dist(self) -> Distribution | None: ...
    def load(self) -> Any: ...


class FoundDistribution(NamedTuple):
    name: str
    version: str


class FoundEntryPoint(NamedTuple):
    """`name = value`, as a distribution declares it; `value` is `module` or `module:attribute`."""

    name: str
    value: str
    dist: FoundDistribution

    def load(self) -> Any:
        """Import what it names, which may raise anything."""
        module_name, _, attribute = self.value.partition(":")
        found: Any = importlib.import_module(module_name.strip())
        for part in filter(None, attribute.partition("[")[0].strip().split(".")):  # extras, in brackets, mean nothing
            found = getattr(found, part)
        return found


def entry_points(group: str, path: Sequence[str] | None = None) -> Sequence[EntryPoint]:
    """The entry points of a group, as `importlib.metadata.entry_points(group=group)` finds them.

    Of two distributions of the same name the one that comes first on the path counts.

    Args:
        group: as in `[group]` of `entry_points.txt`.
        path: folders to look in; by default `sys.path`.
    """
    folders = [entry or "." for entry in (sys.path if path is None else path)]
    if any(map(os.path.isfile, folders)):  # a zip archive, say
        from importlib import metadata

        found = metadata.distributions() if path is None else metadata.distributions(path=list(path))
        return [one for dist in _first_of_each(found) for one in dist.entry_points if one.group == group]
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
        for info in _infos(folder):
            name = _normalized(_stem(info).partition("-")[0])
            if name in seen:
                continue
            seen.add(name)
            lines = _section(_read(info, "entry_points.txt"), group)
            distribution = _distribution(info) if lines else None
            for line in lines if distribution else ():
                key, _, value = line.partition("=")
                yield FoundEntryPoint(key.strip(), value.strip(), distribution)  # type: ignore[arg-type]  # not None


def _infos(folder: str) -> Iterator[str]:
    """The folders about distributions; in the order of the folder, as importlib.metadata has it."""
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
    """Name and version from the headers; from the folder's name where they do not say."""
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
    """`name-version` of a folder about a distribution."""
    return os.path.splitext(os.path.basename(info))[0]


def _read(info: str, name: str) -> str:
    try:
        with open(os.path.join(info, name), encoding="utf-8", errors="replace") as file:
            return file.read()
    except OSError:
        return ""


def _normalized(name: str) -> str:
    return _SEPARATORS.sub("_", name).lower()
