"""Which members are whose."""

from __future__ import annotations

import re
from dataclasses import dataclass

from zoo.errors import UsageError
from zoo.phrasing import option

_FORM = re.compile(r"([1-9][0-9]{0,5})/([1-9][0-9]{0,5})")


@dataclass(frozen=True)
class Share:
    """Share `number` of `count`, from 1: of the members that one and each `count`-th after it.

    Neighbours differ in their settings, and members of one setting take about as long: each share has some of all.
    """

    number: int
    count: int

    @classmethod
    def parse(cls, text: str) -> Share:
        """Read `2/8`.

        Raises:
            UsageError: it is none.
        """
        match = _FORM.fullmatch(text.strip())
        share = cls(int(match[1]), int(match[2])) if match else None
        if share is None or share.number > share.count:
            raise UsageError(f"{option('share')} takes K/N, as in 2/8, with K from 1 to N, not {text!r}")
        return share

    def __str__(self) -> str:
        return f"{self.number}/{self.count}"

    @property
    def name(self) -> str:
        """Of its folder."""
        return f"{self.number}-of-{self.count}"

    def has(self, member: int) -> bool:
        """Whether a member of that number is this share's."""
        return (member - self.number) % self.count == 0
