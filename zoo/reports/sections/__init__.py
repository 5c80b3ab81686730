"""The sections of a report, in their order."""

from __future__ import annotations

from zoo.reports.section import Section, SharedSection
from zoo.reports.sections import about, differences, embedding, losses, metrics, summary

SECTIONS: tuple[Section | SharedSection, ...] = (
    Section("summary", "Summary", summary.make),
    SharedSection("differences", "Differences", differences.make),
    SharedSection("overlaid", "Losses together", losses.make_together),
    Section("losses", "Losses", losses.make),
    Section("metrics", "Metrics", metrics.make),
    Section("embedding", "Embeddings", embedding.make),
    Section("about", "Config", about.make),
)
