"""Finding the file that a run was trained on, also after the run or the file was moved.

A config names a data file by its name and digest, and never by its path. The training state remembers where the file
was. A file is accepted by its digest alone: a checkpoint may come from anyone, so no other file that it leads to is
read as words, and nothing of one is shown.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from zoo.data.corpus import dataset as corpus
from zoo.data.corpus.cache import digest_of
from zoo.errors import DataError, ZooError
from zoo.files import kind_of, open_file
from zoo.phrasing import option
from zoo.text import shown

_OPEN_FILE = re.compile(r"/dev/stdin|(?:/dev|/proc/[^/]+)/fd/\d+")
_DIGITS = 12  # of a digest, in a message


def file_name(path: Path) -> str:
    """The name under which a config records a data file: the last part of its path; `stdin` or `pipe` without one."""
    if str(path) == "-" or (_OPEN_FILE.fullmatch(str(path)) and _stored(path) is None):
        return "stdin" if str(path) in ("-", "/dev/stdin") or path.name == "0" else "pipe"
    return (_stored(path) or path).name or str(path)


def _stored(path: Path) -> Path | None:
    """The path of a regular file, also of one that is given as an open file; None for a pipe, or if there is none."""
    if _OPEN_FILE.fullmatch(str(path)):
        path = Path(os.path.realpath(path))
    return path if kind_of(path) == "file" else None


@dataclass(frozen=True)
class Place:
    """Where a data file was when a run read it.

    Attributes:
        path: its absolute path.
        relative: its path from the run folder, which stays right if both are moved together.
    """

    path: str
    relative: str | None = None

    @classmethod
    def of(cls, file: Path, folder: Path) -> Place | None:
        """The place of a run's data file; None for a pipe, which is read once, and for a path that is not UTF-8."""
        try:
            stored = _stored(file)
            if stored is None:
                return None
            path, relative = str(stored.absolute()), None
            with contextlib.suppress(ValueError):  # on another drive of Windows
                relative = os.path.relpath(os.path.realpath(path), os.path.realpath(folder))
            f"{path}{relative}".encode()
        except (OSError, UnicodeEncodeError, ZooError):
            return None
        return cls(path, relative)

    @classmethod
    def read(cls, raw: object) -> Place | None:
        """That in the metadata of a training state; None if it is not one."""
        if not isinstance(raw, dict):
            return None
        path, relative = raw.get("path"), raw.get("relative")
        usable = isinstance(path, str) and isinstance(relative, str | None) and "\0" not in f"{path}{relative}"
        return cls(path, relative) if usable and path else None

    def as_json(self) -> dict[str, str | None]:
        return {"path": self.path, "relative": self.relative}


@dataclass(frozen=True)
class RecordedFile:
    """The data file of a run, as the run records it.

    Attributes:
        name: its name; in a config of before only names were recorded, its path as it was typed.
        sha256: the digest of its content.
        examples: how many were made of it, if that is recorded.
        folder: the run folder, or the folder of weights that are without one.
        place: where it was, if that is known.
    """

    name: str
    sha256: str
    examples: int | None
    folder: Path
    place: Place | None

    def __str__(self) -> str:
        examples = "" if self.examples is None else f", {self.examples:,} examples"
        return f"{shown(self.name)} (sha256 {self.sha256[:_DIGITS]}…{examples})"

    def find(self) -> Path:
        """The first of `places` that has the file, by its digest.

        Raises:
            DataError: none of them has it.
        """
        absent: list[str] = []
        wrong: list[str] = []
        for path in self.places():
            problem = _problem(path, self.sha256)
            if problem is None:
                return path
            (wrong if problem else absent).append(f"{shown(path)}{problem}")
        looked = [*wrong, *([f"nothing is at {' or '.join(absent)}"] if absent else [])]
        pipe = "it was read from a pipe, and " if self.place is None and self.name in ("stdin", "pipe") else ""
        where = f"{pipe}{', '.join(looked)}"
        raise DataError(f"cannot find the data of this run, {self}: {where}; give it with {option('dataset', 'FILE')}")

    def places(self) -> list[Path]:
        """Where the file may be: where it was; at the same place from the run folder; in the run folder, beside it, or
        in the current folder."""
        found: dict[str, Path] = {}
        for path in self._places():
            found.setdefault(str(_real(path)), path)
        return list(found.values())

    def _places(self) -> Iterator[Path]:
        # A folder that is reached through a link is looked at in both places. Relative paths need the real one.
        folders = dict.fromkeys([_real(self.folder), _absolute(self.folder)])
        yield Path(self.place.path) if self.place is not None else _absolute(Path(self.name))
        if self.place is not None and self.place.relative is not None:
            yield Path(os.path.normpath(next(iter(folders)) / self.place.relative))
        name = Path(self.name).name
        if name:
            yield from (folder / name for folder in folders)
            yield from (folder.parent / name for folder in folders)
            yield _absolute(Path(name))


def not_stored(recorded: RecordedFile) -> DataError:
    """What to say where the data of a run is wanted that was given in Python."""
    what = f"the data of this run, {recorded}, was given in Python and is stored nowhere"
    return DataError(f"{what}; give it with {option('dataset')}")


def check_content(path: Path, recorded: RecordedFile) -> None:
    """Refuse a file that is not the data of a run. A pipe passes, because it can be read only once.

    Raises:
        DataError: it has another digest, or cannot be read.
    """
    problem = _problem(path, recorded.sha256) if kind_of(path) == "file" else None
    if problem:
        raise DataError(f"{shown(path)} is not the data of this run, {recorded}: it{problem}")


def _problem(path: Path, sha256: str) -> str | None:
    """Why a path does not lead to the file of that digest: empty if nothing is there, None if it does."""
    try:
        kind = kind_of(path)
        if kind == "file":
            return None if _digest(path) == sha256 else " has other content"
    except (OSError, ValueError, ZooError) as error:
        return f" cannot be read ({error.strerror})" if isinstance(error, OSError) else " cannot be read"
    return {"nothing": "", "folder": " is a folder"}.get(kind, " is not a regular file")


def _digest(path: Path) -> str:
    """The sha256 of a regular file. What has become a pipe or a device since it was looked at never blocks this.

    That of a large file is remembered as long as the file does not change.

    Raises:
        OSError: it cannot be read, or is not a regular file.
    """
    with open_file(path) as file:
        if os.fstat(file.fileno()).st_size >= corpus.LARGE:
            return digest_of(path, file)
        return hashlib.file_digest(file, "sha256").hexdigest()


def _real(path: Path) -> Path:
    """A path without links; as it is, if it is invalid or the current folder was deleted."""
    try:
        return Path(os.path.realpath(path))
    except (OSError, ValueError):
        return path


def _absolute(path: Path) -> Path:
    try:
        return path.absolute()
    except OSError:
        return path
