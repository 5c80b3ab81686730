"""`zoo list`."""

from __future__ import annotations

from typing import Any

import click

from zoo.cli.state import State, debug_option, json_option, print_json, print_table
from zoo.registry import Shelf

_KINDS = ("models", "datasets", "optimizers")


@click.command("list")
@click.argument("kind", required=False, type=click.Choice(_KINDS), metavar="[models|datasets|optimizers]")
@json_option
@debug_option
@click.pass_obj
def command(state: State, kind: str | None, as_json: bool) -> None:
    """What there is, and who brings it."""
    wanted = [kind] if kind else list(_KINDS)
    shelves: dict[str, Shelf[Any]] = {name: getattr(state.registry, name) for name in wanted}
    if as_json:
        print_json({name: _as_json(shelf) for name, shelf in shelves.items()})
        return
    for number, (name, shelf) in enumerate(shelves.items()):
        if number:
            click.echo()
        rows = [(shelf.called(entry), entry.spec.summary, str(entry.plugin)) for entry in shelf]
        print_table([name, "", "from"], rows)


def _as_json(shelf: Shelf[Any]) -> list[dict[str, str]]:
    return [
        {
            "name": shelf.called(entry),
            "full_name": entry.full_name,
            "summary": entry.spec.summary,
            "distribution": entry.plugin.distribution,
            "version": entry.plugin.version,
        }
        for entry in shelf
    ]
