"""The columns of a list of runs, by name: what each has of a run, and which of two values is the better one."""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias, get_args

from zoo.errors import UsageError, suggest
from zoo.runs.listing.record import SPLITS, RunRecord, State
from zoo.runs.listing.settings import differing, identity
from zoo.text import shown

Better: TypeAlias = Literal["lower", "higher"]

# Of zoo's own metrics; of another one it is known where a run monitors it.
BETTER: dict[str, Better] = {"accuracy": "higher", "r2": "higher", "rmse": "lower", "bits_per_character": "lower"}

_HOW = ("device", "engine", "threads", "compile")  # how it was computed, of which the result hardly depends
MOST_SETTINGS = 6  # in a table


@dataclass(frozen=True)
class Column:
    """A column.

    Attributes:
        name: as `--sort` and `--where` take it.
        value: of a run; None where it has none.
        better: which of two values is better; None where that is not known, or makes no sense.
        measured: whether it is a loss or a metric: those of different data do not compare.
        time: whether it is in seconds.
        choices: the texts that it may have; empty for any.
        texts: other texts that mean the same as its value, such as a full name.
        setting: the full name of the setting that it is; empty for what is none.
    """

    name: str
    value: Callable[[RunRecord], Any]
    better: Better | None = None
    measured: bool = False
    time: bool = False
    choices: tuple[str, ...] = ()
    texts: Callable[[RunRecord], Iterable[str]] = lambda _: ()
    setting: str = ""

    @property
    def title(self) -> str:
        """At its head: settings as they are typed, figures in words."""
        return self.name.replace("_", " ") if self.measured else self.name


def _loss(split: str) -> Column:
    return Column(split, lambda run: run.losses.get(split), "lower", measured=True)


def _full_name(part: Literal["model", "dataset"]) -> Callable[[RunRecord], Iterable[str]]:
    return lambda run: () if run.config is None else (getattr(run.config, part),)


_FIXED = {
    column.name: column
    for column in (
        Column("run", lambda run: run.name, texts=lambda run: (str(run.path),)),
        Column("model", lambda run: run.model, texts=_full_name("model")),
        Column("data", lambda run: run.data, texts=_full_name("dataset")),
        Column("preset", lambda run: run.preset),
        Column("steps", lambda run: run.steps),
        Column("planned", lambda run: run.planned),
        *map(_loss, SPLITS),
        Column("batch_loss", lambda run: run.batch_loss, "lower", measured=True),
        Column("unit", lambda run: run.unit),
        Column("parameters", lambda run: run.parameters),
        Column("time", lambda run: run.seconds, time=True),
        Column("state", lambda run: run.state, choices=get_args(State)),
        Column("age", lambda run: max(0.0, time.time() - run.modified) if run.modified else None, time=True),
    )
}


def find_column(name: str, runs: Sequence[RunRecord]) -> Column:
    """A column by its name: one that every list has, a metric, or a setting.

    A metric is that over the validation split, or as in `test.accuracy` that over another one; one that is called as a
    column is `val.NAME` only. Of a setting the last part of its name is enough where only one setting ends so.

    Raises:
        UsageError: there is none of that name; the message has the nearest.
    """
    in_one_word = name.replace(" ", "_")
    if in_one_word in _FIXED:
        return _FIXED[in_one_word]
    found = metric_column(name, runs) or metric_column(in_one_word, runs)
    if found is not None:
        return found
    settings = dict.fromkeys(setting for run in runs for setting in run.settings)
    wanted = name.removeprefix("training.")
    full = [setting for setting in settings if setting == wanted] or [
        setting for setting in settings if setting.endswith(f".{wanted}")
    ]
    if len(full) == 1:
        return setting_column(full[0], name)
    if full:
        raise UsageError(f"several settings are called {shown(name)}: give one of {', '.join(map(shown, full))}")
    raise UsageError(f"no run has a column {shown(name)}; {suggest(name, column_names(runs))}")


def column_names(runs: Sequence[RunRecord]) -> list[str]:
    """What `find_column` finds, by its full name."""
    settings = dict.fromkeys(setting for run in runs for setting in run.settings)
    return [*_FIXED, *metric_names(runs), *settings]


def metric_names(runs: Sequence[RunRecord]) -> list[str]:
    """The metrics over the validation splits of runs, but for those that are called as a column."""
    return list(dict.fromkeys(name for run in runs for name in run.metrics("val") if name not in _FIXED))


def metric_column(name: str, runs: Sequence[RunRecord]) -> Column | None:
    """A metric, `accuracy` or `test.accuracy`; None if no run has it."""
    split, _, rest = name.partition(".")
    if split not in SPLITS or not rest:
        split, rest = "val", name
    if not any(rest in run.metrics(split) for run in runs):
        return None
    return Column(name, lambda run: run.metrics(split).get(rest), _better(rest, runs), measured=True)


def _better(metric: str, runs: Sequence[RunRecord]) -> Better | None:
    monitors = {run.config.options.monitor for run in runs if run.config is not None}
    said: dict[str, Better] = {f"{metric}:max": "higher", f"{metric}:min": "lower"}
    return BETTER.get(metric) or next((better for monitor, better in said.items() if monitor in monitors), None)


def setting_column(setting: str, name: str = "") -> Column:
    """A setting by its full name; `name` is what the column is called."""
    return Column(name or setting, lambda run: run.settings.get(setting), setting=setting)


def setting_columns(runs: Sequence[RunRecord], most: int = MOST_SETTINGS) -> tuple[list[Column], int]:
    """The settings that differ, for a table: without those that have a column in every list, and versions.

    Returns:
        At most `most` columns, the most important first, and how many were left out.
    """
    names = [name for name in independent(runs) if not name.startswith(("versions.", "data.sha256", "plugins.data"))]
    names = _without_copies([name for name in names if name not in _FIXED], runs)
    names.sort(key=lambda name: (name in _HOW or name.startswith("plugins."), "seed" in name, name != "lr"))
    settings = {setting for run in runs for setting in run.settings}.union(metric_names(runs))
    return [setting_column(name, _short_name(name, settings)) for name in names[:most]], max(0, len(names) - most)


def independent(runs: Sequence[RunRecord]) -> list[str]:
    """The settings that differ between runs of one model, data and preset: they do not follow from these three."""
    groups: dict[object, list[RunRecord]] = {}
    for run in runs:
        if run.config is not None:
            groups.setdefault((run.config.model, run.config.dataset, run.preset), []).append(run)
    return list(dict.fromkeys(name for group in groups.values() for name in differing([one.settings for one in group])))


def _without_copies(names: Sequence[str], runs: Sequence[RunRecord]) -> list[str]:
    """Without those that have in every run the value of another, as both seeds often do."""
    values: dict[str, list[tuple[int, object]]] = {name: [] for name in names}
    for number, run in enumerate(runs):
        for name, value in run.settings.items():
            if name in values:
                values[name].append((number, identity(value)))
    return list({tuple(values[name]): name for name in reversed(names)}.values())[::-1]


def _short_name(name: str, settings: Iterable[str]) -> str:
    """Without its section, where that is still the name of no other column."""
    last = name.rpartition(".")[2]
    others = [other for other in settings if other != name and (other == last or other.endswith(f".{last}"))]
    return name if last in _FIXED or others else last


def natural(text: str) -> list[tuple[bool, int, str]]:
    """What texts are sorted by, so that `mlp-2` comes before `mlp-10`."""
    parts = re.split(r"(\d{1,18})", text)
    return [(part.isdecimal(), int(part) if part.isdecimal() else 0, part) for part in parts]
