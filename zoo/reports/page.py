"""The page: sections, templates, scripts and Bokeh's own code in one HTML file that asks no server for anything.

`templates/page.html` is the page, `assets/page.css` and `assets/page.js` its style and what its sections share, and
`assets/tables.css` and `assets/tables.js` are for tables that scroll and are sorted. Of all scripts, a browser runs
those alone whose digests the page states, so that no text of a checkpoint can be one; and it makes no request for any.
"""

from __future__ import annotations

import base64
import hashlib
import json
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from importlib.metadata import version
from typing import Any, TypeVar

from jinja2 import Environment, PackageLoader, StrictUndefined, TemplateNotFound
from markupsafe import Markup

from zoo import stages
from zoo.errors import ZooError
from zoo.reports.figures import RUN_COLOURS, bokeh_scripts, embedded
from zoo.reports.reported import ReportedRun
from zoo.reports.section import Part, Section, SharedSection

T = TypeVar("T")
MARK = Markup("<!-- a report of zoo -->")  # on the second line of each report, which may be replaced by another
_START = Markup("zoo.start();")
_POLICY = (
    "default-src 'none'; script-src {}; style-src 'unsafe-inline'; img-src data: blob:; base-uri 'none'; "
    "form-action 'none'"
)


@dataclass(frozen=True)
class _Shown:
    """A part with the run that it is of, made into HTML.

    Attributes:
        run: the index of the run; None for a part of all runs.
        html: of its template; or one line with what went wrong.
        data: for its script.
    """

    run: int | None
    html: Markup
    data: Any


@dataclass(frozen=True)
class _ShownSection:
    """A section with all its parts."""

    name: str
    title: str
    parts: Sequence[_Shown]


def render(title: str, runs: Sequence[ReportedRun], sections: Sequence[Section | SharedSection]) -> str:
    """The whole file.

    Args:
        title: of the page.
        runs: at least one.
        sections: in their order; one without anything to show is left out.
    """
    made = []
    for section in sections:
        stages.begin(f"Report: {section.title.lower()}")
        parts = list(_parts(section, runs))
        if parts:
            made.append((section, parts))
    shown = [
        _ShownSection(section.name, section.title, [_show(section, number, *one) for number, one in enumerate(parts)])
        for section, parts in made
    ]
    figures = any(isinstance(part, Part) and part.figures for _, parts in made for _, part in parts)
    names = ["page", "tables", *(section.name for section in shown)]
    sources = ["page", "tables", *(name for section, _ in made for name in _scripts(section))]
    own = [Markup(script) for script in (_asset(f"{name}.js") for name in sources) if script]  # noqa: S704  # our own
    scripts = [*(bokeh_scripts() if figures else ()), *own]
    return (
        _environment()
        .get_template("page.html")
        .render(
            mark=MARK,
            title=title,
            runs=runs,
            run_colours=RUN_COLOURS,
            sections=shown,
            styles=Markup("\n".join(filter(None, (_asset(f"{name}.css") for name in names)))),  # noqa: S704  # our own
            scripts=scripts,
            start=_START,
            policy=Markup(_POLICY.format(" ".join(map(_digest, [*scripts, _START])))),  # noqa: S704
            version=version("zoo-models"),
        )
    )


def _scripts(section: Section | SharedSection) -> list[str]:
    return [*(section.scripts if isinstance(section, Section) else ()), section.name]


def _digest(script: str) -> str:
    """As a Content-Security-Policy names a script."""
    return f"'sha256-{base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()}'"


def _parts(
    section: Section | SharedSection, runs: Sequence[ReportedRun]
) -> Iterator[tuple[int | None, Part | ZooError]]:
    """What a section has to show, and of which run."""
    if isinstance(section, SharedSection):
        of_all = _made(section.make, runs)
        if of_all is not None:
            yield None, of_all
        return
    for number, run in enumerate(runs):
        if section.needs_data and run.dataset is None:
            continue  # the summary says so
        one = _made(section.make, run)
        if one is not None:
            yield number, one


def _made(make: Callable[[T], Part | None], of: T) -> Part | ZooError | None:
    try:
        return make(of)
    except ZooError as error:
        return error


def _show(section: Section | SharedSection, number: int, run: int | None, part: Part | ZooError) -> _Shown:
    if isinstance(part, ZooError):
        return _Shown(run, Markup('<p class="missing">{}</p>').format(str(part)), None)
    figures = {name: _figure(name, figure) for name, figure in part.figures.items()}
    template = _environment().get_template(f"{section.name}.html")
    html = template.render(**part.values, figures=figures, prefix=f"{section.name}{number}")
    return _Shown(run, Markup(html), part.data)  # noqa: S704  # of a template that escapes


def _figure(name: str, figure: Any) -> Markup:
    """The place of a figure, with what Bokeh's code needs to show it."""
    return Markup(
        '<div class="figure" data-name="{}" role="group" aria-label="{}"><div class="plot"></div>'
        '<script type="application/json">{}</script></div>'
    ).format(name, figure.name, _embedded_json(embedded(figure)))


@cache
def _environment() -> Environment:
    environment = Environment(
        loader=PackageLoader("zoo.reports"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["embedded_json"] = _embedded_json
    return environment


@cache
def _asset(name: str) -> str | None:
    """The text of a file in `assets`; None if there is no such file."""
    loader = PackageLoader("zoo.reports", "assets")
    try:
        return loader.get_source(_environment(), name)[0]
    except TemplateNotFound:
        return None


def _embedded_json(value: Any) -> Markup:
    """JSON that can stand in a `<script>` of HTML: nothing in it can end the script."""
    text = json.dumps(_finite(value), separators=(",", ":"), allow_nan=False)
    return Markup(text.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026"))  # noqa: S704


def _finite(value: Any) -> Any:
    """The same with None instead of NaN and infinity, which JSON does not have."""
    if isinstance(value, Mapping):
        return {str(key): _finite(one) for key, one in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(one) for one in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
