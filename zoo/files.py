"""Reading files, and writing them atomically.

A file is written under a temporary name in the same folder, flushed to the disk, and renamed. Whatever happens, the old
file or the new one is there, intact.
"""

from __future__ import annotations

import contextlib
import errno
import hashlib
import json
import math
import os
import re
import secrets
import stat
import sys
from collections.abc import Collection, Iterator
from io import BufferedReader
from pathlib import Path
from typing import Any, BinaryIO, Literal, TypeAlias

from zoo.errors import UsageError, ZooError
from zoo.memory import fits, memory_bytes
from zoo.numbers import show_value
from zoo.text import shown

Kind: TypeAlias = Literal["file", "folder", "other", "nothing"]

MAX_JSON_BYTES = 8 << 20  # of a config, for example; that of a run has some kilobytes
_MAX_VALUES = 1 << 20  # of JSON: each takes some 60 bytes, however short its text is
_MAX_DEPTH = 64  # levels of nested JSON
_READ_AT_ONCE = 64 << 20  # bytes of a file that may turn out to be another
_CHUNK = 1 << 20
_MAX_NAME_BYTES = 255  # on every common file system
_TEMPORARY = re.compile(r"\.(.+)\.[0-9a-f]{8}\.tmp")
_DISK_FAILS = {errno.EIO, errno.ENOSPC, errno.EROFS, errno.EDQUOT}
_NOTHING_THERE = {errno.ENOENT, errno.ENOTDIR, errno.ELOOP, errno.EBADF, errno.ENAMETOOLONG, errno.EINVAL}


class WrongDigestError(Exception):
    """A file does not have the digest that it must have."""


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
            valid Unicode, has very many values, or is nested too deeply.
    """
    comma, array, item = (",", "[", "{") if isinstance(text, str) else (b",", b"[", b"{")
    if len(text) > _MAX_VALUES and sum(map(text.count, (comma, array, item))) > _MAX_VALUES:  # type: ignore[arg-type]  # of one kind
        raise ValueError("it has too many values")
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
            key.encode()  # UnicodeEncodeError is a ValueError
            _check_json(item, depth + 1)
    elif isinstance(value, list):
        for item in value:
            _check_json(item, depth + 1)
    elif isinstance(value, str):
        value.encode()
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
        UsageError: there is no such home folder, the name is empty, or it is neither text nor a path.
    """
    try:
        empty, path = not os.fsdecode(name), Path(name)
    except TypeError as error:
        raise UsageError(f"a path must be text or a path, got {show_value(name)}") from error
    if empty:  # which Path takes for the current folder
        raise UsageError("the name of a file or folder is empty: give one, and check the variable that it came from")
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


def read_bytes(path: Path, *, max_bytes: int | None = None, pipes: bool = False) -> bytes:
    """The content of a regular file, if this machine has the memory for it. It is never waited for.

    Args:
        path: the file. A link is followed.
        max_bytes: the largest content that is read; by default half of the machine's memory.
        pipes: read a named pipe too, to its end: one that the user names, as `<(sort words.txt)` does.

    Raises:
        OSError: there is no such file, it cannot be read, is too large, or is a device or a folder.
    """
    with open_file(path, pipes=pipes) as file:
        return _read(file, path, max_bytes)


def read_start(path: Path, size: int) -> bytes:
    """The first `size` bytes of a regular file, or all of a shorter one, and nothing of what follows them.

    Raises:
        OSError: as `read_bytes`.
    """
    with open_file(path) as file:
        size = min(size, os.fstat(file.fileno()).st_size)
        if not fits(2 * size):
            raise OSError(errno.EFBIG, f"it has {size:,} bytes that are needed, too many for this memory", str(path))
        return file.read(size)


def read_with_digest(path: Path, sha256: str) -> bytes:
    """The content of a regular file if it has this digest: for a path that a checkpoint states.

    No part of another file gets further than into the digest: a checkpoint may name any file of the reader's.

    Raises:
        OSError: as `read_bytes`.
        WrongDigestError: its content has another digest.
    """
    with open_file(path) as file:
        size = os.fstat(file.fileno()).st_size
        if size > _READ_AT_ONCE and hashlib.file_digest(file, "sha256").hexdigest() != sha256:
            raise WrongDigestError
        file.seek(0)
        content = _read(file, path, size)
    if hashlib.sha256(content).hexdigest() != sha256:
        raise WrongDigestError
    return content


