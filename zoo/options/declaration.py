"""How an option is declared, and how a record of options is read.

A record is a frozen dataclass. An option is one of its fields, annotated with `Option`:

    clip_norm: Annotated[float | None, Option("Clip the global gradient norm to X.", POSITIVE)] = NOT_GIVEN
"""

import dataclasses
import inspect
import math
import os
import typing
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple, TypeVar

from zoo.errors import UsageError, suggest
from zoo.numbers import LARGEST_SEED, show_value, too_large
from zoo.options.values import describe_type, fits, is_number, is_object_path

NOT_GIVEN: None = None  # the value of an option that was not given: a preset, the model's spec or a default decides

_WORDS: dict[Any, str] = {
    int: "a whole number",
    float: "a number",
    bool: "true or false",
    str: "text",
    os.PathLike: "a path",
    Callable: "a function",
    Sequence: "a list of texts",
    Mapping: "a mapping such as {'model.hidden_size': 300}",
}

_MOST_THREADS = 1024  # of more, the system may have none, which ends the process
_MOST_SNAPSHOTS = 1000  # more than a slider has positions

R = TypeVar("R")
T = TypeVar("T")


class Range(NamedTuple):
    """The values that an option may have: in words, and as a test."""

    text: str
    holds: Callable[[Any], bool]


POSITIVE = Range("above 0", lambda value: 0 < value < math.inf)
NOT_NEGATIVE = Range("0 or above", lambda value: 0 <= value < math.inf)
THREADS = Range(f"from 1 to {_MOST_THREADS}", lambda value: 0 < value <= _MOST_THREADS)
SNAPSHOTS = Range(f"from 2 to {_MOST_SNAPSHOTS}", lambda value: 2 <= value <= _MOST_SNAPSHOTS)
SEEDS = Range("from 0 to 2**64 - 1", lambda value: 0 <= value <= LARGEST_SEED)


@dataclass(frozen=True, repr=False, eq=False)
class Option:
    """What is declared of an option besides its name, type and default, which are the field's.

    Attributes:
        help: one sentence for `--help`.
        range: the values that it may have; None for any of its type.
        choices: the texts that it may be; empty for any.
        or_path: whether it may also name an object of a plugin, `package.module:attribute`, beside its choices.
        metavar: how `--help` shows a value; by default read off the type.
        flag: the name on the command line, where it is not the field's own.
        default: used if neither the user, nor the preset, nor the model's spec gives a value.
        recorded: whether `config.json` has it, under its name in the section `training`.
        reported: whether the result (`metrics.json`, `zoo run --json`) has it, too.
        reported_as: under which name the result has it, where that is not the option's.
        may_be_missing: a config that lacks it is not damaged: the option is off, or newer than the config.
        editable: whether `zoo resume --allow-changes` takes it from an edited `config.json`.
        plugin: its value names what a plugin provides; a config then records the plugin, too.
        about_files: it is about files in the run folder, which a run with `keep=False` has not.
        in_sweep: whether its values may vary between the members of a sweep, are the same for all, or are the sweep's
            own business, where a member is not told of it.
        renamed: the option's name now, for an old name that still works, and that no help shows.
    """

    help: str
    range: Range | None = None
    choices: tuple[str, ...] = ()
    or_path: bool = False
    metavar: str | None = None
    flag: str | None = None
    default: Any = None
    recorded: bool = True
    reported: bool = False
    reported_as: str | None = None
    may_be_missing: bool = False
    editable: bool = False
    plugin: bool = False
    about_files: bool = False
    in_sweep: Literal["varies", "same", "no"] = "varies"
    renamed: str | None = None


