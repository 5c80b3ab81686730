"""Calling the code of plugins: whatever it raises becomes one message that names the plugin.

It may raise anything, also what is no `Exception`: a `SystemExit`, an `asyncio.CancelledError`, the panic of a native
module. Only what asks the process itself to stop passes: a KeyboardInterrupt, and whatever a signal's handler raises.
So does memory that runs out, which is nobody's fault.
"""

from __future__ import annotations

import contextlib
import sys
import weakref
from collections.abc import Iterator, Sequence
from typing import Any, TypeVar

from zoo.ambient import unchanged
from zoo.errors import PluginError, UsageError, ZooError, out_of_memory, warn
from zoo.phrasing import told

T = TypeVar("T")

_MOST_CHARACTERS = 500  # of an exception's text in a message; torch's may have thousands

_MADE_BY: dict[int, tuple[weakref.ref[Any], str]] = {}


@contextlib.contextmanager
def plugin_errors(who: str, what: str, *, refused: str | None = None) -> Iterator[None]:
    """Turn an exception of a plugin's code into a `ZooError`. One that is a `ZooError` already passes as it is.

    Args:
        who: `model 'trigram' of plugin zoo-trigram 1.0`.
        what: what failed: `cannot be made`.
        refused: where a ValueError refuses a value that the user gave: who refuses it, `model 'trigram'`. By default
            it is the plugin's fault, as any other exception.

    Raises:
        UsageError: a value was refused.
        PluginError: anything else was raised.
    """
    handled = sys.exc_info()[1]
    try:
        yield
    except BaseException as error:
        _raise_what_is_not_a_plugins(error, handled)
        if refused is not None and isinstance(error, ValueError):
            raise UsageError(f"{refused}: {error}") from error
        raise PluginError(f"{who} {what}: {described(error)}") from error


@contextlib.contextmanager
def plugin_call(who: str, what: str, *, refused: str | None = None) -> Iterator[None]:
    """`plugin_errors` for code that is called once, such as a constructor: what it sets of torch's state is undone.

    Each such call begins in the neutral state, and a warning says what was undone.
    """
    with _undone(who), plugin_errors(who, what, refused=refused):
        yield


@contextlib.contextmanager
def _undone(who: str) -> Iterator[None]:
    with unchanged() as changed:
        yield
    if changed:
        warn(f"{who} {changes_text(changed)}")


@contextlib.contextmanager
def step_errors(*parts: object) -> Iterator[None]:
    """As `plugin_errors`, for the steps of a training: the part whose code failed is found in the traceback.

    Args:
        parts: what does the steps: the engine, the optimizer and the model, each registered with `made_by`. The last
            one is named where none of them is in the traceback.
    """
    handled = sys.exc_info()[1]
    try:
        yield
    except BaseException as error:
        _raise_what_is_not_a_plugins(error, handled)
        raise PluginError(f"{maker(_failed(error, parts))} fails in a step: {described(error)}") from error


def _raise_what_is_not_a_plugins(error: BaseException, handled: BaseException | None) -> None:
    pass_on(error, handled)
    if not is_of_plugin(error):
        raise error


def is_of_plugin(error: BaseException) -> bool:
    """Whether an exception in a plugin's code is the plugin's: not one meant for zoo or the process, nor of memory."""
    return not (isinstance(error, ZooError | KeyboardInterrupt) or out_of_memory(error) or _is_of_signal(error))


def pass_on(error: BaseException, handled: BaseException | None) -> None:
    """Raise what asks the process to stop: also where a plugin has caught it and raised another one.

    Args:
        error: the plugin's, or that of a library.
        handled: the exception that was being handled when its code was called, which has nothing to do with it.
    """
    seen = {id(handled)}
    one: BaseException | None = error
    while one is not None and id(one) not in seen:
        if isinstance(one, KeyboardInterrupt) or _is_of_signal(one):
            raise one
        seen.add(id(one))
        one = one.__context__ if one.__cause__ is None else one.__cause__


def described(error: BaseException) -> str:
    """The class and the message of any exception, even of one that cannot be shown."""
    try:
        text = str(error)
    except BaseException as failure:
        if not is_of_plugin(failure):
            raise
        text = "it has no message that can be shown"
    if len(text) > _MOST_CHARACTERS:
        rest = told(typed="--debug shows all of it", python="the error's __cause__ has all of it")
        text = f"{text[:_MOST_CHARACTERS]}… ({rest})"
    return f"{type(error).__name__}: {text}".rstrip(": ")


@contextlib.contextmanager
def plugin_import(changes: list[str]) -> Iterator[None]:
    """Import code of a plugin, or call its hooks, without an effect on what torch computes for others.

    Args:
        changes: the parts of torch's state that the code has changed are added to it; they are put back.
    """
    changed: list[str] = []
    try:
        with unchanged() as changed:
            yield
    finally:
        changes += changed


def changes_text(changed: Sequence[str]) -> str:
    """For a warning: what the import of a plugin changed."""
    return f"changes settings of torch for all, which was undone: {', '.join(changed)}"


def made_by(who: str, made: T) -> T:
    """Remember who made an object, a model for instance, for the message about a later failure; the object."""
    key = id(made)
    with contextlib.suppress(TypeError):  # it cannot be referred to weakly
        _MADE_BY[key] = weakref.ref(made, lambda _: _MADE_BY.pop(key, None)), who
    return made


def maker(made: object) -> str:
    """Who made an object: `model 'trigram' of plugin zoo-trigram 1.0`; where that is not known, its class."""
    return _known(made) or f"{type(made).__module__}.{type(made).__qualname__}"


def _known(made: object) -> str | None:
    known = _MADE_BY.get(id(made))
    return known[1] if known is not None and known[0]() is made else None


def _is_of_signal(error: BaseException) -> bool:
    """Whether the handler of a signal raised it, which came by chance while the plugin's code ran."""
    import signal  # here, because only failures need it
    import traceback

    handlers = {getattr(signal.getsignal(number), "__code__", None) for number in signal.valid_signals()} - {None}
    return any(frame.f_code in handlers for frame, _ in traceback.walk_tb(error.__traceback__))


def _failed(error: BaseException, parts: Sequence[object]) -> object:
    """The part whose method is the last one in the traceback, or else in whose modules its last function is."""
    import traceback

    parts = [part for part in parts if _known(part) is not None] or parts
    frames = [frame for frame, _ in traceback.walk_tb(error.__traceback__)][::-1]
    owners = {id(own): part for part in parts for own in _with_submodules(part)}
    for frame in frames:
        if id(frame.f_locals.get("self")) in owners:
            return owners[id(frame.f_locals["self"])]
    modules = [{base.__module__ for base in type(part).__mro__} - _COMMON for part in parts]
    for frame in frames:
        for part, names in zip(parts, modules, strict=True):
            if frame.f_globals.get("__name__") in names:
                return part
    return parts[-1]


def _with_submodules(part: object) -> list[object]:
    try:
        return [part, *part.modules()]  # type: ignore[attr-defined]  # of an nn.Module
    except BaseException as error:
        if not is_of_plugin(error):
            raise
        return [part]


_COMMON = {"builtins", "typing", "abc", "torch.nn.modules.module"}
