"""Turns: one thread at a time has the state of torch that all threads of a process share.

Threads get their turns in the order in which they asked.
"""

from __future__ import annotations

import os
import threading
from collections import deque

from zoo.errors import warn

PATIENCE_S = 5.0  # then a thread that waits says why


class Turns:
    """A lock that its owner can take again, that is handed on in order, and that can be given up at any depth."""

    def __init__(self) -> None:
        self._mutex = threading.Lock()
        self._owner: int | None = None
        self._depth = 0
        self._waiting: deque[tuple[int, int, threading.Lock]] = deque()

    @property
    def depth(self) -> int:
        """How often this thread has taken its turn; 0 while it is not its turn."""
        return self._depth if self._owner == threading.get_ident() else 0

    def take(self, depth: int = 1) -> None:
        """Take a turn, once the threads that asked before have had theirs; `depth` times at once."""
        me = threading.get_ident()
        with self._mutex:
            if self._owner in (None, me):
                self._owner, self._depth = me, self.depth + depth
                return
            gate = threading.Lock()
            gate.acquire()
            self._waiting.append((me, depth, gate))
        try:
            _wait(gate)
        except BaseException:
            self._forget(gate)
            raise

    def leave(self, depth: int = 1) -> None:
        """Undo `depth` of the calls of `take`; after the last one it is the next thread's turn."""
        with self._mutex:
            self._depth -= depth
            if not self._depth:
                self._hand_on()

    def _hand_on(self) -> None:
        self._owner, self._depth = None, 0
        if self._waiting:
            self._owner, self._depth, gate = self._waiting.popleft()
            gate.release()

    def _forget(self, gate: threading.Lock) -> None:
        """A thread that Ctrl-C ends while it waits asks no longer, or hands on what it has just got."""
        with self._mutex:
            asking = [entry for entry in self._waiting if entry[2] is not gate]
            if len(asking) == len(self._waiting):  # it has its turn
                self._hand_on()
            self._waiting = deque(asking)


def _wait(gate: threading.Lock) -> None:
    if gate.acquire(timeout=PATIENCE_S):
        return
    warn(
        "waiting for zoo in another thread of this process: threads share torch's random numbers and settings, so they "
        "take turns; to work at the same time, start processes"
    )
    gate.acquire()


TURNS = Turns()

if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=lambda: TURNS.__init__())  # type: ignore[misc]  # the child has one thread
