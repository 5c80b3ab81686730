"""How all plots look, whatever settings of matplotlib the user has; the figures and axes that they are drawn on.

Files are made with matplotlib's `Figure` and a file canvas, not with pyplot: no display is needed, and the figures of a
notebook are not affected. The same values give the same bytes. A plot that a person asks for in Python is drawn on
their axes in their style, or on a new figure in zoo's.
"""

from __future__ import annotations

import contextlib
import io
import sys
import threading
import warnings
from collections.abc import Iterator
from typing import Any, Literal, TypeAlias

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.colors import to_rgba
from matplotlib.figure import Figure, SubFigure
from matplotlib.text import Text

from zoo.errors import UsageError
from zoo.text import visible

Format: TypeAlias = Literal["png", "svg", "pdf"]
FORMATS: tuple[Format, ...] = ("png", "svg", "pdf")

FONT = "DejaVu Sans"  # comes with matplotlib
INK, PAPER = "#22313f", "#ffffff"
FAINT = "#8fa8c0"
# Told apart with any kind of colour vision: the colours of Okabe and Ito, "Color Universal Design" (2008), without
# yellow, which is too light for a line on white, and black.
BLUE, ORANGE, GREEN, PINK, AMBER, SKY = COLOURS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9")
_LONGEST_TITLE = 80  # characters
_TITLE_FONT: Any = {"fontsize": 11, "fontweight": "bold"}
_ONE_AT_A_TIME = threading.RLock()  # matplotlib's settings are global

_STYLE: Any = {
    "font.family": [FONT],
    "font.size": 10,
    "axes.edgecolor": INK,
    "axes.labelcolor": INK,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "text.color": INK,
    "xtick.color": INK,
    "ytick.color": INK,
    "svg.hashsalt": "zoo",  # otherwise the ids in an SVG are random
    "svg.fonttype": "path",
    "path.simplify": True,
}


@contextlib.contextmanager
def own_style() -> Iterator[None]:
    """matplotlib's defaults with `_STYLE` on top; the settings of the caller are put back at the end."""
    with _quietly(), mpl.rc_context():
        mpl.rcParams.update({name: value for name, value in mpl.rcParamsDefault.items() if name != "backend"})
        mpl.rcParams.update(_STYLE)
        yield


@contextlib.contextmanager
def _quietly() -> Iterator[None]:
    """One plot at a time. Characters that the fonts lack are drawn as boxes, and give no warnings."""
    with _ONE_AT_A_TIME, warnings.catch_warnings():
        warnings.simplefilter("ignore", mpl.MatplotlibDeprecationWarning)  # of a default
        warnings.filterwarnings("ignore", "Glyph .* missing from", UserWarning)
        warnings.filterwarnings("ignore", "Matplotlib currently does not support", UserWarning)
        yield


class OwnFigure(Figure):
    """A figure that has zoo's style whenever it is drawn: matplotlib reads some of its settings only then."""

    def draw(self, renderer: Any) -> None:
        """Draw it with zoo's settings."""
        with own_style():
            super().draw(renderer)


class OwnAxes(Axes):
    """Axes whose title is at the left: `ax.set_title("mine")` replaces it, and is not a second one in the middle."""

    def set_title(self, label: str, fontdict: Any = None, loc: Any = None, pad: Any = None, **arguments: Any) -> Text:
        """The title, by default where zoo's own is and in its font."""
        return super().set_title(label, fontdict, loc or "left", pad, **{**_TITLE_FONT, **arguments})

    def get_title(self, loc: Any = None) -> str:
        """The title, by default that at the left."""
        return super().get_title(loc or "left")


def new_axes(figure: Figure) -> Axes:
    """The only axes of a figure in zoo's style."""
    axes: Axes = figure.subplots(subplot_kw={"axes_class": OwnAxes})
    return axes


def new_figure(width: float, height: float) -> Figure:
    """A figure that pyplot does not know of; its sizes are in inches."""
    figure = OwnFigure(figsize=(width, height), layout="constrained")
    FigureCanvasAgg(figure)
    return figure


