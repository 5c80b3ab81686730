"""What is told of a run while it goes on."""

from __future__ import annotations

import warnings


class Observer:
    """Told how a run is going. This one passes warnings on to Python's own, and ignores the rest."""

    def stage(self, text: str) -> None:
        """A part of the run begins."""

    def progress(self, step: int, steps: int, loss: float) -> None:
        """`step` of `steps` are done; `loss` was the last one's."""

    def validated(self, step: int, loss: float) -> None:
        """The validation split was evaluated after `step` steps."""

    def warning(self, text: str) -> None:
        """Something that the user should know, and that does not stop the run."""
        warnings.warn(text, stacklevel=3)
