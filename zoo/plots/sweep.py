"""The plot of a sweep. `zoo.plots.figures.population` draws it with matplotlib."""

from __future__ import annotations

from pathlib import Path

from zoo.plots.importing import import_figures
from zoo.plots.population import Population


def plot_population(population: Population, file_format: str = "png", scratch: Path | None = None) -> bytes:
    """Draw a sweep: the content of a file. The same population gives the same bytes.

    Importing this module imports no matplotlib; this function does, whatever the user's settings for it are.

    Args:
        population: what is to be seen.
        file_format: one of `zoo.plots.figures.FORMATS`.
        scratch: a folder that can be written, see `zoo.plots.plot.Plot.render`.

    Raises:
        UsageError: there is no such format.
        Exception: whatever matplotlib raises.
    """
    content: bytes = import_figures(scratch).plot_population(population, file_format=file_format)
    return content
