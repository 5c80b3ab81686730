"""Writing a report: `zoo report` without its command line."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from zoo.ambient import in_neutral_state
from zoo.data.download import Fetcher
from zoo.errors import UnavailableError, UsageError
from zoo.files import write_bytes
from zoo.plugin.registry import Registry
from zoo.reports.reported import ReportedRun

SEED = 0  # of what sections draw: the same run gives the same report


@in_neutral_state
def write_report(targets: Sequence[str], out: Path, registry: Registry, fetch: Fetcher, *, seed: int = SEED) -> int:
    """Write a report of runs into one HTML file.

    Args:
        targets: run folders, `.safetensors` files, or names of models with shipped weights.
        out: the file. Its folder must exist; a file of that name is replaced.
        registry: of models and datasets.
        fetch: what downloads datasets.
        seed: of what is drawn.

    Returns:
        Its size in bytes.

    Raises:
        UsageError: there are no runs, or one of them is none.
        UnavailableError: Bokeh is not installed.
        CheckpointError: a file of a run is damaged.
        OSError: the file cannot be written.
    """
    if not targets:
        raise UsageError("name a run: zoo report RUN")
    try:
        from zoo.reports.page import render
        from zoo.reports.sections import SECTIONS
    except ModuleNotFoundError as error:
        if (error.name or "").partition(".")[0] not in ("bokeh", "jinja2", "markupsafe"):
            raise
        raise UnavailableError("a report needs Bokeh: pip install 'zoo-models[report]'") from error
    runs = [
        ReportedRun.read(target, name, seed, registry, fetch)
        for target, name in zip(targets, _names(targets), strict=True)
    ]
    content = render(", ".join(run.name for run in runs), runs, SECTIONS).encode()
    write_bytes(out, content)
    return len(content)


def _names(targets: Sequence[str]) -> list[str]:
    """A name for each: the last part of its path where that is enough to tell them apart."""
    last = [Path(target).resolve().name for target in targets]
    return last if len(set(last)) == len(last) else [str(target) for target in targets]
