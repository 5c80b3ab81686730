"""`zoo plugins`."""

from __future__ import annotations

import click

from zoo.cli.state import State, debug_option, json_option, print_json, print_table


@click.command("plugins")
@json_option
@debug_option
@click.pass_obj
def command(state: State, as_json: bool) -> None:
    """Every plugin: loaded, failed (and why), or disabled."""
    if as_json:
        rows = [
            {
                "name": status.plugin.name,
                "distribution": status.plugin.distribution,
                "version": status.plugin.version,
                "builtin": status.plugin.builtin,
                "state": status.state,
                "brings": status.brings,
                "cause": status.cause or None,
            }
            for status in state.plugins
        ]
        print_json({"plugins": rows})
        return
    print_table(
        ["plugin", "from", "state", "brings"],
        [
            (
                status.plugin.name,
                str(status.plugin),
                status.state,
                status.cause
                or "; ".join(f"{kind}: {', '.join(names)}" for kind, names in status.brings.items() if names),
            )
            for status in state.plugins
        ],
    )
