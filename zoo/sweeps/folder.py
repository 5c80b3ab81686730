"""The folder of a sweep, `sweeps/MODEL-N`: locked while the sweep goes on, and never overwritten by another.

| file | what |
|---|---|
| `sweep.json` | what it was asked for; at the end its summary and the verdict |
| `sweep.csv` | a row a member |
| `sweep_state.json` | what resuming needs beside these: the request as it was given, and where its data was |
| `sweep.png` | the plot |
| `0001`, `0002`, … | the members: run folders, without a training state once they are done |
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from zoo.errors import CheckpointError, UsageError, ZooError
from zoo.files import is_temporary, kind_of, parse_json, read_text, readable_json
from zoo.storage.folder import make_next, open_new
from zoo.storage.open_folder import OpenFolder
from zoo.sweeps.member import Member, Row
from zoo.sweeps.sheet import SHEET_FILE, as_csv, columns, read_sheet

SWEEPS = Path("sweeps")
SWEEP_FILE = "sweep.json"
SWEEP_STATE_FILE = "sweep_state.json"
PLOT_FILE = "sweep.png"
FILES = (SWEEP_FILE, SHEET_FILE, SWEEP_STATE_FILE, PLOT_FILE)


def is_sweep(path: Path) -> bool:
    """Whether a folder is that of a sweep."""
    return kind_of(path / SWEEP_FILE) == "file"


class SweepFolder:
    """The files of one sweep. A context manager, which releases the lock."""

    def __init__(self, folder: OpenFolder, *, made: bool) -> None:
        self._folder = folder
        self._made = made
        self._columns: list[str] = []
        self._size = 0  # of the sheet, in bytes
        self.rows: dict[int, Row] = {}

    @classmethod
    @contextlib.contextmanager
    def create(cls, name: str, out: Path | None) -> Iterator[SweepFolder]:
        """Make a new folder: `out`, or the next free `sweeps/NAME-N`. One in which nothing was written is deleted.

        Raises:
            UsageError: `out` exists and is not an empty folder.
            ZooError: it cannot be made, or another process has locked it.
        """
        try:
            opened, made = (make_next(SWEEPS, name), True) if out is None else open_new(out)
        except OSError as error:
            raise ZooError(f"cannot make the sweep's folder {error.filename}: {error.strerror}") from error
        try:
            yield cls(opened, made=made)
        finally:
            opened.close(delete_if_empty=made)

    @classmethod
    @contextlib.contextmanager
    def open(cls, path: Path) -> Iterator[SweepFolder]:
        """Open the folder of a sweep that was begun, and read its rows.

        Raises:
            UsageError: it is not that of a sweep.
            CheckpointError: its sheet is damaged.
            ZooError: another process has locked it.
        """
        if not is_sweep(path):
            raise UsageError(f"{path} is not the folder of a sweep: there is no {SWEEP_FILE} in it")
        opened = OpenFolder(path)
        try:
            folder = cls(opened, made=False)
            for name in opened.names():
                if is_temporary(name, FILES):
                    opened.remove(name)
            if kind_of(path / SHEET_FILE) == "file":
                folder.rows = {row.member: row for row in read_sheet(path / SHEET_FILE)}
                folder._write_sheet()
            yield folder
        finally:
            opened.close()

    @property
    def path(self) -> Path:
        return self._folder.path

    def of_member(self, member: Member) -> Path:
        """Where a member's run folder is."""
        return self.path / member.name

    def write_json(self, name: str, value: Mapping[str, Any]) -> None:
        self._folder.write(name, readable_json(value).encode())

    def write(self, name: str, data: bytes) -> None:
        self._folder.write(name, data)

    def add(self, row: Row) -> None:
        """Add a member's row to the sheet."""
        self.rows[row.member] = row
        if columns(self.rows.values()) != self._columns:
            self._write_sheet()
            return
        line = as_csv([row], self._columns, header=False).encode()
        self._folder.append(SHEET_FILE, self._size, line)
        self._size += len(line)

    def sort_rows(self) -> None:
        """Write the sheet in the members' order."""
        self.rows = dict(sorted(self.rows.items()))
        self._write_sheet()

    def remove_member(self, member: Member) -> None:
        """Delete a member's run folder, if there is one."""
        with contextlib.suppress(FileNotFoundError):
            self._folder.remove_tree(member.name)

    def _write_sheet(self) -> None:
        self._columns = columns(self.rows.values())
        data = as_csv([*self.rows.values()], self._columns).encode()
        self._folder.write(SHEET_FILE, data)
        self._size = len(data)


def read_sweep(path: Path, name: str = SWEEP_FILE) -> dict[str, Any]:
    """What `sweep.json` has, or another JSON object of a sweep.

    Raises:
        CheckpointError: it is damaged.
        OSError: it cannot be read.
    """
    try:
        found = parse_json(read_text(path / name))
    except ValueError as error:
        raise CheckpointError(f"{path / name} is damaged: it is not JSON") from error
    if not isinstance(found, dict):
        raise CheckpointError(f"{path / name} is damaged: it is not a JSON object")
    return found
