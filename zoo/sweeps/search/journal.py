"""`search.journal`: the trials of a search, in a file of Optuna that several processes may share.

It is a copy for `optuna-dashboard` and `optuna.load_study`: what the search tries next follows from the rows of the
sweep alone. It is checked against these when a search is resumed, and written anew where it has other trials, or was
cut.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from zoo.files import kind_of, read_bytes
from zoo.sweeps.search.study import import_optuna, quiet

if TYPE_CHECKING:
    from optuna.study import Study as OptunaStudy
    from optuna.trial import FrozenTrial

JOURNAL_FILE = "search.journal"
_STUDY = "zoo"
_STALE_SECONDS = 3  # after which a lock is that of a process that was killed: it is held for milliseconds


class Journal:
    """The file, to which trials are added as they are done."""

    def __init__(self, path: Path, *, higher: bool) -> None:
        """A file that need not exist.

        Args:
            path: of the file.
            higher: whether higher values are better.
        """
        self._path, self._optuna = path, import_optuna()
        self._direction = "maximize" if higher else "minimize"
        self._study: OptunaStudy | None = None
        self._written = 0

    def extend(self, trials: Sequence[FrozenTrial]) -> None:
        """Let the file have these trials: the first of them it has already.

        Raises:
            OSError: it cannot be written.
        """
        with quiet(self._optuna):
            if self._study is None:
                self._study, self._written = self._opened(trials)
            for trial in trials[self._written :]:
                self._study.add_trial(trial)
            self._written = max(self._written, len(trials))

    def _opened(self, trials: Sequence[FrozenTrial]) -> tuple[OptunaStudy, int]:
        """The study in the file, and how many trials it has; a new one where it has others than these."""
        if kind_of(self._path) == "file" and read_bytes(self._path).endswith(b"\n"):
            with contextlib.suppress(ValueError, KeyError, TypeError, AssertionError):  # of a damaged file
                study = self._load()
                found = study.get_trials(deepcopy=False)
                if [*map(_content, found)] == [*map(_content, trials[: len(found)])]:
                    return study, len(found)
        with contextlib.suppress(FileNotFoundError):
            self._path.unlink()
        return self._load(), 0

    def _load(self) -> OptunaStudy:
        journal = self._optuna.storages.journal
        lock_type = journal.JournalFileOpenLock if os.name == "nt" else journal.JournalFileSymlinkLock
        lock = lock_type(str(self._path), grace_period=_STALE_SECONDS)
        storage = self._optuna.storages.JournalStorage(journal.JournalFileBackend(str(self._path), lock))
        study: OptunaStudy = self._optuna.create_study(
            study_name=_STUDY, storage=storage, direction=self._direction, load_if_exists=True
        )
        return study


def _content(trial: FrozenTrial) -> tuple[Any, ...]:
    """What a trial is, without times."""
    return trial.state, trial.values, trial.params, trial.distributions, trial.user_attrs
