"""The run folder of a member of a sweep, of which there may be thousands."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from zoo.errors import UsageError
from zoo.storage.folder import STATE_FILE, RunFolder, open_new
from zoo.storage.open_folder import OpenFolder
from zoo.training.loop import Training


class MemberFolder(RunFolder):
    """A run folder with a training state only as long as there is training to resume.

    Its files are written atomically, but only a checkpoint on the way waits for the disk: waiting for each file of a
    short member takes longer than all else of it. The sweep flushes all of them at its end, and until then trusts no
    member of which it cannot read back the weights.
    """

    _is_trained = False

    @classmethod
    def _open_new(cls, out: Path) -> tuple[OpenFolder, bool]:
        """A new folder, or that of an attempt that was killed before its first checkpoint, emptied."""
        try:
            return cls._lazily(*open_new(out))
        except UsageError:
            folder = OpenFolder(out)
            for name in folder.names():
                folder.remove_tree(name)
            return cls._lazily(folder, made=True)

    @staticmethod
    def _lazily(folder: OpenFolder, made: bool) -> tuple[OpenFolder, bool]:
        folder.flushes = False
        return folder, made

    def write_first_checkpoint(self, training: Training, config: Mapping[str, Any]) -> None:
        """Nothing: before its first step there is nothing to lose."""

    def write_last_checkpoint(self, training: Training, config: Mapping[str, Any]) -> None:
        """Without the training state, which nothing will be resumed from."""
        self._is_trained = True
        self.write_checkpoint(training, config)

    def write_metrics(self, metrics: Mapping[str, Any]) -> None:
        """With which the member is finished, so that its training state goes."""
        super().write_metrics(metrics)
        with contextlib.suppress(FileNotFoundError):
            self._in_folder(lambda folder: folder.remove(STATE_FILE))

    def _write_state(self, training: Training, config: Mapping[str, Any]) -> None:
        if self._is_trained:
            return
        self._folder.flushes = True
        try:
            super()._write_state(training, config)
        finally:
            self._folder.flushes = False


class HaltedFolder(MemberFolder):
    """The folder of a member that halts before its last step: it keeps its training state, for another."""

    def write_last_checkpoint(self, training: Training, config: Mapping[str, Any]) -> None:
        """With the training state."""
        self.write_checkpoint(training, config)

    def write_metrics(self, metrics: Mapping[str, Any]) -> None:
        """With which the member is finished; its training state stays."""
        RunFolder.write_metrics(self, metrics)
