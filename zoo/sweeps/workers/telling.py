"""How a sweep reports its progress: that of all members together, and each warning once."""

from __future__ import annotations

import re
import time
from collections.abc import Mapping

from zoo.runs.observer import Guarded, Observer
from zoo.sweeps.member import Row

_EVERY_S = 0.2
_NUMBER = re.compile(r"\d+(\.\d+)?(e[+-]?\d+)?")


class Telling:
    """Tells an observer of a sweep what its members tell."""

    def __init__(self, observer: Observer) -> None:
        self._observer = observer
        self._warned: set[str] = set()
        self._under_way: dict[int, tuple[int, int]] = {}
        self._done = self._steps = self._known = 0
        self._told = 0.0

    def of_member(self, number: int) -> Observer:
        """The observer of one of them."""
        return _OfMember(self, number)

    def known(self, members: int, rows: Mapping[int, Row]) -> None:
        """So many members there are by now; those that have a row are done."""
        self._known, self._done = members, len(rows)

    def at(self, number: int, step: int, steps: int) -> None:
        """A member has done `step` of `steps`."""
        self._under_way[number] = step, steps
        self._tell()

    def done(self, row: Row) -> None:
        """A member is done."""
        self._under_way.pop(row.member, None)
        self._done += 1
        self._steps += row.steps or 0
        self._tell(now=self._done == self._known)

    def stage(self, text: str) -> None:
        self._observer.stage(text)

    def warning(self, text: str, member: int | None = None) -> None:
        """Tell it, and whose it is, unless another member has told the same, be it of other numbers."""
        form = _NUMBER.sub("N", text)
        if form not in self._warned:
            self._warned.add(form)
            self._observer.warning(text if member is None else f"member {member}: {text}")

    def _tell(self, *, now: bool = False) -> None:
        if not now and time.monotonic() - self._told < _EVERY_S:
            return
        self._told = time.monotonic()
        steps = sum(step for step, _ in self._under_way.values())
        share = sum(step / max(1, of) for step, of in self._under_way.values())
        self._observer.members(self._done, self._known, self._steps + steps, self._done + share)


class _OfMember(Observer):
    def __init__(self, telling: Telling, number: int) -> None:
        self._telling = telling
        self._number = number

    def progress(self, step: int, steps: int, loss: float) -> None:
        self._telling.at(self._number, step, steps)

    def warning(self, text: str) -> None:
        self._telling.warning(text, self._number)


def guarded(observer: Observer) -> Guarded:
    """An observer that costs the sweep nothing if it fails."""
    return observer if isinstance(observer, Guarded) else Guarded(observer)
