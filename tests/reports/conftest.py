"""Runs as the sections of a report see them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from zoo.data.download import fetcher
from zoo.plugin.manager import load_plugins
from zoo.reports.reported import ReportedRun

Read = Callable[..., ReportedRun]


@pytest.fixture
def read() -> Read:
    """`read(path, seed=1)`: a run with the plugins that are there now."""

    def read(path: Path | str, seed: int = 0) -> ReportedRun:
        return ReportedRun.read(str(path), Path(path).name, seed, load_plugins()[0], fetcher(offline=True))

    return read
