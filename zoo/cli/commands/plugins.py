"""`zoo plugins`."""

from __future__ import annotations

import click

from zoo.cli import output
from zoo.cli.state import State, debug_option, json_option
from zoo.cli.table import print_table
from zoo.plugin.manager import PluginStatus


@click.command("plugins")
@json_option
@debug_option
@click.pass_obj
def command(state: State, as_json: bool) -> None:
    """List every plugin: loaded, failed (with the cause) or disabled."""
    if as_json:
        output.json_object({"plugins": [_as_json(status) for status in state.plugins]})
        return
    rows = [(s.plugin.name, str(s.plugin), s.state, s.cause or _provides(s)) for s in state.plugins]
    print_table(["plugin", "from", "state", "provides"], rows, whole=["from"])


def _provides(status: PluginStatus) -> str:
    if status.state == "disabled":
        return ""
    provides = [f"{kind}: {', '.join(names)}" for kind, names in status.provides.items() if names]
    return "; ".join(provides) or "nothing (is each hook marked with @zoo.hookimpl?)"


def _as_json(status: PluginStatus) -> dict[str, object]:
    return {
        "name": status.plugin.name,
        "distribution": status.plugin.distribution,
        "version": status.plugin.version,
        "builtin": status.plugin.builtin,
        "state": status.state,
        "brings": status.provides,
        "cause": status.cause or None,
    }
