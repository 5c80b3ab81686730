"""The file that a command writes its result to, as with --out: never one that is there already."""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path

from zoo.errors import UsageError
from zoo.text import shown


def check_new(path: Path, suffixes: Collection[str] = (), option: str = "out") -> None:
    """Refuse a file that cannot be written, before anything is computed for it.

    Args:
        path: as the user named it.
        suffixes: those that it may have; any if there are none.
        option: that named it.

    Raises:
        UsageError: it is there already, has another suffix, or its folder is not there.
    """
    from zoo.files import check_name, kind_of

    check_name(option, path)
    if suffixes and path.suffix.lower() not in suffixes:
        raise UsageError(f"--{option} {shown(path)}: name a file with the suffix {' or '.join(suffixes)}")
    if kind_of(path) != "nothing":
        raise UsageError(f"--{option} {shown(path)} is there already: name another file, or remove it")
    if kind_of(path.parent) != "folder":
        raise UsageError(f"--{option} {shown(path)}: there is no folder {shown(path.parent)}")


def next_free(name: str) -> Path:
    """`NAME` in the current folder, or the next of `NAME-2`, `NAME-3`, ... that is not there yet."""
    from zoo.files import kind_of

    path, number = Path(name), 1
    while kind_of(path) != "nothing":
        number += 1
        path = Path(name).with_stem(f"{Path(name).stem}-{number}")
    return path