class Declared(NamedTuple):
    """An option of a record: the field's name, type and default, and what is declared of it."""

    name: str
    type: Any
    default: Any
    option: Option

    @property
    def flag(self) -> str:
        """The option on the command line, `--clip-norm`; one that defaults to true has a `--no-` flag."""
        return self.option.flag or f"--{'no-' if self.default is True else ''}{self.name.replace('_', '-')}"

    @property
    def fallback(self) -> Any:
        """The default: the option's, or the field's own."""
        return self.option.default if self.default is NOT_GIVEN else self.default

    def problem(self, value: object) -> str | None:
        """What is wrong with a value, to be put behind the option's name; None where nothing is."""
        choices = self.option.choices
        if choices and isinstance(value, str) and value not in choices:
            if self.option.or_path and is_object_path(value):
                return None
            listed = _listed((*choices, "package.module:function") if self.option.or_path else choices)
            return f"must be {listed}, got {show_value(value)}; {suggest(value, choices)}"
        if is_number(value):
            if self.option.range is not None and not self.option.range.holds(value):
                return f"must be {self.option.range.text}, got {show_value(value)}"
            if self.option.range is not SEEDS and (problem := too_large(value)):
                return problem
        return None if fits(value, self.type) else f"must be {_in_words(self.type)}, got {show_value(value)}"


_DECLARED: dict[type[Any], dict[str, Declared]] = {}  # reading a record's annotations takes a while


def declared(record: type[Any]) -> dict[str, Declared]:
    """The options of a record by name, in the order of its fields."""
    if record not in _DECLARED:
        _DECLARED[record] = _read(record)
    return _DECLARED[record]


def _read(record: type[Any]) -> dict[str, Declared]:
    defaults = {field.name: field.default for field in dataclasses.fields(record)}
    found = {}
    for part in reversed(record.__mro__):
        for name, hint in inspect.get_annotations(part).items():
            option = next((extra for extra in getattr(hint, "__metadata__", ()) if isinstance(extra, Option)), None)
            if option is not None:  # the hint is `Annotated`
                found[name] = Declared(name, hint.__origin__, defaults[name], option)
    return found


def reported(record: type[Any]) -> dict[str, str]:
    """The names under which a result has options of a record, each with the option's own."""
    options = {name: one.option for name, one in declared(record).items()}
    return {one.reported_as or name: name for name, one in options.items() if one.reported or one.reported_as}


def problems(record: Any) -> Iterator[tuple[Declared, str]]:
    """Each option of a record with an invalid value, and what is wrong. One that was not given is valid."""
    for one in declared(type(record)).values():
        value = getattr(record, one.name)
        problem = None if value is NOT_GIVEN else one.problem(value)
        if problem is not None:
            yield one, problem


def take_old_names(record: Any) -> None:
    """Move what was given under an option's old name to its name now. For `__post_init__` of a frozen record.

    Raises:
        UsageError: both names were given.
    """
    for one in declared(type(record)).values():
        value = getattr(record, one.name)
        if one.option.renamed is not None and value is not NOT_GIVEN:
            if getattr(record, one.option.renamed) is not NOT_GIVEN:
                raise UsageError(f"'{one.name}' is the old name of '{one.option.renamed}': give one of them")
            object.__setattr__(record, one.name, NOT_GIVEN)
            object.__setattr__(record, one.option.renamed, value)


def filled(record: R, *others: object) -> R:
    """The record; an option that it does not give comes from the first of the others that does, or is the default."""
    found = {}
    for name, one in declared(type(record)).items():
        values = (getattr(other, name) for other in (record, *others) if name in declared(type(other)))
        value = next((value for value in values if value is not NOT_GIVEN), one.fallback)
        found[name] = float(value) if type(value) is int and float in typing.get_args(one.type) else value
    return dataclasses.replace(record, **found)  # type: ignore[type-var]  # every record is a dataclass


def decided(value: T | None) -> T:
    """The value of an option in a plan, where it is never None."""
    assert value is not None
    return value


def _in_words(kind: Any) -> str:
    """The type of an option's value as a person says it; that it may be left out goes without saying."""
    kinds = [one for one in (typing.get_args(kind) or (kind,)) if one is not type(None)]
    return " or ".join(_WORDS.get(typing.get_origin(one) or one, describe_type(one)) for one in kinds)


def _listed(choices: tuple[str, ...]) -> str:
    return " or ".join([", ".join(choices[:-1]), choices[-1]]) if len(choices) > 1 else choices[0]
