"""The net itself: its weights and its forward pass, in the page."""

from __future__ import annotations

from zoo.data.datasets import TextDataset
from zoo.reports.net import tensors, text
from zoo.reports.net.tracing import UnsupportedError
from zoo.reports.reported import ReportedRun
from zoo.reports.section import Part
from zoo.training.device import threads


def make(run: ReportedRun) -> Part:
    """The net with a way to give it inputs; or a line that says why it does not run in a page."""
    loaded = run.loaded
    try:
        with threads(1):  # of one input at a time
            if loaded.reads_text:
                dataset = run.dataset
                known = set(dataset.splits["train"]) if isinstance(dataset, TextDataset) else None
                data = text.offer(loaded.as_text(), known)
            else:
                data = tensors.offer(run)
    except UnsupportedError as error:
        return Part({"kind": None, "missing": str(error)})
    return Part({"kind": data["kind"], "missing": None, "given": data}, data)
