"""`zoo list`."""

from __future__ import annotations

import math
from typing import Any, TypeAlias

import click

from zoo.cli import output
from zoo.cli.state import State, debug_option, json_option
from zoo.cli.table import print_table
from zoo.errors import UsageError
from zoo.numbers import show_loss
from zoo.plugin.registry import Entry, KindRegistry
from zoo.storage.shipped import ShippedMetrics, bits, shipped_metrics

_KINDS = ("models", "datasets", "optimizers", "loggers")

_LOSSES = ("loss", "unseen-words")  # orders

Row: TypeAlias = tuple[Entry[Any], ShippedMetrics | None]


class _SortKey(click.Choice):  # type: ignore[type-arg]  # generic only in later versions of click
    """The order of the models; `new-words` is the former name of `unseen-words`."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        return super().convert("unseen-words" if value == "new-words" else value, param, ctx)


@click.command("list")
@click.argument("kind", required=False, type=click.Choice(_KINDS), metavar="[models|datasets|optimizers|loggers]")
@click.option(
    "--sort",
    type=_SortKey(("name", "loss", "unseen-words", "parameters", "seconds")),
    default="name",
    show_default=True,
    help="Sort the models by name, validation loss, loss on unseen words, number of parameters or training time.",
)
@click.option("--bits", "in_bits", is_flag=True, help="Show losses in bits (per character for text), not in nats.")
@json_option
@debug_option
@click.pass_obj
def command(state: State, kind: str | None, sort: str, in_bits: bool, as_json: bool) -> None:
    """List models, datasets, optimizers and loggers, with the plugin that provides each.

    Models with shipped weights are listed with their validation loss; 'zoo list models' shows more metrics. Losses are
    sorted within each dataset, because those of different data do not compare.
    """
    if kind not in (None, "models") and (in_bits or sort != "name"):
        option = f"--sort {sort}" if sort != "name" else "--bits"
        raise UsageError(f"{option} is for models, and {kind} have no metrics: 'zoo list models {option}'")
    names = [kind] if kind else list(_KINDS)
    registries: dict[str, KindRegistry[Any]] = {name: getattr(state.registry, name) for name in names}
    rows = {name: _sorted(_rows(name, entries), sort) for name, entries in registries.items()}
    if as_json:
        output.json_object({name: [_as_json(name, registries[name], row) for row in rows[name]] for name in names})
        return
    for number, (name, entries) in enumerate(registries.items()):
        if number:
            output.lines("")
        if any(metrics for _, metrics in rows[name]):
            _print_metrics(entries, rows[name], in_bits=in_bits, all_columns=kind is not None)
        else:
            plain = [(entries.display_name(entry), entry.spec.summary, str(entry.plugin)) for entry, _ in rows[name]]
            print_table([name, "", "from"], plain, optional=["from", ""])


def _rows(name: str, entries: KindRegistry[Any]) -> list[Row]:
    """The entries of one kind, models with the metrics of their shipped weights."""
    return [(entry, shipped_metrics(entry) if name == "models" else None) for entry in entries]


def _sorted(rows: list[Row], order: str) -> list[Row]:
    """The best, smallest or fastest first; models without that metric last. `rows` are sorted by name.

    Losses of different data do not compare: they are sorted within each.
    """
    if order == "name":
        return rows
    values = {row[0].full_name: _sort_value(row[1], order) for row in rows}

    def key(row: Row) -> tuple[object, ...]:
        value = values[row[0].full_name]
        data = _data(row[1]) if order in _LOSSES and value < math.inf else ()
        return value == math.inf, data, value

    return sorted(rows, key=key)


def _data(metrics: ShippedMetrics | None) -> tuple[str, str, str]:
    """What losses must share to compare: the data, by name and digest, and their unit."""
    return ("", "", "") if metrics is None else (metrics.dataset, metrics.sha256, metrics.unit)


def _sort_value(metrics: ShippedMetrics | None, order: str) -> float:
    if metrics is None:
        return math.inf
    if order == "loss":
        return metrics.losses["val"]
    if order == "unseen-words":
        return metrics.novel.get("val", math.inf)
    return metrics.parameters if order == "parameters" else metrics.seconds


def _print_metrics(entries: KindRegistry[Any], rows: list[Row], *, in_bits: bool, all_columns: bool) -> None:
    """The table of models of which some have metrics: all columns, or only the validation loss."""
    columns = ["parameters", "val loss", "unseen words", "seconds"] if all_columns else ["val loss"]
    if all_columns and any(_own_metrics(metrics) for _, metrics in rows):
        columns.insert(3, "metrics")
    data = {_data(metrics) for _, metrics in rows if metrics}
    several, same_name = len(data) > 1, len(data) > len({name for name, *_ in data})
    names = ["data"] if several else []
    cells = [
        (
            entries.display_name(entry),
            entry.spec.summary,
            *(_data_cell(metrics, with_digest=same_name) for _ in names),
            *(_cell(metrics, column, in_bits) for column in columns),
            str(entry.plugin),
        )
        for entry, metrics in rows
    ]
    losses = [name for name in columns if name != "val loss"]
    optional = ["from", *reversed(losses), "", *names]  # the last to go is what the losses are of
    print_table(["models", "", *names, *columns, "from"], cells, right=columns, optional=optional)
    datasets = " and ".join(sorted({metrics.dataset for _, metrics in rows if metrics}))
    unit = "bits" if in_bits else "nats"
    output.lines(
        "",
        f"Losses in {unit} (per character for text) of the shipped weights on the validation split of {datasets}"
        + ("; unseen words: those not in the training split." if all_columns else ".")
        + (" Those of different data do not compare: --sort keeps them apart." if several else ""),
    )


def _data_cell(metrics: ShippedMetrics | None, *, with_digest: bool) -> str:
    if metrics is None:
        return "-"
    return f"{metrics.dataset} ({metrics.sha256[:8]})" if with_digest else metrics.dataset


def _cell(metrics: ShippedMetrics | None, column: str, in_bits: bool) -> str:
    if metrics is None:
        return "-"
    if column == "parameters":
        return f"{metrics.parameters:,}"
    if column == "seconds":
        return f"{metrics.seconds:,.1f}"
    if column == "metrics":
        return ", ".join(f"{name} {show_loss(value)}" for name, value in _own_metrics(metrics).items()) or "-"
    loss = metrics.losses["val"] if column == "val loss" else metrics.novel.get("val")
    if loss is not None and metrics.unit != "nats":
        return f"{show_loss(loss)} ({metrics.unit})"
    return "-" if loss is None else show_loss(bits(loss) if in_bits else loss)


def _own_metrics(metrics: ShippedMetrics | None) -> dict[str, float]:
    """The metrics of a model's shipped weights that say more than their loss."""
    return {} if metrics is None else {name: v for name, v in metrics.metrics.items() if name != "bits_per_character"}


def _as_json(name: str, entries: KindRegistry[Any], row: Row) -> dict[str, Any]:
    entry, metrics = row
    result = {
        "name": entries.display_name(entry),
        "full_name": entry.full_name,
        "summary": entry.spec.summary,
        "distribution": entry.plugin.distribution,
        "version": entry.plugin.version,
    }
    return result | {"figures": metrics and metrics.as_json()} if name == "models" else result
