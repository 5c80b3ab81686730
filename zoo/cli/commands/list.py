"""`zoo list`."""

from __future__ import annotations

import math
from typing import Any, TypeAlias

import click

from zoo.cli.state import State, debug_option, json_option, print_json
from zoo.cli.table import print_table
from zoo.errors import UsageError
from zoo.plugin.registry import Entry, Shelf
from zoo.storage.shipped import Figures, bits, figures

_KINDS = ("models", "datasets", "optimizers")
_ORDERS = ("name", "loss", "new-words", "parameters", "seconds")

Row: TypeAlias = tuple[Entry[Any], Figures | None]


@click.command("list")
@click.argument("kind", required=False, type=click.Choice(_KINDS), metavar="[models|datasets|optimizers]")
@click.option("--sort", type=click.Choice(_ORDERS), default="name", show_default=True, help="The order of the models.")
@click.option("--bits", "in_bits", is_flag=True, help="Losses in bits, not in nats.")
@json_option
@debug_option
@click.pass_obj
def command(state: State, kind: str | None, sort: str, in_bits: bool, as_json: bool) -> None:
    """What there is, and who brings it.

    Of models that come with weights also how good these are; 'zoo list models' shows more of it.
    """
    if kind not in (None, "models") and (in_bits or sort != "name"):
        option = f"--sort {sort}" if sort != "name" else "--bits"
        raise UsageError(f"{option} is for models, and {kind} have no such figures: 'zoo list models {option}'")
    wanted = [kind] if kind else list(_KINDS)
    shelves: dict[str, Shelf[Any]] = {name: getattr(state.registry, name) for name in wanted}
    rows = {name: _sorted(_rows(name, shelf), sort) for name, shelf in shelves.items()}
    if as_json:
        print_json({name: [_as_json(name, shelves[name], row) for row in rows[name]] for name in wanted})
        return
    for number, (name, shelf) in enumerate(shelves.items()):
        if number:
            click.echo()
        if any(known for _, known in rows[name]):
            _print_figures(shelf, rows[name], in_bits=in_bits, every=kind is not None)
        else:
            plain = [(shelf.called(entry), entry.spec.summary, str(entry.plugin)) for entry, _ in rows[name]]
            print_table([name, "", "from"], plain)


def _rows(name: str, shelf: Shelf[Any]) -> list[Row]:
    """What is on a shelf, with the figures of the models."""
    return [(entry, figures(entry) if name == "models" else None) for entry in shelf]


def _sorted(rows: list[Row], order: str) -> list[Row]:
    """The best, smallest or fastest first; those of which it is not known last. `rows` are in the order of names."""
    if order == "name":
        return rows
    return sorted(rows, key=lambda row: _measure(row[1], order))


def _measure(known: Figures | None, order: str) -> float:
    if known is None:
        return math.inf
    if order == "loss":
        return known.losses["val"]
    if order == "new-words":
        return known.novel.get("val", math.inf)
    return known.parameters if order == "parameters" else known.seconds


def _print_figures(shelf: Shelf[Any], rows: list[Row], *, in_bits: bool, every: bool) -> None:
    """The table of models of which some have figures: with every column, or with the loss alone."""
    shown = ["parameters", "val loss", "new words", "seconds"] if every else ["val loss"]
    cells = [
        (
            shelf.called(entry),
            entry.spec.summary,
            *(_cell(known, column, in_bits) for column in shown),
            str(entry.plugin),
        )
        for entry, known in rows
    ]
    print_table(["models", "", *shown, "from"], cells, right=shown)
    datasets = " and ".join(sorted({known.dataset for _, known in rows if known}))
    unit = "bits" if in_bits else "nats"
    click.echo(
        f"\nLosses in {unit} (of text: per character), of the shipped weights on the validation split of {datasets}"
        + ("; new words: those never seen in training." if every else ".")
    )


def _cell(known: Figures | None, column: str, in_bits: bool) -> str:
    if known is None:
        return "-"
    if column == "parameters":
        return f"{known.parameters:,}"
    if column == "seconds":
        return f"{known.seconds:,.1f}"
    loss = known.losses["val"] if column == "val loss" else known.novel.get("val")
    return "-" if loss is None else f"{bits(loss) if in_bits else loss:.4f}"


def _as_json(name: str, shelf: Shelf[Any], row: Row) -> dict[str, Any]:
    entry, known = row
    result = {
        "name": shelf.called(entry),
        "full_name": entry.full_name,
        "summary": entry.spec.summary,
        "distribution": entry.plugin.distribution,
        "version": entry.plugin.version,
    }
    return result | {"figures": known and known.as_json()} if name == "models" else result
