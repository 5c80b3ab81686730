"""A power law with an offset: how the loss falls with the number of parameters.

L(P) = L0 + (P / Pc)^-alpha, as in Kaplan and others, "Scaling Laws for Neural Language Models", 2020,
https://arxiv.org/abs/2001.08361, with the offset L0 of Hoffmann and others, "Training Compute-Optimal Large Language
Models", 2022, https://arxiv.org/abs/2203.15556: what no model of the family gets below.

Axes: N sizes, S seeds, R resamples, A exponents that are tried.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from numpy.typing import NDArray

_LEAST_SIZES = 4  # one more than there are numbers to fit
_EXPONENTS = (0.01, 4.0)  # that are tried: outside of them, the data cannot tell
_TRIED = 200
_RESAMPLES = 1000
_WIDE = 4  # times the lower end of its interval: a wider one says little of the exponent
_NOISE = 3  # standard errors, from which on a difference is not taken for noise
_MISFIT = 0.03  # of the losses' range: the largest root mean square of what the law leaves, where noise is smaller


@dataclass(frozen=True)
class PowerLaw:
    """A law that was fitted.

    Attributes:
        exponent: alpha.
        interval: that of 95 %, by resampling seeds; None with a single seed.
        offset: L0, in the unit of the loss.
        scale: Pc, in parameters.
    """

    exponent: float
    interval: tuple[float, float] | None
    offset: float
    scale: float

    def __call__(self, parameters: float) -> float:
        """The loss of a model of so many parameters."""
        return float(self.offset + (parameters / self.scale) ** -self.exponent)


def fit_power_law(parameters: Sequence[int], losses: Sequence[Sequence[float]]) -> PowerLaw | str:
    """Fit the law to the mean loss of each size, by least squares; or say why the losses do not support it.

    For an exponent, offset and factor follow from linear regression, so that only the exponent is searched for. Its
    interval is the percentile interval of a bootstrap over the seeds of each size, in which deviations from the mean
    are enlarged by sqrt(S / (S - 1)) and by the ratio of Student's t to the normal quantile, with N (S - 1) degrees of
    freedom: with few seeds it would be too narrow.

    Args:
        parameters: of each size, ascending. Shape (N,).
        losses: of each size, a loss for each seed; as many for all. Shape (N, S).

    Returns:
        The law; or a sentence that says what keeps it from being fitted.
    """
    import numpy as np

    if len(parameters) < _LEAST_SIZES:
        return f"a power law with an offset needs {_LEAST_SIZES} sizes with a result, and there are {len(parameters)}"
    p, values = np.asarray(parameters, np.float64), np.asarray(losses, np.float64)
    means, seeds = values.mean(1), values.shape[1]
    error = math.sqrt(2 * values.var(1, ddof=1).mean() / seeds) if seeds > 1 else 0.0  # of a difference of two means
    least = int(means.argmin())
    if means[0] - means[least] <= _NOISE * error:
        return "the loss does not fall with the size"
    if means[-1] - means[least] > _NOISE * error:
        beyond = f"beyond {parameters[least]:,} parameters"
        return f"the loss rises again {beyond}: larger models overfit, or need more steps or another learning rate"
    law = _fit(p, means)
    low, high = _EXPONENTS
    if not low * 1.01 < law.exponent < high / 1.01:
        return "the exponent is not determined: the loss falls too evenly, or all at once"
    interval = _bootstrap(p, values) if seeds > 1 else None
    if interval is not None and (interval[0] < low * 1.01 or interval[1] > _WIDE * interval[0]):
        return f"the exponent is not determined: its 95 % interval is {interval[0]:.2f} to {interval[1]:.2f}"
    left = float(np.sqrt(np.mean([(law(at) - loss) ** 2 for at, loss in zip(p, means, strict=True)])))
    if left > max(_MISFIT * float(np.ptp(means)), _NOISE * error):
        return f"the losses do not follow a power law: it leaves {left / float(np.ptp(means)):.0%} of their range"
    return PowerLaw(law.exponent, interval, law.offset, law.scale)


def _fit(p: NDArray[Any], means: NDArray[Any]) -> PowerLaw:
    """The law of least squares. Shapes (N,)."""
    import numpy as np
    from scipy.optimize import minimize_scalar

    tried = np.geomspace(*_EXPONENTS, _TRIED)
    place = int(_left(p, means[None], tried)[0].argmin())
    ends = tried[max(0, place - 1)], tried[min(_TRIED - 1, place + 1)]
    found = minimize_scalar(
        lambda exponent: float(_left(p, means[None], np.asarray([exponent]))[0, 0]), bounds=ends, method="bounded"
    )
    exponent = float(found.x)
    offset, factor = (float(part[0, 0]) for part in _regression(p, means[None], np.asarray([exponent])))
    reference = float(np.exp(np.log(p).mean()))
    return PowerLaw(exponent, None, offset, reference * factor ** (1 / exponent) if factor > 0 else 0.0)


def _bootstrap(p: NDArray[Any], values: NDArray[Any]) -> tuple[float, float]:
    """The interval of the exponent. Losses have shape (N, S)."""
    import numpy as np
    from scipy import stats

    generator = np.random.default_rng(0)
    sizes, seeds = values.shape
    drawn = generator.integers(seeds, size=(_RESAMPLES, sizes, seeds))
    means = values.mean(1)
    resampled = np.take_along_axis(values[None], drawn, 2).mean(2)  # (R, N)
    small = stats.t.ppf(0.975, sizes * (seeds - 1)) / stats.norm.ppf(0.975)
    resampled = means + small * math.sqrt(seeds / (seeds - 1)) * (resampled - means)
    tried = np.geomspace(*_EXPONENTS, _TRIED)
    low, high = np.quantile(_lowest(np.log(tried), _left(p, resampled, tried)), [0.025, 0.975])
    return math.exp(low), math.exp(high)


def _lowest(x: NDArray[Any], y: NDArray[Any]) -> NDArray[Any]:
    """Where each row of `y` (R, A) is lowest over even `x` (A,), shape (R,): by a parabola through three points."""
    import numpy as np

    place = np.clip(y.argmin(1), 1, len(x) - 2)
    before, at, after = (np.take_along_axis(y, place[:, None] + shift, 1)[:, 0] for shift in (-1, 0, 1))
    curvature = before - 2 * at + after
    shift = np.divide(before - after, 2 * curvature, out=np.zeros_like(at), where=curvature > 0)
    found: NDArray[Any] = x[place] + np.clip(shift, -1, 1) * (x[1] - x[0])
    return found


def _left(p: NDArray[Any], means: NDArray[Any], exponents: NDArray[Any]) -> NDArray[Any]:
    """The sum of squares that the best law with each exponent leaves, (R, A), of means (R, N)."""
    import numpy as np

    offset, factor = _regression(p, means, exponents)
    x = _relative(p, exponents)
    left = np.zeros_like(offset)
    for size in range(len(p)):
        left += (offset + factor * x[:, size] - means[:, size, None]) ** 2
    return left


def _regression(p: NDArray[Any], means: NDArray[Any], exponents: NDArray[Any]) -> tuple[NDArray[Any], NDArray[Any]]:
    """Offset and factor, each (R, A), by linear regression of means (R, N) on (P / P0)^-alpha.

    The factor is not below 0, and the offset not below 0 where all losses are above.
    """
    import numpy as np

    x = _relative(p, exponents)  # (A, N)
    centred = x - x.mean(1, keepdims=True)
    factor = np.maximum(means @ centred.T / (centred**2).sum(1), 0)
    offset = means.mean(1, keepdims=True) - factor * x.mean(1)
    if means.min() > 0:
        through_zero = means @ x.T / (x**2).sum(1)
        factor = np.where(offset < 0, through_zero, factor)
        offset = np.maximum(offset, 0)
    return offset, factor


def _relative(p: NDArray[Any], exponents: NDArray[Any]) -> NDArray[Any]:
    """(P / P0)^-alpha, (A, N), where P0 is the geometric mean of the sizes."""
    import numpy as np

    relative: NDArray[Any] = np.exp(-exponents[:, None] * (np.log(p) - np.log(p).mean()))
    return relative
