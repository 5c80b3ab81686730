"""Data that several runs of one process share: what is read, encoded and moved to a device once for all of them."""

from __future__ import annotations

from collections.abc import Callable, Hashable
from typing import Any, TypeVar

T = TypeVar("T")


class DataCache:
    """What was made of data so far, kept as long as this is. A run reads what is in it, and changes nothing.

    A run of its own has its own, which holds no more than the run needs anyway. Members of a sweep are given the same
    one. What fails is not kept: the next run tries it again.
    """

    def __init__(self) -> None:
        self._kept: dict[tuple[int, Hashable], tuple[object, Any]] = {}

    def once(self, key: Hashable, make: Callable[[], T], of: object = None) -> T:
        """What `make` returns: made at the first call with this key, and the same object at all later ones.

        Args:
            key: all that decides what is made, beside `of`.
            make: makes it.
            of: what it is made of, told apart from others by its identity; it is kept, too.
        """
        place = id(of), key
        if place not in self._kept:
            self._kept[place] = of, make()
        made: T = self._kept[place][1]
        return made
