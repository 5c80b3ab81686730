"""What the plot of a sweep shows, of its rows and of the losses in its members' folders. torch is not imported.

The same is made of a sweep that has just ended and of one that `zoo plot` finds in a folder.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from zoo.errors import CheckpointError
from zoo.files import parse_json, read_text
from zoo.numbers import mean
from zoo.options.sweep import HALVING
from zoo.options.values import as_text
from zoo.plots.population import Band, Group, Population, View
from zoo.plots.sweep import plot_population
from zoo.runs.listing.columns import BETTER
from zoo.storage import METRICS_FILE
from zoo.storage.losses import LOSSES_FILE, read_losses
from zoo.sweeps.member import DIVERGED, FINISHED, Row, name_of
from zoo.sweeps.results.settings import Setting, by_settings, value_of
from zoo.sweeps.sheet import SHEET_FILE, read_sheet, read_sweep

_MOST_BANDS, _MOST_SEEDS, _MOST_POINTS = 6, 8, 80
_UNIT = "nats"


def plot_rows(path: Path, rows: Sequence[Row], description: Mapping[str, Any], file_format: str = "png") -> bytes:
    """The content of a file with the plot of a sweep; the arguments are those of `population_of`.

    Raises:
        UsageError: there is no such format.
        Exception: whatever matplotlib raises.
    """
    return plot_population(population_of(path, rows, description), file_format, path)


def plot_sweep(path: Path, file_format: str = "png") -> bytes:
    """The content of a file with the plot of a sweep that is in a folder.

    Raises:
        CheckpointError: its files are damaged.
        OSError: they cannot be read.
        UsageError: there is no such format.
    """
    return plot_rows(path, read_sheet(path / SHEET_FILE), read_sweep(path), file_format)


def population_of(path: Path, rows: Sequence[Row], description: Mapping[str, Any]) -> Population:
    """What is to be plotted.

    Args:
        path: the folder of the sweep.
        rows: of its members; values of settings may be texts, as the sheet has them.
        description: as `sweep.json` has it.
    """
    settings = by_settings(rows)
    names = list(dict.fromkeys(name for one in settings for name in one.settings))
    monitor = str((description.get("same") or {}).get("monitor") or "loss")
    view, found = _view(description)
    halving = found.get("by") == HALVING
    if halving:  # those with more steps are drawn over the others
        settings = sorted(settings, key=lambda one: one.steps)
    shading = {"shading": "those with more steps darker"} if halving else {}
    unit = _unit(path, rows)
    name, _, direction = monitor.partition(":")
    return Population(
        title=_title(description, settings, len(rows), view),
        measure=f"validation loss ({unit})" if name == "loss" else f"validation {name}",
        training=f"training loss ({unit})",
        names=names,
        groups=[_group(one, names, name, halving=halving) for one in settings],
        view=view,
        higher=direction == "max" or (not direction and BETTER.get(name) == "higher"),
        bands=[] if view in ("trials", "rates") else _bands(path, settings, view),
        suggestion=found.get("suggestion"),
        law=found.get("fit") or {},
        **shading,
    )


def _view(description: Mapping[str, Any]) -> tuple[View, Mapping[str, Any]]:
    """What is to be seen, and what the sweep has found of it."""
    views: tuple[tuple[str, View], ...] = (("search", "trials"), ("find_lr", "rates"), ("ladder", "ladder"))
    return next(((view, description[name]) for name, view in views if name in description), ("settings", {}))


def _title(description: Mapping[str, Any], settings: Sequence[Setting], members: int, view: View) -> str:
    models = ", ".join(map(str, description.get("models") or []))
    kinds: dict[View, str] = {"trials": "search", "rates": "learning rates", "ladder": "sizes", "settings": "settings"}
    seeds = len(description.get("seeds") or [])
    of_each = f"{seeds:,} seed{'s' * (seeds != 1)}"
    data = (description.get("data") or {}).get("name")
    on = f" on {data}" if data else ""
    if len(settings) == 1:
        return f"{models}{on}: {of_each}"
    if view == "trials":
        return f"{models}{on}: search of {len(settings):,} settings, {of_each} each"
    return f"{models}{on}: {len(settings):,} {kinds[view]}, {of_each} each"


def _group(one: Setting, names: Sequence[str], measured: str, *, halving: bool) -> Group:
    return Group(
        [_plain(one.settings.get(name)) for name in names],
        [value for row in one.rows if (value := value_of(row, measured)) is not None],
        sum(row.state == DIVERGED for row in one.rows),
        sum(row.state not in (DIVERGED, FINISHED) for row in one.rows),
        next((row.parameters for row in one.rows if row.parameters is not None), None),
        one.steps if halving else None,
    )


def _plain(value: Any) -> Any:
    """A value of the sheet as a number, where it is one."""
    text = "-" if value is None else as_text(value)
    for number in (int, float):
        with contextlib.suppress(ValueError):
            return number(text)
    return text


def _unit(path: Path, rows: Sequence[Row]) -> str:
    """What losses are in, as a member's result says it."""
    for row in rows:
        if row.state == FINISHED:
            return str(_metrics(path, row).get("loss_unit", _UNIT))
    return _UNIT


def _metrics(path: Path, row: Row) -> Mapping[str, Any]:
    """The result of a member; empty where it was not kept."""
    try:
        found = parse_json(read_text(path / name_of(row.member) / METRICS_FILE))
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}


def _bands(path: Path, settings: Sequence[Setting], view: View) -> list[Band]:
    """Curves of the first few settings, or of the best where there are more; none where losses were not kept."""
    shown = [one for one in settings if one.values]
    if len(shown) > _MOST_BANDS:
        best = sorted(shown, key=lambda one: mean(one.values))[:_MOST_BANDS]
        shown = [one for one in shown if one in best]
    bands = (_band(path, one, timed=view == "ladder") for one in shown)
    return [band for band in bands if band is not None]


def _band(path: Path, one: Setting, *, timed: bool) -> Band | None:
    import numpy as np

    rows = [row for row in one.rows if row.state == FINISHED][:_MOST_SEEDS]
    losses = [found for row in rows if (found := _losses(path, row))]
    steps = min(map(len, losses), default=0)
    if not steps:
        return None
    size = -(-steps // _MOST_POINTS)  # steps of which a point is the mean
    count = steps // size
    points = np.asarray([of[: count * size] for of in losses]).reshape(len(losses), count, size).mean(2)
    at = (np.arange(count) + 0.5) * size
    seconds = list(_seconds(path, rows)) if timed else []
    per_step = mean(seconds) if seconds else None
    return Band(
        ", ".join(f"{name} {as_text(value)}" for name, value in one.settings.items()),
        at.tolist(),
        points.mean(0).tolist(),
        (points.std(0, ddof=1) if len(losses) > 1 else np.zeros(count)).tolist(),
        [] if per_step is None else (at * per_step).tolist(),
        len(losses),
    )


def _losses(path: Path, row: Row) -> list[float]:
    try:
        return read_losses(path / name_of(row.member) / LOSSES_FILE)
    except (CheckpointError, OSError):
        return []


def _seconds(path: Path, rows: Sequence[Row]) -> Iterator[float]:
    """The seconds of training for each step, of each member whose result is there."""
    for row in rows:
        of_train = (_metrics(path, row).get("seconds") or {}).get("train")
        if isinstance(of_train, int | float) and row.steps:
            yield of_train / row.steps
