"""The embedding map: positions, neighbours and frequencies against NumPy's, for any vocabulary."""

from __future__ import annotations

import base64
import json
import math
from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import torch
from browsing import OpenPage
from numpy.typing import NDArray
from reported_runs import as_reported, sections
from safetensors.torch import load_file

import zoo
from zoo.data.vocabulary import NEWLINE, START
from zoo.reports.characters import KINDS, kinds_of, labels_of
from zoo.reports.sections import embedding as section
from zoo.reports.sections.embedding import principal_components
from zoo.storage.history.snapshots import pack_snapshots, read_snapshots
from zoo.training.history.snapshots import Snapshots

if TYPE_CHECKING:
    from playwright.sync_api import Page

POSITIONS = """() => {
  const figure = Bokeh.documents.map((doc) => doc.roots()[0]).find((one) => one.name.startsWith("Map"));
  const found = {};
  for (const renderer of figure.renderers.filter((one) => one.glyph.type === "Text")) {
    const columns = Object.fromEntries(zoo.columns(renderer.data_source));
    columns.text.forEach((text, i) => { found[text] = [columns.x[i], columns.y[i], columns.size[i]]; });
  }
  return found;
}"""
RANGES = """() => {
  const figure = Bokeh.documents.map((doc) => doc.roots()[0]).find((one) => one.name.startsWith("Map"));
  return [figure.x_range, figure.y_range].map((range) => [range.start, range.end]);
}"""
AXES = """() => {
  const figure = Bokeh.documents.map((doc) => doc.roots()[0]).find((one) => one.name.startsWith("Map"));
  return [figure.below[0].axis_label, figure.left[0].axis_label];
}"""
ON_SCREEN = """(text) => {
  const element = document.querySelector("#embedding .figure");
  const view = zoo.printing.views.get(element);
  const box = view.canvas_view.el.getBoundingClientRect();
  for (const renderer of view.model.renderers.filter((one) => one.glyph.type === "Text")) {
    const columns = Object.fromEntries(zoo.columns(renderer.data_source));
    const i = columns.text.indexOf(text);
    if (i < 0) continue;
    return [box.left + view.frame.x_scale.compute(columns.x[i]), box.top + view.frame.y_scale.compute(columns.y[i])];
  }
}"""


@pytest.fixture(autouse=True)
def _few_sections(monkeypatch: pytest.MonkeyPatch) -> None:
    sections(monkeypatch, "embedding")


def opened(open_page: OpenPage, run: Path) -> Page:
    page = open_page(zoo.report(run, out="page.html"))
    page.wait_for_selector("#embedding .legend")
    page.wait_for_function("zoo.printing.views.size > 0")
    return page


def found(page: Page) -> list[tuple[str, float]]:
    rows = page.locator("#embedding .found tbody tr").all_inner_texts()
    return [(row.split("\t")[0], float(row.split("\t")[1])) for row in rows]


def nearest(table: NDArray[Any], row: int, metric: str) -> list[tuple[int, float]]:
    if metric == "cosine":
        unit = table / np.linalg.norm(table, axis=1, keepdims=True)
        away = 1 - unit @ unit[row]
    else:
        away = np.linalg.norm(table - table[row], axis=1)
    order = [other for other in np.argsort(away, kind="stable") if other != row]
    return [(int(other), float(away[other])) for other in order[:8]]


def check_neighbours(page: Page, table: NDArray[Any], labels: list[str], row: int) -> None:
    for metric in ("euclidean", "cosine"):
        page.locator("#embedding .distance").select_option(metric)
        expected = nearest(table, row, metric)
        assert [name for name, _ in found(page)] == [labels[other] for other, _ in expected]
        assert [away for _, away in found(page)] == pytest.approx([away for _, away in expected], abs=2e-4)
    assert page.locator("#embedding .found h4").inner_text() == f"Nearest to {labels[row]}"


def test_typing_pointing_and_choosing_show_the_neighbours_that_numpy_finds(reported: Path, open_page: OpenPage) -> None:
    run = reported / "mlp-char"
    table = load_file(run / "model.safetensors")["C"].numpy().astype(np.float64)
    labels = list(".abeln")
    page = opened(open_page, run)
    for row, letter in enumerate(labels):
        page.locator("#embedding .typed").fill(letter)
        check_neighbours(page, table, labels, row)
    page.locator("#embedding .character").select_option(label="b")
    check_neighbours(page, table, labels, 2)
    page.locator("#embedding .figure").scroll_into_view_if_needed()
    x, y = page.evaluate(ON_SCREEN, "n")
    page.mouse.move(x + 2, y - 2)
    page.wait_for_function("document.querySelector('#embedding .found h4').textContent === 'Nearest to n'")
    check_neighbours(page, table, labels, 5)
    page.locator("#embedding .typed").fill("Z")
    assert page.locator("#embedding .found").inner_text() == "“Z” is not in the vocabulary."


