"""How many seeds would settle a difference of the size that was seen."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from zoo.verdicts.pairs import Pairs

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

POWER = 0.8  # the probability with which the difference would be found, as is usual in planning
MOST = 10_000  # seeds; where more are needed, the difference is of no use
_LARGE_SHIFT = 30.0  # of the noncentral t distribution, which is then normal but for its denominator
_LEAST_EFFECT = 1e-6  # of a standard deviation; the power at less than that is the level


def seeds_needed(pairs: Pairs, level: float) -> int | None:
    """The least number of seeds with which the test would find the difference that was seen with a power of `POWER`.

    The difference and its spread are taken as they were measured, by few seeds: it is a rough number.

    Args:
        pairs: the settings compared.
        level: the p value, uncorrected, below which a difference is called one: that of this comparison alone.

    Returns:
        At most `MOST`; None where more are needed, or where it cannot be told.
    """
    if pairs.test == "paired t test" and pairs.standard_error > 0:
        effect = abs(pairs.difference or 0.0) / (pairs.standard_error * math.sqrt(len(pairs.gains)))
        return seeds_of_t_test(effect, level)
    if pairs.test == "sign test" and pairs.wins * 2 > pairs.n - pairs.ties:
        needed = seeds_of_sign_test(pairs.wins / (pairs.n - pairs.ties), level)
        return None if needed is None else math.ceil(needed * pairs.n / (pairs.n - pairs.ties))
    return None


def power_of_t_test(effect: float, n: int, level: float) -> float:
    """The probability that a two-sided paired t test finds a difference, by the noncentral t distribution.

    Args:
        effect: the mean difference, in standard deviations of the differences.
        n: how many pairs there are, at least 2.
        level: below which p value a difference is called one.
    """
    from scipy import stats

    critical, shift = float(stats.t.isf(level / 2, n - 1)), effect * math.sqrt(n)
    if shift > _LARGE_SHIFT:  # where the noncentral distribution is NaN; only the estimate of the spread matters there
        return float(stats.chi2.cdf((n - 1) * (shift / critical) ** 2, n - 1))
    return float(stats.nct.sf(critical, n - 1, shift) + stats.nct.cdf(-critical, n - 1, shift))


def seeds_of_t_test(effect: float, level: float) -> int | None:
    """The least number of pairs with a power of `POWER`; None above `MOST`."""
    if effect < _LEAST_EFFECT:
        return None
    from scipy import stats

    # With a known variance; the t distribution needs a little more.
    normal = ((float(stats.norm.isf(level / 2)) + float(stats.norm.ppf(POWER))) / effect) ** 2
    if normal > MOST:
        return None
    low, high = 1, max(2, math.ceil(normal))
    while power_of_t_test(effect, high, level) < POWER:
        low, high = high, 2 * high
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if power_of_t_test(effect, middle, level) >= POWER else (middle, high)
    return high if high <= MOST else None


def seeds_of_sign_test(share: float, level: float) -> int | None:
    """The least number of pairs without ties with a power of `POWER`; None above `MOST`.

    Args:
        share: of the pairs that the better setting wins, above 0.5.
        level: as above.
    """
    import numpy as np
    from scipy import stats

    n: NDArray[np.int64] = np.arange(1, MOST + 1)
    critical = stats.binom.isf(level / 2, n, 0.5) + 1  # so many wins give a p value of at most `level`
    enough = np.flatnonzero(stats.binom.sf(critical - 1, n, share) >= POWER)
    return int(n[enough[0]]) if len(enough) else None
