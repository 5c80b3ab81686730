"""The folder of a sweep, `sweeps/MODEL-N`: locked while the sweep goes on, and never overwritten by another.

| file | what |
|---|---|
| `sweep.json` | what it was asked for; at the end its summary and the verdict |
| `sweep.csv` | a row a member |
| `sweep_state.json` | what resuming needs beside these: the request as it was given, and where its data was |
| `sweep.png` | the plot |
| `search.journal` | the trials of a search, for Optuna's own tools |
| `shares` | of a sweep by several processes: the sheet of each, until all are done |
| `0001`, `0002`, … | the members: run folders, without a training state once they are done |
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from zoo.ambient import in_neutral_state
from zoo.errors import CheckpointError, UsageError, ZooError
from zoo.files import is_temporary, kind_of, read_bytes, readable_json
from zoo.options.sweep import ALL
from zoo.plugin.registry import Registry
from zoo.storage import SWEEPS, WEIGHTS_FILE, checkpoint
from zoo.storage.folder import Warn, ignore, make_anew, make_next, open_new
from zoo.storage.open_folder import InUseError, OpenFolder, in_use
from zoo.storage.verify import Finding, verify
from zoo.sweeps.member import FINISHED, STATES, Member, Row, name_of
from zoo.sweeps.sheet import SHEET_FILE, SWEEP_FILE, as_csv, columns, is_sweep, read_sheet, read_sweep

SWEEP_STATE_FILE = "sweep_state.json"
PLOT_FILE = "sweep.png"
SHARES = "shares"  # the sheets of a sweep by several processes, until they are put together
_PATIENCE_S = 5.0  # for workers of a sweep that was killed
FILES = (SWEEP_FILE, SHEET_FILE, SWEEP_STATE_FILE, PLOT_FILE)


class SweepFolder:
    """The files of one sweep. A context manager, which releases the lock.

    Workers inherit the lock: as long as one of them lives, be it after its sweep was killed, the folder is locked.
    The folder may be moved meanwhile: the sweep goes on in it. If it is deleted, the sweep goes on in a new one.
    """

    def __init__(self, folder: OpenFolder, warn: Warn) -> None:
        self._folder = folder
        self._named = folder.path
        self._warn = warn
        self._columns: list[str] = []
        self._size = 0  # of the sheet, in bytes
        self._written: set[int] = set()  # the members that are in the sheet
        self._files: dict[str, bytes] = {}  # the others
        self.rows: dict[int, Row] = {}

    @classmethod
    @contextlib.contextmanager
    def create(cls, name: str, out: Path | None, *, warn: Warn = ignore) -> Iterator[SweepFolder]:
        """Make a new folder: `out`, or the next free `sweeps/NAME-N`. One in which nothing was written is deleted.

        Raises:
            UsageError: `out` exists and is not an empty folder.
            ZooError: it cannot be made, or another process has locked it.
        """
        try:
            opened, made = (make_next(SWEEPS, name), True) if out is None else open_new(out)
        except OSError as error:
            raise ZooError(f"cannot make the sweep's folder {error.filename}: {error.strerror}") from error
        with _closing(cls(opened, warn), delete_if_empty=made) as folder:
            yield folder

    @classmethod
    @contextlib.contextmanager
    def open(cls, path: Path, *, warn: Warn = ignore, beside: bool = False) -> Iterator[SweepFolder]:
        """Open the folder of a sweep that was begun, and read its rows, those of its shares among them.

        Args:
            path: of the folder.
            warn: told where it was moved to.
            beside: whether its shares may still be trained.

        Raises:
            UsageError: it is not that of a sweep.
            CheckpointError: its sheet is damaged.
            ZooError: another process has locked it, or one of its shares.
        """
        if not is_sweep(path):
            raise UsageError(f"{path} is not the folder of a sweep: there is no {SWEEP_FILE} in it")
        with _closing(cls(_unlocked(path), warn)) as folder:
            if not beside:
                _check_unused(path)
            folder._read()
            yield folder

    @classmethod
    @contextlib.contextmanager
    def of_share(cls, path: Path) -> Iterator[SweepFolder]:
        """Open the folder of a share of a sweep, which has a sheet alone; a new one, where there is none.

        Raises:
            CheckpointError: its sheet is damaged.
            ZooError: another process has locked it.
        """
        path.mkdir(parents=True, exist_ok=True)
        with _closing(cls(_unlocked(path), ignore)) as folder:
            folder._read()
            yield folder

    @property
    def path(self) -> Path:
        return self._folder.path

    def of_member(self, member: Member) -> Path:
        """Where a member's run folder is."""
        return self.path / member.name

    def takes(self, member: Member) -> bool:
        """Whether a member is to be trained."""
        return member.number not in self.rows

    def wait_for_others(self, members: Sequence[Member]) -> bool:
        """Whether there is reason to go on when none of the members is under way: there are no others."""
        return False

    def write_json(self, name: str, value: Mapping[str, Any]) -> None:
        self.write(name, readable_json(value).encode())

    def write(self, name: str, data: bytes) -> None:
        self._files[name] = data
        self._in_folder(lambda: self._folder.write(name, data))

    def write_rows(self) -> None:
        """Add the rows to the sheet that are not in it yet. The disk is not waited for: a member can be read again."""
        rows = [row for number, row in self.rows.items() if number not in self._written]
        if not rows:
            return
        if {*columns(rows)} <= {*self._columns} and self._size:
            self._in_folder(lambda: self._append(rows))
        else:
            self._in_folder(self._write_sheet)

    def sort_rows(self) -> None:
        """Write the sheet in the members' order."""
        self.rows = dict(sorted(self.rows.items()))
        self._in_folder(self._write_sheet)

    def forget_rows_without_weights(self) -> None:
        """Forget members that are said to be finished, and whose weights a power failure has cost: to be done again."""
        for number, row in [*self.rows.items()]:
            if row.state == FINISHED:
                try:
                    found = checkpoint.load_meta(self.path / name_of(number) / WEIGHTS_FILE).get("sha256")
                except (CheckpointError, OSError):
                    found = None
                if found != row.weights_sha256:
                    del self.rows[number]
        self._write_sheet()

    def remove_member(self, member: Member) -> None:
        """Delete a member's run folder, if there is one."""
        with contextlib.suppress(FileNotFoundError):
            self._folder.remove_tree(member.name)

    def remove_shares(self) -> None:
        """Delete the sheets of shares, whose rows are all in that of the sweep, once the last of them has ended."""
        for share in _shares_of(self.path):
            _unlocked(share).close()
        with contextlib.suppress(FileNotFoundError):
            self._folder.remove_tree(SHARES)

    def _read(self) -> None:
        for name in self._folder.names():
            if is_temporary(name, FILES):
                self._folder.remove(name)
        for name in (SWEEP_FILE, SWEEP_STATE_FILE):
            with contextlib.suppress(OSError):
                self._files[name] = read_bytes(self.path / name)
        sheets = sheets_of(self.path)
        for sheet in sheets:
            self.rows |= new_rows(sheet)
        if sheets:
            self._write_sheet()

    def _append(self, rows: Sequence[Row]) -> None:
        lines = as_csv(rows, self._columns, header=False).encode()
        self._folder.flushes = False
        try:
            self._folder.append(SHEET_FILE, self._size, lines)
        finally:
            self._folder.flushes = True
        self._size += len(lines)
        self._written.update(row.member for row in rows)

    def _write_sheet(self) -> None:
        self._columns = columns(self.rows.values())
        data = as_csv([*self.rows.values()], self._columns).encode()
        self._folder.write(SHEET_FILE, data)
        self._size, self._written = len(data), {*self.rows}

    def _in_folder(self, write: Callable[[], None]) -> None:
        """Write to the folder; to another if it was deleted, be that before or meanwhile."""
        self._follow()
        try:
            write()
        except OSError:
            if not self._folder.gone:
                raise
            self._follow()
            write()

    def _follow(self) -> None:
        """Say where the folder was moved to; make a new one where it was deleted, with what was in it."""
        if not self._folder.gone:
            if self.path != self._named:
                self._warn(f"the sweep's folder {self._named} was moved; the sweep goes on in {self.path}")
                self._named = self.path
            return
        old, self._folder = self._folder, _made_again(self._named)
        old.close()
        self._warn(f"the sweep's folder {self._named} was deleted; the sweep goes on in {self.path}")
        self._named = self.path
        for name, data in self._files.items():
            self._folder.write(name, data)
        self._write_sheet()


