"""The result of a sweep, in Python."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from zoo.sweeps.member import Row
from zoo.text import brief


@dataclass(frozen=True, repr=False)
class Sweep:
    """A sweep that has ended.

    Attributes:
        path: its folder.
        rows: what became of each member, in the members' order.
    """

    path: Path
    rows: Sequence[Row]

    def __len__(self) -> int:
        return len(self.rows)

    def __repr__(self) -> str:
        return brief(f"<Sweep {self.path}: {len(self)} members>")
