"""`zoo compare`."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import click

from zoo.cli import output
from zoo.cli.options import PathFromPerson
from zoo.cli.state import State, debug_option, json_option
from zoo.errors import UsageError

if TYPE_CHECKING:
    from zoo.cli.commands.compare.judged import Judged
    from zoo.runs.listing.comparing import Repetitions
    from zoo.runs.listing.record import RunRecord

_FORMATS: dict[str, Literal["png", "svg", "pdf"]] = {".png": "png", ".svg": "svg", ".pdf": "pdf"}


@click.command("compare")
@click.argument("runs", nargs=-1, required=True, metavar="RUN...")
@click.option(
    "--baseline",
    multiple=True,
    metavar="CONDITION",
    help="Compare the setting that has, for example, lr=0.1 with each other one, and not the best; can be repeated.",
)
@click.option(
    "--plot", type=PathFromPerson(), metavar="FILE", help="Also plot the losses of all runs: .png, .svg or .pdf."
)
@click.option("--markdown", "as_markdown", is_flag=True, help="Print Markdown, for a pull request.")
@json_option
@debug_option
@click.pass_obj
def command(
    state: State, runs: tuple[str, ...], baseline: tuple[str, ...], plot: Path | None, as_markdown: bool, as_json: bool
) -> None:
    """Compare runs and sweeps: their results, the settings that differ, and which of them is better.

    \b
    zoo compare runs/mlp-char-1 runs/mlp-char-2 --plot compare.png
    zoo compare sweeps/mlp-char-1 --baseline lr=0.1
    zoo compare runs --markdown

    Runs that differ in their seeds alone are repetitions: of each setting the mean and the standard deviation are
    shown. Settings are paired by seed, and a sentence says whether a difference is more than luck: by a paired t test
    at 5 %, corrected for the number of comparisons. Where a run diverged, it is the sign test. A difference between two
    single runs is no evidence. Only figures of the same data, split and loss are compared.

    RUN is a run folder, the folder of a sweep, a folder of runs, a .safetensors file, or the name of a model with
    shipped weights.
    """
    if as_json and as_markdown:
        raise UsageError("--markdown and --json exclude each other")
    if plot is not None:
        from zoo.cli.new_file import check_new

        check_new(plot, _FORMATS, option="plot")
    from zoo.cli.commands.compare import comparison
    from zoo.cli.commands.compare.judged import judge
    from zoo.runs.listing.comparing import sort_runs
    from zoo.runs.listing.targets import named_runs
    from zoo.sweeps.judging.noise import known_noise
    from zoo.sweeps.judging.records import interim_tests, runs_in

    found = sort_runs(named_runs(runs, lambda: state.registry, runs_in), "val")
    groups = comparison.ranked(found)
    tests = interim_tests(dict.fromkeys(run.sweep for run in found if run.sweep is not None))
    judged = judge(groups, baseline, tests, known_noise(lambda: state.registry))
    if plot is not None:
        _plot(found, plot)
    _print(found, groups, judged, as_markdown=as_markdown, as_json=as_json)
    if plot is not None and not as_json:
        output.lines("", f"The losses are plotted in {plot}")


def _print(
    runs: Sequence[RunRecord], groups: Sequence[Repetitions], judged: Judged, *, as_markdown: bool, as_json: bool
) -> None:
    from zoo.cli.commands.compare import comparison
    from zoo.cli.table import print_table, wrapped

    if as_json:
        output.json_object(comparison.as_json(runs, groups) | judged.as_json())
        return
    said = judged.lines()
    if as_markdown:
        output.lines(*comparison.as_markdown(comparison.tables(runs, groups, said, comparison.bold)))
        return
    for number, table in enumerate(comparison.tables(runs, groups, said, comparison.star)):
        output.lines(*[""] * (number > 0), table.title)
        if table.rows:
            output.lines("")
            whole = [name for name in table.columns if name != comparison.VALUES]
            print_table(table.columns, table.rows, right=table.right, whole=whole, optional=table.optional)
        if table.notes:
            output.lines("", *(part for note in table.notes for part in wrapped(note)))


def _plot(runs: Sequence[RunRecord], path: Path) -> None:
    from zoo.files import write_bytes
    from zoo.plots.curves import Curve
    from zoo.plots.overlay import plot_overlay
    from zoo.storage.losses import LOSSES_FILE, VALIDATION_FILE, read_evaluations, read_losses

    plotted = [run for run in runs if run.ends.steps]
    if not plotted:
        raise UsageError("--plot: none of these runs has the losses of its steps")
    units = list(dict.fromkeys(run.unit or "" for run in plotted))
    if len(units) > 1:
        raise UsageError(f"--plot: the losses of these runs are in {' and '.join(units)}: plot those of one unit")
    curves = [
        Curve(run.name, read_losses(run.path / LOSSES_FILE), read_evaluations(run.path / VALIDATION_FILE), run.losses)
        for run in plotted
    ]
    models, data = [run.model or "" for run in plotted], [run.data or "" for run in plotted]
    title = f"{_listed(models, 'models')} on {_listed(data, 'datasets')}"
    write_bytes(path, plot_overlay(curves, title, unit=units[0], file_format=_FORMATS[path.suffix.lower()]))


def _listed(names: Sequence[str], kind: str) -> str:
    different = list(dict.fromkeys(names))
    return " and ".join(different) if len(different) < 4 else f"{len(different)} {kind}"
