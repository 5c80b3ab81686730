"""The options of a command, read off the record that declares them."""

from __future__ import annotations

import typing
from collections import abc
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

import click

from zoo.files import from_person
from zoo.numbers import parse_whole, show_value
from zoo.options.declaration import NOT_GIVEN, Declared, declared
from zoo.options.interval import is_interval
from zoo.plugin.settings import parse_assignments
from zoo.plugin.specs import SECTIONS


class PathFromPerson(click.ParamType[Path]):
    """The type of an argument or an option that is a path."""

    name = "path"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Path:
        return from_person(value)


F = TypeVar("F", bound=Callable[..., Any])
R = TypeVar("R")


class Number(click.ParamType[Any]):
    """The type of an option that is a whole number, or any number; a long one is not repeated in the message."""

    def __init__(self, kind: type[int] | type[float]) -> None:
        self.kind = kind
        self.name = "integer" if kind is int else "float"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        try:
            return parse_whole(value) if self.kind is int and isinstance(value, str) else self.kind(value)
        except (ValueError, OverflowError) as error:
            detail = f": {error}" if str(error).startswith("a ") else ""
            article = "an integer" if self.kind is int else "a number"
            self.fail(f"{show_value(value)} is not {article}{detail}", param, ctx)


WHOLE, DECIMAL = Number(int), Number(float)
_TYPES: dict[Any, tuple[click.ParamType[Any], str]] = {int: (WHOLE, "N"), float: (DECIMAL, "X")}


def options_of(record: type[Any]) -> Callable[[F], F]:
    """Give a command every option that a record declares, in the record's order."""

    def decorate(command: F) -> F:
        for one in reversed(declared(record).values()):  # click puts the decorator that is applied last first
            command = _option(one)(command)
        return command

    return decorate


def options_with_commas(options: Iterable[Declared]) -> Callable[[F], F]:
    """Give a command that makes many runs their options; those that may vary take several values, with commas."""

    def decorate(command: F) -> F:
        for one in reversed([*options]):
            one = one._replace(default=NOT_GIVEN)  # it is known only then whether it was given
            command = _option(one, several=one.option.in_sweep == "varies")(command)
        return command

    return decorate


class Values(click.ParamType[Any]):
    """The type of an option that takes several values with commas: a list of them, or a single one."""

    def __init__(self, of: click.ParamType[Any]) -> None:
        self.of = of
        self.name = of.name

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        parts = [part.strip() for part in value.split(",")] if isinstance(value, str) else [value]
        found = [part if is_interval(part) else self.of.convert(part, param, ctx) for part in parts if part != ""]
        return found[0] if len(found) == 1 else found


def given(record: type[R], parameters: Mapping[str, Any], **more: Any) -> R:
    """Make a record of what was given on the command line, and of `more`; what was left out has its default."""
    values = {name: parameters[name] for name in declared(record) if parameters[name] is not None}
    return record(**values, **more)


def _option(one: Declared, *, several: bool = False) -> Callable[[F], F]:
    option = one.option
    names = [one.flag, one.name]
    shared: dict[str, Any] = {"help": option.help, "hidden": option.renamed is not None}
    if _has(one.type, bool):
        return click.option(*names, is_flag=True, default=None, flag_value=one.default is not True, **shared)
    origins = {typing.get_origin(kind) for kind in typing.get_args(one.type)}
    if Sequence[str] in typing.get_args(one.type):
        return click.option(*names, multiple=True, callback=_listed, metavar=option.metavar, **shared)
    if abc.Mapping in origins:
        return click.option(*names, multiple=True, callback=assignments(*SECTIONS), metavar=option.metavar, **shared)
    numeric = (found for known, found in _TYPES.items() if _has(one.type, known) and not _has(one.type, str))
    texts = "|".join([*option.choices, *["package.module:function"] * option.or_path]) or "TEXT"
    kind, metavar = next(numeric, (click.STRING, texts))
    shared |= {"default": one.default, "show_default": one.default is not None}
    metavar = option.metavar or metavar
    if several:
        kind, metavar = Values(kind), f"{metavar}[,...]"
    return click.option(*names, type=kind, metavar=metavar, **shared)


def _has(kind: Any, known: type[Any]) -> bool:
    return kind is known or known in typing.get_args(kind)


def _listed(context: click.Context, parameter: click.Parameter, values: tuple[str, ...]) -> list[str] | None:
    return list(values) or None


def assignments(
    *sections: str,
) -> Callable[[click.Context, click.Parameter, tuple[str, ...]], dict[str, str] | None]:
    """The callback of an option `--set SECTION.KEY=VALUE` with these sections, which can be repeated."""

    def parse(context: click.Context, parameter: click.Parameter, values: tuple[str, ...]) -> dict[str, str] | None:
        return parse_assignments(values, sections) or None

    return parse
