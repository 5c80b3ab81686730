"""Shell completion: `zoo completion SHELL` prints a script that asks `complete` what the word at the cursor may be.

Nothing here imports torch, and nothing is written into the shell but completions: a plugin that is broken has none.
"""

from __future__ import annotations

import contextlib
import os
import warnings

import click

from zoo.cli import output
from zoo.cli.completion.shells import ASKED, ShellWords, shell_named

__all__ = ["ASKED", "complete"]


def complete(command: click.Command, asked: str) -> int:
    """Answer a completion script: a line for each completion on stdout; the exit code.

    Args:
        command: `zoo` itself.
        asked: the name of the shell, as the environment variable `ASKED` has it.
    """
    os.environ.pop(ASKED, None)  # no command that a plugin starts is to answer, too
    with contextlib.suppress(Exception), output.guarded(own_process=True):  # plugins may raise anything
        warnings.simplefilter("ignore")
        output.keep_plugins_out()
        shell = shell_named(asked)
        words = ShellWords.of_environment()
        found = shell(command, {}, "zoo", ASKED).get_completions(words.before, words.current)
        output.rows(shell.row(words, item) for item in found if str(item.value).isprintable())
    return 0
