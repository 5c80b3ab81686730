"""What the plot of a sweep is made of. `zoo.plots.sweep` draws it.

A population is made of groups: the members of one setting, which differ in the seed.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, TypeAlias

View: TypeAlias = Literal["settings", "trials", "rates", "ladder"]


@dataclass(frozen=True)
class Group:
    """The members of one setting.

    Attributes:
        values: of what varies, in the order of the population's names; numbers or texts.
        results: of the members that are finished.
        lost: how many of the others diverged.
        failed: how many of the others failed, for whatever other reason.
        parameters: of the model, where that is known.
        steps: of its members, where they differ between groups.
    """

    values: Sequence[Any]
    results: Sequence[float]
    lost: int = 0
    failed: int = 0
    parameters: int | None = None
    steps: int | None = None


@dataclass(frozen=True)
class Band:
    """A curve over the steps of members that differ in the seed: the mean, and the standard deviation.

    Attributes:
        name: in the legend.
        steps: of each point.
        means, deviations: of the losses there; a deviation of a single member is 0.
        seconds: of training, of each point; empty where they are not known.
        seeds: how many members there are.
    """

    name: str
    steps: Sequence[float]
    means: Sequence[float]
    deviations: Sequence[float]
    seconds: Sequence[float] = ()
    seeds: int = 1


@dataclass(frozen=True)
class Population:
    """A sweep as its plot shows it.

    Attributes:
        title: above the plot.
        measure: what a result is, with its unit: `validation loss (nats)`.
        training: the same of a loss on the way: `training loss (nats)`.
        names: of what varies but for the seed.
        groups: in the order of the members.
        view: what is to be seen: settings, each in order; trials of a search, whose settings are scattered; the rates
            of a range test; or the sizes of a ladder.
        higher: whether a higher result is better.
        bands: curves of some of the groups.
        shading: which trials of a search are darker.
        suggestion: the learning rate that a range test suggests.
        law: `offset`, `scale` and `exponent` of the power law that a ladder follows; with `interval`.
    """

    title: str
    measure: str
    training: str
    names: Sequence[str]
    groups: Sequence[Group]
    view: View = "settings"
    higher: bool = False
    bands: Sequence[Band] = ()
    shading: str = "later ones darker"
    suggestion: float | None = None
    law: Mapping[str, Any] = field(default_factory=dict)
