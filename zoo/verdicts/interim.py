"""Testing again and again while seeds are added, with the error of a single test.

Who tests at 5 % after 4 seeds, 6, 8 and so on, and stops at the first difference, finds one where there is none in
far more than 5 % of cases. A group-sequential test plans its interim tests, and uses one lower level in all of them, so
that the probability that any of them errs is 5 % (Pocock, Biometrika 64, 1977; Jennison and Turnbull, Group Sequential
Methods, 2000, where the level is that of a t test in each of them: chapter 4.4). It holds whenever one stops.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

_SEED = 1977
_SIMULATED = 200_000  # sequences of tests: an error of 5 % is met within 0.05 %
_SEEN = 100  # sequences in which a probability must have occurred to be taken from the simulation


def plan(most: int, fewest: int) -> tuple[int, ...]:
    """After how many seeds to test: 4, 6, 8, 12, 16, 24, 32, 48 and 64, for example.

    Each is about a third or a half more than the one before, as a test after every seed would cost much of the power.

    Args:
        most: the seeds of the last test.
        fewest: those of the first one.
    """
    powers = [2**k for k in range(1, max(most, 2).bit_length())]
    steps = sorted({size for power in powers for size in (power, power + power // 2)})
    return tuple(dict.fromkeys([min(fewest, most), *(size for size in steps if fewest < size < most), most]))


def nominal_level(sizes: Sequence[int], error: float) -> float:
    """The level of each interim test with which the probability is `error` that any of them finds what is not there.

    Args:
        sizes: the number of pairs at each test, increasing, from 2 on.
        error: two-sided, such as 0.05.
    """
    return _nominal_level(tuple(sizes), error)


@functools.lru_cache(maxsize=16)
def _nominal_level(sizes: tuple[int, ...], error: float) -> float:
    low, high = error / len(sizes), error
    if len(sizes) == 1 or not _is_seen(error):
        return low  # Bonferroni's: for small errors it is close
    for _ in range(30):
        middle = math.sqrt(low * high)
        low, high = (middle, high) if _simulated_error(sizes, middle) <= error else (low, middle)
    return low


def total_error(sizes: Sequence[int], level: float) -> float:
    """The probability that any of the interim tests, each at `level`, finds a difference where there is none.

    With the p value of one of them as the level, it is that p value, corrected for all of them.
    """
    bound = min(1.0, len(sizes) * level)
    if len(sizes) == 1:
        return level
    simulated = _simulated_error(tuple(sizes), level)
    return min(bound, max(level, simulated)) if _is_seen(simulated) else bound


def _is_seen(probability: float) -> bool:
    return probability * _SIMULATED >= _SEEN


def _simulated_error(sizes: tuple[int, ...], level: float) -> float:
    if level >= 1:
        return 1.0
    import numpy as np
    from scipy import stats

    critical = stats.t.isf(level / 2, np.array(sizes) - 1)[:, None]  # (tests, 1)
    return float(np.mean(np.any(_statistics(sizes) >= critical, axis=0)))


@functools.lru_cache(maxsize=1)  # some megabytes
def _statistics(sizes: tuple[int, ...]) -> NDArray[np.float64]:
    """The absolute t statistics of all tests, where differences are normal and their mean is 0: (tests, simulated).

    They depend neither on the scale nor on more than two numbers of the pairs between two tests: the sum of m
    differences is normal with the variance m, and that of their squared distances from their mean is, independently, of
    the chi-squared distribution with m - 1 degrees of freedom.
    """
    import numpy as np

    generator = np.random.Generator(np.random.PCG64(_SEED))
    total, squares = np.zeros(_SIMULATED), np.zeros(_SIMULATED)  # of the differences
    found, before = np.empty((len(sizes), _SIMULATED)), 0
    for row, size in enumerate(sizes):
        new = size - before
        added = math.sqrt(new) * generator.standard_normal(_SIMULATED)
        squares += added**2 / new
        if new > 1:
            squares += generator.chisquare(new - 1, _SIMULATED)
        total += added
        before = size
        around_mean = squares - total**2 / size
        found[row] = np.abs(total) / size / np.sqrt(around_mean / (size - 1) / size)
    return found