def has_digest(path: Path, sha256: str, *, max_bytes: int) -> bool:
    """Whether a path leads to a regular file of at most `max_bytes` with this digest."""
    try:
        with open_file(path) as file:
            fits = os.fstat(file.fileno()).st_size <= max_bytes
            return fits and hashlib.file_digest(file, "sha256").hexdigest() == sha256
    except OSError:
        return False


def open_file(path: Path, *, pipes: bool = False) -> BufferedReader:
    """Open a regular file for reading. Pipes and devices are refused unread, because they may never end.

    Args:
        path: the file. A link is followed.
        pipes: accept a named pipe too, and wait for what is written to it.

    Raises:
        OSError: there is no such file, it cannot be read, or is something else.
    """
    try:
        mode = path.stat().st_mode  # first, because opening alone can do something to a device
        if pipes and stat.S_ISFIFO(mode):
            return path.open("rb")
        _check_regular(mode, path, "it is not a regular file" + " or a pipe" * pipes)
        # It may become a pipe before it is opened: then opening must not wait.
        flags = os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0)
        descriptor = os.open(path, flags)
    except ValueError as error:  # a NUL or a lone surrogate
        raise OSError(errno.EINVAL, "no file can have that name", ascii(str(path))) from error
    try:
        _check_regular(os.fstat(descriptor).st_mode, path)
        return os.fdopen(descriptor, "rb")
    except BaseException:
        os.close(descriptor)
        raise


def _check_regular(mode: int, path: Path, problem: str = "it is not a regular file") -> None:
    if not stat.S_ISREG(mode):
        raise OSError(errno.EINVAL, problem, str(path))


def _read(file: BinaryIO, path: Path, max_bytes: int | None) -> bytes:
    """All of an open file. A pipe has no size, so the limit counts what was read, too."""
    limit = max_bytes if max_bytes is not None else _half_of_memory()
    size = os.fstat(file.fileno()).st_size
    content = b"" if size > limit else file.read(size)  # at once, where the size is known
    if size <= limit and (rest := _rest(file, limit - len(content))):
        content += rest
    if size > limit or len(content) > limit:
        most = f"{limit:,} bytes" if max_bytes is not None else f"the {limit:,} bytes that fit into this memory"
        raise OSError(errno.EFBIG, f"it is longer than {most}", str(path))
    return content


def _half_of_memory() -> int:
    memory = memory_bytes()  # which reads some files itself
    return sys.maxsize if memory is None else memory // 2


def _rest(file: BinaryIO, limit: int) -> bytes:
    """What follows in a file whose size is not known, up to a little more than the limit."""
    parts, size = [], 0
    while size <= limit and (part := file.read(_CHUNK)):
        parts.append(part)
        size += len(part)
    return b"".join(parts)


def read_text(path: Path, *, max_bytes: int = MAX_JSON_BYTES) -> str:
    """The content of a regular file in UTF-8. A byte order mark, which some editors write, is left out.

    Raises:
        OSError: as `read_bytes`.
        ValueError: it is not UTF-8.
    """
    return read_bytes(path, max_bytes=max_bytes).decode("utf-8-sig")


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
def replacing(path: Path, *, folder: int | None = None, flush: bool = True) -> Iterator[BinaryIO]:
    """A binary file that replaces `path` when the block ends, and is deleted if the block raises.

    Args:
        path, folder: as for `write_bytes`.
        flush: write it to the disk before it replaces the other; else a power failure may leave neither of the two.
    """
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(4)}.tmp")
    try:
        with _create(temporary, folder) as file:
            yield file
            if flush:
                file.flush()
                os.fsync(file.fileno())
        os.replace(temporary, path, src_dir_fd=folder, dst_dir_fd=folder)
        if flush:
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


def sync_file_system(path: Path) -> None:
    """Write all that was written to the file system of a folder on to the disk; where that cannot be told, nothing."""
    with contextlib.suppress(OSError, AttributeError):
        descriptor = os.open(path, os.O_RDONLY)
        try:
            sync = getattr(_c_library(), "syncfs", None)  # Linux; os.sync would wait for other disks, too
            if sync is None or sync(descriptor) != 0:
                os.sync()
        finally:
            os.close(descriptor)


def _c_library() -> Any:
    import ctypes  # here, because few commands need it

    return ctypes.CDLL(None)
