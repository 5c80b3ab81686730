"""The map of the character embeddings.

Axes: V characters, E embedding dimensions.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from matplotlib.axes import Axes
from matplotlib.collections import LineCollection
from matplotlib.lines import Line2D
from numpy.typing import ArrayLike, NDArray

from zoo.errors import UsageError
from zoo.phrasing import option
from zoo.plots.figures.characters import Group, groups, legible
from zoo.plots.figures.legend import legend_below, legend_within
from zoo.plots.figures.style import (
    FAINT,
    INK,
    PAPER,
    Format,
    drawing_on,
    encode,
    figure_of,
    is_dark,
    luminance,
    new_axes,
    new_figure,
    own_style,
    set_labels,
    set_title,
)

_SIZE = (8.0, 7.2)  # inches, for so many characters; for more the figure grows
_MANY = 100
_MOST_GROWTH = 2.5  # of width and height
_DOT = 260.0  # area of a dot, in points squared
_LEAST_DOT = 40.0
_MAX_SPREAD = 700  # characters; more than these overlap in any case


class _Map(NamedTuple):
    """What is drawn: positions (V, 2), what each axis shows, and the characters."""

    xy: NDArray[np.float64]
    names: tuple[str, str]
    labels: Sequence[str]
    title: str

    @classmethod
    def of(
        cls,
        table: ArrayLike,
        labels: Sequence[str],
        title: str,
        dims: tuple[int, int] = (0, 1),
        pca: bool = False,
    ) -> _Map:
        rows = np.asarray(table, dtype=np.float32)
        xy, names = _principal(rows) if pca else _two_dims(rows, dims)
        return cls(xy, names, labels, title)

    @property
    def size(self) -> tuple[float, float]:
        """Of a figure in which its labels can be read, in inches."""
        growth = min(_MOST_GROWTH, math.sqrt(max(1.0, len(self.labels) / _MANY)))
        return _SIZE[0] * growth, _SIZE[1] * growth


def plot_embeddings(
    table: ArrayLike,
    labels: Sequence[str],
    title: str,
    *,
    dims: tuple[int, int] = (0, 1),
    pca: bool = False,
    file_format: Format = "png",
) -> bytes:
    """Plot each row of an embedding table as a dot labelled with its character.

    Args:
        table: shape (V, E), in float32.
        labels: V characters; the first is the boundary, written as in a vocabulary: `.`, a newline or nothing.
            Each kind of character has a colour of its own: see `zoo.plots.figures.characters`.
        title: above the plot.
        dims: the two dimensions to plot, counted from 0.
        pca: plot the first two principal components instead.
        file_format: of the content that is returned.

    Raises:
        UsageError: the table has fewer than two dimensions, or not those of `dims`; the format is not one of `FORMATS`.
    """
    shown = _Map.of(table, labels, title, dims, pca)
    with own_style():
        figure = new_figure(*shown.size)
        _draw(new_axes(figure), shown, own=True)
        return encode(figure, file_format)


def draw_embeddings(ax: Axes | None, **arguments: Any) -> Axes:
    """Draw what `plot_embeddings` plots, with its arguments, on axes; see `drawing_on`.

    Raises:
        UsageError: as `plot_embeddings`, or `ax` are no such axes.
    """
    shown = _Map.of(**arguments)
    with drawing_on(ax, *shown.size) as axes:
        _draw(axes, shown, own=ax is None)
    return axes


def _draw(axes: Axes, shown: _Map, *, own: bool) -> None:
    families, texts = legible(shown.labels)
    set_labels(axes, *shown.names)
    set_title(axes, shown.title, own=own)
    axes.grid(color=FAINT, alpha=0.3, lw=0.8, ls="-")
    axes.set_axisbelow(True)
    axes.margins(0.06)
    kinds, rims = groups(shown.labels), PAPER
    if is_dark(axes):
        rims = INK
        kinds = [(group._replace(colour=FAINT) if group.colour == INK else group, rows) for group, rows in kinds]
    for group, rows in kinds:  # true positions, visible only where a dot is moved away
        colour = group.rim or group.colour
        x, y = shown.xy[rows].T
        axes.plot(x, y, marker=".", ls="", ms=4, mew=0, color=colour, zorder=2, label=f"_{group.name}")
    axes.autoscale_view()
    handles = [_handle(group, rims) for group, _ in kinds]
    if own:
        legend_below(axes, handles)
        figure = figure_of(axes)
        figure.draw_without_rendering()  # computes the layout, which determines the distances in pixels
        figure.set_layout_engine("none")  # keeps it
    else:
        legend_within(axes, handles, margin=9)
    _draw_dots(axes, shown.xy, kinds, texts, families, rims)


def _handle(group: Group, rims: str) -> Line2D:
    marker = "s" if group.square else "o"
    rim = group.rim or rims
    return Line2D([], [], ls="", marker=marker, ms=8, label=group.name, color=group.colour, mec=rim, mew=0.8)


def _draw_dots(
    axes: Axes,
    xy: NDArray[np.float64],
    kinds: Sequence[tuple[Group, list[int]]],
    texts: Sequence[str],
    families: Sequence[str],
    rims: str,
) -> None:
    """Draw a labelled dot for each character; overlapping dots are moved apart and linked to their true positions.

    Args:
        axes: whose limits and size are decided.
        xy: positions, shape (V, 2).
        kinds: the groups of the characters, and the rows of each.
        texts: the text in each dot.
        families: the fonts that have these texts.
        rims: the colour around the dots.
    """
    dpi, to_pixels = figure_of(axes).dpi, axes.transData
    frame = axes.get_window_extent()
    share = frame.width * frame.height * (72 / dpi) ** 2 / max(1, len(xy)) / 7  # at most a seventh is covered by dots
    area = min(_DOT, max(_LEAST_DOT, share))
    moved = to_pixels.inverted().transform(_spread(to_pixels.transform(xy), 1.04 * math.sqrt(area) * dpi / 72))
    if axes.get_autoscale_on():
        _make_room(axes, moved, math.sqrt(area) * dpi / 72)
    axes.set_autoscale_on(False)
    links = np.stack([xy, moved], axis=1)  # (V, 2 ends, 2)
    axes.add_collection(LineCollection(list(links), colors=FAINT if rims == INK else INK, linewidths=0.8, zorder=1.5))
    for group, rows in kinds:
        axes.scatter(
            moved[rows, 0],
            moved[rows, 1],
            s=area,
            marker="s" if group.square else "o",
            color=group.colour,
            edgecolors=group.rim or rims,
            linewidths=0.8,
            zorder=3,
        )
    colours = {row: group.colour for group, rows in kinds for row in rows}
    for row, text in enumerate(texts):
        written = axes.text(
            moved[row, 0],
            moved[row, 1],
            text,
            ha="center",
            va="center_baseline",
            color=INK if luminance(colours[row]) > 0.45 else PAPER,
            weight="bold",
            family=families,
            fontsize=_width(text) * math.sqrt(area),
            parse_math=False,
            clip_on=True,
            zorder=4,
        )
        written.set_usetex(False)


def _make_room(axes: Axes, dots: NDArray[np.float64], diameter: float) -> None:
    """Widen the limits where a dot was moved beyond them; the diameter is in pixels."""
    to_pixels = axes.transData
    pixels = to_pixels.transform(dots)
    low, high = (
        to_pixels.inverted().transform(corner) for corner in (pixels.min(0) - diameter, pixels.max(0) + diameter)
    )
    for of, get, change in ((0, axes.get_xlim, axes.set_xlim), (1, axes.get_ylim, axes.set_ylim)):
        limits = get()
        change(min(limits[0], low[of]), max(limits[1], high[of]))


def _width(text: str) -> float:
    """The size of a text's letters, as a share of the width of the dot that it is in."""
    return 0.58 if len(text) == 1 or text.startswith("◌") else min(0.28, 1.3 / len(text))


