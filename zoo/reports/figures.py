"""Figures of a page: made with Bokeh in Python, shown by Bokeh's own code, coloured by the page's script.

A renderer says what it shows by its name, which the page lists beside the figure and by which it can be hidden, and its
colour by its first tag, which is a CSS variable of `page.css` without its dashes: so one figure serves light and dark.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from typing import Any

from bokeh.embed import json_item
from bokeh.models import (
    BasicTickFormatter,
    BoxZoomTool,
    LinearAxis,
    LinearScale,
    LogAxis,
    LogScale,
    NumeralTickFormatter,
    PanTool,
    ResetTool,
    SaveTool,
    WheelZoomTool,
)
from bokeh.plotting import figure
from bokeh.resources import Resources
from markupsafe import Markup

RUN_COLOURS = 10  # `--run-0` to `--run-9` of page.css
_DASHES = ("solid", "dashed", "dotted", "dotdash")  # with which colours are used again


def new_figure(label: str, x: str, y: str, *, height: int = 380, log: bool = False, **attributes: Any) -> Any:
    """An empty figure in the style of the page.

    Args:
        label: what it shows, for readers that do not see it.
        x, y: labels of the axes.
        height: in pixels; the width is that of the page.
        log: begin with a logarithmic y axis; the page has a switch for a figure that has both.
        attributes: of Bokeh's figure.
    """
    tools: list[Any] = [BoxZoomTool(), PanTool(), WheelZoomTool(), ResetTool(), SaveTool()]
    made = figure(
        name=label,
        height=height,
        sizing_mode="stretch_width",
        tools=tools,
        toolbar_location="above",
        x_axis_label=x,
        y_axis_label=y,
        active_drag=tools[0],
        active_scroll=None,
        background_fill_color=None,
        border_fill_color=None,
        outline_line_color=None,
        **{"min_border_right": 12, **attributes},
    )
    made.toolbar.logo = None
    made.axis.minor_tick_line_color = None
    made.xaxis.formatter = NumeralTickFormatter(format="0,0.[00]")
    if log:
        _begin_logarithmic(made, y)
    return made


def _begin_logarithmic(made: Any, label: str) -> None:
    """Give a figure a second, logarithmic axis, and show that; the page's script finds all four in the tags."""
    linear = made.yaxis[0]
    logarithmic: Any = LogAxis(axis_label=label, minor_tick_line_color=None)
    # 5 and 0.002, where that of a LogAxis has 10 with an exponent
    logarithmic.formatter = BasicTickFormatter(power_limit_high=7, power_limit_low=-5)
    assert isinstance(linear, LinearAxis)
    made.add_layout(logarithmic, "left")
    made.tags = [LinearScale(), LogScale(), linear, logarithmic]
    linear.visible = False
    made.y_scale = made.tags[1]
    made.ygrid[0].axis = logarithmic


def named(renderer: Any, name: str, colour: str) -> Any:
    """The same renderer with its name for readers, and a colour of the page: `accent`, `faint`, `warm`, `run-3`."""
    renderer.name, renderer.tags = name, [colour]
    return renderer


def of_run(number: int) -> dict[str, str]:
    """Colour and dashes of the lines of a run, which tell some forty runs apart."""
    return {
        "colour": f"run-{number % RUN_COLOURS}",
        "line_dash": _DASHES[number // RUN_COLOURS % len(_DASHES)],
    }


def embedded(model: Any) -> dict[str, Any]:
    """What Bokeh's code needs to show a figure. The same figure gives the same, whatever was made before it."""
    item: dict[str, Any] = dict(json_item(model))
    known: dict[str, str] = {}
    doc = _renumbered(item["doc"], known)
    return {"root_id": known[item["root_id"]], "doc": doc, "version": item["version"]}


def _renumbered(value: Any, known: dict[str, str]) -> Any:
    """The same JSON with ids that count from 1: Bokeh counts all models that a process makes."""
    if isinstance(value, Mapping):
        return {
            key: known.setdefault(one, f"m{len(known) + 1}")
            if key == "id" and isinstance(one, str)
            else _renumbered(one, known)
            for key, one in value.items()
        }
    return [_renumbered(one, known) for one in value] if isinstance(value, list) else value


@cache
def bokeh_scripts() -> tuple[Markup, ...]:
    """Bokeh's own code, for the scripts of a page."""
    resources = Resources(mode="inline", components=["bokeh"], minified=True, log_level="error")
    return tuple(Markup(_ended_nowhere(script)) for script in resources.js_raw)  # noqa: S704  # Bokeh's


def _ended_nowhere(script: str) -> str:
    """A script in which no text ends the element that it stands in."""
    return script.replace("</script", "<\\/script")
