"""Several runs in one plot. `zoo.plots.figures.overlay` draws it with matplotlib."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Literal

from zoo.plots.curves import Curve
from zoo.plots.importing import import_figures

__all__ = ["Curve", "plot_overlay"]


def plot_overlay(
    curves: Sequence[Curve],
    title: str,
    *,
    unit: str = "nats",
    file_format: Literal["png", "svg", "pdf"] = "png",
    scratch: Path | None = None,
) -> bytes:
    """Plot a running mean of the losses of each run; the same curves give the same bytes.

    Importing this module imports no matplotlib; this function does, whatever the user's settings for it are.

    Args:
        curves: one for each run, in the order of the legend. Those without losses are left out.
        title: above the plot.
        unit: what all losses are in.
        file_format: of the content that is returned.
        scratch: a folder that can be written, see `Plot.render`.

    Raises:
        UsageError: there are no losses, or there is no such format.
    """
    content: bytes = import_figures(scratch).plot_overlay(curves, title, unit=unit, file_format=file_format)
    return content
