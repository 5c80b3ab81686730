"""Numbers: the largest that are accepted, and how they are shown, in tables and in messages."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence

from zoo.phrasing import option

LARGEST_COUNT = 2**63 - 1  # what torch can count
LARGEST_SEED = 2**64 - 1
LARGEST_FLOAT = (2 - 2**-23) * 2.0**127  # float32

_MAX_DIGITS = 4_300  # Python does not parse longer whole numbers
_MAX_SHOWN = 60  # characters of a value in a message
_LARGE = 1e6  # losses from here on are shown as 6.04e+31
_HIGHER = 1.1  # so many times the loss of the first batch is no matter of chance


def show_loss(loss: float, digits: int = 4) -> str:
    """A loss for a person: `2.1245`, or `6.04e+31`."""
    return f"{loss:.{digits}f}" if abs(loss) < _LARGE else f"{loss:.3g}"


def mean(values: Sequence[float]) -> float:
    """Of at least one number, also where their sum is too large for a float; NaN where some are infinite both ways."""
    try:
        return math.fsum(values) / len(values)
    except OverflowError:
        return math.fsum(value / len(values) for value in values)
    except ValueError:
        return math.nan


def standard_deviation(values: Sequence[float]) -> float:
    """The sample standard deviation of two numbers or more; NaN where one of them is NaN or infinite."""
    if not all(map(math.isfinite, values)):
        return math.nan
    import statistics  # here, because it imports much

    try:
        return statistics.stdev(values)
    except OverflowError:
        return math.inf


def clock(seconds: float) -> str:
    """A duration as 0:07, 12:34 or 1:02:03."""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours:,}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"


def show_value(value: object) -> str:
    """A value for a message about it: in quotes where it is text, and without its middle if it is long."""
    try:
        text = repr(value)
    except ValueError:  # a whole number with too many digits for Python
        return f"a number of about {_digits(value):,} digits" if isinstance(value, int) else f"a {type(value).__name__}"
    return text if len(text) <= _MAX_SHOWN else f"{text[: _MAX_SHOWN // 2]}…{text[-_MAX_SHOWN // 4 :]}"


def parse_whole(text: str) -> int:
    """A whole number in decimal digits, with a sign or none.

    Raises:
        ValueError: it is none, or has so many digits that Python does not read it.
    """
    if len(text) > _MAX_DIGITS and re.fullmatch(r"\s*[-+]?[\d_]+\s*", text):
        raise ValueError(f"a number of {len(text):,} digits is too large")
    return int(text)


def too_large(value: object, largest: int = LARGEST_COUNT) -> str | None:
    """What is wrong with a number, to be put behind its name, where torch cannot hold it."""
    if isinstance(value, int) and not -largest <= value <= largest:
        return f"must be at most 2**{largest.bit_length()} - 1, got {show_value(value)}"
    if isinstance(value, float) and math.isfinite(value) and abs(value) > LARGEST_FLOAT:
        return f"must be at most {LARGEST_FLOAT:.3g}, the largest number of float32, got {value:g}"
    return None


def divergence(loss: float, first: float, classes: int) -> str | None:
    """What to say of the loss over the training split after training; None if it is not remarkable.

    Args:
        loss: the mean over the split, in nats.
        first: of the first batch.
        classes: of the targets.
    """
    uniform = math.log(max(classes, 1))
    if loss <= max(_HIGHER * first, uniform):
        return None
    return (
        f"training diverged: its loss of {show_loss(loss)} is above that of the first step, {show_loss(first)}, and "
        f"worse than guessing uniformly at random, {show_loss(uniform)}: try a smaller {option('lr')}"
    )


def _digits(value: int) -> int:
    return int(value.bit_length() * math.log10(2)) + 1


def show_evaluated(evaluated: Mapping[str, int]) -> str:
    """What an evaluation was limited to, by split, as a sentence."""
    counts = set(evaluated.values())
    if len(counts) == 1:
        return f"The losses are those of the first {counts.pop():,} targets of each split"
    listed = ", ".join(f"{count:,} of {name}" for name, count in evaluated.items())
    return f"The losses are those of the first targets of each split: {listed}"
