"""`zoo eval`."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import click

from zoo.cli import output
from zoo.cli.options import given, options_of
from zoo.cli.results import ResultRow, print_results
from zoo.cli.state import (
    State,
    dataset_option,
    debug_option,
    json_option,
    offline_option,
    run_argument,
    shows_progress,
)
from zoo.numbers import show_evaluated
from zoo.options.run import FileOptions

if TYPE_CHECKING:
    from zoo.data.examples import SplitName
    from zoo.training.evaluation import Evaluation


@click.command("eval")
@run_argument
@dataset_option
@options_of(FileOptions)
@click.option(
    "--device", default="auto", show_default=True, metavar="auto|cpu|cuda[:N]|mps", help="The device to evaluate on."
)
@offline_option
@json_option
@debug_option
@click.pass_obj
@shows_progress
def command(
    state: State, /, run: str, dataset: str | None, device: str, offline: bool, as_json: bool, **parameters: Any
) -> None:
    """Evaluate RUN on the full training, validation and test splits.

    The loss is in nats per target, or what the model's own loss is in. The metrics are the model's, or those of the
    kind of its targets. For text, the loss on unseen words is shown too: validation and test words that are not in the
    training split.

    RUN is a run folder, a .safetensors file, or the name of a model with shipped weights.
    """
    from zoo.data.download import fetcher
    from zoo.data.examples import counts
    from zoo.data.kinds import counts_of, evaluated_of
    from zoo.storage.loading import load
    from zoo.training.device import describe_device, named_device, suitable_device
    from zoo.training.evaluation import metrics_of

    state.settle()
    named = named_device(device, output.warning)
    loaded = load(run, state.registry)
    data = loaded.dataset(state.registry, fetcher(offline=offline), dataset, given(FileOptions, parameters))
    examples, novel = loaded.examples(data), loaded.novel_examples(data)
    options = loaded.checked.options
    chosen = named or suitable_device(options, loaded.model, examples["train"], output.warning, say_small=False)
    objective = loaded.objective(state.registry, data)
    found, unseen = loaded.evaluate(examples, chosen, objective), loaded.evaluate(novel, chosen, objective)
    metrics, unit = metrics_of(found), objective.loss.unit
    result: dict[str, Any] = {
        "run": run,
        "model": loaded.entry.spec.name,
        "dataset": {
            "name": dataset or loaded.config["dataset"]["name"],
            "sha256": data.sha256,
            "examples": counts_of(data, examples),
        },
        "device": describe_device(chosen),
        "losses": _finite(found),
        "metrics": metrics,
        "loss_unit": unit,
        **evaluated_of(data),
        "novel": {"examples": counts(novel), "losses": _finite(unseen)},
    }
    if as_json:
        output.json_object(result)
        return
    sizes = result["dataset"]["examples"]
    rows = [ResultRow(name, sizes[name], found[name].loss, metrics[name]) for name in examples]
    of_unseen = metrics_of(unseen)
    rows += [
        ResultRow(f"{name}, unseen words", len(split), unseen[name].loss, of_unseen[name])
        for name, split in novel.items()
    ]
    print_results(rows, unit)
    if "evaluated" in result:
        output.lines("", show_evaluated(result["evaluated"]))


def _finite(evaluations: Mapping[SplitName, Evaluation]) -> dict[str, float | None]:
    """The losses, with None instead of infinity and NaN, which JSON does not have."""
    return {name: one.loss if math.isfinite(one.loss) else None for name, one in evaluations.items()}
