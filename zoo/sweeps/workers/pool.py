"""Where members are trained."""

from __future__ import annotations

from collections import deque
from pathlib import Path
from types import TracebackType
from typing import Protocol, Self

from zoo.data.sources.cache import DataCache
from zoo.plugin.registry import Registry
from zoo.sweeps.member import Member, Row
from zoo.sweeps.training import train_member
from zoo.sweeps.workers.telling import Telling


class Pool(Protocol):
    """Trains members, some at a time. A context manager, which stops what is under way."""

    def __enter__(self) -> Self: ...

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None: ...

    @property
    def free(self) -> int:
        """How many more members it would begin at once."""

    def start(self, member: Member, folder: Path | None) -> None:
        """Begin to train a member."""

    def wait(self) -> Row:
        """The row of the next member that is done."""


class InThisProcess:
    """The members that wait, of a pool that trains in this process."""

    def __init__(self) -> None:
        self._waiting: deque[tuple[Member, Path | None]] = deque()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._waiting.clear()

    def start(self, member: Member, folder: Path | None) -> None:
        self._waiting.append((member, folder))


class InTurn(InThisProcess):
    """Trains one member after the other, in this process."""

    def __init__(self, registry: Registry, telling: Telling, data: DataCache) -> None:
        super().__init__()
        self._registry, self._telling, self._data = registry, telling, data

    @property
    def free(self) -> int:
        return 1 - len(self._waiting)

    def wait(self) -> Row:
        member, folder = self._waiting.popleft()
        return train_member(self._registry, member, folder, self._telling.of_member(member.number), self._data)
