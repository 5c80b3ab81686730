"""The loss and the metrics of each split, and what a guess would have."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from zoo.numbers import show_loss
from zoo.reports.reported import ReportedRun, Result
from zoo.reports.section import Part


def make(run: ReportedRun) -> Part | None:
    """A table of splits and figures; words that are not in the training split have rows of their own."""
    results = run.results
    if not results:
        return None
    unseen = {f"{split}, unseen words": one for split, one in run.unseen.items()}
    rows = {**results, **unseen}
    names = list(dict.fromkeys(name for one in rows.values() for name in one.metrics))
    return Part(
        {
            "names": [name.replace("_", " ") for name in names],
            "unit": run.unit,
            "counted": run.counted,
            "rows": list(_rows(rows, names)),
            "guess": None if run.uniform_loss is None else show_loss(run.uniform_loss),
            "classes": run.classes,
            "unseen": bool(unseen),
        }
    )


def _rows(results: Mapping[str, Result], names: list[str]) -> Iterator[tuple[str, list[str]]]:
    for split, one in results.items():
        examples = "-" if one.examples is None else f"{one.examples:,}"
        metrics = (one.metrics.get(name) for name in names)
        yield split, [examples, show_loss(one.loss), *("-" if x is None else show_loss(x) for x in metrics)]
