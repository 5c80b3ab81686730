"""The loss curve of one run."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.axes import Axes

from zoo.errors import UsageError
from zoo.numbers import show_loss
from zoo.plots.figures.scale import Scale, label_axes, running_mean
from zoo.plots.figures.style import BLUE, FAINT, GREEN, ORANGE, Format, encode, new_figure, own_style, set_title

_MAX_POINTS = 20_000  # of the raw losses: more cannot be told apart, and are slow to draw


def plot_loss(
    losses: Sequence[float],
    title: str,
    final: dict[str, float] | None = None,
    evaluations: Sequence[tuple[int, float]] = (),
    unit: str = "nats",
    *,
    file_format: Format = "png",
) -> bytes:
    """Plot log10 of the loss of every step, with a running mean; of a loss that may be 0 or below, the loss itself.

    Args:
        losses: of every step from 0.
        title: above the plot.
        final: the losses of full splits at the end, shown as horizontal lines.
        evaluations: pairs of step and validation loss.
        unit: what losses are in.
        file_format: of the content that is returned.

    Raises:
        UsageError: there are no losses, or the format is not one of `FORMATS`.
    """
    if not losses:
        raise UsageError("there are no losses to plot")
    scale = Scale.of(unit, losses, (final or {}).values(), (loss for _, loss in evaluations))
    values = scale(losses)
    window = max(1, len(values) // 100)
    with own_style():
        figure = new_figure(8, 4.5)
        axes = figure.subplots()
        every = max(1, math.ceil(len(values) / _MAX_POINTS))
        steps = np.arange(len(values))
        axes.plot(
            steps[::every],
            values[::every],
            ".",
            ms=2.5,
            mew=0,
            alpha=0.45,
            color=FAINT,
            rasterized=True,
            label="each step",
        )
        mean, centres = running_mean(values, window)
        axes.plot(centres, mean, color=BLUE, lw=1.8, label=f"mean of {window:,} steps" if window > 1 else "loss")
        levels = _plot_evaluations(axes, final or {}, evaluations, scale)
        label_axes(axes, np.append(values, levels), len(values), scale)
        set_title(axes, title)
        axes.legend(loc="upper right", frameon=False, fontsize=9, markerscale=3)
        return encode(figure, file_format)


def _plot_evaluations(
    axes: Axes, final: Mapping[str, float], evaluations: Sequence[tuple[int, float]], scale: Scale
) -> list[float]:
    """The losses of full splits at the end, and of the evaluations on the way; their levels."""
    plotted = []
    for name, colour in (("train", GREEN), ("val", ORANGE)):
        if name in final:
            level = float(scale(final[name]))
            label = f"{name} at the end: {show_loss(final[name])}"
            axes.axhline(level, color=colour, lw=1, ls=(0, (4, 3)), label=label)
            plotted.append(level)
    if finite := [(step, float(scale(loss))) for step, loss in evaluations if math.isfinite(loss)]:
        at, levels = zip(*finite, strict=True)
        axes.plot(at, levels, color=ORANGE, lw=1, label="validation")
        axes.plot(at, levels, "o", ms=4, color=ORANGE)  # not in the legend, which enlarges dots
        plotted += levels
    return plotted
