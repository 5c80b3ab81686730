"""Reports are opened in a browser."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from browsing import OpenPage, chromium, opening
from playwright.sync_api import Browser


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    with chromium(tmp_path_factory.mktemp("browser")) as browser:
        yield browser


@pytest.fixture
def open_page(browser: Browser) -> Iterator[OpenPage]:
    """See `browsing.opening`."""
    with opening(browser) as open_page:
        yield open_page
