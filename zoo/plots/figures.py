"""The two plots of a run: the loss curve and the map of the character embeddings.

They use matplotlib's `Figure` and a file canvas, not `pyplot`: no display is needed, and the figures of a notebook are
not affected. `_own_style` is the only place that decides how they look, whatever settings of matplotlib the user has.
The same run gives the same bytes.

Axes: V characters, E embedding dimensions.
"""

from __future__ import annotations

import contextlib
import io
import math
import threading
import warnings
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Literal, NamedTuple, TypeAlias

import matplotlib as mpl
import numpy as np
from matplotlib import font_manager
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import FixedLocator, FuncFormatter, MaxNLocator
from numpy.typing import ArrayLike, NDArray

from zoo.errors import UsageError
from zoo.numbers import show_loss
from zoo.text import visible

Format: TypeAlias = Literal["png", "svg", "pdf"]
FORMATS: tuple[Format, ...] = ("png", "svg", "pdf")

_INK = "#22313f"
_FAINT = "#8fa8c0"
_BLUE = "#1f6fb4"
_ORANGE = "#d9622b"
_GREEN = "#2e8b57"
_MAX_UNIT = 60  # characters of the unit of losses
_MAX_POINTS = 20_000  # of the raw losses: more cannot be told apart, and are slow to draw
_NATS = (0.1, 0.2, 0.5, 1, 1.5, 2, 2.5, 3, 4, 5, 7, 10, 15, 20, 30, 50, 100)
_MOST_POWERS = 8  # of ten: no number is drawn over another
_DOT = 260.0  # area of a dot, in points squared
_MAX_SPREAD = 500  # characters; more than these overlap in any case
_VOWELS = frozenset("aeiouAEIOU")
_VISIBLE = {"": "start", "\n": "⏎", "\t": "⇥", " ": "␣"}  # labels that would not be seen
_BOUNDARIES = {".": "start and end (.)", "\n": "start and end (⏎)", "": "start"}
_ONE_AT_A_TIME = threading.Lock()  # matplotlib's settings are global

_STYLE: Any = {
    "font.size": 10,
    "axes.edgecolor": _INK,
    "axes.labelcolor": _INK,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "text.color": _INK,
    "xtick.color": _INK,
    "ytick.color": _INK,
    "svg.hashsalt": "zoo",  # otherwise the ids in an SVG are random
    "svg.fonttype": "path",
    "path.simplify": True,
}


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
    scale = _Scale.of(unit, losses, final, evaluations)
    values = scale(losses)
    window = max(1, len(values) // 100)
    with _own_style():
        figure = Figure(figsize=(8, 4.5), layout="constrained")
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
            color=_FAINT,
            rasterized=True,
            label="each step",
        )
        mean, centres = _running_mean(values, window)
        axes.plot(centres, mean, color=_BLUE, lw=1.8, label=f"mean of {window:,} steps" if window > 1 else "loss")
        levels = _plot_evaluations(axes, final or {}, evaluations, scale)
        _loss_axes(axes, np.append(values, levels), len(values), scale)
        axes.set_title(title, loc="left", fontsize=11, fontweight="bold", parse_math=False)
        axes.legend(loc="upper right", frameon=False, fontsize=9, markerscale=3)
        return _encode(figure, file_format)


def _plot_evaluations(
    axes: Axes, final: Mapping[str, float], evaluations: Sequence[tuple[int, float]], scale: _Scale
) -> list[float]:
    """The losses of full splits at the end, and of the evaluations on the way; their levels."""
    plotted = []
    for name, colour in (("train", _GREEN), ("val", _ORANGE)):
        if name in final:
            level = float(scale(final[name]))
            label = f"{name} at the end: {show_loss(final[name])}"
            axes.axhline(level, color=colour, lw=1, ls=(0, (4, 3)), label=label)
            plotted.append(level)
    if finite := [(step, float(scale(loss))) for step, loss in evaluations if math.isfinite(loss)]:
        at, levels = zip(*finite, strict=True)
        axes.plot(at, levels, color=_ORANGE, lw=1, label="validation")
        axes.plot(at, levels, "o", ms=4, color=_ORANGE)  # not in the legend, which enlarges dots
        plotted += levels
    return plotted


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
    with _own_style():
        mpl.rcParams["font.family"], texts = _legible(labels)
        figure = Figure(figsize=(8, 7), layout="constrained")
        axes = figure.subplots()
        axes.set_xlabel(names[0])
        axes.set_ylabel(names[1])
        axes.set_title(title, loc="left", fontsize=11, fontweight="bold", parse_math=False)
        axes.grid(color="#e3e9ef", lw=0.8)
        axes.set_axisbelow(True)
        axes.margins(0.06)
        _plot_characters(figure, axes, xy, labels, texts)
        return _encode(figure, file_format)


