"""Several runs: side by side, in one figure, and what differs between them."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
from browsing import OpenPage, drawn
from reported_runs import as_reported, sections

import zoo
from zoo.reports.figures import of_run
from zoo.reports.sections import differences
from zoo.storage.losses import read_losses


@pytest.fixture(autouse=True)
def _few_sections(monkeypatch: pytest.MonkeyPatch) -> None:
    sections(monkeypatch, "summary", "differences", "overlaid")


def test_runs_are_side_by_side_and_in_one_figure(reported: Path, open_page: OpenPage) -> None:
    runs = [reported / "mlp-char", reported / "lstm"]
    page = open_page(zoo.report(*runs, out="page.html"))
    page.wait_for_selector("#overlaid .legend")
    assert page.locator("h1").inner_text() == "2 runs: mlp-char, lstm"
    assert page.locator("#summary .part h3").all_inner_texts() == ["mlp-char", "lstm"]
    left, right = (page.locator("#summary .part").nth(i).bounding_box() for i in (0, 1))
    assert left is not None
    assert right is not None
    assert (left["y"], left["x"] < right["x"]) == (right["y"], True)
    assert page.locator("#overlaid .legend .name").all_inner_texts() == ["mlp-char", "lstm"]
    for run in runs:
        assert drawn(page, "all runs", run.name)["mean"] == read_losses(run / "losses.csv")
    settings = dict(row.split("\t", 1) for row in page.locator("#differences tbody").first.inner_text().split("\n"))
    assert settings["model"] == "mlp-char\tlstm"
    assert settings["steps"] == "40\t4"
    assert "model.hidden_size" in settings
    assert "seed" not in settings
    page.set_viewport_size({"width": 390, "height": 800})
    page.wait_for_timeout(300)
    assert page.evaluate("document.documentElement.scrollWidth") == 390
    button = page.locator("#overlaid .legend button").last
    button.click()
    assert button.get_attribute("aria-pressed") == "false"


def test_results_are_those_of_the_runs_and_the_best_is_marked(reported: Path) -> None:
    runs = [as_reported(reported / "mlp-char"), as_reported(reported / "lstm")]
    part = differences.make(runs)
    assert part is not None
    columns = part.values["columns"]
    for run, cells in zip(runs, part.values["rows"], strict=True):
        losses = json.loads((run.folder / "metrics.json").read_text())["losses"]
        for split, loss in losses.items():
            text, best = cells[columns.index(f"{split} loss")]
            assert text == f"{loss:.4f}"
            assert best == (loss == min(other.results[split].loss for other in runs))
    assert columns[:3] == ["train loss", "val loss", "test loss"]


def test_figures_of_other_data_are_not_compared(reported: Path) -> None:
    part = differences.make([as_reported(reported / "mlp-char"), as_reported(reported / "linear-table")])
    assert part is not None
    assert not part.values["compare"]
    assert not any(best for cells in part.values["rows"] for _, best in cells)
    assert part.values["units"] == sorted({"nats", as_reported(reported / "linear-table").unit})


def test_equal_runs_differ_in_nothing(reported: Path) -> None:
    part = differences.make([as_reported(reported / "lstm"), as_reported(reported / "lstm")])
    assert part is not None
    assert part.values["settings"] == []
    assert differences.make([as_reported(reported / "lstm")]) is None


def test_many_runs_can_be_told_apart(reported: Path) -> None:
    for number in range(12):
        shutil.copytree(reported / "lstm", f"run-{number}")
    page = zoo.report(*[f"run-{i}" for i in range(12)], out="page.html").read_text()
    assert "<h1>12 runs</h1>" in page
    assert page.count("var(--run-1)") > 2
    assert len({tuple(of_run(number).items()) for number in range(40)}) == 40
