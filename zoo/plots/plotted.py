"""The plots of a run in Python, on axes: the same of `zoo.Run` and `zoo.Loaded`."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import TYPE_CHECKING

from zoo.errors import UsageError
from zoo.plots.plot import Record, embeddings_plot, loss_plot

if TYPE_CHECKING:
    from matplotlib.axes import Axes


class Plotted(ABC):
    """Something with a record of its training, and with a trained model."""

    @abstractmethod
    def record(self, *, losses: bool) -> Record:
        """What the plots are made of; the losses only where they are wanted.

        Raises:
            UsageError: there are no losses.
        """

    def plot_loss(self, ax: Axes | None = None) -> Axes:
        """Draw the loss of every step, its running mean, the evaluations, and the losses of the splits.

            ax = run.plot_loss()
            ax.set_ylim(0.3, 0.6)
            ax.figure.savefig("loss.pdf")

        The losses of several runs are drawn on the same axes by `ax=`: each then has a colour and a name in the legend.

        Args:
            ax: matplotlib's Axes to draw on, in your own style; by default those of a new figure. A notebook shows that
                once, at the end of the cell, and `plt.show()` shows it where pyplot was imported before.

        Returns:
            The axes.

        Raises:
            UsageError: there are no losses, as of a file of weights alone; or `ax` are no axes to draw them on.
        """
        return loss_plot("loss", self.record(losses=True)).draw(ax)

    def plot_embeddings(self, ax: Axes | None = None, dims: tuple[int, int] = (0, 1), pca: bool = False) -> Axes:
        """Draw the map of the character embeddings: each as a dot with its character, in a colour for its kind.

        Args:
            ax: as for `plot_loss`.
            dims: the two dimensions to draw, counted from 0.
            pca: draw the first two principal components instead, with their shares of the variance.

        Returns:
            The axes.

        Raises:
            UsageError: the model has no character embeddings, or not these dimensions; or `ax` are no axes.
            PluginError: the model's spec names no such table.
        """
        if not isinstance(dims, tuple | list) or [type(dim) for dim in dims] != [int, int]:
            raise UsageError(f"dims must be two whole numbers, as in (0, 1), got {dims!r}")
        plot = embeddings_plot("embeddings", self.record(losses=False), dims=(dims[0], dims[1]), pca=pca)
        return plot.draw(ax)
