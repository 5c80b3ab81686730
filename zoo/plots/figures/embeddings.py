"""The map of the character embeddings.

Axes: V characters, E embedding dimensions.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from numpy.typing import ArrayLike, NDArray

from zoo.errors import UsageError
from zoo.phrasing import option
from zoo.plots.figures.characters import groups, legible
from zoo.plots.figures.style import GRID, INK, Format, encode, new_figure, own_style, set_title

_DOT = 260.0  # area of a dot, in points squared
_MAX_SPREAD = 500  # characters; more than these overlap in any case


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
            Vowels, other letters, the boundary and `q` have different colours.
        title: above the plot.
        dims: the two dimensions to plot, counted from 0.
        pca: plot the first two principal components instead.
        file_format: of the content that is returned.

    Raises:
        UsageError: the table has fewer than two dimensions, or not those of `dims`; the format is not one of `FORMATS`.
    """
    rows = np.asarray(table, dtype=np.float32)
    xy, names = _principal(rows) if pca else _two_dims(rows, dims)
    with own_style():
        families, texts = legible(labels)
        figure = new_figure(8, 7)
        axes = figure.subplots()
        axes.set_xlabel(names[0])
        axes.set_ylabel(names[1])
        set_title(axes, title)
        axes.grid(color=GRID, lw=0.8)
        axes.set_axisbelow(True)
        axes.margins(0.06)
        _plot_characters(figure, axes, xy, labels, texts, families)
        return encode(figure, file_format)


def _plot_characters(
    figure: Figure,
    axes: Axes,
    xy: NDArray[np.float64],
    labels: Sequence[str],
    texts: Sequence[str],
    families: Sequence[str],
) -> None:
    """Plot a labelled dot for each character; overlapping dots are moved apart and linked to their true positions.

    Args:
        xy: positions, shape (V, 2).
        labels: the characters, which select the colours.
        texts: the text in each dot.
        families: the fonts that have these texts.
    """
    area = _DOT if len(labels) <= 100 else _DOT * 100 / len(labels)  # points squared
    kinds = groups(labels)
    for _, rows, colour in kinds:  # true positions, visible only where a dot is moved away
        axes.plot(xy[rows, 0], xy[rows, 1], ".", ms=4, color=colour, zorder=2)
    handles = [
        Line2D([], [], ls="", marker="o", ms=8, color=colour, label=label) for label, rows, colour in kinds if rows
    ]
    axes.legend(handles=handles, loc="upper center", bbox_to_anchor=(0.5, -0.09), ncols=4, frameon=False)
    figure.draw_without_rendering()  # computes the layout, which determines the distances in pixels
    figure.set_layout_engine("none")  # keeps it
    to_pixels = axes.transData
    diameter = math.sqrt(area) * figure.dpi / 72
    moved = to_pixels.inverted().transform(_spread(to_pixels.transform(xy), 1.04 * diameter))
    axes.set_autoscale_on(False)
    for true, dot in zip(xy, moved, strict=True):
        axes.plot([true[0], dot[0]], [true[1], dot[1]], color=INK, lw=0.8, zorder=1.5)
    for _, rows, colour in kinds:
        axes.scatter(moved[rows, 0], moved[rows, 1], s=area, color=colour, edgecolors="white", linewidths=0.8, zorder=3)
    for (x, y), text in zip(moved, texts, strict=True):
        axes.text(
            x,
            y,
            text,
            ha="center",
            va="center_baseline",
            color="white",
            weight="bold",
            family=families,
            fontsize=(0.58 if len(text) == 1 else 0.28) * math.sqrt(area),
            parse_math=False,
            zorder=4,
        )


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
    for _ in range(400):
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
