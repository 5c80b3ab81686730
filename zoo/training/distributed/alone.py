"""What the training loop asks of the processes that train together; and its answers where there is one."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from zoo.training.validation import Validation


class Begun(Protocol):
    """What they need to know of a training."""

    step: int
    validation: Validation | None


class Ranks(Protocol):
    """The processes that train together, each with a part of every batch."""

    def begin(self, training: Begun) -> None:
        """This training is theirs."""

    def any(self, here: bool) -> bool:
        """Whether it is so at one of them, or more."""

    def first(self, here: bool) -> bool:
        """What the first of them says."""

    def least(self, here: int) -> int:
        """The smallest of their numbers."""

    def part(self, size: int) -> slice:
        """Which examples of a batch are this one's."""


class Alone:
    """One process, which has all of every batch."""

    def begin(self, training: Begun) -> None:
        pass

    def any(self, here: bool) -> bool:
        return here

    def first(self, here: bool) -> bool:
        return here

    def least(self, here: int) -> int:
        return here

    def part(self, size: int) -> slice:
        return slice(size)


ALONE = Alone()
