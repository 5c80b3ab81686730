"""The losses in the report: what is drawn are the numbers of the run's files."""

from __future__ import annotations

import math
import shutil
import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from browsing import OpenPage, drawn
from reported_runs import as_reported, sections

import zoo
from zoo.numbers import LARGEST_FLOAT
from zoo.reports.binning import Binned
from zoo.reports.figures import embedded
from zoo.reports.sections import losses as section
from zoo.storage.losses import read_evaluations, read_losses

if TYPE_CHECKING:
    from playwright.sync_api import Page

FIGURE = "Bokeh.documents.map((doc) => doc.roots()[0]).find((one) => one.name.startsWith('Losses of'))"


@pytest.fixture(autouse=True)
def _few_sections(monkeypatch: pytest.MonkeyPatch) -> None:
    sections(monkeypatch, "losses")


@pytest.mark.parametrize("steps", [1, 2, 7, 100, 101, 4_000, 4_001, 9_999])
def test_bins_are_those_of_plain_loops(steps: int) -> None:
    losses = [3 + math.sin(step * 12.9898) for step in range(steps)]
    binned = Binned.of(losses)
    size = binned.size
    parts = [losses[start : start + size] for start in range(0, steps, size)]
    assert (size - 1) * 4_000 < steps <= size * 4_000
    assert binned.start.tolist() == list(range(0, steps, size))
    assert binned.count.tolist() == [len(part) for part in parts]
    for found, function in ((binned.low, min), (binned.high, max), (binned.mean, lambda part: sum(part) / len(part))):
        assert found.tolist() == pytest.approx([function(part) for part in parts], rel=1e-6)
    for half in binned.halves():
        running = binned.running_mean(half)
        for i in {0, half, len(parts) // 2, len(parts) - 1 - half, len(parts) - 1}:
            window = losses[max(0, i - half) * size : (i + half + 1) * size]
            inside = half <= i < len(parts) - half
            assert running[i] == pytest.approx(np.mean(window) if inside else math.nan, rel=1e-6, nan_ok=True)


def test_the_figure_has_the_values_of_the_files(reported: Path, open_page: OpenPage) -> None:
    folder = reported / "mlp-char"
    losses = read_losses(folder / "losses.csv")
    page = open_page(zoo.report(folder, out="page.html"))
    page.wait_for_selector("#losses .legend")
    steps = drawn(page, "Losses of", "each step")
    assert steps["mean"] == losses
    assert steps["centre"] == list(range(len(losses)))
    evaluations = drawn(page, "Losses of", "validation split, during training")
    pairs = list(zip(evaluations["step"], evaluations["loss"], strict=True))
    assert pairs == read_evaluations(folder / "validation.csv") != []
    final = as_reported(folder).results["val"].loss
    assert drawn(page, "Losses of", f"val split: {final:.4f}")["y"] == [final, final]
    assert drawn(page, "Losses of", f"uniform guess among 6: {math.log(6):.4f}")["y"][0] == math.log(6)
    slide_window(page, losses)
    switch_axis(page)
    hide(page)


def slide_window(page: Page, losses: list[float]) -> None:
    slider, output = page.locator("#losses .window"), page.locator("#losses output")
    for place, half in enumerate(Binned.of(losses).halves()):
        slider.fill(str(place))
        window = 2 * half + 1
        assert output.inner_text() == ("1 step" if window == 1 else f"{window} steps")
        running = drawn(page, "Losses of", "running mean")["running"]
        expected = np.convolve(losses, np.ones(window) / window, mode="valid")
        assert running[half : len(losses) - half] == pytest.approx(expected.tolist(), rel=1e-5)
        assert running[:half] == [None] * half or all(map(math.isnan, running[:half]))


def test_a_logarithmic_axis_has_ticks_from_its_lowest_to_its_highest_decade(
    reported: Path, open_page: OpenPage
) -> None:
    page = open_page(zoo.report(reported / "mlp-char", out="page.html"))
    page.wait_for_selector("#losses .legend")
    ticks = f"([low, high]) => {FIGURE}.left[1].ticker.get_ticks_no_defaults(low, high, NaN, 6).major"
    assert page.evaluate(ticks, [0.06, 2.6]) == [0.1, 0.2, 0.5, 1, 2]
    assert page.evaluate(ticks, [1.4, 28]) == [1.5, 2, 3, 5, 7, 10, 15, 20]
    assert page.evaluate(ticks, [2.4, 4.4]) == [2.5, 3, 3.5, 4]
    assert len(page.evaluate(ticks, [1e-20, 1e20])) <= 10


def switch_axis(page: Page) -> None:
    scale, shown = f"{FIGURE}.y_scale.type", f"{FIGURE}.left.map((axis) => axis.visible)"
    select = page.locator("#losses").get_by_label("Axis")
    assert (page.evaluate(scale), page.evaluate(shown)) == ("LogScale", [False, True])
    select.select_option("linear")
    assert (page.evaluate(scale), page.evaluate(shown)) == ("LinearScale", [True, False])
    select.select_option("logarithmic")
    assert (page.evaluate(scale), page.evaluate(shown)) == ("LogScale", [False, True])


def hide(page: Page) -> None:
    button = page.locator("#losses .legend button").first
    visible = (
        "Bokeh.documents.map((doc) => doc.roots()[0]).find((one) => one.name.includes('Losses')).renderers[0].visible"
    )
    assert page.evaluate(visible)
    button.click()
    assert (page.evaluate(visible), button.get_attribute("aria-pressed")) == (False, "false")
    button.click()
    assert page.evaluate(visible)


def test_a_loss_is_shown_where_the_mouse_is(reported: Path, open_page: OpenPage) -> None:
    page = open_page(zoo.report(reported / "mlp-char", out="page.html"))
    page.wait_for_selector("#losses .legend")
    page.locator("#losses").scroll_into_view_if_needed()
    canvas = page.locator("#losses .plot").bounding_box()
    assert canvas is not None
    for away in (0, 3):
        page.mouse.move(canvas["x"] + canvas["width"] / 2 + away, canvas["y"] + canvas["height"] / 2)
    page.wait_for_selector(".bk-tooltip-row-value", timeout=5_000)
    step, loss = page.locator(".bk-tooltip-row-value").all_inner_texts()[:2]
    assert abs(int(step) - 20) < 3
    assert loss == f"{read_losses(reported / 'mlp-char' / 'losses.csv')[int(step)]:.4f}"


def test_a_long_run_is_drawn_in_bins(reported: Path) -> None:
    folder = Path(shutil.copytree(reported / "mlp-char", "run"))
    (folder / "losses.csv").write_text("step,loss\n" + "".join(f"{i},{1 + i % 50}.5\n" for i in range(200_000)))
    part = section.make(as_reported(folder))
    assert part is not None
    assert (part.values["size"], part.values["steps"]) == (50, 200_000)
    names = [renderer.name for renderer in part.figures["losses"].renderers]
    assert names[:2] == ["lowest to highest of 50 steps", "mean of 50 steps"]
    source = part.figures["losses"].renderers[0].data_source.data
    assert set(source["low"]) == {1.5}
    assert set(source["high"]) == {50.5}
    assert set(source["mean"]) == {26.0}


def test_losses_that_may_be_negative_have_a_linear_axis_alone(reported: Path) -> None:
    folder = Path(shutil.copytree(reported / "linear-table", "run"))
    count = len(read_losses(folder / "losses.csv"))
    (folder / "losses.csv").write_text("step,loss\n" + "".join(f"{i},{5 - i}.0\n" for i in range(count)))
    part: Any = section.make(as_reported(folder))
    assert len(part.figures["losses"].yaxis) == 1
    assert part.figures["losses"].tags == []


def test_a_loss_that_is_no_cross_entropy_has_no_uniform_guess(reported: Path) -> None:
    part: Any = section.make(as_reported(reported / "linear-table"))
    assert not [one.name for one in part.figures["losses"].renderers if "uniform" in (one.name or "")]


def test_the_same_figure_is_embedded_as_the_same_json(reported: Path) -> None:
    first, second = (embedded(section.make(as_reported(reported / "lstm")).figures["losses"]) for _ in range(2))  # type: ignore[union-attr]
    assert first == second
    assert first["root_id"] == first["doc"]["roots"][0]["id"]


def test_losses_beyond_float32_are_drawn_as_its_largest_number() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        binned = Binned.of([1e308, -1e308, 1.0] * 5000)
        running = binned.running_mean(binned.halves()[-1])
    assert binned.high.max() == np.float32(LARGEST_FLOAT)
    assert np.isfinite([binned.low, binned.high, binned.mean]).all()
    assert np.isfinite(running).any()
