"""The result of a sweep, in Python."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from zoo.errors import UsageError
from zoo.html import line, table, titled
from zoo.numbers import mean, show_loss, standard_deviation
from zoo.options.sweep import HALVING
from zoo.options.values import as_text
from zoo.runs.listing.columns import BETTER
from zoo.sweeps.member import FINISHED, Row
from zoo.text import brief
from zoo.verdicts.verdict import Verdict

if TYPE_CHECKING:
    from zoo.plugin.registry import Registry
    from zoo.storage.loading import Loaded

_LOSS = "loss"
_LONGEST = 1000  # characters of a sentence in a notebook
MOST_RANKED = 20  # settings of a search that are shown, and of any sweep in a notebook


@dataclass(frozen=True)
class Setting:
    """What the members of one setting came to.

    Attributes:
        settings: what varies, by name; empty where nothing does.
        rows: of its members.
    """

    settings: Mapping[str, Any]
    rows: Sequence[Row]

    @property
    def values(self) -> list[float]:
        """The validation losses of those that are finished."""
        return [value for row in self.rows if (value := value_of(row)) is not None]

    @property
    def mean(self) -> float | None:
        return mean(self.values) if self.values else None

    @property
    def sd(self) -> float | None:
        """The sample standard deviation; None of fewer than two."""
        return standard_deviation(self.values) if len(self.values) > 1 else None

    @property
    def steps(self) -> int:
        """The most that one of them has done."""
        return max((row.steps or 0 for row in self.rows), default=0)

    def count(self, state: str) -> int:
        """How many of them ended in that state."""
        return sum(row.state == state for row in self.rows)


@dataclass(frozen=True, repr=False)
class Sweep:
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
        name, higher = _monitored(self.monitor)

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


def by_settings(rows: Iterable[Row]) -> list[Setting]:
    """The rows of each setting, in the order of the first of each; of members that go on from each other, the last."""
    groups: dict[str, dict[int, Row]] = {}
    for row in rows:
        key = repr(sorted((name, as_text(value)) for name, value in row.settings.items()))
        groups.setdefault(key, {})[row.seed] = row
    return [Setting(next(iter(group.values())).settings, [*group.values()]) for group in groups.values()]


def best_row(rows: Iterable[Row], monitor: str | None = None) -> Row | None:
    """The finished member with the best value over the validation split, the first of equals; None if none has one.

    Args:
        rows: of the members, in any order.
        monitor: as `--monitor` takes it: by default the loss decides.
    """
    name, higher = _monitored(monitor)
    known = [(-value if higher else value, row) for row in rows if (value := value_of(row, name)) is not None]
    return min(known, key=lambda one: (one[0], one[1].member))[1] if known else None


def _monitored(monitor: str | None) -> tuple[str, bool]:
    """The name of what decides, and whether higher values of it are better."""
    name, _, direction = (monitor or _LOSS).partition(":")
    return name, direction == "max" or (not direction and BETTER.get(name) == "higher")


def value_of(row: Row, name: str = _LOSS) -> float | None:
    """The validation loss of a finished member, or one of its metrics; None where that is not a finite number."""
    of_split: Mapping[str, Any] = row.losses if name == _LOSS else row.metrics.get("val", {})
    value = of_split.get("val" if name == _LOSS else name)
    return value if row.state == FINISHED and value is not None and math.isfinite(value) else None


def _members(count: int) -> str:
    return f"{count:,} member{'s' * (count != 1)}"
