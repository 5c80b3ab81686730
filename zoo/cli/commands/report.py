"""`zoo report`."""

from __future__ import annotations

from pathlib import Path

import click

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
@offline_option
@json_option
@debug_option
@click.pass_obj
@shows_progress
def command(state: State, runs: tuple[str, ...], out: Path | None, offline: bool, as_json: bool) -> None:
    """Write a page about RUN, or about several runs side by side: one HTML file that works without a network.

    RUN is a run folder, a .safetensors file, or the name of a model with shipped weights.
    """
    from zoo.data.download import fetcher
    from zoo.reports.report import write_report

    state.settle()
    path = out or _default(runs)
    size = write_report(runs, path, state.registry, fetcher(offline=offline))
    if as_json:
        output.json_object({"runs": list(runs), "report": str(path), "bytes": size})
    else:
        output.lines(str(path))


def _default(runs: tuple[str, ...]) -> Path:
    folder = Path(runs[0])
    return folder / "report.html" if len(runs) == 1 and folder.is_dir() else Path("report.html")
