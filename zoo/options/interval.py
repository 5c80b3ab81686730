"""A range of values that a search may try: `LOW..HIGH`."""

from __future__ import annotations

import math
import re
from typing import NamedTuple

_NUMBER = r"[-+]?(?:\d[\d_]*\.?\d*|\.\d+)(?:[eE][-+]?\d+)?"
_INTERVAL = re.compile(rf"\s*({_NUMBER})\s*\.\.\s*({_NUMBER})\s*")
_WHOLE = re.compile(r"[-+]?\d[\d_]*")
_RATIO = 10  # of the ends, from which on the scale is logarithmic


class Interval(NamedTuple):
    """Numbers from `low` to `high`, both of them among these.

    The scale is logarithmic where `low` is above 0 and `high` at least ten times `low`: of `0.001..1`, as many values
    are tried between 0.001 and 0.01 as between 0.1 and 1. Of `0..0.5` or `50..400`, all values are equally likely.
    """

    low: float
    high: float

    @classmethod
    def parse(cls, text: str) -> Interval | None:
        """The range that a text is; None of a text that is none.

        Raises:
            ValueError: its ends are the wrong way round, equal, or infinite.
        """
        match = _INTERVAL.fullmatch(text)
        if match is None:
            return None
        low, high = (int(end) if _WHOLE.fullmatch(end) else float(end) for end in match.groups())
        if not low < high or math.isinf(high) or math.isinf(low):
            raise ValueError(f"a range is LOW..HIGH, with LOW below HIGH, as in 0.001..1, not {text.strip()}")
        return cls(low, high)

    @property
    def logarithmic(self) -> bool:
        return self.low > 0 and self.high >= _RATIO * self.low

    @property
    def whole(self) -> bool:
        """Whether both ends are written as whole numbers."""
        return isinstance(self.low, int) and isinstance(self.high, int)

    def __str__(self) -> str:
        return f"{self.low}..{self.high}"


def is_interval(value: object) -> bool:
    """Whether a value is meant as a range, right or wrong: whoever reads it says what is wrong."""
    return isinstance(value, Interval) or (isinstance(value, str) and _INTERVAL.fullmatch(value) is not None)
