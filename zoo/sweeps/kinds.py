"""The kind of sweep that the options ask for, as a strategy."""

from __future__ import annotations

from zoo.options.sweep import HALVING
from zoo.plugin.registry import Registry
from zoo.sweeps.judging.until_decided import UntilDecided
from zoo.sweeps.request import Request
from zoo.sweeps.strategy import Grid, Strategy


def strategy_of(request: Request, registry: Registry) -> Strategy:
    """The strategy that a request asks for.

    Raises:
        UsageError: it cannot be had: a package is missing, or the model or an option does not allow it.
        PluginError: a factory that is needed cannot be imported.
    """
    options = request.options
    if options.until_decided:
        return UntilDecided(request)
    if options.search == HALVING:
        from zoo.sweeps.search.halving import Halving

        return Halving(request, registry)
    if options.search is not None:
        from zoo.sweeps.search.trials import Search

        return Search(request, registry)
    if options.find_lr:
        from zoo.sweeps.rates.find_lr import FindLr

        return FindLr(request, registry)
    if options.ladder is not None:
        from zoo.sweeps.scaling.ladder import Ladder

        return Ladder(request, registry)
    return Grid(request)
