"""The command `zoo`: a group whose commands are imported when they are used, and the one place where errors end."""

from __future__ import annotations

import contextlib
import importlib
import os
import re
import sys
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any, NoReturn

import click

from zoo import phrasing
from zoo.ambient import unchanged
from zoo.cli import output
from zoo.cli.state import State, debug_option
from zoo.errors import MORE, InterruptedRunError, ZooError, memory_sentence, out_of_memory, suggest
from zoo.text import shown

GROUPS = {  # name: what it does; the module of that name in `zoo.cli.commands` has a click command called `command`
    "Train": {
        "run": "Train MODEL, and keep everything about it in a new run folder.",
        "resume": "Resume RUN, a run folder, from its last checkpoint; or a sweep, by its folder.",
        "sweep": "Train MODEL with many settings and seeds at once, and say which is better.",
    },
    "Look": {
        "eval": "Evaluate RUN on the full training, validation and test splits.",
        "sample": "Sample from RUN: words, running text, or what the model's own 'generate' makes.",
        "predict": "Predict with RUN: the next character, the likelihood of words, classes, or numbers.",
        "plot": "Plot the loss, the embeddings, or both, of RUN.",
        "runs": "List the runs in DIR, by default in the folder 'runs', the newest first.",
        "compare": "Compare runs and sweeps: their results, the settings that differ, and which of them is better.",
        "report": "Write a page about RUN, or about several runs side by side: one file, without a network.",
    },
    "Find": {
        "list": "List models, datasets, optimizers and loggers, with the plugin that provides each.",
        "info": "Describe a model, dataset, optimizer or logger.",
        "data": "Show what is in a dataset.",
        "plugins": "List every plugin: loaded, failed (with the cause) or disabled.",
    },
    "Keep": {
        "verify": "Check that a file, run folder or sweep is intact, and show what is in it.",
    },
    "Help": {
        "help": "Show the help of a command.",
        "completion": "Print a script that completes commands, models, settings and runs in your shell.",
    },
}
COMMANDS = {name: text for group in GROUPS.values() for name, text in group.items()}


if TYPE_CHECKING:
    from click.shell_completion import CompletionItem

# A dash at the start; quotes at either end of the argument or of the value in KEY=VALUE
_TYPOGRAPHIC = re.compile("^-?[\u2010-\u2015\u2212]|(^|=)[\u2018-\u201f\u00ab\u00bb]|[\u2018-\u201f\u00ab\u00bb]$")


class _InterruptedError(Exception):
    """Carries a KeyboardInterrupt through click, which would write to stderr, and fail where that is closed."""


