"""The strategy that the options of a sweep ask for."""

from __future__ import annotations

from zoo.sweeps.judging.until_decided import UntilDecided
from zoo.sweeps.request import Request
from zoo.sweeps.strategy import Grid, Strategy


def strategy_of(request: Request) -> Strategy:
    """The strategy that a request asks for.

    Raises:
        UsageError: what was asked for does not fit it.
    """
    return UntilDecided(request) if request.options.until_decided else Grid(request)
