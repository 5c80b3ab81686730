"""The folder of a sweep as one share sees it: it writes its own sheet, in a folder of its own, and reads all others."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from zoo.sweeps.folder import SHARES, SweepFolder, new_rows, sheets_of
from zoo.sweeps.member import Member, Row
from zoo.sweeps.shares.share import Share
from zoo.sweeps.strategy import Strategy

_PAUSE_S = 0.2  # between two looks at the others' sheets


class ShareFolder:
    """What a sweep needs of its folder, for one share.

    Attributes:
        path: the sweep's folder.
        rows: those of all shares, as far as they are known.
    """

    def __init__(self, path: Path, own: SweepFolder, share: Share, strategy: Strategy, *, waits: bool) -> None:
        self.path = path
        self.rows: dict[int, Row] = {}
        self._own, self._share, self._strategy, self._waits = own, share, strategy, waits
        self._seen: dict[Path, tuple[int, int]] = {}  # the size and the time of each sheet that was read
        self._later: dict[int, Row] = {}  # of members that follow from rows that are not there yet

    @classmethod
    @contextlib.contextmanager
    def open(cls, path: Path, share: Share, strategy: Strategy, *, waits: bool = False) -> Iterator[ShareFolder]:
        """Open a share, and read what is known of all.

        Args:
            path: the sweep's folder.
            share: which one.
            strategy: of the sweep.
            waits: whether to wait for the members of the others, once its own are done.

        Raises:
            ZooError: another process trains this share.
        """
        with SweepFolder.of_share(path / SHARES / share.name) as own:
            folder = cls(path, own, share, strategy, waits=waits)
            folder.read_others()
            yield folder

    def of_member(self, member: Member) -> Path:
        """Where a member's run folder is."""
        return self.path / member.name

    def takes(self, member: Member) -> bool:
        """Whether a member is this share's, and is not done."""
        return self._share.has(member.number) and member.number not in self.rows

    def write_rows(self) -> None:
        """Add this share's rows to its sheet."""
        self._own.rows.update({number: row for number, row in self.rows.items() if self._share.has(number)})
        self._own.write_rows()

    def wait_for_others(self, members: Sequence[Member]) -> bool:
        """Wait a moment for other shares; whether there is reason to go on."""
        if not self._waits or all(member.number in self.rows for member in members):
            return False
        time.sleep(_PAUSE_S)
        self.read_others()
        return True

    def read_others(self) -> None:
        """Read the sheets that have changed."""
        found: dict[int, Row] = {}
        for sheet in sheets_of(self.path):
            with contextlib.suppress(OSError):
                status = sheet.stat()
                if self._seen.get(sheet) != (status.st_size, status.st_mtime_ns):
                    self._seen[sheet] = status.st_size, status.st_mtime_ns
                    found |= new_rows(sheet)
        self._take(found)

    def _take(self, found: Mapping[int, Row]) -> None:
        """Take in rows, with the values of their members: a sheet has texts."""
        self._later |= {number: row for number, row in found.items() if number not in self.rows}
        while self._later:
            members = {member.number: member for member in self._strategy.members(self.rows)}
            known = [number for number in self._later if number in members]
            if not known:
                return
            for number in known:
                self.rows[number] = replace(self._later.pop(number), settings=members[number].settings)
