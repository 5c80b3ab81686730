"""What a report consists of: sections, each in its own file, with a template and perhaps a script.

A section called `health` is `sections/health.py`, `templates/health.html` and, where it reacts to its reader,
`assets/health.js`; `assets/health.css` if `page.css` is not enough. `sections/__init__.py` lists them in their order.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from zoo.reports.reported import ReportedRun


@dataclass(frozen=True)
class Part:
    """What a section shows: of one run, or of all runs of a report.

    Attributes:
        values: for the template, which escapes them.
        data: for the script: anything that JSON can hold. NaN and infinity become null.
        figures: of `zoo.reports.figures`, by the names under which the template places them: `{{ figures.NAME }}`.
    """

    values: Mapping[str, Any] = field(default_factory=dict)
    data: Any = None
    figures: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Section:
    """A section that shows each run of a report for itself, side by side where there are several.

    Attributes:
        name: of its files; also its anchor in the page.
        title: its heading.
        make: what it shows of a run; None where a run has nothing for it. A ZooError becomes a line in its place.
        needs_data: it shows nothing of a run whose data is not found. The summary says once which sections these are.
        scripts: other scripts of `assets/`, which come before its own.
    """

    name: str
    title: str
    make: Callable[[ReportedRun], Part | None]
    needs_data: bool = False
    scripts: Sequence[str] = ()


@dataclass(frozen=True)
class SharedSection:
    """A section that shows all runs of a report together.

    Attributes:
        name, title: as those of a `Section`.
        make: what it shows of the runs; None where they have nothing for it.
    """

    name: str
    title: str
    make: Callable[[Sequence[ReportedRun]], Part | None]
