"""`zoo run`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from zoo import stages
from zoo.cli import output
from zoo.cli.next_steps import print_next_steps
from zoo.cli.options import given, options_of
from zoo.cli.results import ResultRow, print_results
from zoo.cli.state import State, debug_option, json_option, quiet_option
from zoo.numbers import show_evaluated
from zoo.options.run import RunOptions

if TYPE_CHECKING:
    from zoo.runs.launched.attempts import Done
    from zoo.runs.result import Run
    from zoo.training.distributed.launch import Launch


_LONG_S = 2.0  # an evaluation that takes longer, and not much less than the training, is told


@click.command("run")
@click.argument("model")
@options_of(RunOptions)
@json_option
@quiet_option
@debug_option
@click.pass_obj
def command(state: State, /, model: str, as_json: bool, quiet: bool, **parameters: Any) -> None:
    """Train MODEL, and keep everything about it in a new run folder.

    \b
    zoo run mlp-char
    zoo run mlp-char --dataset words.txt --steps 20000
    zoo run mlp-char --preset lecture --set model.hidden_size=300
    """
    options = given(RunOptions, parameters, model=model)
    if state.launch is not None:
        _with_ranks(state, state.launch, options, as_json=as_json, quiet=quiet)
        return
    from zoo.cli.progress import Progress
    from zoo.runs.plan import make_plan

    with state.plot_worker(wanted=options.plots) as plot_worker, Progress(quiet=quiet) as observer:
        with stages.within(stages.LOADING):
            plan = make_plan(state.registry, options)

            from zoo.runs.runner import RunContext, execute
        state.settle()
        run = execute(plan, observer, context=RunContext(plot_worker=plot_worker))
    print_all(state, run, as_json=as_json, quiet=quiet)


def _with_ranks(state: State, launch: Launch, options: RunOptions, *, as_json: bool, quiet: bool) -> None:
    """The command as one of the processes that `torchrun` has started."""
    from zoo.cli.progress import Progress

    with state.plot_worker(wanted=options.plots and launch.leads) as plot_worker, Progress(quiet=quiet) as observer:
        with stages.within(stages.LOADING):
            from zoo.runs.launched.running import run_launched
        state.settle()
        done = run_launched(options, lambda: state.registry, launch, observer, plot_worker)
    if done is not None:
        print_all(state, done, as_json=as_json, quiet=quiet)


def print_all(state: State, done: Run | Done, *, as_json: bool, quiet: bool) -> None:
    """The result of a run, and what one can do next."""
    print_result(done.metrics, done.resumed_at, as_json=as_json)
    if not (as_json or quiet):
        print_next_steps(done.config, done.metrics["run_dir"], state.registry)


def print_result(metrics: dict[str, Any], resumed_at: int = 0, *, as_json: bool = False) -> None:
    """The result of a run: one JSON object, or lines for a person."""
    output.keep_in_mind(metrics["run_dir"])
    if as_json:
        output.json_object(metrics)
        return
    dataset, seconds = metrics["dataset"], metrics["seconds"]
    last = f", the last {metrics['steps'] - resumed_at:,} of them" if resumed_at else ""
    steps = f"{metrics['steps']:,} step{'s' * (metrics['steps'] != 1)}"
    ranks = f", {metrics['ranks']} ranks" if "ranks" in metrics else ""
    took = seconds["eval"]
    evaluated = f", evaluated in {took:.1f} s" if took >= max(_LONG_S, seconds["train"] / 2) else ""
    output.lines(
        f"{metrics['model']} on {dataset['name']}: {metrics['parameters']:,} parameters, {steps} "
        f"on {metrics['device']} ({metrics['engine']}{ranks}){last} in {seconds['train']:.1f} s{evaluated}",
        "",
    )
    best = metrics.get("best")
    if best and best["step"] < metrics["steps"]:
        output.lines(f"The weights are those after {best['step']:,} steps, the best on validation")
    rows = [
        ResultRow(name, count, metrics["losses"][name], metrics["metrics"][name])
        for name, count in dataset["examples"].items()
    ]
    print_results(rows, metrics["loss_unit"])
    if "evaluated" in metrics:
        output.lines("", show_evaluated(metrics["evaluated"]))
    output.lines("", f"Everything is in {metrics['run_dir']}")
