"""Ctrl-C, SIGTERM, SIGHUP, and SIGXCPU (a limit of CPU time) as requests to stop.

Training checks them between steps, so that each step is completed.
"""

from __future__ import annotations

import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

_SIGNALS = tuple(getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP", "SIGXCPU") if hasattr(signal, name))
_INSISTING_S = 1.0  # a wrapper such as `uv run` passes on the Ctrl-C that the terminal sends as well


class StopRequests:
    """The signals received in a `stop_signals` block; true if there are any."""

    def __init__(self) -> None:
        self._received: list[tuple[int, float]] = []
        self._error: Callable[[int], BaseException] | None = None
        self._raised = False

    def __bool__(self) -> bool:
        return bool(self._received)

    @property
    def unanswered(self) -> int | None:
        """The first signal, if no exception was raised for any."""
        return self._received[0][0] if self._received and not self._raised else None

    def raise_at_once(self, error: Callable[[int], BaseException]) -> None:
        """From now on, raise `error(number)` when a signal comes; now, if one has come."""
        self._error = error
        if self._received:
            self._raise(self._received[0][0])

    def defer(self) -> None:
        """From now on, only remember signals, as at first."""
        self._error = None

    def handle(self, number: int, _frame: object) -> None:
        """The signal handler."""
        now = time.monotonic()
        insists = number == signal.SIGINT and any(
            before == number and now - then >= _INSISTING_S for before, then in self._received
        )
        self._received.append((number, now))
        if self._error is not None:
            self._raise(self._received[0][0])
        if insists:  # a person presses Ctrl-C again: a step does not end
            self._raised = True
            raise KeyboardInterrupt

    def _raise(self, number: int) -> None:
        assert self._error is not None
        self._raised = True
        raise self._error(number)


@contextmanager
def stop_signals(received: StopRequests | None = None) -> Iterator[StopRequests]:
    """The signals that ask to stop, as they are received. A second Ctrl-C raises KeyboardInterrupt at once.

    With `received`, those of a block around this one: nothing is done here.

    A signal that is ignored stays so: `nohup` and a script's background job ask for that. One whose handler was not
    set from Python cannot be taken over. Other threads than the main one cannot handle signals and get none.
    A signal that nothing was raised for is sent on to the caller's handler at the end.
    """
    if received is not None:
        yield received
        return
    requests = StopRequests()
    if threading.current_thread() is not threading.main_thread():
        yield requests
        return
    before = {number: signal.getsignal(number) for number in _SIGNALS}
    taken = {number: handler for number, handler in before.items() if handler not in (signal.SIG_IGN, None)}
    try:
        for number in taken:
            signal.signal(number, requests.handle)
        yield requests
    finally:
        for number, handler in taken.items():
            signal.signal(number, handler)
    if requests.unanswered is not None:
        signal.raise_signal(requests.unanswered)
