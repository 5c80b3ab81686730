"""Runs as CSV."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from typing import Any

from zoo.files import canonical_json
from zoo.runs.listing.record import SPLITS, RunRecord

_FORMULA = ("=", "+", "-", "@", "\t", "\r")  # what a spreadsheet takes for the start of one


def as_csv(runs: Sequence[RunRecord]) -> list[str]:
    """The lines of a CSV (RFC 4180, with a newline as the end of a line): a header, and a line for each run.

    A text that a spreadsheet would take for a formula has a `'` before it.
    """
    facts = [run.as_json() for run in runs]
    metrics = dict.fromkeys(f"{split}.{name}" for run in runs for split in SPLITS for name in run.metrics(split))
    settings = dict.fromkeys(name for run in runs for name in run.settings)
    plain = ["run", "run_dir", "state", "fault", "model", "dataset", "sha256", "preset", "steps", "planned", *SPLITS]
    plain += ["loss_unit", "batch_loss", "parameters", "seconds", "modified"]
    written = io.StringIO(newline="")
    writer = csv.writer(written, lineterminator="\n")
    own = [name for name in settings if name not in ("model", "data", "data.sha256", "preset", "steps")]
    heads = ["seconds_limit" if name == "seconds" else name for name in own]  # `seconds` is the time it took
    writer.writerow(map(_harmless, [*plain, *metrics, *heads]))
    for run, fact in zip(runs, facts, strict=True):
        fact |= {"dataset": fact["dataset"]["name"], "sha256": fact["dataset"]["sha256"], **fact["losses"]}
        measured = [run.metrics(name.partition(".")[0]).get(name.partition(".")[2]) for name in metrics]
        values = [run.settings.get(name) for name in own]
        writer.writerow(map(_harmless, [*(fact.get(name) for name in plain), *measured, *values]))
    return written.getvalue().removesuffix("\n").split("\n")


def _harmless(value: Any) -> Any:
    """A cell: no text that begins as a formula does."""
    if value is None or (isinstance(value, int | float) and not isinstance(value, bool)):
        return value
    text = value if isinstance(value, str) else canonical_json(value)
    return f"'{text}" if text.startswith(_FORMULA) else text
