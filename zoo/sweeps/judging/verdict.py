"""The verdict on the settings of a sweep."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from zoo.runs.listing.comparing import repetitions, why_not_comparable
from zoo.runs.listing.judging import verdicts
from zoo.sweeps.judging.records import planned_in, records_of
from zoo.sweeps.member import DIVERGED, FINISHED, Member, Row
from zoo.verdicts.populations import Measure, Population
from zoo.verdicts.verdict import Verdict, decide


def verdict_of(sweep: Path, description: Mapping[str, Any], rows: Sequence[Row]) -> Verdict | None:
    """The verdict on a sweep whose members are done; as `zoo compare` has it.

    Args:
        sweep: its folder, in which the configs of members are, as far as they are kept.
        description: what `sweep.json` has.
        rows: of all members, in their order.

    Returns:
        None where there are no two settings whose losses compare.
    """
    groups = repetitions(records_of(sweep, description, rows))
    if why_not_comparable([one.first for one in groups]):
        return None
    return next(iter(verdicts(groups, interim=planned_in(description))), None)


def verdict_of_rows(
    members: Iterable[Member],
    rows: Mapping[int, Row],
    *,
    measure: Measure,
    metric: str = "",
    interim: Sequence[int] = (),
) -> Verdict:
    """The verdict on members by their rows alone; its settings are named by their places, from 0.

    Args:
        members: those that are done, in their order.
        rows: of members, by number.
        measure: what they are compared by.
        metric: its name among the metrics; empty for the loss.
        interim: as above.
    """
    values: dict[str, dict[Any, float]] = {}
    failed: dict[str, int] = {}
    places: dict[str, str] = {}
    for member in members:
        name = places.setdefault(repr(member.settings), f"{len(places)}")
        of_setting, row = values.setdefault(name, {}), rows[member.number]
        found = row.metrics.get("val", {}).get(metric) if metric else row.losses.get("val")
        if row.state == FINISHED and found is not None:
            of_setting[member.seed] = found
        elif row.state == DIVERGED:
            of_setting[member.seed] = math.inf
        else:
            failed[name] = failed.get(name, 0) + 1
    return decide(
        [Population(name, found, failed.get(name, 0)) for name, found in values.items()], measure, interim=interim
    )
