"""`zoo resume`."""

from __future__ import annotations

from pathlib import Path

import click

from zoo.cli.commands.run import print_result
from zoo.cli.state import (
    State,
    cadence_option,
    debug_option,
    json_option,
    no_plots_option,
    offline_option,
    print_json,
    quiet_option,
)
from zoo.runs.plan import ENGINES
from zoo.training.checkpoint_schedule import Cadence


@click.command("resume")
@click.argument("run", type=click.Path(path_type=Path))
@click.option("--steps", type=int, metavar="N", help="Steps in all; by default as many as were planned.")
@click.option("--device", metavar="auto|cpu|cuda[:N]|mps", help="Another device than the run's own.")
@click.option("--engine", metavar=ENGINES, help="Another engine than the run's own.")
@click.option("--allow-changes", is_flag=True, help="Go on although data, plugins or config.json differ.")
@cadence_option
@json_option
@quiet_option
@no_plots_option
@offline_option
@debug_option
@click.pass_obj
def command(
    state: State,
    run: Path,
    steps: int | None,
    device: str | None,
    engine: str | None,
    allow_changes: bool,
    checkpoint_every: str | None,
    as_json: bool,
    quiet: bool,
    no_plots: bool,
    offline: bool,
) -> None:
    """Go on with RUN, a run folder, as if it had never stopped.

    A run that was killed goes on from its last checkpoint; one that has all its steps goes on with a larger --steps.
    On the CPU the result is, bit for bit, that of a run that was never stopped.
    """
    cadence = Cadence.parse(checkpoint_every)

    with state.painter(wanted=not no_plots) as painter:
        from zoo.cli.progress import Progress
        from zoo.runs.resuming import ResumeOptions
        from zoo.runs.runner import resume

        state.settle()
        options = ResumeOptions(steps, device, engine, allow_changes, not no_plots, offline)
        with Progress(quiet=quiet) as observer:
            done = resume(run, state.registry, options, observer, cadence=cadence, painter=painter)
    if as_json:
        print_json(done.metrics)
    else:
        print_result(done.metrics, done.resumed_at)
