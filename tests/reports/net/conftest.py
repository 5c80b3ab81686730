"""Pages of nets alone."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import zoo
from zoo.ambient.neutral import neutral
from zoo.data.download import fetcher
from zoo.plugin.manager import load_plugins
from zoo.plugin.registry import Entry, Plugin
from zoo.reports.page import render
from zoo.reports.reported import ReportedRun
from zoo.reports.sections import SECTIONS

Offer = Callable[..., None]
NetPage = Callable[..., Path]
NET = [section for section in SECTIONS if section.name == "net"]


@pytest.fixture
def offer(monkeypatch: pytest.MonkeyPatch) -> Offer:
    """`offer(spec, ...)`: specs that are there as if a plugin had them."""

    def add(*specs: Any) -> None:
        def load(*args: Any, **kwargs: Any) -> Any:
            registry, statuses = load_plugins(*args, **kwargs)
            kinds = {kind.kind: kind for kind in registry.kinds()}
            for spec in specs:
                kinds[spec.kind].add(Entry(spec, Plugin("more", "zoo-more", "1.0")))
            return registry, statuses

        monkeypatch.setattr("zoo.api.load_plugins", load)

    return add


def reported(target: str | Path, name: str = "") -> ReportedRun:
    """A run as sections see it."""
    return ReportedRun.read(str(target), name or str(target), 0, zoo.api._registry(), fetcher())


@pytest.fixture
def net_page(tmp_path: Path) -> NetPage:
    """`net_page("a", "b")`: the page of the nets of runs, without the other sections."""

    def write(*targets: str | Path) -> Path:
        with neutral():
            html = render("nets", [reported(target) for target in targets], NET)
        path = tmp_path / "nets.html"
        path.write_text(html)
        return path

    return write
