"""The sections about what a model has learned, in a browser: with hostile texts, on a desk, a phone and in the dark."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import torch
from browsing import OpenPage
from dropping import install
from reading import read
from torch import Tensor, nn

import zoo
from zoo.reports.page import render
from zoo.reports.section import Section
from zoo.reports.sections import about, confusion, health, samples, words

if TYPE_CHECKING:
    from playwright.sync_api import Locator, Page

VALUES = "cells => cells.map((cell) => cell.dataset.value)"
HOSTILE = "<img src=x onerror=document.title='hacked'>"
SECTIONS = [
    Section("samples", "Samples", samples.make),
    Section("words", "Hardest and easiest", words.make, needs_data=True),
    Section("confusion", "Confusion", confusion.make, needs_data=True),
    Section("health", "Health", health.make, needs_data=True),
    Section("about", "Config", about.make),
]


def page_of(*runs: str | Path) -> Path:
    path = Path("page.html")
    path.write_text(render("page", [read(run) for run in runs], SECTIONS))
    return path


def test_what_stands_in_each_section(reported: Path, digits: None, open_page: OpenPage) -> None:
    path = page_of(*(reported / name for name in ("mlp-char", "digits-cnn", "linear-table", "lstm")))
    for width, dark in ((1280, False), (390, True)):
        page = open_page(path, width=width, dark=dark)
        assert page.evaluate("document.documentElement.scrollWidth") == width
        parts = {section.name: page.locator(f"#{section.name} .part").all() for section in SECTIONS}
        assert {name: len(found) for name, found in parts.items()} == {
            **{"samples": 2, "words": 4, "confusion": 3, "health": 4, "about": 4}
        }
        assert page.locator("#samples li").count() > 50
        assert parts["words"][1].locator("tbody img").count() == 20
        assert parts["words"][1].locator("img").first.evaluate("image => image.naturalWidth") > 0
        assert "area " in parts["words"][2].inner_text()
        assert [text.split()[:1] for text in parts["confusion"][1].locator("tbody th").all_inner_texts()] == [
            [str(digit)] for digit in range(10)
        ]
        assert page.locator("#health svg path").count() == 4  # tanh, two of relu, lstm
        assert parts["about"][0].locator("pre").count() >= 6


@pytest.mark.parametrize("dark", [False, True])
def test_counts_or_shares_with_enough_contrast(finished_run: Path, open_page: OpenPage, dark: bool) -> None:
    page = open_page(page_of(finished_run), dark=dark)
    table = page.locator(".confusion")
    counts = numbers_of(table)
    totals = [int(text.replace(",", "")) for text in table.locator("tbody td.sum:nth-last-child(2)").all_inner_texts()]
    assert list(map(sum, counts)) == totals
    show = page.get_by_label("Show")
    show.select_option("shares of each row")
    shares = numbers_of(table)
    assert (
        max(
            abs(100 * n / total - share)
            for row, line, total in zip(counts, shares, totals, strict=True)
            for n, share in zip(row, line, strict=True)
        )
        <= 0.5
    )
    assert contrast(page) > 4.5
    show.select_option("counts")
    assert numbers_of(table) == counts
    assert contrast(page) > 4.5
    assert all(table.locator("tbody tr").nth(i).locator("td.right").count() <= 1 for i in range(27))


def numbers_of(table: Locator) -> list[list[float]]:
    """The cells of the table; `< 0.1 %` is 0."""
    rows: list[list[str]] = table.evaluate(
        "table => [...table.tBodies[0].rows].map((row) => [...row.cells].slice(1, -2).map((cell) => cell.textContent))"
    )
    return [[0 if "<" in text else float(text.removesuffix(" %") or 0) for text in row] for row in rows]


def contrast(page: Page) -> float:
    """The least contrast of a text of the table and what is behind it, by WCAG 2.2."""
    cells: list[list[str]] = page.evaluate(
        """() => [...document.querySelectorAll(".confusion td[style]")].map((cell) => {
          const style = getComputedStyle(cell);
          return [style.color, style.backgroundColor, getComputedStyle(document.body).backgroundColor];
        })"""
    )
    assert len(cells) > 100
    return min(ratio(luminance(over(ink)), luminance(over(heat, over(paper)))) for ink, heat, paper in cells)


def over(colour: str, behind: tuple[float, ...] = (0, 0, 0)) -> tuple[float, ...]:
    """The red, green and blue in 0..1 of a colour of CSS, over another one."""
    found = [float(part) for part in re.findall(r"[\d.]+(?:e-?\d+)?", colour)]
    scale = 1 if colour.startswith("color(") else 255
    alpha = found[3] if len(found) > 3 else 1.0
    return tuple(alpha * part / scale + (1 - alpha) * back for part, back in zip(found, behind, strict=False))


def luminance(colour: tuple[float, ...]) -> float:
    linear = [part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in colour]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def ratio(one: float, other: float) -> float:
    return (max(one, other) + 0.05) / (min(one, other) + 0.05)


def test_tables_are_sorted_by_a_click_or_the_keyboard(reported: Path, open_page: OpenPage) -> None:
    page = open_page(page_of(reported / "lstm"))
    table = page.locator("#health table").last
    heading = table.locator("th", has_text="gradient / values")
    column = table.locator("tbody td:nth-child(5)")

    def values() -> list[float]:
        return [float(value) for value in column.evaluate_all(VALUES) if value]

    before = values()
    heading.get_by_role("button").click()
    assert (values(), heading.get_attribute("aria-sort")) == (sorted(before, reverse=True), "descending")
    page.keyboard.press("Enter")
    assert (values(), heading.get_attribute("aria-sort")) == (sorted(before), "ascending")
    table.locator("th", has_text="shape").get_by_role("button").click()
    sizes = [int(size) for size in table.locator("tbody td:nth-child(2)").evaluate_all(VALUES)]
    assert sizes == sorted(sizes, reverse=True)
    assert [str(size) for size in sizes] != sorted(map(str, sizes), reverse=True), "as numbers, not as texts"
    names = table.locator("th", has_text="parameter")
    names.get_by_role("button").click()
    listed = table.locator("tbody th").all_inner_texts()
    assert listed == sorted(listed, key=str.lower)
    assert (names.get_attribute("aria-sort"), heading.get_attribute("aria-sort")) == ("ascending", "none")


def test_code_is_copied_or_selected(reported: Path, open_page: OpenPage) -> None:
    page = open_page(page_of(reported / "mlp-char"))
    code = page.locator("#about .code", has_text="Sample from it")
    copied: list[str] = []
    page.expose_function("keep", lambda text: copied.append(text))
    page.evaluate("Object.defineProperty(navigator, 'clipboard', {value: {writeText: async (text) => keep(text)}})")
    code.get_by_role("button").click()
    page.locator("#about [role=status]", has_text="Copied.").wait_for(state="attached")
    assert copied == ["zoo sample mlp-char"]
    other = open_page(page_of(reported / "mlp-char"))
    other.evaluate("Object.defineProperty(navigator, 'clipboard', {value: undefined})")
    other.locator("#about .code", has_text="Sample from it").get_by_role("button").click()
    other.locator("#about [role=status]", has_text="Selected: copy it with the keyboard.").wait_for(state="attached")
    assert other.evaluate("getSelection().toString()") == "zoo sample mlp-char"


class Net(nn.Module):
    def __init__(self, num_classes: int) -> None:
        super().__init__()
        self.layer = nn.Linear(36, num_classes)

    def forward(self, x: Tensor) -> Tensor:
        if len(x) > 64:
            raise RuntimeError(HOSTILE)
        logits: Tensor = self.layer(x.flatten(1)).tanh()
        return logits


def signs() -> zoo.TensorDataset:
    x = torch.rand((90, 1, 6, 6), generator=torch.Generator().manual_seed(1))
    y = torch.arange(90) % 3
    splits = [(x[part], y[part]) for part in (slice(60), slice(60, 75), slice(75, 90))]
    return zoo.TensorDataset(*splits, classes=[HOSTILE, "\u202eabc", " "])


class Plugin:
    @zoo.hookimpl
    def zoo_models(self) -> list[zoo.ModelSpec]:
        return [
            zoo.ModelSpec("net", Net, dataset="signs", optimizer="sgd", lr=0.1, batch_size=8, steps=3, generate=texts)
        ]

    @zoo.hookimpl
    def zoo_datasets(self) -> list[zoo.DatasetSpec]:
        return [zoo.DatasetSpec("signs", signs)]


def texts(n: int) -> list[str]:
    return [HOSTILE] * n


def test_hostile_texts_are_text(monkeypatch: pytest.MonkeyPatch, open_page: OpenPage) -> None:
    install(monkeypatch, Plugin(), "zoo-signs")
    Path("words.txt").write_text("\n".join([HOSTILE, "</script>", "\u202eabc", "a b", "&amp;"] * 6))
    given: dict[str, Any] = {"device": "cpu", "plots": False, "steps": 2}
    zoo.run("mlp-char", dataset="words.txt", out="words", **given)
    zoo.run("net", out="classes", **given)
    page = open_page(page_of("words", "classes"), width=390)
    text = page.locator("main").inner_text()
    assert page.title() == "page"
    assert page.locator("main img[onerror]").count() == 0
    assert page.evaluate("document.documentElement.scrollWidth") == 390
    assert HOSTILE in text
    assert f"{HOSTILE}⏎" in page.locator("#words .part").first.inner_text()
    assert HOSTILE[:39] in page.locator("#words .part").last.inner_text()
    assert "&amp;" in text
    assert "\\u202eabc" in text
    assert "\u202e" not in text
    assert page.locator("#confusion .part").last.locator("tbody th").all_inner_texts() == [
        HOSTILE[:39] + "…",
        "\\u202eabc",
        "␣",
    ]


def test_a_model_that_fails_costs_its_part_only(monkeypatch: pytest.MonkeyPatch, open_page: OpenPage) -> None:
    install(monkeypatch, Plugin(), "zoo-signs")
    zoo.run("net", device="cpu", plots=False, steps=2, out="r")
    monkeypatch.setattr(Net, "forward", lambda self, x: 1 / 0)
    page = open_page(page_of("r"))
    missing = [page.locator(f"#{name} .missing").all_inner_texts() for name in ("words", "confusion", "health")]
    why = "model 'net' of plugin zoo-signs 1.0 fails on its data: ZeroDivisionError: division by zero"
    assert missing == [[why]] * 3
    assert page.locator("#about pre").count() > 3


def test_a_lone_file_has_samples_and_its_config(made: Path, open_page: OpenPage) -> None:
    alone = Path("alone.safetensors")
    alone.write_bytes((made / "model.safetensors").read_bytes())
    page = open_page(page_of(alone))
    assert [section.get_attribute("id") for section in page.locator("main > section").all()] == ["samples", "about"]
    assert "Which of them are new is not known: " in page.locator("#samples").inner_text()
    assert page.locator("#about tbody th", has_text="alone.safetensors").count() == 1
