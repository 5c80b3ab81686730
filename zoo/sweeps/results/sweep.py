"""The result of a sweep, in Python."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from zoo.errors import UsageError
from zoo.html import line, table, titled
from zoo.numbers import mean, show_loss
from zoo.options.sweep import HALVING
from zoo.options.values import as_text
from zoo.plots.population import Population
from zoo.plots.sweep import PlottedSweep
from zoo.sweeps.member import FINISHED, Row
from zoo.sweeps.results.plotting import population_of
from zoo.sweeps.results.settings import Setting, best_row, by_settings, monitored, value_of
from zoo.sweeps.sheet import read_sweep
from zoo.text import brief
from zoo.verdicts.verdict import Verdict

if TYPE_CHECKING:
    from zoo.plugin.registry import Registry
    from zoo.storage.loading import Loaded

_LONGEST = 1000  # characters of a sentence in a notebook
MOST_RANKED = 20  # settings of a search that are shown, and of any sweep in a notebook


@dataclass(frozen=True, repr=False)
class Sweep(PlottedSweep):
    """A sweep that has ended.

    Attributes:
        path: its folder.
        rows: what became of each member, in the members' order.
        monitor: what decides which member is the best, as `--monitor` takes it; None for the validation loss.
        registry: what the members' models are found in.
        verdict: which setting is better, and whether that is more than luck; None where there are no two settings whose
            losses compare.
        sentences: what it has found, a line each: those of the verdict, or the best settings of a search, for instance;
            the last may be a command to type next.
        search: how settings were searched, as `--search` takes it; None for any other sweep.
    """

    path: Path
    rows: Sequence[Row]
    monitor: str | None
    registry: Registry
    verdict: Verdict | None = None
    sentences: Sequence[str] = ()
    search: str | None = None

    def __len__(self) -> int:
        return len(self.rows)

    def __iter__(self) -> Iterator[Row]:
        return iter(self.rows)

    def __repr__(self) -> str:
        best = self.best_row
        said = "" if best is None else f", best validation loss {show_loss(best.losses['val'])}"
        return brief(f"<Sweep {self.path}: {_members(len(self))}{said}>")

    def _repr_html_(self) -> str:
        """For a notebook: the settings with what they came to, and what was found."""
        settings = self.ranked
        names = list(dict.fromkeys(name for one in settings for name in one.settings))
        rows = [
            [
                *(as_text(one.settings[name]) if name in one.settings else "" for name in names or ["setting"]),
                *shown(one),
            ]
            for one in settings[:MOST_RANKED]
        ]
        left_out = len(settings) - len(rows)
        more = [line(f"and {left_out:,} more settings")] if left_out else []
        head = [*(names or ["setting"]), *HEADS]
        found = table(head, rows, left=max(1, len(names)))
        said = [line(one, _LONGEST) for one in self.sentences]
        return titled(f"Sweep {self.path}: {_members(len(self))}", found, *more, *said)

    @property
    def settings(self) -> list[Setting]:
        """What each setting came to, in the order of the members."""
        return by_settings(self.rows)

    @property
    def ranked(self) -> list[Setting]:
        """The settings as people want to see them: of a search the best first, of any other sweep as `settings`."""
        if self.search is None:
            return self.settings
        name, higher = monitored(self.monitor)

        def rank(one: Setting) -> tuple[int, bool, float]:
            values = [value for row in one.rows if (value := value_of(row, name)) is not None]
            steps = one.steps if self.search == HALVING else 0  # those with fewer have not come as far
            return -steps, not values, (-mean(values) if higher else mean(values)) if values else 0.0

        return sorted(self.settings, key=rank)

    @property
    def best_row(self) -> Row | None:
        """The best member's row: the first of equals; None if no member is finished."""
        return best_row(self.rows, self.monitor)

    @property
    def best(self) -> Loaded:
        """The best member, loaded as by `zoo.load`.

        Raises:
            UsageError: no member is finished, or its weights were not kept.
        """
        row = self.best_row
        if row is None:
            raise UsageError(f"no member of {self.path} is finished: its rows say why")
        return self.member(row.member)

    def member(self, number: int) -> Loaded:
        """A member by its number, from 1, loaded as by `zoo.load`.

        Raises:
            UsageError: there is none of that number, or its weights were not kept.
        """
        from zoo.storage.loading import load

        if not any(row.member == number for row in self.rows):
            raise UsageError(f"{self.path} has no member {number!r}: they are 1 to {len(self)}")
        return load(self.path / f"{number:04}", self.registry)

    def population(self) -> Population:
        """What its plot shows.

        Raises:
            CheckpointError: a file of the sweep is damaged.
            OSError: it cannot be read.
        """
        return population_of(self.path, self.rows, read_sweep(self.path))


HEADS = ("validation loss", "sd", "n", "lost")


def shown(one: Setting) -> list[str]:
    """The cells of a setting below `HEADS`."""
    value, sd, lost = one.mean, one.sd, len(one.rows) - one.count(FINISHED)
    return [
        "-" if value is None else show_loss(value),
        "" if sd is None else show_loss(sd),
        f"{one.count(FINISHED):,}",
        f"{lost:,}" if lost else "",
    ]


def _members(count: int) -> str:
    return f"{count:,} member{'s' * (count != 1)}"