def sheets_of(path: Path) -> list[Path]:
    """The sheets in the folder of a sweep: its own, and those of its shares."""
    return [folder / SHEET_FILE for folder in (path, *_shares_of(path)) if kind_of(folder / SHEET_FILE) == "file"]


def _shares_of(path: Path) -> list[Path]:
    return sorted((path / SHARES).glob("*-of-*"))


def new_rows(sheet: Path) -> dict[int, Row]:
    """The rows of a sheet by member."""
    return {row.member: row for row in read_sheet(sheet)}


def _check_unused(path: Path) -> None:
    """Raises InUseError where a share of a sweep is trained."""
    for share in _shares_of(path):
        if in_use(share):
            raise InUseError(f"a share of the sweep in {path} is being trained ({share.name}): wait for it, or stop it")


@contextlib.contextmanager
def _closing(folder: SweepFolder, *, delete_if_empty: bool = False) -> Iterator[SweepFolder]:
    try:
        yield folder
    finally:
        folder._folder.close(delete_if_empty=delete_if_empty)


def _unlocked(path: Path) -> OpenFolder:
    """The folder, once the last worker of a sweep that was killed has ended.

    Raises:
        InUseError: another process uses it.
    """
    deadline = time.monotonic() + _PATIENCE_S
    while True:
        try:
            return OpenFolder(path)
        except InUseError:
            if time.monotonic() > deadline:
                raise


