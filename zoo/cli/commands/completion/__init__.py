"""`zoo completion`."""

from __future__ import annotations

import click

from zoo.cli import output
from zoo.cli.completion.shells import ASKED, SHELLS
from zoo.cli.state import debug_option


@click.command("completion")
@click.argument("shell", type=click.Choice(tuple(SHELLS)), metavar="|".join(SHELLS))
@debug_option
@click.pass_context
def command(ctx: click.Context, shell: str) -> None:
    """Print a script that completes commands, models, settings and runs in your shell.

    Its first lines say how to install it. What follows the cursor is then completed with Tab: commands and options,
    models, presets, datasets, optimizers, engines, keys of --set, and run folders.

    \b
    source <(zoo completion bash)                     in this bash; or add it to ~/.bashrc
    source <(zoo completion zsh)                      in this zsh; or add it to ~/.zshrc
    zoo completion fish | source                      in this fish
    """
    output.lines(*SHELLS[shell](ctx.find_root().command, {}, "zoo", ASKED).source().removesuffix("\n").split("\n"))