class LazyGroup(click.Group):
    """Commands by name, imported when one is used, and listed in the order of `COMMANDS` without being imported."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, name: str) -> click.Command | None:
        if name not in COMMANDS:
            return None
        command = importlib.import_module(f"zoo.cli.commands.{name}").command
        assert isinstance(command, click.Command)
        if ctx.resilient_parsing:  # a shell asks for completions
            from zoo.cli.completion.values import attach

            attach(command)
        return command

    def shell_complete(self, ctx: click.Context, incomplete: str) -> list[CompletionItem]:
        from click.shell_completion import CompletionItem

        commands = [CompletionItem(name, help=text) for name, text in COMMANDS.items() if name.startswith(incomplete)]
        return [*commands, *click.Command.shell_complete(self, ctx, incomplete)]

    def invoke(self, ctx: click.Context) -> Any:
        try:
            return super().invoke(ctx)
        except KeyboardInterrupt as error:
            raise _InterruptedError from error

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        widest = max(map(len, COMMANDS))
        for group, commands in GROUPS.items():
            with formatter.section(group):
                formatter.write_dl([(name.ljust(widest), text) for name, text in commands.items()])

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        if args and args[0] not in COMMANDS and not args[0].startswith("-"):
            raise click.UsageError(f"no command {args[0]!r}; {suggest(args[0], COMMANDS)}", ctx)
        launch = ctx.ensure_object(State).launch
        if launch is not None and not launch.leads and args and args[0] not in phrasing.TRAINS:
            ctx.exit()  # rank 0 does it
        return super().resolve_command(ctx, args)


@click.group(cls=LazyGroup, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.version_option(package_name="zoo-models", prog_name="zoo", message="%(prog)s %(version)s")
@debug_option
def cli() -> None:
    """A plugin-style model zoo: train, reload, sample and plot models that plugins bring.

    \b
    zoo run mlp-char                 train the lecture's net
    zoo sample runs/mlp-char-1       sample names from it
    zoo list                         list all models
    """


def main(args: Sequence[str] | None = None) -> NoReturn:
    """Run a command and exit: 0, 2 for wrong usage, 1 for what went wrong, 128 + N for signal N.

    Without `args` it is the command line, and the process is its own.
    """
    if args is None and (shell := os.environ.get("_ZOO_COMPLETE")):
        from zoo.cli.completion import complete

        sys.exit(complete(cli, shell))
    state = State(own_process=args is None)
    with output.guarded(own_process=state.own_process), phrasing.command_line():
        exit_code = _run(args, state)
        undelivered = output.undelivered()
        if exit_code == 0 and undelivered is not None:
            exit_code = _fail(undelivered, 1)
    sys.exit(exit_code)


def _run(args: Sequence[str] | None, state: State) -> int:
    try:
        with unchanged(), _among_ranks(state, args):  # what a caller in Python has set of torch
            cli.main(args=None if args is None else list(args), prog_name="zoo", obj=state, standalone_mode=False)
    except Exception as error:  # the boundary: everything ends here as one line, or with --debug as a traceback
        if state.debug and not isinstance(error, click.exceptions.NoArgsIsHelpError):
            import traceback

            output.note(traceback.format_exc())
        if state.interrupted and not isinstance(error.__cause__, InterruptedRunError):
            return _fail("interrupted", 130)
        return _report(error, sys.argv[1:] if args is None else args)
    return 0


@contextlib.contextmanager
def _among_ranks(state: State, args: Sequence[str] | None) -> Iterator[None]:
    """A command as one of the processes that `torchrun` has started: rank 0 says what there is to say."""
    if state.launch is None:
        yield
        return
    if not state.launch.leads and "--debug" not in (sys.argv if args is None else args):
        output.silence()
    with phrasing.launched_by(state.launch.command):
        yield


def _report(error: Exception, args: Sequence[str]) -> int:
    """Say what happened on stderr, in one line; the exit code."""
    if isinstance(error, click.exceptions.NoArgsIsHelpError):
        output.note(error.format_message())
        return error.exit_code
    if isinstance(error, click.exceptions.Exit):
        return error.exit_code
    if isinstance(error, click.Abort) and isinstance(error.__cause__, EOFError):
        error = error.__cause__  # which click takes for Ctrl-D at a prompt, and zoo has none
    if isinstance(error, _InterruptedError | click.Abort):
        cause = error.__cause__
        return _fail(*(str(cause), cause.exit_code) if isinstance(cause, InterruptedRunError) else ("interrupted", 130))
    if isinstance(error, click.UsageError):
        command = next(iter(args), None)
        path = error.ctx.command_path if error.ctx else f"zoo {command}" if command in COMMANDS else "zoo"
        return _fail(f"{error.format_message().rstrip('.')} (see '{path} --help'){_pasted(args)}", error.exit_code)
    if isinstance(error, click.ClickException):
        return _fail(error.format_message(), error.exit_code)
    if isinstance(error, ZooError):
        return _fail(f"{error}{_pasted(args) if error.exit_code == 2 else ''}", error.exit_code)
    if isinstance(error, OSError) and error.strerror and not out_of_memory(error):
        where = f": {os.fsdecode(error.filename)}" if isinstance(error.filename, str | bytes | os.PathLike) else ""
        return _fail(f"{error.strerror}{where}", 1)
    if out_of_memory(error):
        return _fail(memory_sentence(error, None if next(iter(args), None) == "run" else MORE), 1)
    return _fail(f"unexpected {type(error).__name__}: {error} (--debug shows where)", 1)


def _pasted(args: Sequence[str]) -> str:
    """What to add where an argument has a dash or quotes of a word processor, which look like those of a keyboard."""
    found = next(filter(_TYPOGRAPHIC.search, args), None)
    return "" if found is None else f"; {shown(found)} has a dash or quotes of a word processor: type - or ' instead"


def _fail(message: str, exit_code: int) -> int:
    output.error(message)
    return exit_code
