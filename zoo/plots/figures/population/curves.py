"""Losses on the way, over steps or seconds: the mean over seeds with its standard deviation."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.ticker import FuncFormatter, MaxNLocator

from zoo.plots.figures.population.axes import set_scale, set_texts
from zoo.plots.figures.style import COLOURS, shortened
from zoo.plots.population import Band, Population

_LONGEST_NAME = 34  # characters


def draw_over_steps(axes: Axes, population: Population) -> None:
    """The losses over the steps."""
    _draw(axes, population, [band.steps for band in population.bands])
    axes.xaxis.set_major_locator(MaxNLocator(5, integer=True))
    axes.xaxis.set_major_formatter(FuncFormatter(lambda step, _: f"{step:,.0f}"))
    set_texts(axes, "step", population.training)
    _legend(axes, population.bands)


def draw_over_seconds(axes: Axes, population: Population) -> None:
    """The losses over the seconds of training."""
    seconds = [band.seconds for band in population.bands]
    _draw(axes, population, seconds)
    set_scale(axes, "x", [at for of in seconds for at in of if at > 0])
    set_texts(axes, "seconds of training", population.training)


def _draw(axes: Axes, population: Population, places: Sequence[Sequence[float]]) -> None:
    for number, (band, x) in enumerate(zip(population.bands, places, strict=True)):
        means, deviations = np.asarray(band.means), np.asarray(band.deviations)
        colour = COLOURS[number % len(COLOURS)]
        name = shortened(band.name, _LONGEST_NAME) or "all seeds"
        axes.plot(x, means, color=colour, lw=1.5, label=name)
        low = np.maximum(means - deviations, means.min() / 2) if means.min() > 0 else means - deviations
        axes.fill_between(x, low, means + deviations, color=colour, alpha=0.2, lw=0)
    set_scale(axes, "y", [mean for band in population.bands for mean in band.means])


def _legend(axes: Axes, bands: Sequence[Band]) -> None:
    """Curves fall from the left, so that there is room on the right."""
    seeds = max(band.seeds for band in bands)
    band = f"mean ± 1 standard deviation of {seeds:,} seeds" if seeds > 1 else None
    made = axes.legend(
        loc="upper right", fontsize=8, framealpha=0.8, edgecolor="none", title=band, title_fontsize=8, alignment="left"
    )
    for text in made.get_texts():
        text.set_parse_math(False)
        text.set_usetex(False)