def _made_again(path: Path) -> OpenFolder:
    """A folder in place of one that was deleted: the one that a worker has made meanwhile, or a new one."""
    with contextlib.suppress(OSError, InUseError):
        path.mkdir(parents=True, exist_ok=True)
        return OpenFolder(path)
    return make_anew(path)


@in_neutral_state
def verify_sweep(path: Path, registry: Registry) -> list[Finding]:
    """Check the files of a sweep, and the run folder of each member that was kept.

    Raises:
        ZooError: the system denies access to the path.
    """
    findings = []
    try:
        rows, problem = read_sheet(path / SHEET_FILE), ""
        keep = read_sweep(path).get("keep")
    except (CheckpointError, OSError) as error:
        rows, keep, problem = [], ALL, str(error)
    counts = {state: sum(row.state == state for row in rows) for state in STATES}
    text = ", ".join(f"{count:,} {state}" for state, count in counts.items() if count)
    findings.append(
        Finding(SHEET_FILE, "damaged" if problem else "intact", problem or f"{len(rows):,} members: {text}")
    )
    for row in rows:
        folder = path / name_of(row.member)
        if row.state == FINISHED and (keep == ALL or kind_of(folder) == "folder"):
            findings.append(_check_member(folder, row, registry))
    return findings


def _check_member(folder: Path, row: Row, registry: Registry) -> Finding:
    try:
        found = verify(folder, registry)
        stored = checkpoint.load_meta(folder / WEIGHTS_FILE).get("sha256")
    except (UsageError, CheckpointError) as error:
        return Finding(folder.name, "damaged", str(error))
    damaged = next((one for one in found if one.damaged), None)
    if damaged is not None:
        return Finding(folder.name, "damaged", f"{damaged.file}: {damaged.text}")
    if stored != row.weights_sha256:
        return Finding(folder.name, "damaged", f"its weights are not those of its row in {SHEET_FILE}")
    return Finding(folder.name, "intact", next(one.text for one in found if one.file == WEIGHTS_FILE))
