"""A run as the sections of a report see it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from zoo.data.download import fetcher
from zoo.plugin.manager import load_plugins
from zoo.reports.reported import ReportedRun


def read(path: Path | str, seed: int = 0) -> ReportedRun:
    """With the plugins that are there now."""
    return ReportedRun.read(str(path), Path(path).name, seed, load_plugins()[0], fetcher(offline=True))


def split(run: ReportedRun, name: str) -> Any:
    """The words of a split of its data, or its inputs and targets."""
    assert run.dataset is not None
    splits: Any = run.dataset.splits
    return splits[name]
