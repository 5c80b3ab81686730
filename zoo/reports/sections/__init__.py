"""The sections of a report, in their order."""

from __future__ import annotations

from zoo.reports.section import Section, SharedSection
from zoo.reports.sections import (
    about,
    confusion,
    differences,
    embedding,
    health,
    losses,
    metrics,
    net,
    samples,
    summary,
    words,
)

SECTIONS: tuple[Section | SharedSection, ...] = (
    Section("summary", "Summary", summary.make),
    SharedSection("differences", "Differences", differences.make),
    SharedSection("overlaid", "Losses together", losses.make_together),
    Section("losses", "Losses", losses.make),
    Section("metrics", "Metrics", metrics.make),
    Section("embedding", "Embeddings", embedding.make),
    Section("net", "The net itself", net.make, scripts=("net-operations", "net-program", "net-text", "net-tensors")),
    Section("samples", "Samples", samples.make),
    Section("words", "Hardest and easiest", words.make, needs_data=True),
    Section("confusion", "Confusion", confusion.make, needs_data=True),
    Section("health", "Health", health.make, needs_data=True),
    Section("about", "Config", about.make),
)
