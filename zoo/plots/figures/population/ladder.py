"""The loss of a ladder of sizes over their parameters, with the power law that was fitted."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

from zoo.plots.figures.population.axes import legend_above, mark_lost, set_scale, set_texts
from zoo.plots.figures.population.results import deviation_of, mean_of
from zoo.plots.figures.style import BLUE, INK, ORANGE, SKY
from zoo.plots.population import Population


def draw_over_parameters(axes: Axes, population: Population) -> None:
    """The mean over seeds of each size with its standard deviation, each seed as a dot, and the law."""
    groups = sorted((group for group in population.groups if group.parameters), key=lambda group: group.parameters or 0)
    x = np.asarray([group.parameters for group in groups], float)
    means, deviations = (np.asarray([of(group) for group in groups]) for of in (mean_of, deviation_of))
    known = np.isfinite(means)
    for at, group in zip(x, groups, strict=True):
        axes.plot([at] * len(group.results), group.results, "o", color=BLUE, ms=3.5, mew=0, alpha=0.45)
    if known.any():
        axes.plot(x[known], means[known], color=BLUE, lw=1.8, marker="o", ms=4, label="mean over seeds")
        low, high = (means - deviations)[known], (means + deviations)[known]
        axes.fill_between(x[known], low, high, color=SKY, alpha=0.3, lw=0, label="± 1 standard deviation")
    if population.law and known.any():
        _draw_law(axes, population.law, float(x[known].min()), float(x[known].max()))
    if len(x):
        axes.set_xscale("log")
        axes.xaxis.set_major_locator(LogLocator(10, subs=(1.0, 2.0, 5.0)))
        axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,.0f}"))
        axes.xaxis.set_minor_formatter(NullFormatter())
    mark_lost(axes, list(x), [group.lost + group.failed for group in groups], "without a result")
    set_scale(axes, "y", [result for group in groups for result in group.results])
    set_texts(axes, "parameters", population.measure)
    legend_above(axes)


def _draw_law(axes: Axes, law: Mapping[str, Any], low: float, high: float) -> None:
    x = np.geomspace(low, high, 200)
    interval = f" ({law['interval'][0]:.2f} to {law['interval'][1]:.2f})" if law.get("interval") else ""
    offset, exponent = law["offset"], law["exponent"]
    y = offset + (x / law["scale"]) ** -exponent
    label = f"{offset:.3g} + (P / {law['scale']:,.3g})^-{exponent:.2f}{interval}"
    axes.plot(x, y, color=ORANGE, lw=1.5, ls=(0, (4, 3)), label=label)
    if offset > 0:
        axes.axhline(offset, color=INK, lw=0.8, ls=(0, (1, 2)), label="offset")
