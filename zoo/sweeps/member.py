"""A member of a sweep, and what became of it. Nothing here imports torch."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, TypeAlias

from zoo.options.run import RunOptions

State: TypeAlias = Literal["finished", "diverged", "failed", "out of memory"]
FINISHED: State = "finished"
DIVERGED: State = "diverged"
FAILED: State = "failed"
OUT_OF_MEMORY: State = "out of memory"
STATES: tuple[State, ...] = (FINISHED, DIVERGED, FAILED, OUT_OF_MEMORY)


@dataclass(frozen=True)
class Member:
    """One run of a sweep.

    Attributes:
        number: from 1.
        settings: what varies between members but for the seed, by the name of an option or `SECTION.KEY`.
        seed: pairs it with the members of other settings.
        options: of the run.
        continues: the number of the member that it goes on from, with more steps; None for one that begins anew.
        until: the step at which it halts, to be continued by another; its schedule is that of all its steps. None for
            one that does them all.
    """

    number: int
    settings: Mapping[str, Any]
    seed: int
    options: RunOptions
    continues: int | None = None
    until: int | None = None

    @property
    def name(self) -> str:
        """Of its folder."""
        return name_of(self.number)


def name_of(number: int) -> str:
    """The name of a member's folder."""
    return f"{number:04}"


@dataclass(frozen=True)
class Row:
    """What became of a member: a row of `sweep.csv`. No time of day or duration is in it: equal sweeps have equal rows.

    Attributes:
        member: its number.
        settings, seed: the member's.
        state: one of `STATES`.
        reason: what went wrong, in one line; empty of a finished one.
        steps: that were done.
        parameters: of the model.
        losses: over each split, of a finished one.
        metrics: by split and name, of a finished one.
        weights_sha256: the digest of its weights.
    """

    member: int
    settings: Mapping[str, Any]
    seed: int
    state: State
    reason: str = ""
    steps: int | None = None
    parameters: int | None = None
    losses: Mapping[str, float] = field(default_factory=dict)
    metrics: Mapping[str, Mapping[str, float | None]] = field(default_factory=dict)
    weights_sha256: str | None = None
