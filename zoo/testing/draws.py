"""Finding code that draws from the global random number generators of Python or NumPy, which a run does not seed."""

from __future__ import annotations

import random
import sys
from collections.abc import Callable
from types import FrameType
from typing import Any

from zoo.testing.guard import authors_line

UNSEEDED = ("random", "numpy.random")  # torch's global generator is seeded and saved in a run


def state_of(generator: str) -> object:
    """The state of a global generator, to compare; None where its library is not imported."""
    if generator == "random":
        return random.getstate()
    if generator not in sys.modules:
        return None
    kind, keys, *rest = sys.modules[generator].get_state()
    return kind, keys.tobytes(), *rest


def drawn(work: Callable[[], object]) -> str | None:
    """From which generator some work draws and on which line, as `'random' (zoo_stars/parts.py:33 in forward)`.

    Args:
        work: done once, and once more where it draws.
    """
    before = {generator: state_of(generator) for generator in UNSEEDED}
    work()
    for generator, state in before.items():
        if state_of(generator) != state:
            line = _line_of(work, generator)
            return f"{generator!r}" + (f" ({line})" if line is not None else "")
    return None


def _line_of(work: Callable[[], object], generator: str) -> str | None:
    """The line of a plugin's code in which a generator's state changes first; None where it cannot be told."""
    found: list[str] = []
    last: list[str | None] = [None]  # the line that is being done
    state = state_of(generator)

    def trace(frame: FrameType, event: str, _: Any) -> Any:
        line = authors_line([(frame.f_code.co_filename, frame.f_lineno, frame.f_code.co_name)])
        if line is None or found:
            return None
        if last[0] is not None and state_of(generator) != state:
            found.append(last[0])
            return None
        if event in ("call", "line"):
            last[0] = line
        return trace

    before = sys.gettrace()
    sys.settrace(trace)
    try:
        work()
    finally:
        sys.settrace(before)
    return found[0] if found else last[0]
