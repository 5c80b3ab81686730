"""What a part of the state of torch is: how it is made neutral, and how it is put back."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import partial
from typing import Any, NamedTuple, TypeAlias

Undo: TypeAlias = Callable[[], object]


class Part(NamedTuple):
    """One part of the state.

    Attributes:
        name: for a message: `the default dtype`.
        make_neutral: makes it neutral, and returns what puts it back; None where it was neutral.
    """

    name: str
    make_neutral: Callable[[], Undo | None]


def make_neutral(parts: Iterable[Part]) -> list[tuple[str, Undo]]:
    """Make parts neutral; the names of those that were not, and what puts them back."""
    undos: list[tuple[str, Undo]] = []
    try:
        for name, neutralize in parts:
            undo = neutralize()
            if undo is not None:
                undos.append((name, undo))
    except BaseException:
        put_back(undos)
        raise
    return undos


def put_back(undos: Iterable[tuple[str, Undo]]) -> None:
    """Put parts back, the last one first. If one fails, the others are put back too, and then the error is raised."""
    failed: BaseException | None = None
    for _, undo in reversed(list(undos)):
        try:
            undo()
        except BaseException as error:
            failed = failed or error
    if failed is not None:
        raise failed


Setting: TypeAlias = tuple[str, Callable[[], Any], Callable[[Any], object], Any]


def settings(*declared: Setting) -> list[Part]:
    """Parts that are one value, with how it is read, how it is written, and its neutral value."""
    return [
        Part(name, partial(_set_neutral, read, write, neutral))
        for name, read, write, neutral in declared
        if _is_there(read)
    ]


def _is_there(read: Callable[[], Any]) -> bool:
    try:
        read()
    except (AttributeError, RuntimeError):  # of another version of torch
        return False
    return True


def _set_neutral(read: Callable[[], Any], write: Callable[[Any], object], neutral: Any) -> Undo | None:
    value = read()
    if value == neutral:
        return None
    write(neutral)
    return partial(write, value)


def attribute(name: str, holder: Any, which: str, neutral: Any) -> Setting:
    return name, lambda: getattr(holder, which), lambda value: setattr(holder, which, value), neutral
