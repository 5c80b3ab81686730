"""Results over two settings: a heat map of their means."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import LogNorm, Normalize
from matplotlib.patches import Patch, Rectangle

from zoo.plots.figures.population.axes import LOST, is_number, legend_above, name_ticks
from zoo.plots.figures.population.results import best_of, deviation_of, mean_of
from zoo.plots.figures.style import INK, PAPER, figure_of, luminance, set_labels, shortened
from zoo.plots.population import Group, Population

_MOST_TEXTS = 64  # cells with their numbers
_RATIO = 10  # of the means, from which on colours are logarithmic


def draw_heat_map(axes: Axes, population: Population) -> None:
    """The mean over seeds of each pair of values, darker where it is better. A cell that lost members is hatched."""
    rows, columns = (_axis(population, place) for place in (0, 1))
    if len(rows) > len(columns):  # the longer one is the wider one
        rows, columns, first = columns, rows, 1
    else:
        first = 0
    cells = {(group.values[first], group.values[1 - first]): group for group in population.groups}
    means = np.asarray(
        [[mean_of(cells[at]) if (at := (row, column)) in cells else math.nan for column in columns] for row in rows]
    )
    image = axes.imshow(
        np.ma.masked_invalid(means), cmap="Blues" if population.higher else "Blues_r", norm=_norm(means), aspect="auto"
    )
    axes.set_facecolor("#eeeeee")
    name_ticks(axes, columns)
    name_ticks(axes, rows, "y")
    axes.invert_yaxis()
    set_labels(axes, shortened(population.names[1 - first], 60), shortened(population.names[first], 60))
    for spine in axes.spines.values():
        spine.set_visible(False)
    axes.tick_params(length=0)
    best, texts = best_of(population), means.size <= _MOST_TEXTS
    for y, row in enumerate(rows):
        for x, column in enumerate(columns):
            group = cells.get((row, column))
            if group is not None:
                colour = PAPER if math.isfinite(means[y, x]) and luminance(image.to_rgba(means[y, x])) < 0.5 else INK
                _draw_cell(axes, x, y, group, colour if texts else None, best=group is best)
    lost = any(group.lost or group.failed for group in population.groups)
    _legend(axes, best=best is not None, lost=lost)
    if np.isfinite(means).any():
        bar = figure_of(axes).colorbar(image, ax=axes)
        bar.set_label(f"{population.measure}, mean over seeds", parse_math=False)
        bar.outline.set_visible(False)


def _axis(population: Population, place: int) -> list[Any]:
    """The values of one of the names: numbers in their order, others as they come."""
    values = list(dict.fromkeys(group.values[place] for group in population.groups))
    return sorted(values) if all(map(is_number, values)) else values


def _norm(means: Any) -> Normalize:
    known = means[np.isfinite(means)]
    if known.size and known.min() > 0 and known.max() > _RATIO * known.min():
        return LogNorm(known.min(), known.max())
    return Normalize(known.min(), known.max()) if known.size else Normalize(0, 1)


def _draw_cell(axes: Axes, x: int, y: int, group: Group, colour: Any, *, best: bool) -> None:
    lost = group.lost + group.failed
    corner = (x - 0.5, y - 0.5)
    if lost:
        axes.add_patch(Rectangle(corner, 1, 1, fill=False, hatch="xx" if not group.results else "//", ec=LOST, lw=0))
    if best:
        axes.add_patch(Rectangle((x - 0.47, y - 0.47), 0.94, 0.94, fill=False, ec=LOST, lw=2))
    if colour is None:
        return
    text = f"{mean_of(group):.4g}" if group.results else ""
    if deviation_of(group):
        text += f"\n± {deviation_of(group):.2g}"
    if lost:
        text += f"\n{lost} of {lost + len(group.results)} lost"
    box: Any = {"bbox": {"fc": PAPER, "ec": "none", "alpha": 0.8, "pad": 1.5}} if lost else {}
    axes.text(x, y, text.strip(), color=INK if lost else colour, ha="center", va="center", fontsize=8, **box)


def _legend(axes: Axes, *, best: bool, lost: bool) -> None:
    handles = [Patch(fill=False, ec=LOST, lw=2, label="best")] if best else []
    if lost:
        handles.append(Patch(fill=False, hatch="///", ec=LOST, lw=0, label="members diverged or failed"))
    legend_above(axes, handles)
