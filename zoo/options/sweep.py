"""The options of a sweep that are not those of its members.

No `from __future__ import annotations` here: the annotations are read.
"""

import os
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated

from zoo.options.declaration import POSITIVE, SEEDS, THREADS, Declared, Option, Range, declared
from zoo.options.run import RunOptions

KEEP = ALL, BEST, NONE = ("all", "best", "none")  # of the members' weights
GRID_SEEDS = 8  # by default; of fewer, only a large difference is more than luck
FIRST_TEST = 4  # seeds, with --until-decided
MOST_SEEDS = 64  # with --until-decided
POINT_SEEDS = 3  # by default of each point of a curve
SEARCHES = TPE, RANDOM, HALVING = ("tpe", "random", "halving")
TRIALS = 50

_MOST_SEEDS = Range("from 2 to 100,000", lambda value: 2 <= value <= 100_000)
_SIZES = Range("from 3 to 20", lambda value: 3 <= value <= 20)


@dataclass(frozen=True, kw_only=True)
class SweepOptions:
    """What the user says of a sweep as a whole."""

    seeds: Annotated[
        int | str | Sequence[int] | None,
        Option(
            "Train each setting with the seeds 1 to N, or with those of a list: 3,14,15; by default "
            f"{GRID_SEEDS}, {FIRST_TEST} at first with --until-decided, {POINT_SEEDS} with --find-lr or --ladder, and "
            "1 with --search.",
            metavar="N|LIST",
        ),
    ] = None
    keep: Annotated[str, Option("Which members' weights stay: of all, of the best, or of none.", choices=KEEP)] = ALL
    jobs: Annotated[
        int | None,
        Option("Members trained at a time; by default one on each core that this process may use.", THREADS),
    ] = None
    plots: Annotated[bool, Option("Make no plot.")] = True
    share: Annotated[
        str | None,
        Option("Train every N-th member, from the K-th on; the others are other processes'.", metavar="K/N"),
    ] = None
    out: Annotated[
        str | os.PathLike[str] | None, Option("The sweep's folder; default sweeps/MODEL-N.", metavar="DIR")
    ] = None
    until_decided: Annotated[
        bool | None,
        Option("Add seeds until the settings are told apart, by tests that together err in 5 % of cases."),
    ] = None
    most_seeds: Annotated[
        int | None, Option(f"Seeds at which --until-decided ends; by default {MOST_SEEDS}.", _MOST_SEEDS, metavar="N")
    ] = None
    search: Annotated[
        str | None,
        Option("Search the ranges LOW..HIGH, and lists, that options are given, by Optuna.", choices=SEARCHES),
    ] = None
    trials: Annotated[
        int | None, Option(f"Settings that a search tries; by default {TRIALS}.", POSITIVE, metavar="N")
    ] = None
    search_seed: Annotated[int | None, Option("Seed of a search: of what it tries; by default 1.", SEEDS)] = None
    find_lr: Annotated[bool | None, Option("Find a learning rate: short runs at rates over several powers of ten.")] = (
        None
    )
    ladder: Annotated[
        int | None,
        Option("Train the model in N sizes, each twice as large, and fit a power law.", _SIZES, metavar="N"),
    ] = None


def options_of_members() -> dict[str, Declared]:
    """The options of a run that members of a sweep may be given, by name."""
    options = declared(RunOptions).items()
    return {name: one for name, one in options if one.option.in_sweep != "no" and one.option.renamed is None}
