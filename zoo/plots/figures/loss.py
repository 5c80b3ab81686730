"""The loss curve of one run; of several, on axes of the caller's."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from matplotlib.axes import Axes
from matplotlib.lines import Line2D
from numpy.typing import NDArray

from zoo.errors import UsageError
from zoo.numbers import show_loss
from zoo.plots.figures.legend import legend_below, legend_within
from zoo.plots.figures.scale import Scale, label_axes, running_mean
from zoo.plots.figures.style import (
    BLUE,
    COLOURS,
    FAINT,
    GREEN,
    ORANGE,
    Format,
    drawing_on,
    encode,
    new_axes,
    new_figure,
    own_style,
    set_title,
    shortened,
    title_of,
)

_SIZE = (8.0, 4.8)  # inches
_MAX_POINTS = 20_000  # of the raw losses: more cannot be told apart, and are slow to draw
_LONGEST_NAME = 40  # characters of a run, where there are several
_CURVE = "zoo loss"  # the id of a curve, by which the next one knows it


class _Shown(NamedTuple):
    """What is known of the losses of a run: see `plot_loss`."""

    losses: Sequence[float]
    title: str
    final: Mapping[str, float]
    evaluations: Sequence[tuple[int, float]]
    best: int | None
    scale: Scale

    @classmethod
    def of(
        cls,
        losses: Sequence[float],
        title: str,
        final: Mapping[str, float] | None = None,
        evaluations: Sequence[tuple[int, float]] = (),
        unit: str = "nats",
        best: int | None = None,
    ) -> _Shown:
        if not losses:
            raise UsageError("there are no losses to plot")
        finite = [(step, loss) for step, loss in evaluations if math.isfinite(loss)]
        scale = Scale.of(unit, losses, (final or {}).values(), (loss for _, loss in finite))
        return cls(losses, title, final or {}, finite, best, scale)


def plot_loss(
    losses: Sequence[float],
    title: str,
    final: Mapping[str, float] | None = None,
    evaluations: Sequence[tuple[int, float]] = (),
    unit: str = "nats",
    best: int | None = None,
    *,
    file_format: Format = "png",
) -> bytes:
    """Plot log10 of the loss of every step, with a running mean; of a loss that may be 0 or below, the loss itself.

    Args:
        losses: of every step from 0.
        title: above the plot.
        final: the losses of full splits for the weights that are kept, shown as horizontal lines.
        evaluations: pairs of step and validation loss.
        unit: what losses are in.
        best: the step of the weights that are kept, where these are the best ones and not the last.
        file_format: of the content that is returned.

    Raises:
        UsageError: there are no losses, or the format is not one of `FORMATS`.
    """
    shown = _Shown.of(losses, title, final, evaluations, unit, best)
    with own_style():
        figure = new_figure(*_SIZE)
        _draw_alone(new_axes(figure), shown, own=True)
        return encode(figure, file_format)


def draw_loss(ax: Axes | None, **arguments: Any) -> Axes:
    """Draw what `plot_loss` plots, with its arguments, on axes; see `drawing_on`.

    On axes that have the curves of other runs already, the curve gets a colour of its own, and the legend names them.

    Raises:
        UsageError: there are no losses, `ax` are no such axes, or they have losses that are plotted in another way.
    """
    shown = _Shown.of(**arguments)
    with drawing_on(ax, *_SIZE) as axes:
        earlier = [line for line in axes.lines if str(line.get_gid()).startswith(_CURVE)]
        if earlier:
            _draw_beside(axes, earlier, shown)
        else:
            _draw_alone(axes, shown, own=ax is None)
    return axes


def _draw_alone(axes: Axes, shown: _Shown, *, own: bool) -> None:
    before = None if own or not axes.has_data() else (axes.get_xlim(), axes.get_ylim())
    window = _window(shown)
    points = _draw_steps(axes, shown, FAINT)
    curve, values = _draw_mean(axes, shown, BLUE, f"mean of {window:,} steps" if window > 1 else "loss")
    levels, handles = _draw_final(axes, shown)
    levels += _draw_evaluations(axes, shown, ORANGE)
    if shown.evaluations:
        handles.append(Line2D([], [], color=ORANGE, lw=1, marker="o", ms=4, label="validation"))
    label_axes(axes, np.concatenate([shown.scale(shown.losses), values, levels]), len(shown.losses), shown.scale)
    _widen(axes, before)
    set_title(axes, shown.title, own=own)
    if own:
        legend_below(axes, [points, curve, *handles])
    else:
        legend_within(axes, [points, curve, *handles])


def _draw_beside(axes: Axes, earlier: list[Line2D], shown: _Shown) -> None:
    """Draw the curve of another run; the first one, which the title has named, is named in the legend from now on."""
    if earlier[0].get_gid() != _id(shown.scale):
        raise UsageError("the losses on these axes are plotted in another way or unit: give axes of their own")
    before = axes.get_xlim(), axes.get_ylim()
    colour = COLOURS[len(earlier) % len(COLOURS)]
    if len(earlier) == 1:
        earlier[0].set_label(_name(title_of(axes)))
        set_title(axes, "Loss", own=False)
    _draw_steps(axes, shown, colour, alpha=0.2)
    curve, values = _draw_mean(axes, shown, colour, _name(shown.title))
    levels = _draw_evaluations(axes, shown, colour, lines=False)
    values = np.concatenate([values, levels])
    axes.set_ylim(float(values.min()), float(values.max()))
    axes.set_xlim(-0.01 * len(shown.losses), 1.01 * len(shown.losses))
    _widen(axes, before)
    legend_within(axes, [*earlier, curve])


def _name(title: str) -> str:
    return shortened(title.removeprefix("Loss of "), _LONGEST_NAME) or "run"


def _widen(axes: Axes, before: tuple[tuple[float, float], tuple[float, float]] | None) -> None:
    """Let the limits hold what they held before, too."""
    if before is not None:
        x, y = (*before[0], *axes.get_xlim()), (*before[1], *axes.get_ylim())
        axes.set_xlim(min(x), max(x))
        axes.set_ylim(min(y), max(y))


def _window(shown: _Shown) -> int:
    return max(1, len(shown.losses) // 100)


def _draw_steps(axes: Axes, shown: _Shown, colour: str, alpha: float = 0.6) -> Line2D:
    """The loss of every step; of a long run, of every so many."""
    every = max(1, math.ceil(len(shown.losses) / _MAX_POINTS))
    axes.plot(
        np.arange(len(shown.losses))[::every],
        shown.scale(shown.losses)[::every],
        marker=".",
        ls="",
        ms=2.5,
        mew=0,
        alpha=alpha,
        color=colour,
        rasterized=True,
        label="each step",
    )
    return Line2D([], [], ls="", marker=".", ms=7.5, mew=0, alpha=alpha, color=colour, label="each step")


def _draw_mean(axes: Axes, shown: _Shown, colour: str, label: str) -> tuple[Line2D, NDArray[np.float64]]:
    mean, centres = running_mean(shown.scale(shown.losses), _window(shown))
    marker = "o" if len(mean) == 1 else ""  # a single point has no line
    [line] = axes.plot(centres, mean, color=colour, lw=1.8, ls="-", marker=marker, ms=4, label=label)
    line.set_gid(_id(shown.scale))
    return line, mean


def _id(scale: Scale) -> str:
    return f"{_CURVE}, {'linear' if scale.linear else 'log10'}, {scale.label}"


def _draw_final(axes: Axes, shown: _Shown) -> tuple[list[float], list[Line2D]]:
    """The losses of full splits for the weights that are kept; their levels and lines."""
    at = "at the end" if shown.best is None else f"best weights (step {shown.best:,})"
    levels, lines = [], []
    for name, colour in (("train", GREEN), ("val", ORANGE)):
        if name in shown.final:
            level = float(shown.scale(shown.final[name]))
            label = (
                f"{name} {at}: {show_loss(shown.final[name])}"
                if shown.best is None
                else (f"{name}, {at}: {show_loss(shown.final[name])}")
            )
            lines.append(axes.axhline(level, color=colour, lw=1, ls=(0, (4, 3)), marker="", label=label))
            levels.append(level)
    return levels, lines


def _draw_evaluations(axes: Axes, shown: _Shown, colour: str, *, lines: bool = True) -> list[float]:
    """The losses of the evaluations on the way, as a line with dots; that of the best weights has a ring."""
    if not shown.evaluations:
        return []
    at, losses = zip(*shown.evaluations, strict=True)
    levels = [float(level) for level in shown.scale(losses)]
    if lines:
        axes.plot(at, levels, color=colour, lw=1, ls="-", marker="", label="validation")
    axes.plot(at, levels, ls="", marker="o", ms=4, color=colour, label="_evaluations")
    if shown.best in at:
        best = at.index(shown.best)
        axes.plot(at[best], levels[best], ls="", marker="o", ms=9, mfc="none", mec=colour, mew=1.2, label="_best")
    return levels
