"""`zoo run`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

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
from zoo.cli.table import print_table
from zoo.plugin.settings import parse_assignments
from zoo.plugin.specs import FLOAT32, PRECISIONS
from zoo.runs.plan import ENGINES, SECTIONS, SEED, RunOptions, make_plan
from zoo.schedule import SCHEDULES
from zoo.training.checkpoint_schedule import Cadence


@click.command("run")
@click.argument("model")
@click.option("--dataset", metavar="NAME|FILE", help="A dataset's name, or a text file with one word a line.")
@click.option("--optimizer", metavar="NAME", help="The optimizer; by default the model's own.")
@click.option("--preset", metavar="NAME", help="One of the model's presets; 'zoo info MODEL' lists them.")
@click.option("--device", default="auto", show_default=True, metavar="auto|cpu|cuda[:N]|mps", help="Where to train.")
@click.option("--engine", metavar=ENGINES, help="How the steps are done; by default the preset's, or auto.")
@click.option("--steps", type=int, metavar="N", help="Steps to train.")
@click.option("--batch-size", type=int, metavar="N", help="Examples in a step.")
@click.option("--lr", type=float, metavar="X", help="Learning rate at the start.")
@click.option("--schedule", metavar="|".join(SCHEDULES), help="How the learning rate changes.")
@click.option("--warmup", type=int, metavar="N", help="Steps over which the learning rate rises at the start.")
@click.option("--clip-norm", type=float, metavar="X", help="Hold the norm of the gradients to this.")
@click.option("--validate-every", type=int, metavar="N", help="Validate every N steps, and keep the best weights.")
@click.option("--patience", type=int, metavar="K", help="Stop after K validations without a better one.")
@click.option("--teacher", metavar="MODEL", help="Train on words of a model that is fitted, too, such as ngram.")
@click.option("--teacher-share", type=float, metavar="X", help="The share of its words in each batch; by default 1/3.")
@click.option("--precision", default=FLOAT32, show_default=True, metavar="|".join(PRECISIONS), help="Of each step.")
@click.option("--compile", is_flag=True, help="Let torch's compiler make the steps faster, after a minute's work.")
@click.option("--seed", type=int, default=SEED, show_default=True, metavar="N", help="Seed of the batches.")
@click.option("--init-seed", type=int, default=SEED, show_default=True, metavar="N", help="Seed of the weights.")
@click.option(
    "--set",
    "assignments",
    multiple=True,
    metavar="SECTION.KEY=VALUE",
    help="Set model.KEY, data.KEY or optimizer.KEY; can be repeated.",
)
@click.option("--out", type=click.Path(path_type=Path), metavar="DIR", help="The run's folder; default runs/MODEL-N.")
@cadence_option
@json_option
@quiet_option
@no_plots_option
@offline_option
@debug_option
@click.pass_obj
def command(
    state: State,
    /,
    assignments: tuple[str, ...],
    checkpoint_every: str | None,
    as_json: bool,
    quiet: bool,
    no_plots: bool,
    **options: Any,
) -> None:
    """Train MODEL, and keep everything about it in a new run folder.

    \b
    zoo run mlp-char
    zoo run mlp-char --dataset words.txt --steps 20000
    zoo run mlp-char --preset lecture --set model.hidden_size=300
    """
    cadence = Cadence.parse(checkpoint_every)
    settings = parse_assignments(assignments, SECTIONS)
    with state.painter(wanted=not no_plots) as painter:
        plan = make_plan(state.registry, RunOptions(**options, settings=settings, plots=not no_plots))

        from zoo.cli.progress import Progress
        from zoo.runs.runner import execute

        state.settle()
        with Progress(quiet=quiet) as observer:
            run = execute(plan, observer, cadence=cadence, painter=painter)
    if as_json:
        print_json(run.metrics)
    else:
        print_result(run.metrics)


def print_result(metrics: dict[str, Any], resumed_at: int = 0) -> None:
    """The result of a run, for a person."""
    dataset, seconds = metrics["dataset"], metrics["seconds"]
    last = f", the last {metrics['steps'] - resumed_at:,} of them" if resumed_at else ""
    steps = f"{metrics['steps']:,} step{'s' * (metrics['steps'] != 1)}"
    click.echo(
        f"{metrics['model']} on {dataset['name']}: {metrics['parameters']:,} parameters, {steps} "
        f"on {metrics['device']} ({metrics['engine']}){last} in {seconds['train']:.1f} s\n"
    )
    best = metrics.get("best")
    if best and best["step"] < metrics["steps"]:
        click.echo(f"The weights are those after {best['step']:,} steps, the best on validation")
    rows = [(name, f"{count:,}", f"{metrics['losses'][name]:.4f}") for name, count in dataset["examples"].items()]
    print_table(["split", "examples", "loss (nats)"], rows, right=["examples", "loss (nats)"])
    click.echo(f"\nEverything is in {metrics['run_dir']}")
