"""The options of a sweep that are not those of its members.

No `from __future__ import annotations` here: the annotations are read.
"""

import os
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated

from zoo.options.declaration import THREADS, Option

KEEP = ALL, BEST, NONE = ("all", "best", "none")  # of the members' weights
SEEDS = 8  # by default; of fewer, only a large difference is more than luck


@dataclass(frozen=True, kw_only=True)
class SweepOptions:
    """What the user says of a sweep as a whole."""

    seeds: Annotated[
        int | str | Sequence[int],
        Option("Train each setting with the seeds 1 to N, or with those of a list: 3,14,15.", metavar="N|LIST"),
    ] = SEEDS
    keep: Annotated[str, Option("Which members' weights stay: of all, of the best, or of none.", choices=KEEP)] = ALL
    jobs: Annotated[
        int | None,
        Option("Members trained at a time; by default one on each core that this process may use.", THREADS),
    ] = None
    out: Annotated[
        str | os.PathLike[str] | None, Option("The sweep's folder; default sweeps/MODEL-N.", metavar="DIR")
    ] = None
