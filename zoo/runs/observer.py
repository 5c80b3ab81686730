"""How a run reports its progress."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Iterator

from zoo.data.datasets import TextDataset
from zoo.data.kinds import Dataset
from zoo.data.summary.reading import what_was_read
from zoo.errors import warn
from zoo.plugin.calling import pass_on


class Observer:
    """Receives the progress of a run. This one turns warnings into Python's, and ignores the rest."""

    def stage(self, text: str) -> None:
        """A stage of the run begins, or goes on after one within it, such as an evaluation within the training."""

    def advanced(self, done: int, total: int) -> None:
        """`done` of `total` of the stage are done, such as examples or bytes; not all stages tell."""

    def note(self, text: str) -> None:
        """Something that is good to know, such as what was read."""

    def progress(self, step: int, steps: int, loss: float) -> None:
        """`step` of `steps` are done; `loss` was the last one's.

        Of a run that its seconds end, `steps` is about how many there will be, at the speed so far, and changes.
        """

    def validated(self, step: int, loss: float) -> None:
        """The validation split was evaluated after `step` steps."""

    def members(self, done: int, total: int, steps: int, share: float) -> None:
        """Of a sweep: `done` of `total` members are done, and `steps` steps of all; `share` counts parts of members."""

    def warning(self, text: str) -> None:
        """Something that the user should know, and that does not stop the run."""
        warn(text)


class Guarded(Observer):
    """Passes everything on to an observer. If that fails, it is told nothing more, and the run goes on."""

    def __init__(self, observer: Observer) -> None:
        self._observer: Observer | None = observer
        self.current = ""

    def stage(self, text: str) -> None:
        self.current = text
        with self._guard() as observer:
            observer.stage(text)

    def advanced(self, done: int, total: int) -> None:
        with self._guard() as observer:
            observer.advanced(done, total)

    def note(self, text: str) -> None:
        with self._guard() as observer:
            observer.note(text)

    def progress(self, step: int, steps: int, loss: float) -> None:
        with self._guard() as observer:
            observer.progress(step, steps, loss)

    def validated(self, step: int, loss: float) -> None:
        with self._guard() as observer:
            observer.validated(step, loss)

    def members(self, done: int, total: int, steps: int, share: float) -> None:
        with self._guard() as observer:
            observer.members(done, total, steps, share)

    def warning(self, text: str) -> None:
        with self._guard() as observer:
            observer.warning(text)

    @contextlib.contextmanager
    def _guard(self) -> Iterator[Observer]:
        handled = sys.exc_info()[1]
        try:
            yield self._observer or _SILENT
        except Exception as error:
            pass_on(error, handled)
            self._observer = None
            with contextlib.suppress(Exception):  # warnings can be errors, too
                cause = f"{type(error).__name__}: {error}"
                warn(f"the observer failed and is told nothing more: {cause}")


class Silent(Observer):
    """Tells nobody, of warnings neither: another process does, or nobody is there to be told."""

    def warning(self, text: str) -> None:
        pass


_SILENT = Silent()


def tell_of_data(observer: Observer, name: str, dataset: Dataset, *, told: bool = False) -> None:
    """Say what was read, and what is doubtful about it, unless whoever loaded it was told before."""
    observer.note(f"{name}: {what_was_read(dataset)}")
    for notice in dataset.notices if isinstance(dataset, TextDataset) and not told else ():
        observer.warning(notice)
