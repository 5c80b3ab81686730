"""How a run reports its progress."""

from __future__ import annotations

import warnings


class Observer:
    """Receives the progress of a run. This one turns warnings into Python's, and ignores the rest."""

    def stage(self, text: str) -> None:
        """A stage of the run begins."""

    def progress(self, step: int, steps: int, loss: float) -> None:
        """`step` of `steps` are done; `loss` was the last one's."""

    def validated(self, step: int, loss: float) -> None:
        """The validation split was evaluated after `step` steps."""

    def warning(self, text: str) -> None:
        """Something that the user should know, and that does not stop the run."""
        warnings.warn(text, stacklevel=3)
