"""An event file, as TensorBoard reads it.

`torch.utils.tensorboard.SummaryWriter` would write one from another thread, which opens the file by its path anew for
each flush, and prints a traceback where that fails. Here a failure is an exception of the call, a run folder may be
moved meanwhile, and the file is not named after the machine.
"""

from __future__ import annotations

import time
from pathlib import Path

from tensorboard.compat.proto.event_pb2 import Event, SessionLog
from tensorboard.compat.proto.summary_pb2 import Summary
from tensorboard.summary.writer.record_writer import RecordWriter


class EventFile:
    """A new event file in a folder, which is made."""

    def __init__(self, folder: Path, first_step: int | None = None) -> None:
        """Open it.

        Args:
            folder: where; files of earlier processes may be in it.
            first_step: readers drop the scalars of earlier files from this step on.

        Raises:
            OSError: it cannot be written.
        """
        folder.mkdir(exist_ok=True)
        seconds, rest = divmod(time.time_ns(), 10**9)  # readers sort files by name
        self._file = (folder / f"events.out.tfevents.{seconds}.{rest:09d}").open("xb")
        self._records = RecordWriter(self._file)
        self._add(Event(file_version="brain.Event:2"))
        if first_step is not None:
            self._add(Event(step=first_step, session_log=SessionLog(status=SessionLog.START)))

    def scalar(self, tag: str, value: float, step: int) -> None:
        """Add a scalar, which is kept as float32."""
        self.add(Summary(value=[Summary.Value(tag=tag, simple_value=value)]), step)

    def add(self, summary: Summary, step: int = 0) -> None:
        self._add(Event(step=step, summary=summary))

    def flush(self) -> None:
        """Let readers see what was added."""
        self._file.flush()

    def close(self) -> None:
        self._file.close()

    def _add(self, event: Event) -> None:
        event.wall_time = time.time()
        self._records.write(event.SerializeToString())
