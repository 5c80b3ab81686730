"""The sections of a report, in their order."""

from __future__ import annotations

from zoo.reports.section import Section, SharedSection
from zoo.reports.sections import about

SECTIONS: tuple[Section | SharedSection, ...] = (Section("about", "Config", about.make),)
