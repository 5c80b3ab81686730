"""The loss curves of several runs in one plot."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.lines import Line2D
from numpy.typing import NDArray

from zoo.errors import UsageError
from zoo.numbers import show_loss
from zoo.plots.curves import Curve
from zoo.plots.figures.scale import Scale, label_axes, running_mean
from zoo.plots.figures.style import (
    COLOURS,
    FAINT,
    Format,
    encode,
    new_axes,
    new_figure,
    own_style,
    set_title,
    shortened,
)

_DASHES: tuple[Any, ...] = (
    "-",
    (0, (5, 2)),
    (0, (1, 1.5)),
    (0, (6, 2, 1, 2)),
    (0, (10, 3)),
    (0, (4, 1.5, 1, 1.5, 1, 1.5)),
)
_MARKERS = "os^Dv*"
_MOST_NAMED = len(COLOURS) * len(_DASHES)
_MOST_POINTS = 1000  # of a curve: more cannot be told apart
_MOST_MARKERS = 40  # of a curve
_WINDOWS = 50  # of a curve: each point is the mean of 2 % of the steps, at least of one
_LONGEST_NAME = 34  # characters; of a longer one the middle is left out


def plot_overlay(curves: Sequence[Curve], title: str, *, unit: str = "nats", file_format: Format = "png") -> bytes:
    """Plot running means of the losses of several runs, and their validation losses as markers.

    The curves differ by colour and line style. The legend stands on the right, outside of the axes; where there are
    more runs than it can tell apart, the others are grey, and it says how many they are.

    Raises:
        UsageError: there are no losses, or the format is not one of `FORMATS`.
    """
    curves = [curve for curve in curves if len(curve.losses)]
    if not curves:
        raise UsageError("there are no losses to plot")
    scale = Scale.of(unit, *(losses for curve in curves for losses in (curve.losses, _at_evaluations(curve))))
    named, others = curves[:_MOST_NAMED], curves[_MOST_NAMED:]
    with own_style():
        figure = new_figure(10, max(5.0, 1.6 + 0.165 * len(named)))
        axes = new_axes(figure)
        shown = [_plot_curve(axes, curve, scale, {"color": FAINT, "lw": 0.7}, zorder=1.5) for curve in others]
        shown += [_plot_curve(axes, curve, scale, _look(number), zorder=2) for number, curve in enumerate(named)]
        label_axes(axes, np.concatenate(shown), max(len(curve.losses) for curve in curves), scale)
        set_title(axes, title)
        handles = [_handle(curve, _look(number)) for number, curve in enumerate(named)]
        if others:
            handles.append(Line2D([], [], color=FAINT, lw=0.7, label=f"and {len(others):,} more"))
        legend = axes.legend(
            handles=handles,
            loc="upper left",
            bbox_to_anchor=(1.02 if scale.linear else 1.12, 1),
            borderaxespad=0,
            frameon=False,
            fontsize=8,
            handlelength=4,
            title="mean of 2 % of the steps" + "; markers: validation" * _evaluated(curves),
            title_fontsize=8,
            alignment="left",
        )
        for text in legend.get_texts():
            text.set_parse_math(False)
        return encode(figure, file_format)


def _look(number: int) -> dict[str, Any]:
    """The colour, line style and marker of a run: one of each in turn, so that no two runs have the same pair."""
    row = number // len(COLOURS)
    return {"color": COLOURS[number % len(COLOURS)], "ls": _DASHES[row], "marker": _MARKERS[row], "lw": 1.4, "ms": 4}


def _plot_curve(axes: Axes, curve: Curve, scale: Scale, look: Mapping[str, Any], zorder: float) -> NDArray[np.float64]:
    """Plot a run; the values on the axis that it takes up."""
    losses = scale(curve.losses)
    mean, centres = running_mean(losses, max(1, len(losses) // _WINDOWS))
    kept = _thinned(len(mean), _MOST_POINTS)
    line = dict(look) if len(mean) == 1 else {**look, "marker": ""}  # a single point has no line
    axes.plot(centres[kept], mean[kept], zorder=zorder, label=curve.name, **line)
    finite = [(step, loss) for step, loss in curve.evaluations if math.isfinite(loss)]
    if not finite:
        return mean
    every = _thinned(len(finite), _MOST_MARKERS)
    steps, levels = np.array([step for step, _ in finite])[every], scale([loss for _, loss in finite])[every]
    marker = {"marker": "o", "ms": 3, **look, "ls": "", "mec": "white", "mew": 0.4}
    axes.plot(steps, levels, zorder=zorder + 1, label=f"{curve.name}: validation", **marker)
    return np.append(mean, levels)


def _thinned(count: int, most: int) -> NDArray[np.intp]:
    """Indices of at most so many of `count` points, evenly spread, with the first and the last."""
    return np.unique(np.linspace(0, count - 1, min(count, most)).round().astype(np.intp))


def _handle(curve: Curve, look: Mapping[str, Any]) -> Line2D:
    """A line of the legend: the name, and the loss on the validation split where it is known."""
    final = curve.final or {}
    loss = f"  val {show_loss(final['val'])}" if "val" in final else ""
    return Line2D(
        [],
        [],
        **(look if _evaluated([curve]) else {**look, "marker": ""}),
        label=(shortened(curve.name, _LONGEST_NAME) or "run") + loss,
    )


def _evaluated(curves: Sequence[Curve]) -> bool:
    return any(len(curve.evaluations) for curve in curves)


def _at_evaluations(curve: Curve) -> list[float]:
    return [loss for _, loss in curve.evaluations]
