"""The axes of losses: how they are plotted, ticks and labels.

A loss is plotted by its log10, with the loss itself on the right; where it may be 0 or below, as it is.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from typing import NamedTuple

import numpy as np
from matplotlib.axes import Axes
from matplotlib.ticker import FuncFormatter, Locator, MaxNLocator
from numpy.typing import ArrayLike, NDArray

from zoo.plots.figures.style import FAINT, set_labels
from zoo.text import visible

_MAX_UNIT = 60  # characters of the unit of losses
_NATS = (0.1, 0.2, 0.5, 1, 1.5, 2, 2.5, 3, 4, 5, 7, 10, 15, 20, 30, 50, 100)
_MOST_POWERS = 8  # of ten: no number is drawn over another
_LEAST = 1e-12  # a loss of 0 has no log10


class Scale(NamedTuple):
    """How losses are plotted: by their log10, or as they are."""

    unit: str
    linear: bool

    @classmethod
    def of(cls, unit: str, *losses: Iterable[float]) -> Scale:
        """For losses that may be 0 or below, as they are."""
        return cls(unit, any(loss <= 0 for some in losses for loss in some))

    @property
    def label(self) -> str:
        """Of the axis; the unit may be anyone's."""
        return f"loss ({visible(self.unit[:_MAX_UNIT])})"

    def __call__(self, losses: ArrayLike) -> NDArray[np.float64]:
        return np.asarray(losses, dtype=np.float64) if self.linear else _log10(losses)


def label_axes(axes: Axes, values: NDArray[np.float64], steps: int, scale: Scale) -> None:
    """Set limits, labels and ticks: log10 of the loss on the left, the loss on the right."""
    low, high = float(values.min()), float(values.max())
    pad = 0.04 * (high - low) or 0.05
    axes.set_ylim(low - pad, high + pad)
    axes.set_xlim(-0.01 * steps, 1.01 * steps)
    set_labels(axes, "step", scale.label if scale.linear else "log10(loss)")
    axes.xaxis.set_major_locator(MaxNLocator(integer=True, steps=[1, 2, 5, 10]))
    axes.xaxis.set_major_formatter(FuncFormatter(lambda step, _: f"{step:,.0f}"))
    axes.grid(axis="y", color=FAINT, alpha=0.3, lw=0.8, ls="-")
    if scale.linear:
        return
    right = axes.secondary_yaxis("right", functions=(_exp10, _log10))
    right.set_ylabel(scale.label, parse_math=False).set_usetex(False)
    right.yaxis.set_major_formatter(FuncFormatter(lambda loss, _: f"{loss:g}"))
    right.yaxis.set_major_locator(_LossLocator())
    right.spines["right"].set_visible(True)  # which zoo's style, and that of many, leaves out


class _LossLocator(Locator):
    """Ticks at round losses, evenly spread on an axis of which the other side is their log10."""

    def __call__(self) -> list[float]:
        assert self.axis is not None
        return self.tick_values(*sorted(self.axis.get_view_interval()))

    def tick_values(self, vmin: float, vmax: float) -> list[float]:
        return _ticks(*_log10([vmin, vmax]))


def _ticks(low: float, high: float) -> list[float]:
    """Round losses, the log10 of which are between `low` and `high`."""
    powers = range(math.floor(low), math.ceil(high) + 1)
    candidates: tuple[Sequence[float], ...] = (
        _NATS,
        [digit * 10.0**power for power in powers for digit in (1, 2, 5)] if len(powers) < _MOST_POWERS else (),
        [10.0**power for power in powers[:: math.ceil(len(powers) / _MOST_POWERS)]],
        [float(tick) for tick in MaxNLocator(5).tick_values(10.0**low, 10.0**high)],
    )
    found = [[tick for tick in ticks if tick > 0 and low < math.log10(tick) < high] for ticks in candidates]
    return next((ticks for ticks in found if len(ticks) > 1), found[-1])


def _exp10(x: ArrayLike) -> NDArray[np.float64]:
    return np.power(10.0, np.asarray(x, dtype=np.float64))


def _log10(x: ArrayLike) -> NDArray[np.float64]:
    return np.log10(np.maximum(np.asarray(x, dtype=np.float64), _LEAST))


def running_mean(values: NDArray[np.float64], window: int) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Means over full windows of `window` values, and the centre of each window."""
    sums = np.cumsum(np.insert(values, 0, 0.0))
    means = (sums[window:] - sums[:-window]) / window
    return means, np.arange(len(means), dtype=np.float64) + (window - 1) / 2
