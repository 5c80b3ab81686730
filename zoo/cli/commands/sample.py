"""`zoo sample`."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Any

import click

from zoo.cli import output
from zoo.cli.options import DECIMAL, WHOLE, given, options_of
from zoo.cli.state import (
    State,
    dataset_option,
    debug_option,
    json_option,
    offline_option,
    run_argument,
)
from zoo.cli.table import print_table
from zoo.options.run import SAMPLING_SEED, FileOptions

if TYPE_CHECKING:
    from zoo.storage.loading import Loaded
    from zoo.training.sampling import FoundIn

_SHOWN = {"train": "training", "val": "held out", "test": "held out", "new": "unseen"}


@click.command("sample")
@run_argument
@click.option("-n", "--number", type=WHOLE, default=20, show_default=True, metavar="N", help="The number of words.")
@click.option(
    "--temperature",
    type=DECIMAL,
    default=1.0,
    show_default=True,
    metavar="X",
    help="Divides the logits; 0 is greedy sampling.",
)
@click.option("--top-k", type=WHOLE, metavar="K", help="Sample from the K most probable characters only.")
@click.option("--prefix", default="", metavar="TEXT", help="The beginning of each word.")
@click.option(
    "--seed", type=WHOLE, default=SAMPLING_SEED, show_default=True, metavar="N", help="Seed of the random numbers."
)
@dataset_option
@options_of(FileOptions)
@offline_option
@json_option
@debug_option
@click.pass_obj
def command(
    state: State,
    /,
    run: str,
    number: int,
    temperature: float,
    top_k: int | None,
    prefix: str,
    seed: int,
    dataset: str | None,
    offline: bool,
    as_json: bool,
    **parameters: Any,
) -> None:
    """Sample words from RUN.

    Each word is looked up in the data that RUN was trained on: it is found in the training split, in the held-out
    splits (validation and test), or it is unseen.

    RUN is a run folder, a .safetensors file, or the name of a model with shipped weights.
    """
    from zoo.storage.loading import load

    loaded = load(run, state.registry)
    words = loaded.sample(number, seed=seed, temperature=temperature, top_k=top_k, prefix=prefix)
    splits = _found_in(state, loaded, words, dataset, offline, given(FileOptions, parameters))
    counts = Counter(_SHOWN[split] for split in splits) if splits else None
    if as_json:
        output.json_object(
            {
                "run": run,
                "seed": seed,
                "temperature": temperature,
                "top_k": top_k,
                "prefix": prefix,
                "samples": [{"text": word, "where": splits[i] if splits else None} for i, word in enumerate(words)],
                "counts": counts
                and {"train": counts["training"], "held_out": counts["held out"], "new": counts["unseen"]},
            }
        )
    elif splits and counts:
        print_table(["sample", "found in"], [(word, _SHOWN[split]) for word, split in zip(words, splits, strict=True)])
        output.lines(
            "",
            f"{number} samples: {counts['training']} found in the training words, {counts['held out']} in the "
            f"held-out words, {counts['unseen']} unseen",
        )
    else:
        output.lines(*words)


def _found_in(
    state: State, loaded: Loaded, words: list[str], dataset: str | None, offline: bool, options: FileOptions
) -> list[FoundIn] | None:
    """The split in which each word is found; None if the data is not available, which sampling does not need."""
    from zoo.data.datasets import TextDataset
    from zoo.data.download import fetcher
    from zoo.errors import DataError
    from zoo.training.sampling import found_in

    try:
        data = loaded.dataset(state.registry, fetcher(offline=offline), dataset, options)
    except DataError as error:
        if dataset is not None:
            raise
        output.warning(f"unknown which samples are unseen: {error}")
        return None
    if not isinstance(data, TextDataset):
        raise DataError(f"the dataset is not of the kind that model {loaded.entry.spec.name!r} was trained on")
    return found_in(words, data)
