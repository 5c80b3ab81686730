"""In which settings the runs of a report differ, and what each reaches."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from zoo.files import canonical_json
from zoo.numbers import show_loss
from zoo.reports.reported import ReportedRun, Result
from zoo.reports.section import Part
from zoo.runs.listing.differences import differences


def make(runs: Sequence[ReportedRun]) -> Part | None:
    """Two tables of all runs, which a single run has no use for."""
    if len(runs) < 2:
        return None
    results = [run.results for run in runs]
    figures = dict.fromkeys(name for found in results for one in found.values() for name in _figures(one))
    splits = dict.fromkeys(split for found in results for split in found)
    columns = [(split, name) for name in figures for split in splits]
    compare = len({_measured_on(run) for run in runs}) == 1
    best = {column for column in columns if column[1] == "loss"} if compare else set()
    return Part(
        {
            "names": [run.name for run in runs],
            "settings": differences([run.config for run in runs]),
            "columns": [f"{split} {name.replace('_', ' ')}" for split, name in columns],
            "rows": [
                [
                    _cell(found, *column, best=_lowest(results, *column) if column in best else None)
                    for column in columns
                ]
                for found in results
            ],
            "units": sorted({run.unit for run in runs}),
            "compare": compare,
        }
    )


def _figures(result: Result) -> dict[str, float | None]:
    return {"loss": result.loss, **result.metrics}


def _measured_on(run: ReportedRun) -> str:
    """Equal where losses compare: the same data, split the same way, and the same loss."""
    dataset, loss = run.config["dataset"], run.config.get("loss")
    return canonical_json([dataset.get("sha256"), dataset.get("settings"), loss])


def _lowest(results: Sequence[Mapping[str, Result]], split: str, name: str) -> float | None:
    known = [_figures(found[split]).get(name) for found in results if split in found]
    return min((value for value in known if value is not None), default=None)


def _cell(found: Mapping[str, Result], split: str, name: str, *, best: float | None) -> tuple[str, bool]:
    """What is shown, and whether it is the best of its column."""
    value = _figures(found[split]).get(name) if split in found else None
    return ("-", False) if value is None else (show_loss(value), value == best)