def _plot_characters(
    figure: Figure, axes: Axes, xy: NDArray[np.float64], labels: Sequence[str], texts: Sequence[str]
) -> None:
    """Plot a labelled dot for each character; overlapping dots are moved apart and linked to their true positions.

    Args:
        xy: positions, shape (V, 2).
        labels: the characters, which select the colours.
        texts: the text in each dot.
    """
    area = _DOT if len(labels) <= 100 else _DOT * 100 / len(labels)  # points squared
    groups = _groups(labels)
    for _, rows, colour in groups:  # true positions, visible only where a dot is moved away
        axes.plot(xy[rows, 0], xy[rows, 1], ".", ms=4, color=colour, zorder=2)
    handles = [
        Line2D([], [], ls="", marker="o", ms=8, color=colour, label=label) for label, rows, colour in groups if rows
    ]
    axes.legend(handles=handles, loc="upper center", bbox_to_anchor=(0.5, -0.09), ncols=4, frameon=False)
    figure.draw_without_rendering()  # computes the layout, which determines the distances in pixels
    figure.set_layout_engine("none")  # keeps it
    to_pixels = axes.transData
    diameter = math.sqrt(area) * figure.dpi / 72
    moved = to_pixels.inverted().transform(_spread(to_pixels.transform(xy), 1.04 * diameter))
    axes.set_autoscale_on(False)
    for true, dot in zip(xy, moved, strict=True):
        axes.plot([true[0], dot[0]], [true[1], dot[1]], color=_INK, lw=0.8, zorder=1.5)
    for _, rows, colour in groups:
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


@contextlib.contextmanager
def _own_style() -> Iterator[None]:
    """matplotlib's defaults with `_STYLE` on top; the settings of the caller are put back at the end.

    Characters that the fonts lack are drawn as boxes, and give no warnings.
    """
    with _ONE_AT_A_TIME, mpl.rc_context(), warnings.catch_warnings():
        warnings.simplefilter("ignore", mpl.MatplotlibDeprecationWarning)  # of a default
        warnings.filterwarnings("ignore", "Glyph .* missing from", UserWarning)
        warnings.filterwarnings("ignore", "Matplotlib currently does not support", UserWarning)
        mpl.rcParams.update({name: value for name, value in mpl.rcParamsDefault.items() if name != "backend"})
        mpl.rcParams.update(_STYLE)
        yield


class _Scale(NamedTuple):
    """How losses are plotted: by their log10, or as they are."""

    unit: str
    linear: bool

    @classmethod
    def of(
        cls,
        unit: str,
        losses: Sequence[float],
        final: Mapping[str, float] | None,
        evaluations: Sequence[tuple[int, float]],
    ) -> _Scale:
        """For losses that may be 0 or below, as they are."""
        others = [*(final or {}).values(), *(loss for _, loss in evaluations)]
        return cls(unit, bool(np.nanmin(losses) <= 0) or any(loss <= 0 for loss in others))

    @property
    def label(self) -> str:
        """Of the axis; the unit may be anyone's."""
        return f"loss ({visible(self.unit[:_MAX_UNIT])})"

    def __call__(self, losses: ArrayLike) -> NDArray[np.float64]:
        return np.asarray(losses, dtype=np.float64) if self.linear else _log10(losses)