@contextlib.contextmanager
def drawing_on(ax: Axes | None, width: float, height: float) -> Iterator[Axes]:
    """The axes to draw on: the caller's own in the caller's style, or those of a new figure in zoo's.

    A new figure is one of pyplot's where the caller uses pyplot, or is in a notebook's kernel: there it is displayed
    once, at the end of its cell, and by `plt.show()` elsewhere. In any other process it is a figure of its own, which
    `ax.figure.savefig("loss.png")` writes, and pyplot is not imported.

    Args:
        ax: the caller's axes; None for new ones.
        width, height: of a new figure, in inches.

    Raises:
        UsageError: `ax` are no axes of two dimensions.
    """
    if ax is not None:
        if not isinstance(ax, Axes) or ax.name != "rectilinear":
            raise UsageError(f"ax must be a matplotlib Axes of two dimensions, got {type(ax).__name__}")
        with _quietly():
            yield ax
        return
    with shown_figure(width, height) as figure:
        yield new_axes(figure)


@contextlib.contextmanager
def shown_figure(width: float, height: float) -> Iterator[Figure]:
    """A new figure in zoo's style to draw on, which is displayed where `drawing_on` says; its sizes are in inches."""
    figure = _shown_figure(width, height)
    with own_style():
        figure.set_facecolor(PAPER)
        figure.patch.set_sketch_params(None)
        figure.patch.set_path_effects([])
        yield figure
        figure.draw_without_rendering()  # makes the ticks, whose style is that of the time when they are made


def _shown_figure(width: float, height: float) -> Figure:
    """A new figure of pyplot's, or of its own where there is no pyplot, or it has no backend that works."""
    pyplot: Any = sys.modules.get("matplotlib.pyplot")
    if pyplot is not None or _in_a_kernel():
        with contextlib.suppress(Exception):  # of a backend
            from matplotlib import pyplot

            figure: Figure = pyplot.figure(figsize=(width, height), layout="constrained", FigureClass=OwnFigure)
            return figure
    return new_figure(width, height)


def _in_a_kernel() -> bool:
    """Whether this is the process of a Jupyter notebook."""
    ipython: Any = sys.modules.get("IPython")
    shell = ipython.get_ipython() if ipython is not None else None
    return getattr(shell, "kernel", None) is not None


def figure_of(axes: Axes) -> Figure:
    """The whole figure that axes are in."""
    figure: Figure | SubFigure | None = axes.figure
    while isinstance(figure, SubFigure):
        figure = figure.figure
    assert figure is not None
    return figure


def set_title(axes: Axes, title: str, *, own: bool = True) -> None:
    """The title of a plot, which may be any text: names of models and files are in it.

    It is where the title of these axes is by default, so that `axes.set_title` replaces it.
    """
    text = axes.set_title(shortened(title, _LONGEST_TITLE), parse_math=False)
    text.set_usetex(False)
    if not own and text.get_window_extent().width > axes.get_window_extent().width:
        text.set_text(text.get_text().replace(", ", ",\n"))


def title_of(axes: Axes) -> str:
    """The title that `set_title` has given to axes, on one line."""
    places: tuple[Literal["left", "center", "right"], ...] = ("left", "center", "right")
    return next(filter(None, (axes.get_title(loc=place) for place in places)), "").replace("\n", " ")


def set_labels(axes: Axes, x: str, y: str) -> None:
    """The labels of the two axes, which may be any text."""
    for text in (axes.set_xlabel(x, parse_math=False), axes.set_ylabel(y, parse_math=False)):
        text.set_usetex(False)


def shortened(text: str, most: int) -> str:
    """Text of a checkpoint or a file on one line; of more than `most` characters the middle is left out."""
    text = visible(text)
    half = (most - 1) // 2
    return text if len(text) <= most else f"{text[:half]}…{text[-half:]}"


def is_dark(axes: Axes) -> bool:
    """Whether what is drawn stands before a dark background."""
    for colour in (axes.get_facecolor(), figure_of(axes).get_facecolor()):
        red, green, blue, alpha = to_rgba(colour)
        if alpha > 0.5:
            return luminance((red, green, blue)) < 0.4
    return False


def luminance(colour: Any) -> float:
    """From 0 for black to 1 for white, as sRGB weighs its colours."""
    red, green, blue, _ = to_rgba(colour)
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


def encode(figure: Figure, file_format: str) -> bytes:
    """The content of a file with the figure.

    Raises:
        UsageError: there is no such format.
    """
    if file_format not in FORMATS:
        raise UsageError(f"a plot is a {', '.join(FORMATS)} file, not {file_format!r}")
    undated = {"svg": {"Date": None}, "pdf": {"CreationDate": None}, "png": {}}[file_format]
    buffer = io.BytesIO()
    figure.savefig(buffer, format=file_format, dpi=140, metadata=undated)
    return buffer.getvalue()
