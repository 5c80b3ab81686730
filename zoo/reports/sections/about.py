"""How the run was made: config, versions, how to load it, how to reproduce it."""

from __future__ import annotations

from zoo.reports.reported import ReportedRun
from zoo.reports.section import Part


def make(run: ReportedRun) -> Part:
    """The config as it is recorded."""
    return Part({"config": run.config})
