"""Stages of work that may take long, said to whoever listens: what is being done, and how much of it is.

The listener is found through a context variable, and not passed on as an argument, because functions of plugins stand
between it and the work: a plugin's dataset may download and encode a text.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from contextvars import ContextVar
from typing import Protocol

LOADING = "Loading torch"  # the stage of a command until it is imported

Advance = Callable[[int, int], None]  # how much is done, of how much


class Listener(Protocol):
    """Is told of stages. `current` is the last one that it was told of; empty for none."""

    current: str

    def stage(self, text: str) -> None:
        """A stage begins, or goes on after one within it; empty: none does."""

    def advanced(self, done: int, total: int) -> None:
        """`done` of `total` of the stage are done; the unit is the stage's."""


_listener: ContextVar[Listener | None] = ContextVar("listener", default=None)


@contextlib.contextmanager
def told(listener: Listener) -> Iterator[None]:
    """In the block, tell a listener of the stages."""
    token = _listener.set(listener)
    try:
        yield
    finally:
        _listener.reset(token)


@contextlib.contextmanager
def within(text: str) -> Iterator[None]:
    """The block is a stage, after which the one before it goes on."""
    listener = _listener.get()
    if listener is None:
        yield
        return
    before = listener.current
    listener.stage(text)
    try:
        yield
    finally:
        listener.stage(before)


def begin(text: str) -> None:
    """A stage begins, in place of the current one, until the block of `within` ends."""
    listener = _listener.get()
    if listener is not None:
        listener.stage(text)


def advance(done: int, total: int) -> None:
    """So much of the current stage is done."""
    listener = _listener.get()
    if listener is not None:
        listener.advanced(done, total)
