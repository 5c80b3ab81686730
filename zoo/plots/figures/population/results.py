"""Results over what varies: the mean and the standard deviation over seeds, and each seed as a dot."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from numpy.typing import NDArray

from zoo.plots.figures.population.axes import (
    is_number,
    legend_above,
    mark_lost,
    mark_values,
    name_ticks,
    set_scale,
    set_texts,
)
from zoo.plots.figures.style import BLUE, FAINT, GREEN, ORANGE, SKY
from zoo.plots.population import Group, Population

_SPREAD = 0.12  # of dots about their category
_GOLDEN = 0.618034  # spreads dots evenly, without chance
_DOTS: Any = {"ls": "", "marker": "o", "ms": 3.5, "mew": 0, "alpha": 0.45}


def mean_of(group: Group) -> float:
    """The mean of a group's results; NaN where there are none."""
    return float(np.mean(group.results)) if group.results else math.nan


def deviation_of(group: Group) -> float:
    """The standard deviation over seeds; 0 of fewer than two."""
    return float(np.std(group.results, ddof=1)) if len(group.results) > 1 else 0.0


def best_of(population: Population) -> Group | None:
    """The group with the best mean: of those with the most steps, and if there are any, of those that lost no member.

    None where there is no result.
    """
    sign = -1 if population.higher else 1
    most = max((group.steps or 0 for group in population.groups if group.results), default=0)
    known = [group for group in population.groups if group.results and (group.steps or 0) == most]
    whole = [group for group in known if not group.lost and not group.failed]
    return min(whole or known, key=lambda group: sign * mean_of(group), default=None)


def draw_seeds(axes: Axes, population: Population) -> None:
    """Of a single setting: each seed in order of its result, with the mean and the standard deviation."""
    results = np.sort(np.concatenate([np.asarray(group.results, float) for group in population.groups]))
    lost = sum(group.lost + group.failed for group in population.groups)
    places = np.arange(1, len(results) + 1)
    axes.plot(places, results, color=BLUE, label=f"{len(results):,} seeds, sorted", **{**_DOTS, "alpha": 0.8})
    if len(results):
        mean, sd = float(results.mean()), float(results.std(ddof=1)) if len(results) > 1 else 0.0
        axes.axhline(mean, color=BLUE, lw=1.5, label=f"mean {mean:.4g}")
        if sd:
            axes.axhspan(mean - sd, mean + sd, color=SKY, alpha=0.25, lw=0, label=f"± 1 standard deviation, {sd:.2g}")
        set_scale(axes, "y", results)
    mark_lost(axes, [len(results) + 1], [lost], f"{lost:,} without a result" if len(results) else "without a result")
    axes.set_xlim(0, len(results) + 2)
    set_texts(axes, "seed, by its result", population.measure)
    legend_above(axes)


def draw_slice(axes: Axes, population: Population, place: int) -> None:
    """Results over one of the names; where others vary too, with those of the best setting.

    Args:
        axes: to draw on.
        population: to draw.
        place: of the name.
    """
    best = best_of(population) or population.groups[0]
    groups = [group for group in population.groups if _others(group, place) == _others(best, place)]
    values = [group.values[place] for group in groups]
    numeric = all(map(is_number, values))
    if numeric:
        groups = sorted(groups, key=lambda group: group.values[place])
        x = np.asarray([group.values[place] for group in groups], float)
        set_scale(axes, "x", x)
        mark_values(axes, list(x))
    else:
        x = np.arange(len(groups), dtype=float)
        name_ticks(axes, values)
        axes.set_xlim(-0.6, len(groups) - 0.4)
    _draw_groups(axes, x, groups, joined=numeric)
    counts = [group.lost + group.failed for group in groups]
    mark_lost(axes, list(x), counts, _lost_label(groups))
    if population.suggestion is not None:
        axes.axvline(population.suggestion, color=GREEN, lw=1.5, label=f"suggested: {population.suggestion:g}")
    set_scale(axes, "y", [result for group in groups for result in group.results])
    others = ", others as in the best setting" * (len(population.names) > 1)
    set_texts(axes, population.names[place] + others, population.measure)
    legend_above(axes)


def draw_trials(axes: Axes, population: Population, place: int) -> None:
    """The results of a search over one of the names: a dot for each trial, later ones darker, and the best ringed."""
    groups = population.groups
    numeric = all(is_number(group.values[place]) for group in groups)
    order = np.linspace(0.15, 1, len(groups))
    choices = list(dict.fromkeys(group.values[place] for group in groups))
    if numeric:
        x = np.asarray([group.values[place] for group in groups], float)
        set_scale(axes, "x", x)
    else:
        x = np.asarray([choices.index(group.values[place]) for group in groups], float)
        name_ticks(axes, choices)
        axes.set_xlim(-0.6, len(choices) - 0.4)
    means = np.asarray([mean_of(group) for group in groups])
    shifted = x if numeric else x + _spread(len(x))
    scattered = axes.scatter(shifted, means, c=order, cmap="Blues", vmin=-0.3, vmax=1, s=22, edgecolors=FAINT, lw=0.4)
    scattered.set_label(f"trials, {population.shading}")
    best = best_of(population)
    if best is not None:
        at = groups.index(best)
        axes.plot(
            [shifted[at]], [means[at]], "o", ms=10, mfc="none", mec=ORANGE, mew=1.8, label=f"best: {means[at]:.4g}"
        )
    mark_lost(axes, list(x), [min(1, group.lost + group.failed) for group in groups], _lost_label(groups))
    set_scale(axes, "y", means)
    set_texts(axes, population.names[place], population.measure)
    legend_above(axes)


def _draw_groups(axes: Axes, x: NDArray[Any], groups: Sequence[Group], *, joined: bool) -> None:
    """Each seed as a dot, and the mean and the standard deviation of each group."""
    for at, group in zip(x, groups, strict=True):
        shift = 0.0 if joined else _spread(len(group.results))
        axes.plot(at + shift + np.zeros(len(group.results)), group.results, color=BLUE, **_DOTS)
    means, deviations = (np.asarray([of(group) for group in groups]) for of in (mean_of, deviation_of))
    known = np.isfinite(means)
    least = min((min(group.results) for group in groups if group.results), default=0.0)
    low = np.maximum(means - deviations, least) if least > 0 else means - deviations
    if joined and known.sum() > 1:
        axes.plot(x[known], means[known], color=BLUE, lw=1.8, marker="o", ms=4, label="mean over seeds")
        axes.fill_between(
            x[known],
            low[known],
            (means + deviations)[known],
            color=SKY,
            alpha=0.3,
            lw=0,
            label="± 1 standard deviation",
        )
    elif known.any():
        bars = np.stack([means - low, deviations])[:, known]
        style: Any = {"fmt": "_", "ms": 16, "mew": 2, "color": BLUE, "capsize": 4}
        axes.errorbar(x[known], means[known], yerr=bars, label="mean ± 1 standard deviation over seeds", **style)


def _spread(count: int) -> NDArray[Any]:
    """Small shifts for dots of one category, so that they can be told apart."""
    shifts: NDArray[Any] = _SPREAD * (2 * np.modf(np.arange(count) * _GOLDEN)[0] - 1)
    return shifts


def _others(group: Group, place: int) -> list[Any]:
    return [value for number, value in enumerate(group.values) if number != place]


def _lost_label(groups: Sequence[Group]) -> str:
    names = ["diverged"] * any(group.lost for group in groups) + ["failed"] * any(group.failed for group in groups)
    return " or ".join(names)
