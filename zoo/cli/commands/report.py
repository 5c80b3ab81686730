"""`zoo report`."""

from __future__ import annotations

from pathlib import Path

import click

from zoo import stages
from zoo.cli import output
from zoo.cli.options import PathFromPerson
from zoo.cli.state import State, debug_option, json_option, offline_option, shows_progress


@click.command("report")
@click.argument("runs", nargs=-1, required=True, metavar="RUN...")
@click.option(
    "--out",
    type=PathFromPerson(),
    metavar="FILE",
    help="The file to write; by default report.html in the folder of the run, or here for several runs.",
)
@click.option("--dataset", metavar="NAME|FILE", help="The data of the runs, where it is not found any more.")
@offline_option
@json_option
@debug_option
@click.pass_obj
@shows_progress
def command(
    state: State, runs: tuple[str, ...], out: Path | None, dataset: str | None, offline: bool, as_json: bool
) -> None:
    """Write a page about RUN, or about several runs side by side: one file, without a network.

    \b
    zoo report runs/mlp-char-1
    zoo report runs/mlp-char-1 runs/lstm-1 --out both.html

    RUN is a run folder, a folder of up to 12 runs, a .safetensors file, or the name of a model with shipped weights. A
    file that is there already is replaced only if it is a report.
    """
    from zoo.data.download import fetcher
    from zoo.reports.report import write_report

    state.settle()
    with stages.within("Writing the report"):
        written = write_report(runs, out, state.registry, fetcher(offline=offline), dataset=dataset)
    if as_json:
        output.json_object({"runs": list(runs), "report": str(written.path), "bytes": written.size})
    else:
        output.lines(str(written.path))
