"""`zoo eval`."""

from __future__ import annotations

import math
from typing import Any

import click

from zoo.cli.state import (
    State,
    dataset_option,
    debug_option,
    json_option,
    offline_option,
    print_json,
    print_table,
    run_argument,
)


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

    RUN is a run folder, a .safetensors file, or the name of a model that comes with weights.
    """
    from zoo.datasets import counts
    from zoo.device import choose_device, describe_device
    from zoo.download import fetcher
    from zoo.evaluation import evaluate_splits
    from zoo.loading import load

    chosen = choose_device(device)
    loaded = load(run, state.registry)
    data = loaded.dataset(state.registry, fetcher(offline=offline), dataset)
    examples = {name: split.to(chosen) for name, split in loaded.examples(data).items()}
    losses = evaluate_splits(loaded.model.to(chosen), examples)
    result: dict[str, Any] = {
        "run": run,
        "model": loaded.entry.spec.name,
        "dataset": {
            "name": dataset or loaded.config["dataset"]["name"],
            "sha256": data.sha256,
            "examples": counts(examples),
        },
        "device": describe_device(chosen),
        "losses": {name: loss if math.isfinite(loss) else None for name, loss in losses.items()},  # JSON has no inf
    }
    if as_json:
        print_json(result)
        return
    rows = [(name, f"{len(split):,}", f"{losses[name]:.4f}") for name, split in examples.items()]
    print_table(["split", "examples", "loss (nats)"], rows, right=["examples", "loss (nats)"])
