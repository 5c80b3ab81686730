"""`zoo eval`."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import click

from zoo.cli import output
from zoo.cli.state import (
    State,
    dataset_option,
    debug_option,
    json_option,
    offline_option,
    run_argument,
)
from zoo.cli.table import print_table
from zoo.numbers import show_loss
from zoo.storage.shipped import bits


@click.command("eval")
@run_argument
@dataset_option
@click.option(
    "--device", default="auto", show_default=True, metavar="auto|cpu|cuda[:N]|mps", help="The device to evaluate on."
)
@offline_option
@json_option
@debug_option
@click.pass_obj
def command(state: State, run: str, dataset: str | None, device: str, offline: bool, as_json: bool) -> None:
    """Evaluate RUN on the full training, validation and test splits.

    The loss is in nats per target. For text, the loss on unseen words is shown too: validation and test words that
    are not in the training split.

    RUN is a run folder, a .safetensors file, or the name of a model with shipped weights.
    """
    from zoo.data.download import fetcher
    from zoo.data.examples import counts
    from zoo.storage.loading import load
    from zoo.training.device import describe_device, named_device, suitable_device

    state.settle()
    named = named_device(device, output.warning)
    loaded = load(run, state.registry)
    data = loaded.dataset(state.registry, fetcher(offline=offline), dataset)
    examples, novel = loaded.examples(data), loaded.novel_examples(data)
    options = loaded.checked.options
    chosen = named or suitable_device(options, loaded.model, examples["train"], output.warning, say_small=False)
    losses, novel_losses = loaded.evaluate(examples, chosen), loaded.evaluate(novel, chosen)
    result: dict[str, Any] = {
        "run": run,
        "model": loaded.entry.spec.name,
        "dataset": {
            "name": dataset or loaded.config["dataset"]["name"],
            "sha256": data.sha256,
            "examples": counts(examples),
        },
        "device": describe_device(chosen),
        "losses": _finite(losses),
        "novel": {"examples": counts(novel), "losses": _finite(novel_losses)},
    }
    if as_json:
        output.json_object(result)
        return
    rows = [_row(name, len(split), losses[name]) for name, split in examples.items()]
    rows += [_row(f"{name}, unseen words", len(split), novel_losses[name]) for name, split in novel.items()]
    columns = ["examples", "loss (nats)", "bits" if loaded.checked.vocabulary is None else "bits per character"]
    print_table(["split", *columns], rows, right=columns)


def _row(name: str, examples: int, loss: float) -> tuple[str, ...]:
    return name, f"{examples:,}", show_loss(loss), show_loss(bits(loss))


def _finite(losses: Mapping[str, float]) -> dict[str, float | None]:
    """None instead of infinity and NaN, which JSON does not have."""
    return {name: loss if math.isfinite(loss) else None for name, loss in losses.items()}
