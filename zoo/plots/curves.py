"""The losses of one run among several that are compared in a plot."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple


class Curve(NamedTuple):
    """The losses of a run.

    Attributes:
        name: of the run, in the legend.
        losses: of every step from 0.
        evaluations: pairs of step and validation loss.
        final: the losses of full splits at the end, or of the best weights; that of `val` stands in the legend.
    """

    name: str
    losses: Sequence[float]
    evaluations: Sequence[tuple[int, float]] = ()
    final: Mapping[str, float] | None = None
