"""The plot of a sweep. `zoo.plots.figures.population` draws it with matplotlib."""

from __future__ import annotations

from abc import ABC, abstractmethod
from pathlib import Path
from typing import TYPE_CHECKING

from zoo.plots.importing import import_figures
from zoo.plots.population import Population

if TYPE_CHECKING:
    from matplotlib.figure import Figure


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


class PlottedSweep(ABC):
    """A sweep in Python, with a plot that can be changed."""

    @abstractmethod
    def population(self) -> Population:
        """What its plot shows."""

    def plot(self) -> Figure:
        """Draw what `sweep.png` shows.

            figure = sweep.plot()
            figure.axes[0].set_ylim(2, 3)
            figure.savefig("sweep.pdf")

        Returns:
            The figure; each panel is one of its `axes`. A notebook shows it once, at the end of the cell, and
            `plt.show()` shows it where pyplot was imported before.

        Raises:
            CheckpointError: a file of the sweep is damaged.
            OSError: it cannot be read.
        """
        figure: Figure = import_figures().draw_population(self.population())
        return figure
