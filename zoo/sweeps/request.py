"""What a sweep was asked for: what varies, what is the same, and the seeds."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from zoo.errors import UsageError
from zoo.numbers import LARGEST_SEED, parse_whole, show_value
from zoo.options.declaration import declared
from zoo.options.interval import Interval, is_interval
from zoo.options.run import RunOptions
from zoo.options.sweep import GRID_SEEDS, MOST_SEEDS, POINT_SEEDS, SEARCHES, TRIALS, SweepOptions
from zoo.options.values import is_enclosed, plain
from zoo.phrasing import option
from zoo.runs.plan import check_options
from zoo.sweeps.member import Member

_MODEL = "model"
_SEED_NAMES = ("seed", "init_seed")
_THREADS = 1  # of a member: the others have the other cores
MOST_MEMBERS = 100_000


@dataclass(frozen=True)
class Request:
    """A sweep as it was asked for, with each value checked for itself, and not yet for what it means to a model.

    Attributes:
        options: of the sweep as a whole.
        grid: the values of what varies: a name of `RunOptions` (the model among them) or `SECTION.KEY`; each has two or
            more.
        same: the options of `RunOptions` that all members share, by name.
        settings: those of `--set` that all members share, by `SECTION.KEY`.
        ranges: what a search varies within a range, by the same names as `grid`.
    """

    options: SweepOptions
    grid: Mapping[str, Sequence[Any]]
    same: Mapping[str, Any]
    settings: Mapping[str, Any]
    ranges: Mapping[str, Interval] = field(default_factory=dict)

    @property
    def seeds(self) -> list[int]:
        """Those that members have, or may have."""
        options = self.options
        if options.until_decided:
            return seeds_of(options.most_seeds or MOST_SEEDS)
        if options.seeds is not None:
            return seeds_of(options.seeds)
        if options.search is not None:
            return [1]
        return seeds_of(POINT_SEEDS if options.find_lr or options.ladder else GRID_SEEDS)

    @property
    def trials(self) -> int:
        """How many settings a search tries."""
        return self.options.trials or TRIALS

    @property
    def varying(self) -> list[str]:
        """The names of what varies, in the order in which they were given."""
        return [*self.grid, *self.ranges]

    @property
    def models(self) -> list[str]:
        return [*self.grid[_MODEL]] if _MODEL in self.grid else [self.same[_MODEL]]

    def combinations(self) -> list[dict[str, Any]]:
        """Every combination of what varies, the last name changing fastest; a single empty one where nothing does."""
        return [dict(zip(self.grid, values, strict=True)) for values in itertools.product(*self.grid.values())]

    def members(self, seeds: Sequence[int]) -> list[Member]:
        """A member for each combination and seed: all combinations with the first seed first.

        More seeds add members behind, and change none.
        """
        pairs = [(seed, settings) for seed in seeds for settings in self.combinations()]
        return [self.member(number, settings, seed) for number, (seed, settings) in enumerate(pairs, 1)]

    def member(self, number: int, settings: Mapping[str, Any], seed: int, **options: Any) -> Member:
        """One with these settings, and with options that only it has."""
        given = {**self.same, **{name: value for name, value in settings.items() if "." not in name}}
        of_sections = {**self.settings, **{name: value for name, value in settings.items() if "." in name}}
        seeds = {name: seed for name in _SEED_NAMES if name not in self.same}
        given = {"threads": _THREADS, **given, **seeds, "plots": False, "settings": of_sections or None, **options}
        return Member(number, settings, seed, RunOptions(**given))


def request_of(options: SweepOptions, given: Mapping[str, Any]) -> Request:
    """Read what was given to `zoo sweep` or `zoo.sweep`.

    Args:
        options: of the sweep.
        given: the options of `RunOptions` by name, `model` and `settings` among them. What may vary can be a list or a
            tuple of values, or text with commas.

    Raises:
        UsageError: an option of the sweep has a value that it cannot have; there is no value, one is given twice, or
            there are too many members.
    """
    check_options(options)
    grid: dict[str, Sequence[Any]] = {}
    ranges: dict[str, Interval] = {}
    same: dict[str, Any] = {}
    settings: dict[str, Any] = {}
    for name, value in _all(given):
        values = _values(name, value)
        if isinstance(values, Interval):
            ranges[name] = values
        elif len(values) > 1:
            grid[name] = values
        elif "." in name:
            settings[name] = values[0]
        else:
            same[name] = values[0]
    request = Request(options, grid, same, settings, ranges)
    _check(request)
    return request


def seeds_of(seeds: int | str | Sequence[int]) -> list[int]:
    """The seeds 1 to N of a number, or those of a list.

    Raises:
        UsageError: they are none, not whole numbers, or not different.
    """
    name, value = option("seeds"), plain(seeds)
    if isinstance(value, str):
        value = _whole_numbers(value)
    if isinstance(value, int) and not isinstance(value, bool):
        if not 1 <= value <= MOST_MEMBERS:
            raise UsageError(f"{name} must be from 1 to {MOST_MEMBERS:,}, got {show_value(value)}")
        return list(range(1, value + 1))
    if not isinstance(value, Sequence) or not value:
        raise UsageError(f"{name} must be a number of seeds, or a list of them, got {show_value(seeds)}")
    for seed in value:
        if not isinstance(seed, int) or isinstance(seed, bool) or not 0 <= seed <= LARGEST_SEED:
            raise UsageError(f"{name}: a seed must be a whole number from 0 to 2**64 - 1, got {show_value(seed)}")
    if len({*value}) < len(value):
        twice = next(seed for i, seed in enumerate(value) if seed in value[:i])
        raise UsageError(f"{name}: {twice} is listed twice, and would be the same run")
    return [*value]


def _whole_numbers(text: str) -> int | list[int]:
    try:
        numbers = [parse_whole(part) for part in text.split(",") if part.strip()]
    except ValueError as error:
        raise UsageError(f"{option('seeds')} must be a number, or a list such as 3,14,15, got {text!r}") from error
    return numbers[0] if len(numbers) == 1 and "," not in text else numbers


def _all(given: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    """What was given, each setting by its own name."""
    for name, value in given.items():
        if name == "settings":
            yield from ((key, plain(one)) for key, one in (value or {}).items())
        elif value is not None:
            yield name, plain(value)


def _values(name: str, value: Any) -> Sequence[Any] | Interval:
    """The values of an option or a setting; one, of what cannot vary."""
    one = declared(RunOptions).get(name)
    if name != _MODEL and "." not in name and (one is None or one.option.in_sweep != "varies"):
        return [value]
    if isinstance(value, str):
        try:
            if (interval := Interval.parse(value)) is not None:
                return interval
        except ValueError as error:
            raise UsageError(f"{option(name) if '.' not in name else name}: {error}") from error
    if isinstance(value, str) and not is_enclosed(value) and "," in value:
        value = [part.strip() for part in value.split(",") if part.strip()]
    if not isinstance(value, list | tuple):
        return [value]
    if not value:
        raise UsageError(f"{option(name)} has no value: give at least one")
    if (interval := next(filter(is_interval, value), None)) is not None:
        raise UsageError(f"{option(name) if '.' not in name else name}: the range {interval} cannot be one of a list")
    twice = next((one for i, one in enumerate(value) if one in value[:i]), None)
    if twice is not None:
        raise UsageError(f"{option(name)}: {show_value(twice)} is listed twice, and would be the same runs")
    return [plain(one) for one in value]


def _check(request: Request) -> None:
    _check_together(request)
    if request.options.most_seeds is not None and not request.options.until_decided:
        raise UsageError(f"{option('most_seeds')} is about {option('until_decided')}: give that, too")
    settings = len(request.combinations()) if request.options.search is None else request.trials
    count = settings * len(request.seeds)
    if count > MOST_MEMBERS:
        raise UsageError(f"the sweep would have {count:,} members, and at most {MOST_MEMBERS:,} are allowed")
    if all(name in request.same for name in _SEED_NAMES) and len(request.seeds) > 1:
        both = f"{option('seed')} and {option('init_seed')}"
        raise UsageError(
            f"{both} are given, so that all {option('seeds')} would be the same run: leave out one of them"
        )


def _check_together(request: Request) -> None:
    """Refuse options that mean nothing without others, or exclude each other."""
    options = request.options
    search, find_lr, ladder = option("search"), option("find_lr"), option("ladder")
    until = option("until_decided")
    asked = [
        (search, options.search),
        (find_lr, options.find_lr),
        (ladder, options.ladder),
        (until, options.until_decided),
    ]
    chosen = [name for name, value in asked if value]
    if len(chosen) > 1:
        raise UsageError(f"{chosen[0]} and {chosen[1]} are two kinds of sweeps: give one of them")
    for name in ("trials", "search_seed"):
        if getattr(options, name) is not None and options.search is None:
            kinds = ", ".join(SEARCHES[:-1])
            raise UsageError(f"{option(name)} is about a search: give {search}, too: {kinds} or {SEARCHES[-1]}")
    if options.search is not None and not request.varying:
        raise UsageError(f"{search} has nothing to try: give a range or a list, as in {option('lr', '0.001..1')}")
    for name, interval in request.ranges.items():
        if options.search is None and not (options.find_lr and name == "lr"):
            given = option(name, str(interval)) if "." not in name else f"{name}={interval}"
            raise UsageError(f"{given} is a range, for {search}: give values with commas, or {option('search', 'tpe')}")
