"""The losses of the steps, their running mean, the evaluations during training, and where the splits ended."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
from bokeh.models import ColumnDataSource, HoverTool

from zoo.numbers import show_loss
from zoo.reports.binning import Binned
from zoo.reports.figures import named, new_figure, of_run
from zoo.reports.reported import ReportedRun
from zoo.reports.section import Part
from zoo.text import visible

_MAX_UNIT = 60  # characters
_BINS_TOGETHER = 1_000  # of each run, where all runs are in one figure
_SPLITS = {"train": ("good", "dashed"), "val": ("warm", "dashed"), "test": ("faint", "dotted")}
_GUESS = ("ink", "dotdash")


def make(run: ReportedRun) -> Part | None:
    """The figure of one run."""
    if not run.step_losses:
        return None
    binned = Binned.of(run.step_losses)
    figure = new_figure(f"Losses of {visible(run.name)} by step", "step", _label(run), log=_positive([run]), height=420)
    _draw_steps(figure, binned)
    _draw_evaluations(figure, run.evaluations)
    for name, level, (colour, dash) in _levels(run):
        line = figure.line([0, len(run.step_losses)], [level, level], line_dash=dash, line_width=1.5)
        named(line, name, colour)
    return Part(_values(binned, len(run.step_losses)), _data(binned), {"losses": figure})


def make_together(runs: Sequence[ReportedRun]) -> Part | None:
    """The running means of all runs in one figure."""
    shown = [(number, run) for number, run in enumerate(runs) if run.step_losses]
    if len(shown) < 2:
        return None
    together = [run for _, run in shown]
    longest = max(len(run.step_losses) for run in together)
    units = {_label(run) for run in together}
    figure = new_figure(
        "Running means of the losses of all runs by step",
        "step",
        units.pop() if len(units) == 1 else "loss",
        log=_positive(together),
        height=460,
    )
    size = -(-longest // _BINS_TOGETHER)  # one for all, so that a window means the same for each
    binned = [Binned.of(run.step_losses, -(-len(run.step_losses) // size)) for run in together]
    widest = max(binned, key=lambda one: len(one.mean))
    for (number, run), one in zip(shown, binned, strict=True):
        source = ColumnDataSource(
            {
                "centre": one.centre,
                "count": one.count,
                "mean": one.mean,
                "running": one.running_mean(widest.usual_half()),
            }
        )
        look = of_run(number)
        line = figure.line("centre", "running", source=source, line_width=2, line_dash=look["line_dash"])
        named(line, visible(run.name), look["colour"])
        line.tags = [*line.tags, "running"]
        # By placeholders alone, which Bokeh escapes: the text of a tooltip is HTML to it.
        tooltips = [("run", "$name"), ("step", "@centre{0,0}"), ("loss", "@running{0.0000}")]
        figure.add_tools(
            HoverTool(renderers=[line], tooltips=tooltips, mode="mouse", visible=False, line_policy="nearest")
        )
    return Part(_values(widest, longest) | {"unit": _several_units(together)}, _data(widest), {"losses": figure})


def _draw_steps(figure: Any, binned: Binned) -> None:
    """Dots or, of more steps than a screen shows, bands from the lowest to the highest loss of each bin."""
    columns = {
        "centre": binned.centre,
        "count": binned.count,
        "mean": binned.mean,
        "running": binned.running_mean(binned.usual_half()),
    }
    if binned.size == 1:
        source = ColumnDataSource(columns)
        dots = figure.scatter("centre", "mean", source=source, size=3, line_color=None, fill_alpha=0.55)
        named(dots, "each step", "dots")
        tooltips = [("step", "@centre{0,0}"), ("loss", "@mean{0.0000}")]
    else:
        last = binned.start + binned.count - 1
        source = ColumnDataSource(
            {**columns, "start": binned.start, "last": last, "low": binned.low, "high": binned.high}
        )
        band = figure.varea("centre", "low", "high", source=source, fill_alpha=0.3)
        named(band, f"lowest to highest of {binned.size:,} steps", "dots")
        dots = figure.scatter("centre", "mean", source=source, size=2, line_color=None, fill_alpha=0.55)
        named(dots, f"mean of {binned.size:,} steps", "dots")
        tooltips = [
            ("steps", "@start{0,0} to @last{0,0}"),
            ("mean", "@mean{0.0000}"),
            ("lowest", "@low{0.0000}"),
            ("highest", "@high{0.0000}"),
        ]
    through = figure.line("centre", "mean", source=source, line_alpha=0)  # so that any place is near a step
    figure.add_tools(
        HoverTool(renderers=[through], tooltips=tooltips, mode="vline", line_policy="nearest", visible=False)
    )
    line = figure.line("centre", "running", source=source, line_width=2)
    named(line, "running mean", "accent").tags = ["accent", "running"]


def _draw_evaluations(figure: Any, evaluations: Sequence[tuple[int, float]]) -> None:
    finite = [(step, loss) for step, loss in evaluations if math.isfinite(loss)]
    if not finite:
        return
    source = ColumnDataSource({"step": [step for step, _ in finite], "loss": np.array([loss for _, loss in finite])})
    name = "validation split, during training"
    named(figure.line("step", "loss", source=source, line_width=1.5), name, "warm")
    dots = named(figure.scatter("step", "loss", source=source, size=6, line_color=None), name, "warm")
    tooltips = [("after step", "@step{0,0}"), ("validation loss", "@loss{0.0000}")]
    figure.add_tools(HoverTool(renderers=[dots], tooltips=tooltips, visible=False))


def _levels(run: ReportedRun) -> Iterator[tuple[str, float, tuple[str, str]]]:
    """Losses that are lines from side to side, with their looks: of the splits for these weights, and of a guess."""
    for split, one in run.results.items():
        yield f"{visible(split)} split: {show_loss(one.loss)}", one.loss, _SPLITS.get(split, _SPLITS["test"])
    if run.uniform_loss is not None:
        yield f"uniform guess among {run.classes:,}: {show_loss(run.uniform_loss)}", run.uniform_loss, _GUESS


def _positive(runs: Sequence[ReportedRun]) -> bool:
    """Whether all that is drawn of them can be on a logarithmic axis."""
    levels = (loss for run in runs for _, loss, _ in _levels(run))
    evaluated = (loss for run in runs for _, loss in run.evaluations if math.isfinite(loss))
    return all(min(run.step_losses) > 0 for run in runs) and all(x > 0 for x in (*levels, *evaluated))


def _label(run: ReportedRun) -> str:
    """Of the axis; the unit may be anyone's."""
    return f"loss ({visible(run.unit[:_MAX_UNIT])})"


def _several_units(runs: Sequence[ReportedRun]) -> bool:
    return len({run.unit for run in runs}) > 1


def _values(binned: Binned, steps: int) -> dict[str, Any]:
    halves = binned.halves()
    return {
        "steps": steps,
        "size": binned.size,
        "widest": len(halves) - 1,
        "chosen": halves.index(binned.usual_half()),
        "window": min(steps, (2 * binned.usual_half() + 1) * binned.size),
    }


def _data(binned: Binned) -> dict[str, Any]:
    return {"halves": binned.halves(), "size": binned.size}
