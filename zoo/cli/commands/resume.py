"""`zoo resume`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from zoo import stages
from zoo.cli.commands.run import print_all
from zoo.cli.options import PathFromPerson, given, options_of
from zoo.cli.state import State, debug_option, json_option, quiet_option
from zoo.options.run import ResumeOptions

if TYPE_CHECKING:
    from zoo.runs.launched.attempts import Done
    from zoo.runs.result import Run


@click.command("resume")
@click.argument("run", type=PathFromPerson())
@options_of(ResumeOptions)
@json_option
@quiet_option
@debug_option
@click.pass_obj
def command(state: State, /, run: Path, as_json: bool, quiet: bool, **parameters: Any) -> None:
    """Resume RUN, a run folder, from its last checkpoint; or a sweep, by its folder.

    A run that was killed continues from its last checkpoint; one that has all its steps continues with a larger
    --steps. On the CPU the result is, bit for bit, that of an uninterrupted run.
    """
    from zoo.cli.progress import Progress
    from zoo.runs.plan import check_options
    from zoo.sweeps.sheet import is_sweep

    options = given(ResumeOptions, parameters)
    check_options(options)
    if is_sweep(run):
        _resume_sweep(state, run, options, as_json=as_json, quiet=quiet)
        return
    launch = state.launch
    done: Run | Done | None
    plots = options.plots and (launch is None or launch.leads)
    with state.plot_worker(wanted=plots) as plot_worker, Progress(quiet=quiet) as observer:
        with stages.within(stages.LOADING):
            if launch is None:
                from zoo.runs.runner import RunContext, resume
            else:
                from zoo.runs.launched.running import resume_launched
        state.settle()
        if launch is None:
            done = resume(run, state.registry, options, observer, context=RunContext(plot_worker=plot_worker))
        else:
            done = resume_launched(run, options, lambda: state.registry, launch, observer, plot_worker)
    if done is not None:
        print_all(state, done, as_json=as_json, quiet=quiet)


def _resume_sweep(state: State, path: Path, options: ResumeOptions, *, as_json: bool, quiet: bool) -> None:
    from zoo.cli.commands.sweep.result import print_sweep
    from zoo.cli.progress import Progress

    if state.launch is not None:
        from zoo.cli.commands.sweep.launched import sweep_with_ranks
        from zoo.sweeps.sweeping import given_again

        sweep_with_ranks(state, state.launch, path, given_again(options), as_json=as_json, quiet=quiet)
        return
    with Progress(quiet=quiet) as observer:
        with stages.within(stages.LOADING):
            from zoo.sweeps.sweeping import given_again, resume_sweep
        state.settle()
        done = resume_sweep(path, state.registry, observer, **given_again(options))
    print_sweep(done, as_json=as_json)
