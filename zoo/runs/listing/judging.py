"""The verdict on runs: their settings as populations, tested where their figures compare; and the noise of a model."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from zoo.options.declaration import decided
from zoo.runs.listing.columns import Column, find_column, metric_column, setting_columns
from zoo.runs.listing.comparing import Repetitions, measured_on, seeds_of
from zoo.runs.listing.settings import SEEDS, show_setting
from zoo.verdicts.naming import names_of
from zoo.verdicts.noise import Noise, pooled
from zoo.verdicts.populations import Measure, Population
from zoo.verdicts.verdict import Verdict, decide

_LOSS = "val"  # over the validation split


def verdicts(
    groups: Sequence[Repetitions], *, baseline: Repetitions | None = None, interim: Sequence[int] = ()
) -> list[Verdict]:
    """A verdict on the settings of each data, split and loss that has two or more.

    Args:
        groups: each setting once.
        baseline: one of them, that the others are compared with.
        interim: as `zoo.verdicts.verdict.decide` takes it.
    """
    by_data: dict[str, list[Repetitions]] = {}
    for one in groups:
        by_data.setdefault(measured_on(one.first).key, []).append(one)
    found = []
    for alike in by_data.values():
        if len(alike) > 1:
            column = judged_by(alike)
            settings = populations(alike, column)
            with_it = next((one.name for one, group in zip(settings, alike, strict=True) if group is baseline), None)
            found.append(decide(settings, measure_of(column, alike[0]), baseline=with_it, interim=interim))
    return found


def judged_by(groups: Sequence[Repetitions]) -> Column:
    """The metric that all runs monitor, where it is known which value of it is better; or else the loss."""
    runs = [run for one in groups for run in one.runs]
    monitors = {run.config.options.monitor for run in runs if run.config is not None}
    name = (monitors.pop() or "").partition(":")[0] if len(monitors) == 1 else ""
    column = metric_column(name, runs) if name else None
    return find_column(_LOSS, runs) if column is None or column.better is None else column


def measure_of(column: Column, group: Repetitions) -> Measure:
    """What settings are compared by, for people."""
    if column.name == _LOSS:
        return Measure(unit=group.first.unit or "")
    return Measure(f"validation {column.title}", "", decided(column.better), is_loss=False)


def populations(groups: Sequence[Repetitions], column: Column) -> list[Population]:
    """Settings as populations of the values of a column, with names that differ."""
    values = values_that_differ(groups)
    is_single = all(one.size == 1 and one.first.sweep is None for one in groups)
    names = [one.first.name for one in groups] if is_single else names_of([_shown(one) for one in values])
    if len(set(names)) < len(names):
        names = [f"{name} ({one.first.name})" for name, one in zip(names, groups, strict=True)]
    return [
        Population(name, _by_seed(one, column), len(one.failed), settings)
        for name, one, settings in zip(names, groups, values, strict=True)
    ]


def values_that_differ(groups: Sequence[Repetitions]) -> list[dict[str, Any]]:
    """Of each setting the model, the data and the settings in which they differ, by name; None where it has none."""
    first = [one.first for one in groups]
    columns = [*names_that_differ(first), *(one for one in setting_columns(first)[0] if one.name not in SEEDS)]
    planned = find_column("planned", first)
    if len({planned.value(run) for run in first}) > 1:
        columns.append(replace(planned, name="steps"))
    return [{column.setting or column.name: column.value(run) for column in columns} for run in first]


def names_that_differ(runs: Sequence[Any]) -> list[Column]:
    """The columns of model, data and preset that tell runs apart, and do not only follow from the model."""
    found = []
    for name in ("model", "data", "preset"):
        column = find_column(name, runs)
        values = {column.value(run) for run in runs}
        by_model = {(run.model, column.value(run)) for run in runs}
        if len(values) > 1 and (name == "model" or len(by_model) > len({run.model for run in runs})):
            found.append(column)
    return found


def _shown(values: Mapping[str, Any]) -> dict[str, str | None]:
    return {name: None if value is None else show_setting(value) for name, value in values.items()}


def _by_seed(group: Repetitions, column: Column) -> dict[Any, float]:
    found: dict[Any, float] = {}
    for run in group.runs:
        value = column.value(run)
        if value is not None:
            found[seeds_of(run)] = value
    return found | {seeds_of(run): math.inf for run in group.diverged}


def noises(groups: Iterable[Repetitions]) -> dict[str, Noise]:
    """The noise of each model on its data, from the settings that are repeated, by what it is of."""
    by_data: dict[str, list[Repetitions]] = {}
    for one in groups:
        by_data.setdefault(measured_on(one.first).key, []).append(one)
    found = {}
    for alike in by_data.values():
        column = judged_by(alike)
        for of in dict.fromkeys(map(noise_of, alike)):
            repeated = [Population("", _by_seed(one, column)) for one in alike if noise_of(one) == of and one.size > 1]
            seeds = sum(len(one.finite) for one in repeated)
            runs = f"{seeds:,} runs" + (f" of {len(repeated):,} settings" if len(repeated) > 1 else "")
            noise = pooled(repeated, measure_of(column, alike[0]), f"from {runs} compared here")
            if noise is not None:
                found[of] = noise
    return found


def noise_of(group: Repetitions) -> str:
    """What the noise is of: `gru on names`."""
    return f"{group.first.model} on {group.first.data}"
