"""Where members are trained."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from pathlib import Path
from typing import Protocol

from zoo.plugin.registry import Registry
from zoo.runs.observer import Observer
from zoo.sweeps.member import Member, Row
from zoo.sweeps.training import train_member


class Pool(Protocol):
    """Trains members, some at a time. A context manager, which stops what is under way."""

    @property
    def free(self) -> int:
        """How many more members it would begin at once."""

    def start(self, member: Member, folder: Path | None) -> None:
        """Begin to train a member."""

    def wait(self) -> Row:
        """The row of the next member that is done."""


class InTurn:
    """Trains one member after the other, in this process."""

    def __init__(self, registry: Registry, observer: Observer) -> None:
        self._registry = registry
        self._observer = observer
        self._waiting: deque[tuple[Member, Path | None]] = deque()

    @property
    def free(self) -> int:
        return 1 - len(self._waiting)

    def start(self, member: Member, folder: Path | None) -> None:
        self._waiting.append((member, folder))

    def wait(self) -> Row:
        member, folder = self._waiting.popleft()
        return train_member(self._registry, member, folder, self._observer)


MakePool = Callable[[Registry, Observer], Pool]
