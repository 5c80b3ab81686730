"""Pages of nets alone: the section of the report in which a net runs, of trained models."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from zoo import api
from zoo.ambient.neutral import neutral
from zoo.data.download import fetcher
from zoo.plugin.manager import load_plugins
from zoo.plugin.registry import Entry, Plugin
from zoo.reports.page import render
from zoo.reports.reported import ReportedRun
from zoo.reports.section import Part
from zoo.reports.sections import SECTIONS, net

NET = [section for section in SECTIONS if section.name == "net"]


def offer_specs(monkeypatch: pytest.MonkeyPatch, *specs: Any) -> None:
    """Specs that are there as if a plugin had them."""

    def load(*args: Any, **kwargs: Any) -> Any:
        registry, statuses = load_plugins(*args, **kwargs)
        kinds = {kind.kind: kind for kind in registry.kinds()}
        for spec in specs:
            kinds[spec.kind].add(Entry(spec, Plugin("more", "zoo-more", "1.0")))
        return registry, statuses

    monkeypatch.setattr("zoo.api.load_plugins", load)


def reported(target: str | Path) -> ReportedRun:
    """A run as sections see it."""
    return ReportedRun.read(str(target), Path(target).name, 0, api._registry(), fetcher())


def part_of(target: str | Path) -> Part:
    """What the section has of a run."""
    with neutral():
        return net.make(reported(target))


def write_page(path: Path, *targets: str | Path) -> Path:
    """The page of the nets of runs, without the other sections."""
    with neutral():
        path.write_text(render("nets", [reported(target) for target in targets], NET))
    return path
