"""All that is drawn with matplotlib: one module for each plot, and what they share.

Import it through `zoo.plots.importing`, which copes with whatever settings of matplotlib the user has.
"""

from zoo.plots.figures.embeddings import draw_embeddings, plot_embeddings
from zoo.plots.figures.loss import draw_loss, plot_loss
from zoo.plots.figures.overlay import plot_overlay
from zoo.plots.figures.population import draw_population, plot_population
from zoo.plots.figures.style import FORMATS

__all__ = [
    "FORMATS",
    "draw_embeddings",
    "draw_loss",
    "draw_population",
    "plot_embeddings",
    "plot_loss",
    "plot_overlay",
    "plot_population",
]
