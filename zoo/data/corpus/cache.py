"""Encoded texts in the cache, so that a large text is encoded once.

`corpus/SHA256.tokens` in the cache has the tokens of the file with that digest: a line of JSON that describes them,
then a 0 and the tokens. It is written beside its place and renamed, so that there is all of it or none: what is cut
short starts anew, and two processes that encode one text at once write the same twice. A file whose size, time or
first line is not as it should be is made anew.

`corpus/PATH.source` has the digest of the large file at a path, with the size, times and inode that it had, so that a
file that has not changed since is not read again.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import time
from collections.abc import Iterable
from dataclasses import dataclass
from io import BufferedReader
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

from zoo.data.corpus.encoding import smallest
from zoo.data.download import cache_folder
from zoo.errors import DataError
from zoo.files import is_temporary, open_file, parse_json, read_bytes, replacing, write_text

if TYPE_CHECKING:
    from numpy.typing import NDArray

_FORMAT = "zoo corpus 1"
_ALIGNMENT = 64  # bytes
_LONGEST_HEADER = 1 << 25  # bytes: all characters of Unicode, escaped
_SETTLED = 2.0  # seconds: some file systems tell times no finer, so what changed just now may change unnoticed
_ABANDONED = 10.0  # seconds without a lock after which a part belongs to a process that was killed

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None  # type: ignore[assignment]


@dataclass(frozen=True)
class Stored:
    """Tokens in the cache.

    Attributes:
        path: the file.
        offset: bytes before the first token.
        dtype: the type of a token.
        count: how many there are, without the 0 before them.
        characters: of the text, sorted; None where a tokenizer made the tokens.
    """

    path: Path
    offset: int
    dtype: str
    count: int
    characters: str | None


def folder() -> Path:
    """Where encoded texts are, whether it exists or not."""
    return cache_folder() / "corpus"


def find(sha256: str, tokenizer: str | None) -> Stored | None:
    """The tokens of the file with that digest; None where there are none, or they are not as they were written.

    Args:
        sha256: of the file.
        tokenizer: the tokenizer's identity.
    """
    path = _path(sha256, tokenizer)
    try:
        with open_file(path) as file:
            line = file.readline(_LONGEST_HEADER)
            header, stat = parse_json(line), os.fstat(file.fileno())
    except (OSError, ValueError):
        return None
    if not isinstance(header, dict) or header.get("format") != _FORMAT:
        return None
    count, size, characters = header.get("count"), header.get("vocab_size"), header.get("characters")
    if type(count) is not int or type(size) is not int or not isinstance(characters, str | None):
        return None
    dtype = smallest(size)
    wanted = {"sha256": sha256, "tokenizer": tokenizer, "written": int(stat.st_mtime)}
    same = all(header.get(key) == value for key, value in wanted.items())
    if not same or stat.st_size != len(line) + (count + 1) * _bytes_of(dtype):
        return None
    return Stored(path, len(line), dtype, count, characters)


def store(
    sha256: str, tokenizer: str | None, parts: Iterable[NDArray[Any]], vocab_size: int, characters: str | None
) -> Stored:
    """Write tokens to the cache.

    Args:
        sha256: of the file that they are of.
        tokenizer: the tokenizer's identity.
        parts: the tokens, in parts of shape (n,) and of the smallest type for the vocabulary.
        vocab_size: how many tokens there are, with token 0.
        characters: of the text.

    Raises:
        DataError: the cache cannot be written, or what `parts` raises.
    """
    path = _path(sha256, tokenizer)
    remove_abandoned()
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with replacing(path) as file:
            _lock(file)
            # The number of tokens is known at the end, and has its place before them.
            header: dict[str, Any] = {
                "format": _FORMAT,
                "sha256": sha256,
                "tokenizer": tokenizer,
                "vocab_size": vocab_size,
            }
            written = int(time.time())
            header |= {"written": written, "characters": characters, "count": 0}
            offset = len(_line(header))
            count = _write(file, offset, smallest(vocab_size), parts)
            file.seek(0)
            file.write(_line(header | {"count": count}))
            file.flush()
            _set_time(file, written)
    except OSError as error:
        raise DataError(
            f"cannot write the encoded text to the cache {path.parent}: {error.strerror or error}; "
            "set ZOO_CACHE to a folder that can be written and has space"
        ) from error
    found = find(sha256, tokenizer)
    if found is None:
        raise DataError(f"the encoded text {path} was changed as it was written: run again to encode it anew")
    return found


def _write(file: BinaryIO, offset: int, dtype: str, parts: Iterable[NDArray[Any]]) -> int:
    file.seek(offset)
    file.write(bytes(_bytes_of(dtype)))
    count = 0
    for part in parts:
        file.write(part.astype(dtype, copy=False).data)
        count += len(part)
    return count


def _line(header: dict[str, Any]) -> bytes:
    """A header as a line of a size that its count does not change."""
    text = json.dumps(header).encode()
    size = len(text) - len(str(header["count"])) + 21
    return text.ljust(-(-size // _ALIGNMENT) * _ALIGNMENT - 1) + b"\n"


def _path(sha256: str, tokenizer: str | None) -> Path:
    return folder() / f"{sha256}{'' if tokenizer is None else f'-{tokenizer[:16]}'}.tokens"


def _bytes_of(dtype: str) -> int:
    return int(dtype.removeprefix("uint")) // 8


def _set_time(file: BinaryIO, seconds: int) -> None:
    """Give a file the time that its header states: any later change shows."""
    os.utime(file.fileno() if os.utime in os.supports_fd else file.name, (seconds, seconds))


def _lock(file: BinaryIO) -> bool:
    """Hold a file until it is closed or this process ends. Whether that was possible."""
    if fcntl is None:
        return False
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return False
    return True


def remove_abandoned() -> None:
    """Delete the parts of encodings that were killed. Those of other processes are locked, or just begun."""
    with contextlib.suppress(OSError):
        for path in folder().iterdir():
            whole = path.name[1:].rsplit(".", 2)[0]
            if not whole.endswith(".tokens") or not is_temporary(path.name, [whole]):
                continue
            with contextlib.suppress(OSError), open_file(path) as file:
                age = time.time() - os.fstat(file.fileno()).st_mtime
                if age > _ABANDONED and (_lock(file) or (fcntl is None and age > 3600)):
                    path.unlink()


# The digests of large files


def known_digest(path: Path) -> str | None:
    """The sha256 of the file at a path, if it was remembered and the file has not changed since."""
    try:
        with open_file(path) as file:
            state = _state(file)
        known = parse_json(read_bytes(_source(path), max_bytes=1 << 12))
    except (OSError, ValueError):
        return None
    digest = known.pop("sha256", None) if isinstance(known, dict) else None
    return digest if known == state and isinstance(digest, str) and len(digest) == 64 else None


def remember_digest(path: Path, file: BinaryIO, before: dict[str, int], began: float, sha256: str) -> None:
    """Remember the digest of an open file that was read, unless it changed meanwhile or just before.

    Args:
        path: the file's.
        file: the file, still open.
        before: `state_of` it before it was read.
        began: when the reading began, in seconds of `time.time`.
        sha256: of its content.
    """
    newest = max(before["mtime_ns"], before["ctime_ns"]) / 1e9
    if _state(file) != before or newest > began - _SETTLED:
        return
    with contextlib.suppress(OSError):  # then it is read again
        folder().mkdir(parents=True, exist_ok=True)
        write_text(_source(path), json.dumps({**before, "sha256": sha256}))


def digest_of(path: Path, file: BufferedReader) -> str:
    """The sha256 of an open file, remembered or read; it is at its start then.

    Raises:
        OSError: it cannot be read.
    """
    known = known_digest(path)
    if known is None:
        before, began = _state(file), time.time()
        known = hashlib.file_digest(file, "sha256").hexdigest()
        remember_digest(path, file, before, began, known)
    file.seek(0)
    return known


def state_of(file: BinaryIO) -> dict[str, int]:
    """What changes where a file is changed or replaced."""
    return _state(file)


def _state(file: BinaryIO) -> dict[str, int]:
    stat = os.fstat(file.fileno())
    names = ("size", "mtime_ns", "ctime_ns", "ino", "dev")
    return {name: int(getattr(stat, f"st_{name}")) for name in names}


def _source(path: Path) -> Path:
    real = os.path.realpath(path)
    return folder() / f"{hashlib.sha256(os.fsencode(real)).hexdigest()[:32]}.source"
