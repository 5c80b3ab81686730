"""Writing files so that a reader never sees half of one.

A file is written beside its place, flushed to the disk, and renamed: whatever happens, what stands there afterwards is
the old file or the new one, whole.
"""

from __future__ import annotations

import contextlib
import errno
import json
import math
import os
import secrets
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import Any, BinaryIO, Literal, TypeAlias

from zoo.errors import UsageError, ZooError

Kind: TypeAlias = Literal["file", "folder", "other", "nothing"]

_DEEPEST = 64  # levels of nesting
_LONGEST_NAME = 255  # bytes, on every common file system
_LONGEST = 300  # characters of a name that a message shows whole
_NOTHING_THERE = {errno.ENOENT, errno.ENOTDIR, errno.ELOOP, errno.EBADF, errno.ENAMETOOLONG, errno.EINVAL}


def canonical_json(value: Any) -> str:
    """JSON with sorted keys and no spaces: the same value always gives the same text."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False)


def readable_json(value: Any) -> str:
    """JSON for a file that people open."""
    return json.dumps(value, indent=2, ensure_ascii=False, allow_nan=False) + "\n"


def parse_json(text: str | bytes) -> Any:
    """Parse JSON from anyone: no key twice, no NaN or infinity, no number beyond 64 bits, no text that UTF-8 cannot
    hold, no nesting that would break whoever walks through it.

    Raises:
        ValueError: it is not such JSON.
    """
    try:
        value = json.loads(text, object_pairs_hook=_unique, parse_constant=_refuse_constant)
    except RecursionError as error:
        raise ValueError("it is nested too deeply") from error
    _check_json(value, 0)
    return value


def _check_json(value: Any, depth: int) -> None:
    if depth > _DEEPEST:
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
        raise ValueError("a key stands in it twice")
    return value


def _refuse_constant(name: str) -> Any:
    raise ValueError(f"{name} is no JSON")


def kind_of(path: Path) -> Kind:
    """What stands at a path, links followed: "other" is a pipe or a device, say.

    Under a name that no file can have, being too long or with a NUL in it, stands nothing: `Path.exists` and its like
    raise errors of Python's own for some of these.

    Raises:
        ZooError: the system does not say, for want of permission for instance.
    """
    try:
        mode = path.stat().st_mode
    except ValueError:  # a NUL, or half of a character pair
        return "nothing"
    except OSError as error:
        if error.errno in _NOTHING_THERE:
            return "nothing"
        raise ZooError(f"cannot look at {path}: {error.strerror}") from error
    return "folder" if stat.S_ISDIR(mode) else "file" if stat.S_ISREG(mode) else "other"


def shown(name: str | Path) -> str:
    """A name for a message: in quotes, on one line, and without its middle where nobody would read it all."""
    text = str(name)
    return repr(text if len(text) <= _LONGEST else f"{text[: _LONGEST // 2]}…{text[-_LONGEST // 4 :]}")


def check_name(option: str, path: Path) -> None:
    """Refuse a path that no file can have, or that cannot be written into a UTF-8 file, before work starts.

    Raises:
        UsageError: it is one; `option` names where it was given.
    """
    try:
        str(path).encode()
    except UnicodeEncodeError as error:
        raise UsageError(f"--{option} {str(path)!a} is not valid UTF-8: choose another name") from error
    if "\0" in str(path) or any(len(part.encode()) > _LONGEST_NAME for part in path.parts):
        raise UsageError(f"--{option} {shown(path)} is not a name that a file can have: choose a shorter one")


def read_bytes(path: Path) -> bytes:
    """The content of a regular file: a pipe or a device may never end.

    Raises:
        OSError: there is none, or it cannot be read.
    """
    try:
        if path.exists() and not path.is_file():
            raise OSError(errno.EINVAL, "it is no regular file", str(path))
        return path.read_bytes()
    except ValueError as error:  # a NUL, or half of a character pair
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
        OSError: the folder is missing or read-only, or the disk is full; the old file still stands.
    """
    write_bytes(path, text.encode())


def write_bytes(path: Path, data: bytes) -> None:
    """Replace a file's content, atomically. Raises OSError as `write_text` does."""
    with replacing(path) as file:
        file.write(data)


@contextlib.contextmanager
def replacing(path: Path) -> Iterator[BinaryIO]:
    """A binary file that takes the place of `path` when the block ends, and vanishes if the block raises."""
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(4)}.tmp")
    try:
        with temporary.open("xb") as file:  # not mkstemp, whose files ignore the umask: only their owner can read them
            yield file
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
        _sync_folder(path.parent)
    except BaseException as error:
        with contextlib.suppress(OSError):  # what went wrong first is what counts
            temporary.unlink(missing_ok=True)
        if isinstance(error, OSError):  # tell the name that people know, not the temporary one
            raise OSError(error.errno, error.strerror or str(error), str(path)) from error
        raise


def _sync_folder(folder: Path) -> None:
    """Make a rename durable: without this a power cut can undo it."""
    if os.name != "posix":
        return
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