def test_the_frequency_is_that_of_the_training_split(reported: Path, open_page: OpenPage) -> None:
    run = reported / "mlp-char"
    words = (reported / "words.txt").read_text().split()
    counts = Counter("".join(words[: int(len(words) * 0.8)]))
    page = opened(open_page, run)
    page.locator("#embedding .typed").fill("a")
    total = json.loads((run / "config.json").read_text())["dataset"]["examples"]["train"]
    text = page.locator("#embedding .frequency").inner_text()
    assert text.startswith(f"{counts['a']} of {total} targets of the training split (")
    places = page.evaluate(POSITIONS)
    counts["."] = len(words[: int(len(words) * 0.8)])
    most = max(counts.values())
    for letter, count in counts.items():
        assert places[letter][2] == pytest.approx(max(14, 44 * (count / most) ** 0.5))
    assert len({round(size) for _, _, size in places.values()}) > 2


def test_positions_are_dimensions_or_principal_components(reported: Path, open_page: OpenPage) -> None:
    run = reported / "mlp-char"
    table = load_file(run / "model.safetensors")["C"].numpy()
    components, shares = principal_components(table)
    scores = (table - table.mean(axis=0)) @ components.T
    page = opened(open_page, run)
    places = page.evaluate(POSITIONS)
    assert len(places) == len(table)
    for row, letter in enumerate(".abeln"):
        assert places[letter][:2] == pytest.approx(scores[row, :2].tolist(), abs=1e-4)
    assert page.evaluate(AXES) == [f"component {i + 1} ({shares[i]:.0%} of the variance)" for i in (0, 1)]
    page.locator("#embedding select.x").select_option("d3")
    page.locator("#embedding select.y").select_option("d1")
    places = page.evaluate(POSITIONS)
    for row, letter in enumerate(".abeln"):
        assert places[letter][:2] == pytest.approx([table[row, 3], table[row, 1]], abs=1e-6)
    assert page.evaluate(AXES) == ["dimension 3", "dimension 1"]


def test_principal_components_are_those_of_the_covariance() -> None:
    table = np.random.default_rng(1).normal(size=(27, 5)).astype(np.float32) * [3, 1, 0.5, 2, 0.1]
    components, shares = principal_components(table.astype(np.float32))
    values, vectors = np.linalg.eigh(np.cov(table.T))
    assert shares == pytest.approx(values[::-1] / values.sum(), rel=1e-4)
    assert np.abs(components @ vectors[:, ::-1]) == pytest.approx(np.eye(5), abs=1e-4)
    scores = (table - table.mean(axis=0)) @ components.T
    assert all(scores[np.abs(scores).argmax(axis=0), range(5)] > 0)


def test_running_text_of_many_characters(open_page: OpenPage) -> None:
    many = "".join(map(chr, range(0x4E00, 0x4E00 + 300)))
    Path("book.txt").write_text(f"Ein Käse kostet 12 €\n\t.<&>{many} " * 6)
    options: dict[str, Any] = {"format": "text", "device": "cpu", "steps": 2, "plots": False, "out": "run"}
    zoo.run("mlp-char", dataset="book.txt", settings={"model.hidden_size": 4}, **options)
    page = opened(open_page, Path("run"))
    places = page.evaluate(POSITIONS)
    assert 20 < len(places) < 300  # the others have no room
    page.locator("#embedding .typed").fill(" ")
    assert page.locator("#embedding .found h4").inner_text() == "Nearest to ␣"
    page.locator("#embedding .typed").press("Enter")
    assert page.locator("#embedding .found h4").inner_text() == "Nearest to ⏎"
    page.locator("#embedding .typed").fill("ä")
    assert page.locator("#embedding .found h4").inner_text() == "Nearest to ä"
    kinds = page.locator("#embedding .legend .name").all_inner_texts()
    assert set(kinds) == set(KINDS)
    page.locator("#embedding .figure").scroll_into_view_if_needed()
    page.evaluate("""() => {
      const { x_range, y_range } = zoo.printing.views.get(document.querySelector("#embedding .figure")).model;
      for (const range of [x_range, y_range]) {
        const middle = (range.start + range.end) / 2;
        range.setv({ start: middle - (range.end - middle) / 8, end: middle + (range.end - middle) / 8 });
      }
    }""")
    page.wait_for_timeout(400)
    assert len(page.evaluate(POSITIONS)) > len(places)


