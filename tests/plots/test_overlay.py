"""Several runs in one plot: the values of its curves and markers, and a legend that tells them apart."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
from matplotlib.axes import Axes
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure
from matplotlib.legend import Legend

from zoo import UsageError
from zoo.plots.overlay import Curve, plot_overlay

PNG = b"\x89PNG\r\n\x1a\n"


def curve(number: int, steps: int = 200, **others: Any) -> Curve:
    return Curve(f"run-{number}", [3.0 + 0.01 * number + math.sin(step) for step in range(steps)], **others)


@pytest.fixture
def figures(monkeypatch: pytest.MonkeyPatch) -> list[Figure]:
    """The figures that are saved; no files are written."""
    saved: list[Figure] = []
    monkeypatch.setattr(Figure, "savefig", lambda self, *_, **__: saved.append(self))
    return saved


def drawn(figures: list[Figure], curves: Sequence[Curve], **options: Any) -> tuple[Axes, Legend]:
    plot_overlay(curves, "Loss", **options)
    [axes] = figures[-1].axes
    legend = axes.get_legend()
    assert legend is not None
    return axes, legend


def line(axes: Axes, label: str) -> Any:
    [found] = [line for line in axes.lines if line.get_label() == label]
    return found


def test_each_curve_is_a_running_mean_of_its_own_losses(figures: list[Figure]) -> None:
    axes, _ = drawn(figures, [curve(0), curve(1, 400)])
    for one, window in ((curve(0), 4), (curve(1, 400), 8)):
        shown = line(axes, one.name)
        logs = np.log10(one.losses)
        np.testing.assert_allclose(shown.get_ydata(), np.convolve(logs, np.ones(window) / window, mode="valid"))
        assert shown.get_xdata()[0] == (window - 1) / 2


def test_validation_losses_are_markers_of_the_same_colour(figures: list[Figure]) -> None:
    axes, legend = drawn(figures, [curve(0), curve(1, evaluations=[(100, 2.5), (150, math.inf), (200, 2.25)])])
    dots = line(axes, "run-1: validation")
    assert (list(dots.get_xdata()), dots.get_linestyle(), dots.get_marker()) == ([100, 200], "None", "o")
    np.testing.assert_allclose(dots.get_ydata(), np.log10([2.5, 2.25]))
    assert dots.get_color() == line(axes, "run-1").get_color() != line(axes, "run-0").get_color()
    assert [handle.get_marker() for handle in legend.get_lines()] == ["", "o"]
    assert legend.get_title().get_text() == "mean of 2 % of the steps; markers: validation"


def test_the_legend_has_names_and_final_losses_in_the_given_order(figures: list[Figure]) -> None:
    final = {"train": 2.0, "val": 2.1682}
    _, legend = drawn(figures, [curve(3), curve(1, final=final), curve(2, final={"train": 2.0})])
    assert [text.get_text() for text in legend.get_texts()] == ["run-3", "run-1  val 2.1682", "run-2"]
    assert legend.get_title().get_text() == "mean of 2 % of the steps"


def test_thirty_six_runs_differ_by_colour_and_line_style(figures: list[Figure]) -> None:
    axes, legend = drawn(figures, [curve(number) for number in range(36)])
    looks = [(line.get_color(), str(line._dash_pattern)) for line in axes.lines]  # type: ignore[attr-defined]
    assert (len(looks), len(set(looks)), len(legend.get_texts())) == (36, 36, 36)
    handles = [(line.get_color(), str(line._dash_pattern)) for line in legend.get_lines()]  # type: ignore[attr-defined]
    assert handles == looks


def test_of_more_runs_the_legend_says_how_many(figures: list[Figure]) -> None:
    axes, legend = drawn(figures, [curve(number) for number in range(40)])
    assert len(axes.lines) == 40
    assert [text.get_text() for text in legend.get_texts()][35:] == ["run-35", "and 4 more"]
    assert legend.get_lines()[-1].get_color() == line(axes, "run-39").get_color()


@pytest.mark.parametrize("count", [1, 3, 36, 40])
@pytest.mark.parametrize("sign", [1, -1])
def test_the_legend_is_outside_of_the_axes_and_within_the_figure(figures: list[Figure], count: int, sign: int) -> None:
    curves = [curve(number)._replace(name="x" * 90) for number in range(count)]
    axes, legend = drawn(figures, [one._replace(losses=[sign * loss for loss in one.losses]) for one in curves])
    figures[-1].draw_without_rendering()
    box = legend.get_window_extent()
    beside = [axes.get_tightbbox(bbox_extra_artists=axes.child_axes), *(one.get_tightbbox() for one in axes.child_axes)]
    assert not any(other is None or box.overlaps(other) for other in beside)
    width, height = axes.figure.bbox.size
    assert 0 < box.x0 < box.x1 <= width
    assert 0 < box.y0 < box.y1 <= height


def test_the_colours_differ_in_lightness_or_blue_to_any_eye() -> None:
    """Red and green are one for many: without their difference, and on white, each pair is still told apart."""
    from zoo.plots.figures.style import COLOURS

    seen = []
    for colour in COLOURS:
        red, green, blue = to_rgb(colour)
        seen.append((0.35 * red + 0.65 * green, blue))
    seen.append((1.0, 1.0))
    gaps = [math.dist(one, other) for i, one in enumerate(seen) for other in seen[:i]]
    assert min(gaps) > 0.1


@pytest.mark.parametrize("steps", [1, 2, 10, 200_000])
def test_short_runs_are_visible_and_long_ones_thinned(figures: list[Figure], steps: int) -> None:
    evaluations = [(step, 2.0) for step in range(0, steps, max(1, steps // 1000))]
    axes, _ = drawn(figures, [curve(0, steps, evaluations=evaluations)])
    shown, dots = line(axes, "run-0"), line(axes, "run-0: validation")
    assert 1 <= len(shown.get_xdata()) <= 1000
    assert len(dots.get_xdata()) <= 40
    assert dots.get_xdata()[-1] == evaluations[-1][0]
    assert (shown.get_marker() == "o") == (steps == 1)


def test_a_loss_below_zero_makes_the_axis_linear(figures: list[Figure]) -> None:
    axes, _ = drawn(figures, [curve(0), Curve("other", [-1.0, -2.0])], unit="elbo")
    assert (axes.get_ylabel(), list(line(axes, "other").get_ydata())) == ("loss (elbo)", [-1.0, -2.0])


def test_runs_without_losses_are_left_out(figures: list[Figure]) -> None:
    _, legend = drawn(figures, [Curve("begun", []), curve(1)])
    assert [text.get_text() for text in legend.get_texts()] == ["run-1"]
    with pytest.raises(UsageError, match="there are no losses to plot"):
        plot_overlay([Curve("begun", [])], "Loss")


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("name", ["$\\frac", "a_b^c", "x" * 5000, "\x1b[31m\n", "\udcff", "名前", "_hidden", ""])
def test_a_name_may_be_any_text(name: str) -> None:
    assert plot_overlay([curve(0)._replace(name=name)], name).startswith(PNG)


@pytest.mark.parametrize("kind", ["png", "svg", "pdf"])
def test_the_same_curves_give_the_same_bytes(kind: Any) -> None:
    curves = [curve(number, evaluations=[(3, 2.0)]) for number in range(3)]
    assert plot_overlay(curves, "Loss", file_format=kind) == plot_overlay(curves, "Loss", file_format=kind)
