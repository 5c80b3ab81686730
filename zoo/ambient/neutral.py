"""The neutral state as a context, and turns of threads within it."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence

import torch

from zoo import cuda
from zoo.ambient.own import CURRENT_DEVICE, own_parts
from zoo.ambient.parts import Part, Undo, make_neutral, put_back
from zoo.ambient.shared import UNKNOWN_AT_FIRST, UNREMARKABLE, shared_parts
from zoo.ambient.turns import TURNS


class _Caller:
    """The shared state outside of the outermost block, which is put back while others have their turn."""

    undos: list[tuple[str, Undo]] = []  # noqa: RUF012  # there is one caller at a time
    threads = 1


@contextlib.contextmanager
def neutral() -> Iterator[None]:
    """Put torch into the neutral state for a block, and put the caller's back whatever happens."""
    with _turn():
        if TURNS.depth == 1:
            _Caller.threads = torch.get_num_threads()
        own = make_neutral(own_parts())
        try:
            shared = make_neutral(shared_parts())
            if TURNS.depth == 1:
                _Caller.undos = shared
            try:
                yield
            finally:
                _end(shared_parts(), _Caller.undos if TURNS.depth == 1 else shared)
        finally:
            _end(own_parts(), own)


def _end(parts: Sequence[Part], undos: list[tuple[str, Undo]]) -> None:
    """Put the caller's state back; before that, what a plugin has left behind is made neutral."""
    try:
        make_neutral(parts)
    finally:
        put_back(undos)


@contextlib.contextmanager
def others_turn() -> Iterator[None]:
    """Within a neutral block: put the caller's shared state back for a block, and let other threads have their turn."""
    depth = TURNS.depth
    if not depth:
        yield
        return
    mine = make_neutral(shared_parts())
    put_back(_Caller.undos)
    TURNS.leave(depth)
    try:
        yield
    finally:
        try:
            _take_again(depth)
        finally:
            _Caller.undos = make_neutral(shared_parts())
            put_back(mine)


def available_threads() -> int:
    """The number of CPU threads that torch uses for the caller."""
    return _Caller.threads if TURNS.depth else torch.get_num_threads()


@contextlib.contextmanager
def _turn() -> Iterator[None]:
    TURNS.take()
    try:
        yield
    finally:
        TURNS.leave()


def _take_again(depth: int) -> None:
    """Take the turn again, even if Ctrl-C comes meanwhile, which is raised then: blocks around this one need it."""
    interrupted: BaseException | None = None
    while not TURNS.depth:
        try:
            TURNS.take(depth)
        except BaseException as error:
            interrupted = error
    if interrupted is not None:
        raise interrupted


def changed_since_new() -> list[str]:
    """Make the state that of a new process, where it can be known; the parts that were not."""
    parts = [part for part in (*own_parts(), *shared_parts(as_new=True)) if part.name not in UNKNOWN_AT_FIRST]
    changed = [name for name, _ in make_neutral(parts)]
    if cuda.current_index():
        cuda.set_current(0)
        changed.append(CURRENT_DEVICE)
    return changed


def changed_since_neutral() -> list[str]:
    """Make the state neutral again within a neutral block; the parts that were not."""
    return [name for name, _ in make_neutral((*own_parts(), *shared_parts())) if name not in UNREMARKABLE]
