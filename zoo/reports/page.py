"""The page: sections, templates, scripts and Bokeh's own code in one HTML file that asks no server for anything.

`templates/page.html` is the page, `assets/page.css` and `assets/page.js` its style and what its sections share.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

from bokeh.embed import components
from bokeh.resources import Resources
from jinja2 import Environment, PackageLoader, StrictUndefined, TemplateNotFound
from markupsafe import Markup

from zoo.errors import ZooError
from zoo.reports.reported import ReportedRun
from zoo.reports.section import Part, Section, SharedSection


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
    made = [(section, list(_parts(section, runs))) for section in sections]
    made = [(section, parts) for section, parts in made if parts]
    figures = {
        f"{section.name}{number}-{key}": figure
        for section, parts in made
        for number, (_, part) in enumerate(parts)
        if isinstance(part, Part)
        for key, figure in part.figures.items()
    }
    bokeh_script, divs = components(figures) if figures else ("", {})
    shown = [
        _ShownSection(
            section.name, section.title, [_show(section, number, *one, divs) for number, one in enumerate(parts)]
        )
        for section, parts in made
    ]
    names = ["page", *(section.name for section in shown)]
    return (
        _environment()
        .get_template("page.html")
        .render(
            title=title,
            runs=runs,
            sections=shown,
            styles=Markup("\n".join(filter(None, (_asset(f"{name}.css") for name in names)))),  # noqa: S704  # our own
            scripts=[Markup(script) for script in (_asset(f"{name}.js") for name in names) if script],  # noqa: S704  # our own
            bokeh=Markup(Resources(mode="inline", components=["bokeh"]).render_js() if figures else ""),  # noqa: S704
            bokeh_script=Markup(bokeh_script),  # noqa: S704  # Bokeh's, which escapes what is in it
        )
    )


def _parts(
    section: Section | SharedSection, runs: Sequence[ReportedRun]
) -> Iterator[tuple[int | None, Part | ZooError]]:
    """What a section has to show, and of which run."""
    if isinstance(section, SharedSection):
        part = section.make(runs)
        if part is not None:
            yield None, part
        return
    for number, run in enumerate(runs):
        one: Part | ZooError | None
        try:
            one = section.make(run)
        except ZooError as error:
            one = error
        if one is not None:
            yield number, one


def _show(
    section: Section | SharedSection, number: int, run: int | None, part: Part | ZooError, divs: Mapping[str, str]
) -> _Shown:
    if isinstance(part, ZooError):
        return _Shown(run, Markup('<p class="missing">{}</p>').format(str(part)), None)
    own = {key: Markup(divs[f"{section.name}{number}-{key}"]) for key in part.figures}  # noqa: S704  # Bokeh's
    template = _environment().get_template(f"{section.name}.html")
    html = template.render(**part.values, figures=own, prefix=f"{section.name}{number}")
    return _Shown(run, Markup(html), part.data)  # noqa: S704  # of a template that escapes


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
