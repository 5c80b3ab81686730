"""Which members a sweep has: a function of what became of those before, so that a sweep that was killed resumes."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, ClassVar, NamedTuple

from zoo.sweeps.member import Member, Row
from zoo.sweeps.request import Request


class Conclusion(NamedTuple):
    """What a strategy says at the end of a sweep.

    Attributes:
        name: of what it says, in `sweep.json`.
        value: as JSON has it.
        sentences: the same for a person, a line each; the last may be a command to type next.
    """

    name: str
    value: Mapping[str, Any]
    sentences: Sequence[str]


class Strategy(ABC):
    """Decides which members there are.

    Attributes:
        is_judged: whether the sweep ends with a verdict on its settings.
    """

    is_judged: ClassVar[bool] = False

    @abstractmethod
    def members(self, rows: Mapping[int, Row]) -> Sequence[Member]:
        """All members that are known by now, numbered from 1 in this order.

        Called at the start and whenever a member is done. A member that was returned once is returned ever after. The
        sweep ends when all are done and none is added. It may depend on nothing but the rows.

        Args:
            rows: of the members that are done, by number.
        """

    def record(self, folder: Path, rows: Mapping[int, Row], warn: Callable[[str], None]) -> None:  # noqa: B027
        """Write a file of its own into the sweep's folder, if it has one; called after `members`, with the same rows.

        What is in that file decides nothing.
        """

    def conclusion(self, rows: Mapping[int, Row]) -> Conclusion | None:
        """What is to be said at the end, of all rows; None where there is nothing."""
        return None


@dataclass(frozen=True)
class Grid(Strategy):
    """Every combination of the values that were given, with every seed: all settings with the first seed first."""

    is_judged: ClassVar[bool] = True

    request: Request

    def members(self, rows: Mapping[int, Row]) -> Sequence[Member]:
        return self._members

    @cached_property
    def _members(self) -> Sequence[Member]:
        return self.request.members(self.request.seeds)


def settings_key(settings: Mapping[str, Any]) -> tuple[tuple[str, str], ...]:
    """Equal for equal settings, whatever their order."""
    return tuple(sorted((name, repr(value)) for name, value in settings.items()))
