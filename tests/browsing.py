"""Opening pages in the Chromium of the system, headless and without a network."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, TypeAlias

import pytest

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
FLAGS = ("--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking")

OpenPage: TypeAlias = "Callable[..., Page]"


@contextmanager
def chromium(home: Path) -> Iterator[Browser]:
    """Chromium with a home of its own. Within the block, this thread runs an event loop: no `asyncio.run` there."""
    if CHROMIUM is None:
        pytest.skip("Chromium is not installed (on Debian: apt-get install chromium)")
    from playwright.sync_api import sync_playwright  # here, because few tests need it

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=FLAGS, env={"HOME": str(home)})
        yield browser
        browser.close()


@contextmanager
def opening(browser: Browser) -> Iterator[OpenPage]:
    """Open a file: `open_page(path, width=400, dark=True)`; no page may report an error, or ask for anything else."""
    contexts, problems = [], []

    def open_page(path: Path, *, width: int = 1280, height: int = 900, dark: bool = False) -> Page:
        context = browser.new_context(
            viewport={"width": width, "height": height}, color_scheme="dark" if dark else "light", offline=True
        )
        contexts.append(context)
        page = context.new_page()
        page.on("pageerror", lambda error: problems.append(str(error)))
        page.on("console", lambda told: problems.append(told.text) if told.type in ("error", "warning") else None)
        page.on("request", lambda asked: problems.append(asked.url) if asked.url.startswith(("http", "ws")) else None)
        page.goto(path.resolve().as_uri())
        return page

    yield open_page
    for context in contexts:
        context.close()
    assert not problems


_COLUMNS = """([label, name]) => {
  const figure = Bokeh.documents.map((doc) => doc.roots()[0]).find((one) => one.name.includes(label));
  const found = figure.renderers.find((one) => one.name === name);
  return Object.fromEntries(zoo.columns(found.data_source).map(([key, values]) => [key, [...values]]));
}"""


def drawn(page: Page, label: str, name: str) -> dict[str, list[float]]:
    """The columns of numbers behind what a figure of a report shows.

    Args:
        page: a report.
        label: a part of the figure's own.
        name: of a renderer, as the legend has it.
    """
    found: dict[str, list[float]] = page.evaluate(_COLUMNS, [label, name])
    return found