@pytest.mark.parametrize("boundary", [".", NEWLINE, START])
def test_every_character_has_a_label_and_a_kind(boundary: str) -> None:
    characters = [boundary, "a", "E", "q", "é", "Ω", "中", "7", "!", " ", "\t", "\u200b", "\u00a0"]
    kinds = ["start and end", "vowel", "vowel", "consonant", "accented letter", "other letter", "other letter"]
    kinds += ["digit", "symbol", "space", "space", "space", "space"]
    assert kinds_of(characters) == kinds
    labels = labels_of(characters)
    assert labels[0] == {".": ".", "\n": "⏎", "": "start"}[boundary]
    assert all(label.isprintable() and label.strip() for label in labels)


def test_models_without_characters_have_no_map(reported: Path) -> None:
    assert 'id="embedding"' not in zoo.report(reported / "linear-table", out="page.html").read_text()


@pytest.mark.parametrize("number", [math.nan, math.inf, 3e38])
def test_a_table_that_is_not_finite_has_no_map_and_a_very_large_one_has(number: float, reported: Path) -> None:
    run = as_reported(reported / "mlp-char")
    with torch.no_grad():
        run.loaded.model.get_parameter("C").fill_(number)
    if math.isfinite(number):
        made = section.make(run)
        assert made is not None
        mean = np.frombuffer(base64.b64decode(made.data["mean"]), dtype="<f4")
        assert mean == pytest.approx(number)
    else:
        with pytest.raises(zoo.CheckpointError, match="NaN or infinite: there is no map of it"):
            section.make(run)


def test_the_slider_goes_through_the_snapshots_along_the_axes_of_the_end(reported: Path, open_page: OpenPage) -> None:
    options: dict[str, Any] = {"device": "cpu", "steps": 60, "plots": False, "out": "run", "snapshots": 4}
    settings = {"model.hidden_size": 5, "model.embedding_dim": 3}
    zoo.run("mlp-char", dataset=reported / "words.txt", settings=settings, **options)
    wider = {step: 3 * table for step, table in read_snapshots(Path("run")).items()}
    Path("run/snapshots.safetensors").write_bytes(pack_snapshots(Snapshots("C", (), wider)))
    kept = {step: table.numpy() for step, table in read_snapshots(Path("run")).items() if step < 60}
    final = load_file("run/model.safetensors")["C"].numpy()
    components, _ = principal_components(final)
    page = opened(open_page, Path("run"))
    slider, step = page.locator("#embedding .time"), page.locator("#embedding .step")
    assert (slider.get_attribute("max"), step.inner_text()) == (str(len(kept)), "60")
    ranges = page.evaluate(RANGES)
    page.locator("#embedding .typed").fill("b")
    for place, (at, table) in enumerate([*kept.items(), (60, final)]):
        slider.fill(str(place))
        assert step.inner_text() == str(at)
        scores = (table - final.mean(axis=0)) @ components.T
        places = page.evaluate(POSITIONS)
        for row, letter in enumerate(".abeln"):
            assert places[letter][:2] == pytest.approx(scores[row, :2].tolist(), abs=1e-4)
            assert all(low < x < high for x, (low, high) in zip(places[letter], ranges, strict=False))
        check_neighbours(page, table.astype(np.float64), list(".abeln"), 2)
    assert page.evaluate(RANGES) == ranges
    assert kept


def test_of_many_snapshots_as_many_as_fit_are_in_the_page(reported: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run = as_reported(reported / "mlp-char")
    run = replace(run, loaded=replace(run.loaded, step=40))
    table = torch.zeros(6, 4)
    fitting = {step: table + step for step in range(1, 40)}
    vars(run)["snapshots"] = {0: torch.zeros(5, 4)} | fitting | {41: table}
    monkeypatch.setattr(section, "_MOST_OF_SNAPSHOTS", 24 * 10)
    part = section.make(run)
    assert part is not None
    assert part.data["steps"] == [*range(1, 40, 4), 40]
    assert len(part.data["snapshots"]) == 10
    monkeypatch.undo()
    part = section.make(run)
    assert part is not None
    assert part.data["steps"] == [*range(1, 40), 40]


def test_of_a_large_table_the_most_frequent_rows_are_in_the_page(
    reported: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(section, "_MOST_NUMBERS", 3 * 4)
    run = as_reported(reported / "mlp-char")
    part = section.make(run)
    assert part is not None
    words = (reported / "words.txt").read_text().split()
    train = words[: int(len(words) * 0.8)]
    counts = Counter("".join(train)) + Counter({".": len(train)})
    assert set(part.data["characters"]) == {name for name, _ in counts.most_common(3)}
    assert part.values["left_out"] == 3
