"""Reading files, and writing them atomically.

A file is written under a temporary name in the same folder, flushed to the disk, and renamed. Whatever happens, the old
file or the new one is there, intact.
"""

from __future__ import annotations

import contextlib
import errno
import json
import math
import os
import re
import secrets
import stat
from collections.abc import Collection, Iterator
from pathlib import Path
from typing import Any, BinaryIO, Literal, TypeAlias

from zoo.errors import UsageError, ZooError

Kind: TypeAlias = Literal["file", "folder", "other", "nothing"]

_MAX_DEPTH = 64  # levels of nested JSON
_MAX_NAME_BYTES = 255  # on every common file system
_MAX_SHOWN = 300  # characters of a name in a message
_TEMPORARY = re.compile(r"\.(.+)\.[0-9a-f]{8}\.tmp")
_DISK_FAILS = {errno.EIO, errno.ENOSPC, errno.EROFS, errno.EDQUOT}
_NOTHING_THERE = {errno.ENOENT, errno.ENOTDIR, errno.ELOOP, errno.EBADF, errno.ENAMETOOLONG, errno.EINVAL}


def canonical_json(value: Any) -> str:
    """JSON with sorted keys and no spaces, so that equal values give equal text."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False)


def readable_json(value: Any) -> str:
    """Indented JSON."""
    return json.dumps(value, indent=2, ensure_ascii=False, allow_nan=False) + "\n"


def parse_json(text: str | bytes) -> Any:
    """Parse JSON from untrusted input.

    Raises:
        ValueError: it is not JSON, has a duplicate key, NaN, infinity, an integer beyond 64 bits or text that is not
            valid Unicode, or is nested too deeply.
    """
    try:
        value = json.loads(text, object_pairs_hook=_unique, parse_constant=_refuse_constant)
    except RecursionError as error:
        raise ValueError("it is nested too deeply") from error
    _check_json(value, 0)
    return value


def _check_json(value: Any, depth: int) -> None:
    if depth > _MAX_DEPTH:
        raise ValueError("it is nested too deeply")
    if isinstance(value, dict):
        for key, item in value.items():
            _check_json(key, depth)
            _check_json(item, depth + 1)
    elif isinstance(value, list):
        for item in value:
            _check_json(item, depth + 1)
    elif isinstance(value, str):
        value.encode()  # UnicodeEncodeError is a ValueError
    elif (isinstance(value, int) and not -(2**64) < value < 2**64) or (
        isinstance(value, float) and not math.isfinite(value)
    ):
        raise ValueError("a number in it is too large")


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    value = dict(pairs)
    if len(value) != len(pairs):
        raise ValueError("it has a duplicate key")
    return value


def _refuse_constant(name: str) -> Any:
    raise ValueError(f"{name} is not valid JSON")


def kind_of(path: Path) -> Kind:
    """What a path leads to, links followed; "other" is a pipe or a device, for example.

    An invalid name, too long or with a NUL in it, leads to "nothing". For some of these `Path.exists` would raise.

    Raises:
        ZooError: the system does not tell, for lack of permission for example.
    """
    try:
        mode = path.stat().st_mode
    except ValueError:  # a NUL or a lone surrogate
        return "nothing"
    except OSError as error:
        if error.errno in _NOTHING_THERE:
            return "nothing"
        raise ZooError(f"cannot access {path}: {error.strerror}") from error
    return "folder" if stat.S_ISDIR(mode) else "file" if stat.S_ISREG(mode) else "other"


def shown(name: str | Path) -> str:
    """A name for a message: in quotes, on one line, and without its middle if it is very long."""
    text = str(name)
    return repr(text if len(text) <= _MAX_SHOWN else f"{text[: _MAX_SHOWN // 2]}…{text[-_MAX_SHOWN // 4 :]}")


def check_name(option: str, path: Path) -> None:
    """Refuse an invalid path, or one that cannot be recorded in a UTF-8 file, before a run starts.

    Args:
        option: the option that gave the path, for the message.
        path: the path.

    Raises:
        UsageError: the path is invalid.
    """
    try:
        str(path).encode()
    except UnicodeEncodeError as error:
        raise UsageError(f"--{option} {str(path)!a} is not valid UTF-8: choose another name") from error
    if "\0" in str(path) or any(len(part.encode()) > _MAX_NAME_BYTES for part in path.parts):
        raise UsageError(f"--{option} {shown(path)} is not a name that a file can have: choose a shorter one")


def from_person(name: str | os.PathLike[str]) -> Path:
    """The path that a person names, on the command line, in Python or in the environment: `~` is the home folder.

    Every path from a person comes through here, and none from a checkpoint, which must not say where homes are.

    Raises:
        UsageError: there is no such home folder.
    """
    path = Path(name)
    first = next(iter(path.parts), "")
    if not first.startswith("~"):
        return path
    try:
        if first == "~" and os.environ.get("HOME") == "":
            raise RuntimeError("an empty HOME is none")
        return path.expanduser()
    except (RuntimeError, KeyError, ValueError) as error:  # KeyError: no such user
        if first != "~" and kind_of(Path(first)) != "nothing":
            return path
        if first == "~":
            raise UsageError(f"no home folder for {shown(path)}: set HOME, or give a full path") from error
        raise UsageError(f"no user {shown(first[1:])}, whose home {shown(path)} names: give a full path") from error


def read_bytes(path: Path) -> bytes:
    """The content of a regular file. Pipes and devices are refused, because they may never end.

    Raises:
        OSError: there is no such file, or it cannot be read.
    """
    try:
        if path.exists() and not path.is_file():
            raise OSError(errno.EINVAL, "it is not a regular file", str(path))
        return path.read_bytes()
    except ValueError as error:  # a NUL or a lone surrogate
        raise OSError(errno.EINVAL, "no file can have that name", ascii(str(path))) from error


def read_text(path: Path) -> str:
    """The content of a regular file in UTF-8.

    Raises:
        OSError: as `read_bytes`.
        ValueError: it is not UTF-8.
    """
    return read_bytes(path).decode("utf-8")


def write_text(path: Path, text: str) -> None:
    """Replace a file's content with UTF-8 text, atomically.

    Raises:
        OSError: the folder is missing or read-only, or the disk is full; the old file is kept.
    """
    write_bytes(path, text.encode())


def write_bytes(path: Path, data: bytes, *, folder: int | None = None) -> None:
    """Replace a file's content, atomically. Raises OSError as `write_text` does.

    Args:
        path: the file.
        data: its content.
        folder: the descriptor of an open folder that `path` is relative to, by default the current one.
    """
    with replacing(path, folder=folder) as file:
        file.write(data)


@contextlib.contextmanager
def replacing(path: Path, *, folder: int | None = None) -> Iterator[BinaryIO]:
    """A binary file that replaces `path` when the block ends, and is deleted if the block raises.

    `folder` is that of `write_bytes`.
    """
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(4)}.tmp")
    try:
        with _create(temporary, folder) as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path, src_dir_fd=folder, dst_dir_fd=folder)
        sync_folder(path.parent, folder=folder)
    except BaseException as error:
        with contextlib.suppress(OSError):  # the first error is the one to report
            os.unlink(temporary, dir_fd=folder)
        if isinstance(error, OSError):  # with the real name, not the temporary one
            raise OSError(error.errno, error.strerror or str(error), str(path)) from error
        raise


def is_temporary(name: str, of: Collection[str]) -> bool:
    """Whether `replacing` names its temporary files like that, for one of these files."""
    match = _TEMPORARY.fullmatch(name)
    return match is not None and match[1] in of


def _create(path: Path, folder: int | None) -> BinaryIO:
    """A new file; not by mkstemp, whose files ignore the umask."""
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | getattr(os, "O_BINARY", 0) | getattr(os, "O_CLOEXEC", 0)
    return os.fdopen(os.open(path, flags, 0o666, dir_fd=folder), "wb")


def sync_folder(path: Path, *, folder: int | None = None) -> None:
    """Make a rename durable, where the file system can; without this, a power failure can undo it.

    Raises:
        OSError: the disk fails.
    """
    if os.name != "posix":
        return
    try:
        if folder is not None and path == Path():
            os.fsync(folder)
            return
        descriptor = os.open(path, os.O_RDONLY, dir_fd=folder)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
    except OSError as error:
        if error.errno in _DISK_FAILS:  # others say that this cannot be done with a folder of this file system
            raise
