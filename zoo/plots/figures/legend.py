"""Where a legend stands: never before what is drawn.

On a figure of zoo's it stands below the axes. On axes of the caller's, where there may be no room below, it stands in
a place within them that is free; where none is, above what is drawn, for which the axes get more room.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Literal, TypeAlias

import numpy as np
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.collections import PathCollection
from matplotlib.legend import Legend
from matplotlib.lines import Line2D
from matplotlib.path import Path
from matplotlib.transforms import Bbox, ScaledTranslation

from zoo.plots.figures.style import figure_of

_BELOW = 42  # points from the axes down: ticks and label are in between
_SIZE, _HANDLE = 9.0, 45.0  # points: of a text, and of what stands before it and after
_MOST_COLUMNS = 4
_FORMS = ((None, 1), ("small", 1), ("small", 2), ("x-small", 2), ("x-small", 3))  # of the caller's texts, and columns
_MOST_ROOM = 0.5  # of the height of the axes, for a legend above what is drawn
_Place: TypeAlias = Literal[
    "upper right", "upper left", "lower left", "lower right", "center right", "upper center", "lower center"
]
_PLACES: dict[
    _Place, tuple[float, float]
] = {  # shares of the free width and height to the left of and below the legend
    "upper right": (1, 1),
    "upper left": (0, 1),
    "lower left": (0, 0),
    "lower right": (1, 0),
    "center right": (1, 0.5),
    "upper center": (0.5, 1),
    "lower center": (0.5, 0),
}


def legend_below(axes: Axes, handles: Sequence[Artist]) -> Legend:
    """A legend below the axes, in as many columns as fit. The layout of the figure knows of it."""
    column = _HANDLE + 0.62 * _SIZE * max(len(str(handle.get_label())) for handle in handles)  # points
    down = ScaledTranslation(0, -_BELOW / 72, figure_of(axes).dpi_scale_trans)
    legend = axes.legend(
        handles=handles,
        loc="upper center",
        bbox_to_anchor=(0.5, 0),
        bbox_transform=axes.transAxes + down,
        borderaxespad=0,
        ncols=max(1, min(_MOST_COLUMNS, int(72 * figure_of(axes).get_figwidth() / column))),
        fontsize=_SIZE,
        frameon=False,
    )
    return _plain(legend)


def legend_within(axes: Axes, handles: Sequence[Artist], margin: float = 6.0) -> Legend:
    """A legend of the caller's style within the caller's axes, whose upper limit may be raised for it.

    Args:
        axes: with all that is to be drawn.
        handles: its entries.
        margin: points between the legend and the edges of the axes, and what is drawn.
    """
    frame, pad = axes.get_window_extent(), margin * figure_of(axes).dpi / 72
    for form in _FORMS:
        legend = _form(axes, handles, form)
        box = legend.get_window_extent()
        free_width, free_height = frame.width - box.width - 2 * pad, frame.height - box.height - 2 * pad
        if free_width < 0 or free_height < 0:
            continue
        for place, (right, up) in _PLACES.items():
            x, y = frame.x0 + pad + right * free_width, frame.y0 + pad + up * free_height
            if _is_free(axes, Bbox.from_bounds(x - pad, y - pad, box.width + 2 * pad, box.height + 2 * pad)):
                legend.set_loc(place)
                return legend
    for form in _FORMS if axes.get_yscale() == "linear" and not axes.yaxis_inverted() else ():
        legend = _form(axes, handles, form)
        box = legend.get_window_extent()
        share = (box.height + 3 * pad) / max(frame.height, 1)
        if box.width + 2 * pad <= frame.width and share <= _MOST_ROOM:
            low, high = axes.get_ylim()
            axes.set_ylim(low, low + (high - low) / (1 - share))
            return legend
    return legend_below(axes, handles)


def _form(axes: Axes, handles: Sequence[Artist], form: tuple[str | None, int]) -> Legend:
    """A legend with texts of that size, in so many columns."""
    size, columns = form
    return _plain(axes.legend(handles=handles, loc="upper right", borderaxespad=0.8, fontsize=size, ncols=columns))


def _plain(legend: Legend) -> Legend:
    """Texts of a legend are no formulas: names of anybody's are in them."""
    for text in legend.get_texts():
        text.set_parse_math(False)
        text.set_usetex(False)
    return legend


def _is_free(axes: Axes, box: Bbox) -> bool:
    """Whether nothing is drawn in a box of the figure, in pixels."""
    return not any(_enters(path, box, joined=joined) for path, joined in drawn(axes))


def drawn(axes: Axes) -> Iterator[tuple[Path, bool]]:
    """What is drawn on axes, in pixels: the points of each line and dot, and whether they are joined by a line."""
    for artist in axes.get_children():
        if not artist.get_visible():
            continue
        if isinstance(artist, Line2D) and np.size(artist.get_path().vertices):
            path = artist.get_transform().transform_path(artist.get_path())
            yield path, artist.get_linestyle() not in ("None", "none", " ", "")
        elif isinstance(artist, PathCollection) and len(offsets := np.asarray(artist.get_offsets())):
            yield Path(artist.get_offset_transform().transform(offsets)), False


def _enters(path: Path, box: Bbox, *, joined: bool) -> bool:
    if joined and np.size(path.vertices) > 2:
        return bool(path.intersects_bbox(box, filled=False))
    x, y = np.asarray(path.vertices).T
    return bool(((box.x0 <= x) & (x <= box.x1) & (box.y0 <= y) & (y <= box.y1)).any())
