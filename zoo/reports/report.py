"""Writing a report: `zoo report` without its command line."""

from __future__ import annotations

import errno
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from zoo import stages
from zoo.ambient import in_neutral_state
from zoo.data.download import Fetcher
from zoo.errors import MORE, UnavailableError, UsageError, ZooError, memory_errors
from zoo.files import check_name, from_person, kind_of, read_start, write_bytes
from zoo.phrasing import command, option
from zoo.plugin.registry import Registry
from zoo.reports.reported import ReportedRun
from zoo.runs.listing.finding import find_runs
from zoo.storage.folder import REPORT_FILE, WEIGHTS_FILE
from zoo.text import shown

_START_BYTES = 200  # in which the mark of a report stands
_LISTED = 4  # names of runs in a title
_MOST = 12  # runs of a folder; of each the page has all sections
SEED = 0  # of what sections draw: the same run gives the same report
_LIBRARIES = ("bokeh", "jinja2", "markupsafe")
_READ_ONLY = (errno.EACCES, errno.EPERM, errno.EROFS)


@dataclass(frozen=True)
class Written:
    """A report that was written: its file, and its size in bytes."""

    path: Path
    size: int


@in_neutral_state
@memory_errors(MORE)
def write_report(
    targets: Sequence[str | Path],
    out: Path | None,
    registry: Registry,
    fetch: Fetcher,
    *,
    dataset: str | None = None,
    seed: int = SEED,
) -> Written:
    """Write a report of runs into one HTML file.

    Args:
        targets: run folders, folders that have run folders in them, `.safetensors` files, or names of models with
            shipped weights.
        out: the file, in a folder that exists. By default `report.html` in the folder of a single run, and in the
            current one for several, for shipped weights, and for a folder that cannot be written. Only another report
            is replaced.
        registry: of models and datasets.
        fetch: what downloads datasets.
        dataset: the data of the runs, where it is not found any more: a name, or a file.
        seed: of what is drawn.

    Raises:
        UsageError: there are no runs or too many, one of them is none, or the file is there and is no report.
        UnavailableError: Bokeh is not installed.
        CheckpointError: a file of a run is damaged.
        OSError: the file cannot be written.
    """
    if not targets:
        example = command("report", "runs/net-1")
        raise UsageError(f"a report is about one run or more: name a run folder, as in {example}")
    try:
        from zoo.reports.page import MARK, render
        from zoo.reports.sections import SECTIONS
    except ModuleNotFoundError as error:
        if (error.name or "").partition(".")[0] not in _LIBRARIES:
            raise
        raise UnavailableError(
            "a report needs Bokeh, which is not installed: pip install 'zoo-models[report]'"
        ) from error
    targets = [run for target in targets for run in _runs_of(target)]
    path = _default(targets) if out is None else out
    _check_out(path, MARK)
    runs = []
    for target, name in zip(targets, _names(targets), strict=True):
        stages.begin(f"Report: reading {name}")
        runs.append(ReportedRun.read(str(target), name, seed, registry, fetch, dataset))
    content = render(_title(runs), runs, SECTIONS).encode(errors="backslashreplace")
    try:
        write_bytes(path, content)
    except OSError as error:
        if out is not None or error.errno not in _READ_ONLY or path == Path(REPORT_FILE):
            raise
        path = Path(REPORT_FILE)
        _check_out(path, MARK)
        write_bytes(path, content)
    return Written(path, len(content))


def _runs_of(target: str | Path) -> list[str | Path]:
    """The runs in a folder of runs; anything else is one run.

    Raises:
        UsageError: there are too many of them to see side by side.
    """
    place = from_person(target)
    if kind_of(place) != "folder" or kind_of(place / WEIGHTS_FILE) != "nothing":
        return [target]
    found = sorted(path for _, path, _ in find_runs(place) if kind_of(path / WEIGHTS_FILE) == "file")
    if len(found) > _MOST:
        raise UsageError(
            f"there are {len(found)} runs in {shown(place)}, and a report shows {_MOST} side by side at most: name "
            f"those that you want to see; {command('compare', str(target))} compares all"
        )
    return list(found) or [target]


def _default(targets: Sequence[str | Path]) -> Path:
    """Beside the weights of a single run that is on the disk."""
    if len(targets) == 1:
        place = from_person(targets[0])
        kind = kind_of(place)
        if kind != "nothing":
            return (place if kind == "folder" else place.parent) / REPORT_FILE
    return Path(REPORT_FILE)


def _check_out(path: Path, mark: str) -> None:
    """Refuse a file that cannot be written, before anything is computed for it; and one that is no report.

    Raises:
        UsageError: as said.
        ZooError: the file cannot be read.
    """
    check_name("out", path)
    kind = kind_of(path)
    if kind == "nothing":
        if kind_of(path.parent) != "folder":
            raise UsageError(f"{option('out')} {shown(path)}: there is no folder {shown(path.parent)}")
        return
    if kind != "file":
        raise UsageError(
            f"{option('out')} {shown(path)} is a {kind if kind == 'folder' else 'special file'}: name a file"
        )
    try:
        start = read_start(path, _START_BYTES)
    except OSError as error:
        raise ZooError(f"cannot read {path}, which the report would replace: {error.strerror}") from error
    if mark.encode() not in start:
        raise UsageError(f"{shown(path)} is there already and is no report: name another file with {option('out')}")


def _title(runs: Sequence[ReportedRun]) -> str:
    if len(runs) == 1:
        return runs[0].title
    names = [run.name for run in runs]
    return f"{len(runs)} runs" + (f": {', '.join(names)}" if len(runs) <= _LISTED else "")


def _names(targets: Sequence[str | Path]) -> list[str]:
    """A name for each: the last part of its path where that is enough to tell them apart."""
    last = [_last_part(target) for target in targets]
    names = last if len(set(last)) == len(last) else [str(target) for target in targets]
    return [f"{name} ({names[:i].count(name) + 1})" if name in names[:i] else name for i, name in enumerate(names)]


def _last_part(target: str | Path) -> str:
    try:
        return from_person(target).resolve().name or str(target)
    except (OSError, ValueError):  # no path; whoever reads it says so
        return str(target)
