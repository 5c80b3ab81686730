"""The display of a Jupyter kernel: one output with an id of its own, which each update replaces."""

from __future__ import annotations

import os
import sys
import uuid
from typing import Any

from zoo.html import escaped, line
from zoo.notebooks.status import Status


def in_kernel() -> bool:
    """Whether this process is the kernel of a notebook: not a script, no IPython in a terminal, no fork of a kernel."""
    ipython = sys.modules.get("IPython")  # never imported here: what is not there cannot be running
    shell = ipython.get_ipython() if ipython is not None else None
    kernel = getattr(shell, "kernel", None)
    own = getattr(getattr(kernel, "session", None), "pid", os.getpid())  # a fork cannot send messages
    return kernel is not None and own == os.getpid()


class JupyterDisplay:
    """Saved with its last text alone, however often it was replaced."""

    def __init__(self) -> None:
        self._id = f"zoo-{uuid.uuid4().hex}"
        self._is_there = False

    def show(self, status: Status) -> None:
        bar = f'<progress value="{status.step}" max="{status.steps}"></progress> ' if status.steps else ""
        self._replace(f"<div>{bar}{escaped(str(status))}</div>", str(status))

    def end(self, text: str) -> None:
        self._replace(line(text), text)

    def _replace(self, as_html: str, as_text: str) -> None:
        from IPython.display import display

        show: Any = display
        bundle = {"text/html": as_html, "text/plain": as_text}
        show(bundle, raw=True, display_id=self._id, update=self._is_there)
        self._is_there = True
