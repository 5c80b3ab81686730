"""The axes of a panel: their scale, their labels, and what diverged."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter
from matplotlib.transforms import blended_transform_factory

from zoo.plots.figures.style import FAINT, ORANGE, set_labels, shortened

_RATIO = 10  # of the ends of an axis, from which on its scale is logarithmic
_LONGEST = 24  # characters of a tick
_MOST_LEVEL, _MOST_LETTERS = 6, 32  # of ticks that stand side by side; more are turned
_MOST_TICKS = 8  # at the values themselves
LOST = ORANGE
GRID: Any = {"axis": "y", "color": FAINT, "alpha": 0.3, "lw": 0.8, "ls": "-"}


def is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def set_scale(axes: Axes, which: str, values: Iterable[float]) -> None:
    """A logarithmic scale where values are above 0 and differ much, with ticks as people write numbers."""
    known = [value for value in values if math.isfinite(value)]
    if not known or min(known) <= 0 or max(known) < _RATIO * min(known):
        return
    axis = axes.xaxis if which == "x" else axes.yaxis
    (axes.set_xscale if which == "x" else axes.set_yscale)("log")
    if max(known) < 100 * min(known):
        axis.set_major_locator(LogLocator(10, subs=(1.0, 2.0, 5.0)))
    axis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    axis.set_minor_formatter(NullFormatter())


def set_texts(axes: Axes, x: str, y: str) -> None:
    """Labels of the axes, which may be anybody's."""
    set_labels(axes, shortened(x, 60), shortened(y, 60))
    axes.grid(**GRID)
    if not axes.has_data() or not np.isfinite(axes.dataLim.intervaly).all():  # no result: no numbers
        axes.set_yticks([])


def name_ticks(axes: Axes, names: Sequence[Any], which: str = "x") -> None:
    """A tick for each of several texts, at 0, 1, 2 and so on."""
    texts = [shortened(f"{name:g}" if isinstance(name, float) else str(name), _LONGEST) for name in names]
    places = np.arange(len(texts))
    if which == "x":
        turned = len(texts) > _MOST_LEVEL or sum(map(len, texts)) > _MOST_LETTERS
        labels = axes.set_xticks(places, texts, rotation=30 if turned else 0, ha="right" if turned else "center")
    else:
        labels = axes.set_yticks(places, texts)
    for tick in labels:
        for text in (tick.label1, tick.label2):
            text.set_parse_math(False)
            text.set_usetex(False)


def mark_lost(axes: Axes, places: Sequence[float], counts: Sequence[int], label: str = "diverged") -> None:
    """Crosses at the top edge for members without a result, with how many they are."""
    lost = [(place, count) for place, count in zip(places, counts, strict=True) if count]
    if not lost:
        return
    at_top = blended_transform_factory(axes.transData, axes.transAxes)
    x = [place for place, _ in lost]
    axes.plot(x, [0.97] * len(x), "x", color=LOST, ms=7, mew=2, transform=at_top, label=label, zorder=5, clip_on=False)
    for place, count in lost:
        if count > 1:
            axes.text(place, 0.93, f"{count:,}", color=LOST, fontsize=8, ha="center", va="top", transform=at_top)


def mark_values(axes: Axes, values: Sequence[float]) -> None:
    """Ticks at the values themselves, where they are few."""
    if len(values) <= _MOST_TICKS:
        axes.set_xticks(values, [f"{value:g}" for value in values])
        axes.set_xticks([], minor=True)


def legend_above(axes: Axes, handles: Sequence[Artist] | None = None, columns: int = 2) -> None:
    """A small legend above the axes, before none of what is drawn; its texts are no formulas."""
    found = list(handles) if handles is not None else axes.get_legend_handles_labels()[0]
    if found:
        place: Any = {"loc": "lower left", "bbox_to_anchor": (0, 1.0), "borderaxespad": 0.2}
        made = axes.legend(handles=found, ncols=columns, fontsize=8, frameon=False, alignment="left", **place)
        for text in made.get_texts():
            text.set_parse_math(False)
            text.set_usetex(False)
