"""Settings of matplotlib that a user may have, one after the other."""

from __future__ import annotations

from typing import Any, cast

import matplotlib.style
from cycler import cycler

SETTINGS: dict[str, dict[str, Any]] = {
    "usetex": {"text.usetex": True},
    "grid": {"axes.grid": True, "grid.color": "red", "grid.linewidth": 5},
    "colours": {"axes.facecolor": "black", "figure.facecolor": "0.3", "text.color": "white"},
    "colour of the file": {"savefig.facecolor": "red", "savefig.edgecolor": "blue", "savefig.transparent": True},
    "bounding box": {"savefig.bbox": "tight", "savefig.pad_inches": 2},
    "resolution": {"savefig.dpi": 30, "figure.dpi": 400},
    "size": {"figure.figsize": (1, 1), "font.size": 40},
    "layout": {"figure.autolayout": True, "figure.subplot.left": 0.4},
    "font": {"font.family": "monospace", "font.weight": "bold"},
    "missing font": {"font.family": "no such font", "font.sans-serif": ["nor this one"]},
    "mathtext": {"mathtext.default": "bf", "axes.formatter.use_mathtext": True, "text.parse_math": False},
    "no unicode minus": {"axes.unicode_minus": False, "axes.formatter.use_locale": True},
    "ticks": {"xtick.top": True, "ytick.minor.visible": True, "ytick.labelsize": 30, "xtick.direction": "in"},
    "margins": {"axes.xmargin": 0.4, "axes.autolimit_mode": "round_numbers"},
    "lines": {"lines.linewidth": 9, "lines.antialiased": False, "lines.markersize": 30, "axes.spines.top": True},
    "line style": {"lines.linestyle": "--", "lines.marker": "x", "scatter.marker": "s"},
    "cycle": {"axes.prop_cycle": cycler(color=["red"], linestyle=[":"])},
    "legend": {"legend.frameon": True, "legend.fontsize": 40, "legend.numpoints": 5, "legend.loc": "center"},
    "sketch": {"path.sketch": (1, 100, 2)},
    "no simplification": {"path.simplify": False, "agg.path.chunksize": 100, "path.snap": False},
    "hinting": {"text.hinting": "none", "text.antialiased": False},
    "format": {"savefig.format": "pdf", "svg.fonttype": "none", "pdf.fonttype": 42, "svg.hashsalt": "other"},
    "title": {"axes.titlelocation": "center", "axes.titlesize": 40, "axes.titlepad": 50, "axes.labelpad": 50},
    "timezone and locale": {"timezone": "Asia/Tokyo", "interactive": True, "toolbar": "None"},
    **{
        f"style {name}": dict(cast("dict[str, Any]", matplotlib.style.library[name]))
        for name in ("dark_background", "ggplot", "fivethirtyeight")
    },
}
