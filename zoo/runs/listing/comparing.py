"""Which figures of runs compare, the order of runs, the best of them, and repetitions with other seeds."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from zoo.files import canonical_json
from zoo.numbers import mean, standard_deviation
from zoo.runs.listing.columns import Column, find_column, natural
from zoo.runs.listing.record import RunRecord
from zoo.runs.listing.settings import SEEDS, identity, show_setting

_MOST_VALUES = 4  # in a sentence
_DIGITS = 8  # of a digest
# What a result is not expected to depend on, beside the seeds; a preset is a name of other settings.
_NOT_OF_A_SETTING = {*SEEDS, "preset", "device", "engine", "threads", "compile"}
_NOT_OF_A_SETTING_BEGIN = ("versions.", "plugins.")
_UNLIKE = ("diverged", "failed")  # states of a run that counts even without a result


@dataclass(frozen=True)
class MeasuredOn:
    """What losses and metrics must share to compare.

    Attributes:
        data: the name of the data, for people: equal data may have another one.
        facts: its digest, its settings (split and tokenizer among them), the loss and its unit, the targets that are
            evaluated.
    """

    data: str
    facts: Mapping[str, str]

    @property
    def key(self) -> str:
        """Equal where figures compare."""
        return canonical_json(self.facts)

    @property
    def title(self) -> str:
        """The data with its digest."""
        return f"{self.data} ({self.facts.get('data digest', '-')})"


def measured_on(run: RunRecord) -> MeasuredOn:
    """What the figures of a run are of."""
    if run.config is None:
        return MeasuredOn("", {})
    settings = {name: value for name, value in run.settings.items() if name.startswith(("data.", "loss."))}
    settings.pop("data.sha256", None)
    facts = {
        "data digest": run.config.dataset_sha256[:_DIGITS],
        **{name: show_setting(value) for name, value in sorted(settings.items())},
        "loss": str(run.section("loss").get("name")),
        "unit": str(run.unit),
    }
    evaluated = run.result.get("evaluated")
    limits = {} if evaluated is None else {"targets evaluated": canonical_json(evaluated)}
    return MeasuredOn(run.data or "", facts | limits)


def why_not_comparable(runs: Sequence[RunRecord]) -> list[str]:
    """What differs in what the figures of runs are of, in words; empty where they compare."""
    found = [measured_on(run) for run in runs if run.config is not None]
    names = dict.fromkeys(name for one in found for name in one.facts)
    reasons = []
    for name in names:
        if len({one.facts.get(name) for one in found}) > 1:
            of_data = name == "data digest"
            values = list(dict.fromkeys(one.title if of_data else one.facts.get(name, "-") for one in found))
            more = [f"and {len(values) - _MOST_VALUES:,} more"] if len(values) > _MOST_VALUES else []
            reasons.append(f"other {'data' if of_data else name} ({', '.join([*values[:_MOST_VALUES], *more])})")
    return reasons


def sort_runs(runs: Sequence[RunRecord], order: str | None = None) -> list[RunRecord]:
    """Runs in an order.

    Args:
        runs: any.
        order: the name of a column, with a `-` before it for the other way round; by default the newest first. Of
            losses and metrics the best come first, of all else the smallest. Those of different data do not compare:
            they are sorted within each. Runs without a value come last.

    Raises:
        UsageError: there is no such column.
    """
    by_age = sorted(sorted(runs, key=lambda run: natural(run.name), reverse=True), key=lambda run: -run.modified)
    if order is None:
        return by_age
    column = find_column(order.removeprefix("-"), runs)
    reverse = order.startswith("-") != (column.better == "higher")
    known = [run for run in by_age if column.value(run) is not None]
    groups: dict[str, list[RunRecord]] = {}
    for run in known:
        groups.setdefault(measured_on(run).key if column.measured else "", []).append(run)
    ordered = sorted(groups.values(), key=lambda group: natural(measured_on(group[0]).title))
    within = [sorted(group, key=lambda run: _sort_key(column.value(run)), reverse=reverse) for group in ordered]
    return [*(run for group in within for run in group), *(run for run in by_age if column.value(run) is None)]


def _sort_key(value: object) -> tuple[bool, float, list[tuple[bool, int, str]]]:
    """Numbers before texts."""
    if isinstance(value, int | float) and not isinstance(value, bool):
        return False, value, []
    return True, 0.0, natural(show_setting(value))


def best_of(runs: Sequence[RunRecord], column: Column) -> list[RunRecord]:
    """Those with the best value, where it is known which that is, the figures compare, and not all are as good."""
    known = [run for run in runs if run.result and _has_number(column.value(run))]
    if column.better is None or len(known) < 2 or why_not_comparable(runs):
        return []
    values = [column.value(run) for run in known]
    best = min(values) if column.better == "lower" else max(values)
    found = [run for run in known if column.value(run) == best]
    return found if len(found) < len(known) else []


def _has_number(value: object) -> bool:
    """Whether it is a value, and neither NaN nor infinite: with NaN, nothing has an order."""
    return value is not None and not (isinstance(value, float) and not math.isfinite(value))


@dataclass(frozen=True)
class Spread:
    """The values of a column in runs that repeat each other.

    Attributes:
        n: how many there are, each with its own seed.
        mean: of them.
        sd: their sample standard deviation; None of a single one.
    """

    n: int
    mean: float
    sd: float | None


@dataclass(frozen=True)
class Repetitions:
    """Runs that differ in their seeds alone; of several with the same seeds, the first.

    Attributes:
        runs: those with a result, one for each seed.
        settings: that they share, without those that no result is expected to depend on.
        diverged: those that diverged; one may have a result all the same.
        failed: the members of a sweep that have failed.
    """

    runs: Sequence[RunRecord]
    settings: Mapping[str, Any]
    diverged: Sequence[RunRecord] = ()
    failed: Sequence[RunRecord] = ()

    @property
    def first(self) -> RunRecord:
        """One of them, finished if there is such a one."""
        return [*self.runs, *self.diverged, *self.failed][0]

    @property
    def size(self) -> int:
        """How many runs there are, whatever became of them."""
        return len(self.runs) + sum(not run.result for run in (*self.diverged, *self.failed))

    def spread(self, column: Column) -> Spread | None:
        """Of a column; None where no run has a value."""
        values = [value for run in self.runs if (value := column.value(run)) is not None]
        if not values:
            return None
        return Spread(len(values), mean(values), standard_deviation(values) if len(values) > 1 else None)


def repetitions(runs: Sequence[RunRecord]) -> list[Repetitions]:
    """The runs that are done by their settings, in the order of the first of each."""
    groups: dict[object, dict[object, RunRecord]] = {}
    shared: dict[object, Mapping[str, Any]] = {}
    for run in runs:
        if run.config is None or not (run.result or run.state in _UNLIKE):
            continue
        settings = {name: value for name, value in run.settings.items() if _is_of_a_setting(name)}
        key = frozenset((name, identity(value)) for name, value in settings.items())
        shared.setdefault(key, settings)
        groups.setdefault(key, {}).setdefault(seeds_of(run), run)
    found = []
    for one, group in groups.items():
        done = [run for run in group.values() if run.result]
        gone = [[run for run in group.values() if run.state == state] for state in _UNLIKE]
        found.append(Repetitions(done, shared[one], *gone))
    return found


def seeds_of(run: RunRecord) -> tuple[Any, ...]:
    """What pairs a run with those of other settings."""
    return tuple(run.settings.get(name) for name in SEEDS)


def _is_of_a_setting(name: str) -> bool:
    return name not in _NOT_OF_A_SETTING and not name.startswith(_NOT_OF_A_SETTING_BEGIN)
