"""The state of torch around a call is the caller's: zoo computes in a neutral one, and then puts the caller's back.

torch keeps much that results depend on in the process or the thread: whether gradients are computed, the default dtype
and device, autocast, modes, the global random number generators and more; `own.py` and `shared.py` have all of it.
Every public function that computes is decorated with `in_neutral_state`, so that it gives the same whatever the caller
has set. Code of plugins runs in that state too, and what it changes does not outlast the call.

State that all threads share can be neutral for one thread only. So threads take turns (`turns.py`): a run gives others
theirs between blocks of steps.

Importing this imports no torch.
"""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Callable, Iterator
from functools import wraps
from typing import ParamSpec, TypeVar

P = ParamSpec("P")
R = TypeVar("R")


def in_neutral_state(function: Callable[P, R]) -> Callable[P, R]:
    """Decorate a function to run in the neutral state. Not for generators, whose call returns at once."""

    @wraps(function)
    def called(*args: P.args, **kwargs: P.kwargs) -> R:
        from zoo.ambient.neutral import neutral

        with neutral():
            return function(*args, **kwargs)

    called.in_neutral_state = True  # type: ignore[attr-defined]
    return called


@contextlib.contextmanager
def unchanged() -> Iterator[list[str]]:
    """Run a block that may change the state, such as the import of a plugin, in the neutral state.

    Yields a list to which the parts are added that the block has changed, all of which are put back. torch is not
    imported for it. Where the block itself imports torch first, the state is made that of a new process.
    """
    changed: list[str] = []
    if "torch" not in sys.modules:
        try:
            yield changed
        finally:
            if hasattr(sys.modules.get("torch"), "default_generator"):  # it is there, and its import has not failed
                from zoo.ambient.neutral import changed_since_new

                changed += changed_since_new()
        return

    from zoo.ambient.neutral import changed_since_neutral, neutral

    with neutral():
        try:
            yield changed
        finally:
            changed += changed_since_neutral()
