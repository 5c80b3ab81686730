"""`zoo report`: one file that shows a run, or several side by side."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from browsing import OpenPage

Zoo = Callable[..., Any]


@pytest.fixture
def run(zoo_here: Zoo) -> Path:
    """A short run of the lecture's net."""
    zoo_here("run", "mlp-char", "--dataset", "names-ssa-2018", "--steps", "20", "--no-plots", "--out", "a")
    return Path("a")


def test_the_page_shows_each_run(zoo_here: Zoo, run: Path, open_page: OpenPage) -> None:
    zoo_here("run", "mlp-char", "--dataset", "names-ssa-2018", "--steps", "10", "--no-plots", "--out", "b")
    zoo_here("report", "a", "b", "--out", "both.html")
    page = open_page(Path("both.html"))
    assert page.locator("#about .part h3").all_inner_texts() == ["a", "b"]
    page.locator("#about summary").last.click()
    assert '"steps": 10' in page.locator("#about pre").last.inner_text()


def test_the_same_run_gives_the_same_bytes(zoo_here: Zoo, run: Path) -> None:
    for name in ("one.html", "two.html"):
        zoo_here("report", "a", "--out", name)
    assert Path("one.html").read_bytes() == Path("two.html").read_bytes()
