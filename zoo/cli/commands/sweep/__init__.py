"""`zoo sweep`."""

from __future__ import annotations

from typing import Any

import click

from zoo import stages
from zoo.cli.options import given, options_of, options_with_commas
from zoo.cli.state import State, debug_option, json_option, quiet_option
from zoo.options.sweep import SweepOptions, options_of_members
from zoo.phrasing import option


class _Sweep(click.Command):
    """One that says what is wrong with a list that has spaces in it."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        try:
            return super().parse_args(ctx, args)
        except click.UsageError as error:
            if "unexpected extra argument" in error.message:
                remedy = f"values are listed with commas and no spaces, as in {option('lr', '0.1,0.3')}"
                raise click.UsageError(f"{error.message}: {remedy}", ctx) from error
            raise


@click.command("sweep", cls=_Sweep)
@click.argument("model", metavar="MODEL[,MODEL...]")
@options_of(SweepOptions)
@options_with_commas(options_of_members().values())
@json_option
@quiet_option
@debug_option
@click.pass_obj
def command(state: State, /, model: str, as_json: bool, quiet: bool, **parameters: Any) -> None:
    """Train MODEL with many settings and seeds at once, and say which is better.

    \b
    zoo sweep mlp-char --seeds 64 --lr 0.03,0.1,0.3
    zoo sweep gru,lstm --lr 0.01,0.1 --set model.n_embd2=32,64
    zoo sweep mlp-char --search tpe --lr 0.001..1 --set model.hidden_size=50..400
    zoo sweep mlp-char --find-lr
    zoo sweep mlp-char --ladder 6

    Commas make a grid: every combination is trained with every seed. Each member is a run in the sweep's folder, with
    the bits that 'zoo run' would give it, and RUN for every command.

    LOW..HIGH is a range that --search tries values of: on a logarithmic scale where HIGH is at least ten times LOW. Its
    trials are in search.journal, which Optuna's own tools read.
    """
    options = given(SweepOptions, parameters)
    run = {name: parameters[name] for name in options_of_members() if parameters.get(name) is not None}
    from zoo.cli.progress import Progress
    from zoo.sweeps.request import request_of

    request = request_of(options, {"model": model, **run})
    if state.launch is not None:
        from zoo.cli.commands.sweep.launched import sweep_with_ranks

        sweep_with_ranks(state, state.launch, request, {}, as_json=as_json, quiet=quiet)
        return
    with Progress(quiet=quiet) as observer:
        with stages.within(stages.LOADING):
            from zoo.sweeps.shares.sharing import sweep_share
            from zoo.sweeps.sweeping import sweep
        state.settle()
        done = (sweep if options.share is None else sweep_share)(request, state.registry, observer)
    from zoo.cli.commands.sweep.result import print_sweep

    print_sweep(done, as_json=as_json)
