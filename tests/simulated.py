"""Populations of runs that were never trained."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from zoo.verdicts.populations import Population

Draw = NDArray[np.float64]


def population(name: str, values: Sequence[float] | Mapping[int, float] | Draw, failed: int = 0) -> Population:
    """A setting with these values, of the seeds 1, 2, 3 … where none are given."""
    by_seed = values if isinstance(values, Mapping) else dict(enumerate(map(float, values), 1))
    return Population(name, dict(by_seed), failed)
