"""The plot of a sweep: what is on its axes."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pytest
from matplotlib.figure import Figure

import zoo.plots.figures.population
from zoo.plots.population import Band, Group, Population
from zoo.plots.sweep import plot_population

pytestmark = pytest.mark.usefixtures("drawn")

TEXTS: dict[str, Any] = {
    "title": "net: 3 settings",
    "measure": "validation loss (nats)",
    "training": "training loss (nats)",
}
Draw = Callable[[Population], Any]  # a figure, whose artists have types that say little


@pytest.fixture
def draw(monkeypatch: pytest.MonkeyPatch) -> Draw:
    """The figure of a population, before it is encoded."""
    figures: list[Figure] = []
    module: Any = zoo.plots.figures.population
    encode = module.encode

    def kept(figure: Figure, file_format: str) -> bytes:
        figures.append(figure)
        content: bytes = encode(figure, file_format)
        return content

    monkeypatch.setattr(module, "encode", kept)

    def made(population: Population) -> Any:
        assert plot_population(population).startswith(b"\x89PNG")
        return figures[-1]

    return made


def line(axes: Any, label: str) -> Any:
    return next(one for one in axes.lines if one.get_label() == label)


def legend_of(axes: Any) -> list[str]:
    legend = axes.get_legend()
    return [] if legend is None else [text.get_text() for text in legend.get_texts()]


def of_lr(lr: float, *results: float, **more: Any) -> Group:
    return Group([lr], results, **more)


LRS = (of_lr(0.3, 2.5, 2.7), of_lr(0.03, 2.0, 2.4, 2.2), of_lr(3.0, 9.0, lost=2), of_lr(30.0, lost=3))


def test_one_number_is_a_line_with_a_band_and_what_diverged_is_marked(draw: Draw) -> None:
    [axes] = draw(Population(**TEXTS, names=["lr"], groups=LRS)).axes
    mean = line(axes, "mean over seeds")
    assert list(mean.get_xdata()) == [0.03, 0.3, 3.0]
    assert list(mean.get_ydata()) == pytest.approx([2.2, 2.6, 9.0])
    [band] = axes.collections
    low, high = band.get_datalim(axes.transData).intervaly
    assert low == pytest.approx(2.0)
    assert high == pytest.approx(9.0)
    assert list(line(axes, "diverged").get_xdata()) == [3.0, 30.0]
    assert [text.get_text() for text in axes.texts] == ["2", "3"]
    assert (axes.get_xscale(), axes.get_yscale()) == ("log", "linear")
    assert (axes.get_xlabel(), axes.get_ylabel()) == ("lr", "validation loss (nats)")
    assert [text.get_text() for text in axes.get_xticklabels()] == ["0.03", "0.3", "3", "30"]
    assert "± 1 standard deviation" in legend_of(axes)
    dots = [one for one in axes.lines if one.get_label().startswith("_") and len(one.get_xdata())]
    assert sorted(value for one in dots for value in one.get_ydata()) == [2.0, 2.2, 2.4, 2.5, 2.7, 9.0]


def test_texts_are_categories_in_the_order_of_the_members(draw: Draw) -> None:
    names = ["b", "名前", r"$\frac", "a\nb"]
    groups = [Group([name], [1.0 + place, 1.2 + place]) for place, name in enumerate(names)]
    [axes] = draw(Population(**TEXTS, names=["data.column"], groups=groups)).axes
    assert [text.get_text() for text in axes.get_xticklabels()] == ["b", "名前", r"$\frac", r"a\nb"]
    [bars] = axes.containers
    assert bars.get_label() == "mean ± 1 standard deviation over seeds"
    assert list(bars[0].get_ydata()) == pytest.approx([1.1, 2.1, 3.1, 4.1])


def test_two_settings_are_a_heat_map_of_means(draw: Draw) -> None:
    groups = [Group([lr, size], [lr + size, lr + size + 0.2]) for lr in (1.0, 0.1) for size in (16, 4, 64)]
    groups[-1] = Group([0.1, 64], [3.0], lost=1)
    groups[0] = Group([1.0, 16], [], lost=2)
    figure = draw(Population(**TEXTS, names=["lr", "model.size"], groups=groups))
    axes, bar = figure.axes
    image = axes.images[0].get_array()
    assert image is not None
    means = np.asarray([[4.2, 16.2, 3.0], [5.1, math.nan, 65.1]])
    assert np.ma.filled(image, math.nan) == pytest.approx(
        means, nan_ok=True
    )  # the rows are 0.1 and 1, the columns 4, 16 and 64
    assert [text.get_text() for text in axes.get_yticklabels()] == ["0.1", "1"]
    assert [text.get_text() for text in axes.get_xticklabels()] == ["4", "16", "64"]
    assert (axes.get_xlabel(), axes.get_ylabel()) == ("model.size", "lr")
    texts = [text.get_text() for text in axes.texts]
    assert "3\n1 of 2 lost" in texts
    assert "2 of 2 lost" in texts
    assert sum(patch.get_hatch() is not None for patch in axes.patches) == 2
    assert bar.get_ylabel() == "validation loss (nats), mean over seeds"
    [best] = [patch for patch in axes.patches if patch.get_hatch() is None]
    assert best.get_xy() == pytest.approx((-0.47, -0.47))  # 0.1 and 4: that with 64 has lost a member


def test_three_settings_are_slices_through_the_best(draw: Draw) -> None:
    groups = [
        Group([lr, size, name], [lr + size + (name == "b")]) for lr in (1, 2) for size in (3, 4) for name in ("b", "a")
    ]
    figure = draw(Population(**TEXTS, names=["lr", "size", "kind"], groups=groups))
    assert [axes.get_xlabel() for axes in figure.axes] == [
        f"{name}, others as in the best setting" for name in ("lr", "size", "kind")
    ]
    assert list(line(figure.axes[0], "mean over seeds").get_ydata()) == [4.0, 5.0]
    assert list(line(figure.axes[1], "mean over seeds").get_ydata()) == [4.0, 5.0]


def test_higher_may_be_better(draw: Draw) -> None:
    groups = [Group([lr, size], [lr * size]) for lr in (1.0, 2.0) for size in (3, 4)]
    axes, _ = draw(Population(**TEXTS, names=["lr", "size"], groups=groups, higher=True)).axes
    assert axes.patches[0].get_xy() == pytest.approx((0.53, 0.53))


def test_seeds_alone_are_sorted_with_their_mean(draw: Draw) -> None:
    [axes] = draw(Population(**TEXTS, names=[], groups=[Group([], [3.0, 1.0, 2.0], failed=1)])).axes
    assert list(line(axes, "3 seeds, sorted").get_ydata()) == [1.0, 2.0, 3.0]
    assert list(line(axes, "mean 2").get_ydata()) == [2.0, 2.0]
    assert "± 1 standard deviation, 1" in legend_of(axes)
    assert "1 without a result" in legend_of(axes)


@pytest.mark.parametrize("names", [[], ["lr"], ["lr", "size"], ["lr", "size", "kind"]])
@pytest.mark.parametrize("view", ["settings", "trials", "rates", "ladder"])
def test_where_all_diverged_that_is_what_is_seen(draw: Draw, names: list[str], view: Any) -> None:
    if view == "ladder" and len(names) != 1:
        return
    groups = [Group([lr, 2, "a"][: len(names)], [], lost=4) for lr in (1.0, 2.0)][: len(names) + 1]
    figure = draw(Population(**TEXTS, names=names, groups=groups, view=view))
    if view != "ladder":  # without a result nothing is known of the number of parameters
        shown = [text.get_text() for axes in figure.axes for text in axes.texts]
        marked = [one for axes in figure.axes for one in axes.lines if one.get_marker() == "x"]
        assert marked or any("4 of 4 lost" in text for text in shown)


def test_trials_of_a_search_are_dots_with_the_best_ringed(draw: Draw) -> None:
    groups = [
        Group([0.01, "sgd"], [3.0]),
        Group([1.0, "adamw"], [1.0], steps=3),
        Group([0.1, "sgd"], [2.0, 2.2], steps=9),
        Group([5.0, "sgd"], [], lost=1),
    ]
    first, second = draw(Population(**TEXTS, names=["lr", "optimizer"], groups=groups, view="trials")).axes
    points = np.asarray(first.collections[0].get_offsets())
    assert points[:, 0].tolist() == [0.01, 1.0, 0.1, 5.0]
    assert list(line(first, "best: 2.1").get_xdata()) == [0.1]  # the other has fewer steps
    assert list(line(first, "diverged").get_xdata()) == [5.0]
    assert [text.get_text() for text in second.get_xticklabels()] == ["sgd", "adamw"]


def test_the_suggested_rate_is_a_line(draw: Draw) -> None:
    [axes] = draw(Population(**TEXTS, names=["lr"], groups=LRS, view="rates", suggestion=0.1)).axes
    assert list(line(axes, "suggested: 0.1").get_xdata()) == [0.1, 0.1]


def band(name: str, means: Sequence[float], seconds: Sequence[float] = ()) -> Band:
    return Band(name, [0.5, 1.5, 2.5], means, [0.1, 0.1, 0.1], seconds, seeds=3)


def test_curves_are_a_panel_of_their_own_with_bands(draw: Draw) -> None:
    bands = [band("lr 0.03", [3, 2, 1]), band("lr 0.3", [4, 3, 2])]
    _, axes = draw(Population(**TEXTS, names=["lr"], groups=LRS, bands=bands)).axes
    assert list(line(axes, "lr 0.3").get_ydata()) == [4, 3, 2]
    assert len(axes.collections) == 2
    assert axes.collections[0].get_datalim(axes.transData).intervaly == pytest.approx([0.9, 3.1])
    assert axes.get_legend().get_title().get_text() == "mean ± 1 standard deviation of 3 seeds"
    assert axes.get_ylabel() == "training loss (nats)"


def test_a_ladder_is_over_parameters_steps_and_seconds_with_its_law(draw: Draw) -> None:
    groups = [Group([2**size], [3 - size / 4, 3.1 - size / 4], parameters=100 * 2**size) for size in (1, 0, 2)]
    bands = [band(f"size {size}", [3, 2, 1], [0.1 * size, 0.2 * size, 0.3 * size]) for size in (1, 2, 4)]
    law = {"offset": 1.0, "scale": 50.0, "exponent": 0.5, "interval": [0.4, 0.6]}
    over, steps, seconds = draw(
        Population(**TEXTS, names=["size"], groups=groups, view="ladder", bands=bands, law=law)
    ).axes
    assert list(line(over, "mean over seeds").get_xdata()) == [100, 200, 400]
    label = "1 + (P / 50)^-0.50 (0.40 to 0.60)"
    assert line(over, label).get_ydata()[0] == pytest.approx(1 + 2**-0.5)
    assert list(line(over, "offset").get_ydata()) == [1.0, 1.0]
    assert [axes.get_xlabel() for axes in (over, steps, seconds)] == ["parameters", "step", "seconds of training"]
    assert list(line(seconds, "size 4").get_xdata()) == pytest.approx([0.4, 0.8, 1.2])


def test_the_same_population_gives_the_same_bytes_in_each_format() -> None:
    population = Population(**TEXTS, names=["lr"], groups=LRS, bands=[band("a", [3, 2, 1])])
    for file_format, start in (("png", b"\x89PNG"), ("svg", b"<?xml"), ("pdf", b"%PDF")):
        content = plot_population(population, file_format)
        assert content == plot_population(population, file_format)
        assert content.startswith(start)
