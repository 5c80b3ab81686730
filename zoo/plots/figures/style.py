"""How all plots look, whatever settings of matplotlib the user has, and their content as a file.

Plots use matplotlib's `Figure` and a file canvas, not `pyplot`: no display is needed, and the figures of a notebook are
not affected. The same values give the same bytes.
"""

from __future__ import annotations

import contextlib
import io
import threading
import warnings
from collections.abc import Iterator
from typing import Any, Literal, TypeAlias

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from zoo.errors import UsageError
from zoo.text import visible

Format: TypeAlias = Literal["png", "svg", "pdf"]
FORMATS: tuple[Format, ...] = ("png", "svg", "pdf")

INK = "#22313f"
FAINT = "#8fa8c0"
BLUE = "#1f6fb4"
ORANGE = "#d9622b"
GREEN = "#2e8b57"
GRID = "#e3e9ef"
# Told apart with any kind of colour vision: the colours of Okabe and Ito, "Color Universal Design" (2008), without
# yellow, which is too light for a line on white, and black.
COLOURS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9")
FONT = "DejaVu Sans"  # comes with matplotlib
_LONGEST_TITLE = 80  # characters
_ONE_AT_A_TIME = threading.Lock()  # matplotlib's settings are global

_STYLE: Any = {
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


def new_figure(width: float, height: float) -> Figure:
    """A figure that pyplot does not know of; its sizes are in inches."""
    return Figure(figsize=(width, height), layout="constrained")


def set_title(axes: Axes, title: str) -> None:
    """The title of a plot, which may be any text: names of models and files are in it."""
    text = shortened(title, _LONGEST_TITLE)
    axes.set_title(text, loc="left", fontsize=11, fontweight="bold", parse_math=False)


def shortened(text: str, most: int) -> str:
    """Text of a checkpoint or a file on one line; of more than `most` characters the middle is left out."""
    text = visible(text)
    half = (most - 1) // 2
    return text if len(text) <= most else f"{text[:half]}…{text[-half:]}"


def encode(figure: Figure, file_format: str) -> bytes:
    """The content of a file with the figure."""
    if file_format not in FORMATS:
        raise UsageError(f"a plot is a {', '.join(FORMATS)} file, not {file_format!r}")
    undated = {"svg": {"Date": None}, "pdf": {"CreationDate": None}, "png": {}}[file_format]
    buffer = io.BytesIO()
    figure.savefig(buffer, format=file_format, dpi=140, metadata=undated)
    return buffer.getvalue()