def _loss_axes(axes: Axes, values: NDArray[np.float64], steps: int, scale: _Scale) -> None:
    """Set limits, labels and ticks: log10 of the loss on the left, the loss on the right."""
    low, high = float(values.min()), float(values.max())
    pad = 0.04 * (high - low) or 0.05
    axes.set_ylim(low - pad, high + pad)
    axes.set_xlim(-0.01 * steps, 1.01 * steps)
    axes.set_xlabel("step")
    axes.set_ylabel(scale.label if scale.linear else "log10(loss)", parse_math=False)
    axes.xaxis.set_major_locator(MaxNLocator(integer=True, steps=[1, 2, 5, 10]))
    axes.xaxis.set_major_formatter(FuncFormatter(lambda step, _: f"{step:,.0f}"))
    axes.grid(axis="y", color="#e3e9ef", lw=0.8)
    if scale.linear:
        return
    right = axes.secondary_yaxis("right", functions=(_exp10, _log10))
    right.set_ylabel(scale.label, parse_math=False)
    right.yaxis.set_major_formatter(FuncFormatter(lambda loss, _: f"{loss:g}"))
    right.yaxis.set_major_locator(FixedLocator(_ticks(low - pad, high + pad)))


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
    return np.log10(np.maximum(np.asarray(x, dtype=np.float64), 1e-12))


def _running_mean(values: NDArray[np.float64], window: int) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Means over full windows of `window` values, and the centre of each window."""
    sums = np.cumsum(np.insert(values, 0, 0.0))
    means = (sums[window:] - sums[:-window]) / window
    return means, np.arange(len(means), dtype=np.float64) + (window - 1) / 2


def _legible(labels: Sequence[str]) -> tuple[list[str], list[str]]:
    """Font families that together have the characters, and the text for each: its code point if no font has it."""
    families = list(mpl.rcParams["font.family"])
    default = font_manager.findfont(font_manager.FontProperties(family=families))
    texts = [_VISIBLE.get(label, label) for label in labels]
    missing = {c for c in "".join(texts) if not font_manager.get_font(default).get_char_index(ord(c))}
    for entry in sorted(font_manager.fontManager.ttflist, key=lambda font: (font.name, font.fname)):
        if not missing:
            break
        if entry.style != "normal" or entry.name.startswith("Last Resort"):
            continue
        font = font_manager.get_font(entry.fname)
        found = {c for c in missing if font.get_char_index(ord(c))}
        if found:
            families.append(entry.name)
            missing -= found
    return families, [f"{ord(text):04X}" if text in missing else text for text in texts]


def _groups(labels: Sequence[str]) -> list[tuple[str, list[int], str]]:
    """Legend text, rows and colour of each kind of character."""
    boundary = _BOUNDARIES.get(labels[0]) if labels else None
    first = 0 if boundary is None else 1
    vowels = [i for i, c in enumerate(labels) if c in _VOWELS]
    others = [i for i, c in enumerate(labels) if c not in _VOWELS and c != "q" and i >= first]
    letters = all(labels[i].isalpha() for i in others)
    return [
        ("vowels" if vowels else "", vowels, _ORANGE),
        ("characters" if not vowels else "other letters" if letters else "other characters", others, _BLUE),
        (boundary or "", list(range(first)), _INK),
        ("q", [i for i, c in enumerate(labels) if c == "q"], "#8e44ad"),
    ]


def _two_dims(table: NDArray[np.float32], dims: tuple[int, int]) -> tuple[NDArray[np.float64], tuple[str, str]]:
    size = table.shape[1]
    if size < 2:
        raise UsageError(f"a plot of embeddings needs at least 2 dimensions, and this table has {size}")
    if not all(0 <= dim < size for dim in dims) or dims[0] == dims[1]:
        raise UsageError(f"--dims takes two different dimensions from 0 to {size - 1}, got {dims[0]},{dims[1]}")
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


def _encode(figure: Figure, file_format: str) -> bytes:
    """The content of a file with the figure."""
    if file_format not in FORMATS:
        raise UsageError(f"a plot is a {', '.join(FORMATS)} file, not {file_format!r}")
    undated = {"svg": {"Date": None}, "pdf": {"CreationDate": None}, "png": {}}[file_format]
    buffer = io.BytesIO()
    figure.savefig(buffer, format=file_format, dpi=140, metadata=undated)
    return buffer.getvalue()
