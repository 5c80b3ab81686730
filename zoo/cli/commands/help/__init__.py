"""`zoo help`."""

from __future__ import annotations

import click

from zoo.cli import output
from zoo.cli.state import State, debug_option
from zoo.errors import UsageError, suggest
from zoo.text import quoted


@click.command("help")
@click.argument("topic", required=False, metavar="[COMMAND]")
@debug_option
@click.pass_context
def command(ctx: click.Context, topic: str | None) -> None:
    """Show the help of a command.

    The same as 'zoo COMMAND --help'; without COMMAND the same as 'zoo --help'. What is known of a model, dataset,
    optimizer or logger is shown by 'zoo info NAME'.
    """
    root = ctx.find_root()
    group = root.command
    assert isinstance(group, click.Group)
    if topic is None:
        output.lines(*group.get_help(root).split("\n"))
        return
    found = group.get_command(root, topic)
    if found is None:
        raise UsageError(_unknown(topic, group.list_commands(root), root.find_object(State)))
    output.lines(*found.get_help(click.Context(found, root, topic)).split("\n"))


def _unknown(topic: str, commands: list[str], state: State | None) -> str:
    """What to say of a topic that is no command: it may be something that a plugin brings."""
    if state is not None and any(topic in kind for kind in state.registry.kinds()):
        return f"{topic!r} is no command: 'zoo info {quoted(topic)}' describes it"
    return f"no command {topic!r}; {suggest(topic, commands)}"
