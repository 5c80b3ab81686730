"""`zoo sample`."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

import click

from zoo.cli.state import (
    State,
    dataset_option,
    debug_option,
    json_option,
    offline_option,
    print_json,
    run_argument,
    warn,
)
from zoo.cli.table import print_table
from zoo.options.records import SAMPLING_SEED

if TYPE_CHECKING:
    from zoo.storage.loading import Loaded
    from zoo.training.sampling import Whereabouts

_WORDS = {"train": "in training", "val": "held out", "test": "held out", "new": "new"}


@click.command("sample")
@run_argument
@click.option("-n", "--number", type=int, default=20, show_default=True, metavar="N", help="How many words.")
@click.option(
    "--temperature", type=float, default=1.0, show_default=True, metavar="X", help="0: the likeliest; 1: as learned."
)
@click.option("--top-k", type=int, metavar="K", help="Draw each character from the K likeliest only.")
@click.option("--prefix", default="", metavar="TEXT", help="What each word starts with.")
@click.option("--seed", type=int, default=SAMPLING_SEED, show_default=True, metavar="N", help="Seed of the draw.")
@dataset_option
@offline_option
@json_option
@debug_option
@click.pass_obj
def command(
    state: State,
    run: str,
    number: int,
    temperature: float,
    top_k: int | None,
    prefix: str,
    seed: int,
    dataset: str | None,
    offline: bool,
    as_json: bool,
) -> None:
    """Draw words from RUN, and say which are new.

    A word may stand in the data that RUN was trained on, in the part that was held out, or in neither.

    RUN is a run folder, a .safetensors file, or the name of a model that comes with weights.
    """
    from zoo.storage.loading import load

    loaded = load(run, state.registry)
    words = loaded.sample(number, seed=seed, temperature=temperature, top_k=top_k, prefix=prefix)
    where = _whereabouts(state, loaded, words, dataset, offline)
    counts = Counter(_WORDS[place] for place in where) if where else None
    if as_json:
        print_json(
            {
                "run": run,
                "seed": seed,
                "temperature": temperature,
                "top_k": top_k,
                "prefix": prefix,
                "samples": [{"text": word, "where": where[i] if where else None} for i, word in enumerate(words)],
                "counts": counts
                and {"train": counts["in training"], "held_out": counts["held out"], "new": counts["new"]},
            }
        )
    elif where and counts:
        print_table(["sample", "where"], [(word, _WORDS[place]) for word, place in zip(words, where, strict=True)])
        click.echo(
            f"\n{number} samples: {counts['in training']} in the training words, {counts['held out']} in the held-out "
            f"words, {counts['new']} new"
        )
    else:
        click.echo("\n".join(words))


def _whereabouts(
    state: State, loaded: Loaded, words: list[str], dataset: str | None, offline: bool
) -> list[Whereabouts] | None:
    """Where each word stands in the data, if the data can be had: sampling itself does not need it."""
    from zoo.data.datasets import TextDataset
    from zoo.data.download import fetcher
    from zoo.errors import DataError
    from zoo.training.sampling import whereabouts

    try:
        data = loaded.dataset(state.registry, fetcher(offline=offline), dataset)
    except DataError as error:
        if dataset is not None:
            raise
        warn(f"which samples are new is not known: {error}")
        return None
    if not isinstance(data, TextDataset):
        raise DataError(f"the dataset is not of the kind that model {loaded.entry.spec.name!r} was trained on")
    return whereabouts(words, data)
