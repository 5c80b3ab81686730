"""The plot of a sweep: results over what varies, and the losses on the way, with bands over seeds."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TypeAlias

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from zoo.plots.figures.population.curves import draw_over_seconds, draw_over_steps
from zoo.plots.figures.population.heat import draw_heat_map
from zoo.plots.figures.population.ladder import draw_over_parameters
from zoo.plots.figures.population.results import draw_seeds, draw_slice, draw_trials
from zoo.plots.figures.style import Format, OwnAxes, encode, new_figure, own_style, shortened, shown_figure
from zoo.plots.population import Population

_PANEL = (5.2, 4.4)  # inches
_MOST_SLICES = 6
_COLUMNS = 3
_TITLE = 110  # characters

Draw: TypeAlias = Callable[[Axes], None]


def plot_population(population: Population, *, file_format: Format = "png") -> bytes:
    """Plot a sweep: a panel for its results or for each of what varies, and one for the losses on the way.

    Raises:
        UsageError: the format is not one of `FORMATS`.
    """
    panels = _panels(population)
    with own_style():
        figure = new_figure(*_size(panels))
        _draw(panels, population.title, figure)
        return encode(figure, file_format)


def draw_population(population: Population) -> Figure:
    """The same on a figure to look at and to change."""
    panels = _panels(population)
    with shown_figure(*_size(panels)) as figure:
        _draw(panels, population.title, figure)
    return figure


def _size(panels: Sequence[Draw]) -> tuple[float, float]:
    """The width and the height of a figure with these panels."""
    rows, columns = _grid(panels)
    return max(7.0, _PANEL[0] * columns), _PANEL[1] * rows + 0.4


def _grid(panels: Sequence[Draw]) -> tuple[int, int]:
    columns = min(_COLUMNS, len(panels))
    return -(-len(panels) // columns), columns


def _draw(panels: Sequence[Draw], title: str, figure: Figure) -> None:
    grid = figure.subplots(*_grid(panels), squeeze=False, subplot_kw={"axes_class": OwnAxes})
    for axes in grid.flat[len(panels) :]:
        axes.remove()
    for axes, draw in zip(grid.flat, panels, strict=False):
        draw(axes)
    text = figure.suptitle(shortened(title, _TITLE), x=0.01, ha="left", fontsize=11, fontweight="bold")
    text.set_parse_math(False)


def _panels(population: Population) -> list[Draw]:
    """What is drawn, in its order."""
    panels: list[Draw]
    if population.view == "ladder":
        panels = [lambda axes: draw_over_parameters(axes, population)]
    elif not population.names:
        panels = [lambda axes: draw_seeds(axes, population)]
    elif population.view == "trials":
        panels = [_of(draw_trials, population, place) for place in _shown(population.names)]
    elif len(population.names) == 2:
        panels = [lambda axes: draw_heat_map(axes, population)]
    else:
        panels = [_of(draw_slice, population, place) for place in _shown(population.names)]
    if population.bands:
        panels.append(lambda axes: draw_over_steps(axes, population))
        if population.view == "ladder" and all(len(band.seconds) for band in population.bands):
            panels.append(lambda axes: draw_over_seconds(axes, population))
    return panels


def _shown(names: Sequence[str]) -> range:
    return range(min(len(names), _MOST_SLICES))


def _of(draw: Callable[[Axes, Population, int], None], population: Population, place: int) -> Draw:
    return lambda axes: draw(axes, population, place)
