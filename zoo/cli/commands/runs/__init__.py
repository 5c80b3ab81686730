"""`zoo runs`."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

from zoo.cli import output
from zoo.cli.options import WHOLE, PathFromPerson
from zoo.cli.state import debug_option, json_option
from zoo.errors import UsageError
from zoo.storage import RUNS
from zoo.text import shown

if TYPE_CHECKING:
    from zoo.runs.listing.record import RunRecord


@click.command("runs")
@click.argument("folder", required=False, type=PathFromPerson(), metavar="[DIR]")
@click.option(
    "--sort",
    "order",
    metavar="COLUMN",
    help="Sort by a column, a metric or a setting, the best or smallest first; -COLUMN for the other way round.",
)
@click.option(
    "--where", multiple=True, metavar="CONDITION", help="Only runs with, for example, 'val<2.1'; can be repeated."
)
@click.option("-n", "number", type=WHOLE, metavar="N", help="At most N runs.")
@json_option
@click.option("--csv", "as_csv", is_flag=True, help="Print CSV.")
@debug_option
def command(
    folder: Path | None, order: str | None, where: tuple[str, ...], number: int | None, as_json: bool, as_csv: bool
) -> None:
    """List the runs in DIR, by default in the folder 'runs', the newest first.

    \b
    zoo runs --sort val --where model=gru --where 'lr<=0.1'
    zoo runs --where state=stopped --json

    Columns are model, data, preset, steps, losses, metrics, training time, state and age, and the settings that differ
    between the runs. --sort and --where take any of them, other metrics (test.accuracy), parameters, and every setting
    (batch_size, model.hidden_size). In --where one of < <= > >= = != stands between column and value; a run without the
    value is left out. Losses of different data do not compare: --sort keeps them apart.
    """
    if as_json and as_csv:
        raise UsageError("--csv and --json exclude each other")
    if number is not None and number < 1:
        raise UsageError(f"-n must be above 0, got {number}")
    from zoo.files import kind_of
    from zoo.runs.listing.comparing import sort_runs
    from zoo.runs.listing.conditions import select
    from zoo.runs.listing.finding import find_runs
    from zoo.runs.listing.record import read_run

    if folder is not None and kind_of(folder) == "nothing":
        raise UsageError(f"there is no folder {shown(folder)}")
    place = RUNS if folder is None else folder
    every = [read_run(*found) for found in find_runs(place)]
    runs = sort_runs(select(every, where), order)[:number] if every else []
    if as_json:
        output.json_object({"folder": str(place), "runs": [run.as_json() for run in runs]})
    elif as_csv:
        from zoo.cli.commands.runs import spreadsheet

        output.lines(*spreadsheet.as_csv(runs))
    elif runs:
        _show(place, runs, len(every), order, where)
    elif every:
        output.lines(f"none of the {len(every):,} runs in {place} has {' and '.join(where)}")
    else:
        output.lines(f"no runs in {place}: 'zoo run mlp-char' trains a model, and keeps it in {RUNS}")


def _show(place: Path, runs: Sequence[RunRecord], every: int, order: str | None, where: Sequence[str]) -> None:
    from zoo.cli.commands.runs.table import RunTable
    from zoo.cli.table import print_table
    from zoo.runs.listing.columns import find_column
    from zoo.runs.listing.comparing import why_not_comparable
    from zoo.runs.listing.conditions import column_of

    asked = [*map(column_of, where), *([order.removeprefix("-")] if order else [])]
    table = RunTable(runs, asked=[find_column(name, runs) for name in dict.fromkeys(asked)])
    count = f"{len(runs):,} run{'s' * (len(runs) > 1)}" + (f" of {every:,}" if len(runs) < every else "")
    in_order = "newest first" if order is None else f"sorted by {order}"
    output.lines(f"{count} in {place}{f', {in_order}' if len(runs) > 1 else ''}{table.said_once}", "")
    print_table(table.titles, table.rows(), right=table.right, whole=table.titles, optional=table.optional)
    notes = table.notes()
    if (reasons := why_not_comparable([run for run in runs if run.losses])) and any(run.losses for run in runs):
        notes.append(f"Not all losses compare, and --sort keeps them apart: {'; '.join(reasons)}.")
    if notes:
        output.lines("", *notes)