def _spread(points: NDArray[np.float64], distance: float) -> NDArray[np.float64]:
    """Move points (V, 2) apart until no two are nearer than `distance`.

    Repeatedly, each pair that is too near is moved apart along the line between its points, each point by half of the
    missing distance.
    """
    moved = points.copy()
    if len(points) > _MAX_SPREAD:
        return moved
    angles = np.arange(len(points)) * 2.399963  # the golden angle: equal points need different directions
    moved += 1e-3 * np.stack([np.cos(angles), np.sin(angles)], axis=1)
    for _ in range(400 if len(points) <= 300 else 150):
        gap = moved[:, None] - moved[None, :]  # (V, V, 2)
        length = np.hypot(gap[..., 0], gap[..., 1])
        np.fill_diagonal(length, np.inf)
        missing = np.clip(distance - length, 0.0, None)
        if missing.max() < 0.02 * distance:
            break
        moved += 0.5 * (gap / length[..., None] * missing[..., None]).sum(axis=1)
    return moved


def _two_dims(table: NDArray[np.float32], dims: tuple[int, int]) -> tuple[NDArray[np.float64], tuple[str, str]]:
    size = table.shape[1]
    if size < 2:
        raise UsageError(f"a plot of embeddings needs at least 2 dimensions, and this table has {size}")
    if not all(0 <= dim < size for dim in dims) or dims[0] == dims[1]:
        raise UsageError(
            f"{option('dims')} takes two different dimensions from 0 to {size - 1}, got {dims[0]},{dims[1]}"
        )
    return table[:, list(dims)].astype(np.float64), (f"dimension {dims[0]}", f"dimension {dims[1]}")


def _principal(table: NDArray[np.float32]) -> tuple[NDArray[np.float64], tuple[str, str]]:
    """The first two principal components by SVD; their signs are fixed, so that similar tables give similar plots."""
    if min(table.shape) < 2:
        raise UsageError(f"a plot of embeddings needs at least 2 dimensions, and this table has {table.shape[1]}")
    centred = table.astype(np.float64) - table.mean(axis=0, dtype=np.float64)
    u, s, _ = np.linalg.svd(centred, full_matrices=False)
    scores = u[:, :2] * s[:2]
    scores *= np.sign(scores[np.abs(scores).argmax(axis=0), [0, 1]])
    share = s**2 / max(float((s**2).sum()), 1e-30)
    names = [f"principal component {i + 1} ({share[i]:.0%} of the variance)" for i in range(2)]
    return scores, (names[0], names[1])
