"""`zoo eval`."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import click

from zoo.cli.state import (
    State,
    dataset_option,
    debug_option,
    json_option,
    offline_option,
    print_json,
    run_argument,
)
from zoo.cli.table import print_table


@click.command("eval")
@run_argument
@dataset_option
@click.option("--device", default="auto", show_default=True, metavar="auto|cpu|cuda[:N]|mps", help="Where to evaluate.")
@offline_option
@json_option
@debug_option
@click.pass_obj
def command(state: State, run: str, dataset: str | None, device: str, offline: bool, as_json: bool) -> None:
    """The loss of RUN over the whole of each split, in nats.

    Of text also the loss over the held-out words that are no words of training: a list of names has many twice.

    RUN is a run folder, a .safetensors file, or the name of a model that comes with weights.
    """
    from zoo.data.datasets import counts
    from zoo.data.download import fetcher
    from zoo.storage.loading import load
    from zoo.training.device import choose_device, describe_device
    from zoo.training.evaluation import evaluate_splits

    state.settle()
    chosen = choose_device(device)
    loaded = load(run, state.registry)
    data = loaded.dataset(state.registry, fetcher(offline=offline), dataset)
    examples = {name: split.to(chosen) for name, split in loaded.examples(data).items()}
    losses = evaluate_splits(loaded.model.to(chosen), examples)
    novel = {name: split.to(chosen) for name, split in loaded.novel_examples(data).items()}
    novel_losses = evaluate_splits(loaded.model, novel)
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
        print_json(result)
        return
    rows = [_row(name, len(split), losses[name]) for name, split in examples.items()]
    rows += [_row(f"{name}, new words", len(split), novel_losses[name]) for name, split in novel.items()]
    print_table(["split", "examples", "loss (nats)", "in bits"], rows, right=["examples", "loss (nats)", "in bits"])


def _row(name: str, examples: int, loss: float) -> tuple[str, ...]:
    return name, f"{examples:,}", f"{loss:.4f}", f"{loss / math.log(2):.4f}"


def _finite(losses: Mapping[str, float]) -> dict[str, float | None]:
    """JSON has no infinity."""
    return {name: loss if math.isfinite(loss) else None for name, loss in losses.items()}
