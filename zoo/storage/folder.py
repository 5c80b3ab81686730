"""A run's folder, and the files in it: made once, never written over by another run.

| file | what |
|---|---|
| `model.safetensors` | the weights, with config and digest in the metadata |
| `config.json` | everything that made the run |
| `losses.csv` | the loss of every step |
| `validation.csv` | the validation loss at each look, where the run looks on the way |
| `metrics.json` | the result, as `zoo run --json` prints it |
| `training_state.safetensors` | all that going on needs: weights, optimizer, generators, losses, step |
| `loss.png`, `embeddings.png` | the pictures |
| `README.md` | a model card |
"""

from __future__ import annotations

import contextlib
import csv
import io
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from zoo.errors import CheckpointError, UsageError, ZooError
from zoo.files import kind_of, read_text, readable_json, shown, write_bytes, write_text
from zoo.storage import checkpoint, state
from zoo.training.loop import Training
from zoo.training.validation import Validation

RUNS = Path("runs")
WEIGHTS_FILE = "model.safetensors"
STATE_FILE = "training_state.safetensors"
VALIDATION_FILE = "validation.csv"


class RunFolder:
    """The files of one run, and the right to write them: one process at a time has it.

    A context manager; leaving it gives the right back. The system does so too when the process dies, however it dies.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._lock = _lock(path)
        self._losses = LossLines()

    @classmethod
    def create(cls, model_name: str, out: Path | None = None) -> RunFolder:
        """Make a new folder: `out`, or the next free `runs/MODEL-N`.

        Raises:
            UsageError: `out` exists and is not an empty folder.
            ZooError: the folder cannot be made.
        """
        was_there = out is not None and kind_of(out) != "nothing"
        try:
            path = _take(out) if out is not None else _next_free(RUNS, model_name)
            try:
                return cls(path)
            except BaseException:
                if not was_there:  # else it is somebody else's, empty or not
                    with contextlib.suppress(OSError):
                        path.rmdir()
                raise
        except OSError as error:
            raise ZooError(f"cannot make the run folder {error.filename}: {error.strerror}") from error

    @classmethod
    def open(cls, path: Path) -> RunFolder:
        """Take an existing run's folder, and clear away what a killed process left unfinished in it.

        Raises:
            UsageError: there is no run in it that could go on.
            ZooError: another process has it.
        """
        if kind_of(path) != "folder":
            raise UsageError(f"no run folder {shown(path)}")
        if kind_of(path / STATE_FILE) != "file":
            raise UsageError(f"the run in {path} cannot go on: there is no {STATE_FILE} in it")
        folder = cls(path)
        for leftover in path.glob(".*.tmp"):
            leftover.unlink(missing_ok=True)
        return folder

    def __enter__(self) -> RunFolder:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Give the right back, and take back a folder into which nothing was written."""
        if self._lock is None:
            return
        if self.path.is_dir() and not any(self.path.iterdir()):
            self.path.rmdir()
        os.close(self._lock)
        self._lock = None

    def write_first_checkpoint(self, training: Training, config: Mapping[str, Any]) -> None:
        """`write_checkpoint` in a new folder: if it fails, the folder is empty again, and is gone once closed."""
        try:
            self.write_checkpoint(training, config)
        except BaseException:
            for path in self.path.iterdir():
                path.unlink()
            raise

    def write_checkpoint(self, training: Training, config: Mapping[str, Any]) -> None:
        """Write a state that can go on, and what people read: weights, losses, config.

        The state file comes first and holds all the rest, so whatever a crash leaves of the others can be made again
        from it: it is the one place where step, weights and losses cannot disagree.

        Raises:
            OSError: a file cannot be written.
        """
        state.save(self.path / STATE_FILE, training, config)
        write_bytes(self.path / "losses.csv", self._losses.of(training.losses))
        write_text(self.path / "config.json", readable_json(config))
        if training.validation is not None:
            write_bytes(self.path / VALIDATION_FILE, _validation_lines(training.validation))
        self.write_weights(training, config)

    def write_weights(self, training: Training, config: Mapping[str, Any]) -> None:
        """Write the weights that people get: where validation looks on the way, the best."""
        step, weights = training.to_keep()
        checkpoint.save(self.path / WEIGHTS_FILE, weights, {"config": config, "step": step})

    def write_metrics(self, metrics: Mapping[str, Any]) -> None:
        write_text(self.path / "metrics.json", readable_json(metrics))

    def write_card(self, text: str) -> None:
        write_text(self.path / "README.md", text)


class LossLines:
    """The content of `losses.csv`: `step,loss` for every step, in the shortest digits that read back as the same float.

    It grows from checkpoint to checkpoint, and only what is new is put into words.
    """

    def __init__(self) -> None:
        self._content = bytearray(b"step,loss\n")
        self._steps = 0

    def of(self, losses: list[float]) -> bytes:
        if len(losses) < self._steps:  # training went back, from a loss that was no number
            self._content, self._steps = bytearray(b"step,loss\n"), 0
        new = enumerate(losses[self._steps :], start=self._steps)
        self._content += "".join([f"{step},{loss!r}\n" for step, loss in new]).encode()
        self._steps = len(losses)
        return bytes(self._content)


def _validation_lines(validation: Validation) -> bytes:
    """The content of `validation.csv`: after how many steps, and the loss over the validation split then."""
    looks = zip(validation.steps, validation.losses, strict=True)
    return "".join(["step,loss\n", *(f"{step},{loss!r}\n" for step, loss in looks)]).encode()


def read_losses(path: Path) -> list[float]:
    """The losses of a `losses.csv`.

    Raises:
        CheckpointError: it is missing, or not such a file.
    """
    steps, losses = _read_lines(path)
    if steps != list(range(len(losses))):
        raise CheckpointError(f"{path} is damaged: its steps do not count up from 0")
    return losses


def read_looks(path: Path) -> list[tuple[int, float]]:
    """Steps and losses of a `validation.csv`; none where there is no such file.

    Raises:
        CheckpointError: it is something else.
    """
    return list(zip(*_read_lines(path), strict=True)) if kind_of(path) != "nothing" else []


def _read_lines(path: Path) -> tuple[list[int], list[float]]:
    """The columns `step` and `loss` of a file."""
    try:
        rows = list(csv.reader(io.StringIO(read_text(path), newline="")))
        if rows[:1] != [["step", "loss"]]:
            raise ValueError("its first line is not step,loss")
        return [int(step) for step, _ in rows[1:]], [float(loss) for _, loss in rows[1:]]
    except OSError as error:
        raise CheckpointError(f"cannot read {path}: {error.strerror}") from error
    except (ValueError, csv.Error) as error:
        raise CheckpointError(f"{path} is damaged: {error}") from error


def _lock(path: Path) -> int | None:
    """Lock a folder against other processes; its descriptor, or None where folders cannot be locked."""
    if os.name != "posix":
        return None
    import fcntl

    descriptor = os.open(path, os.O_RDONLY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        os.close(descriptor)
        raise ZooError(f"another process is at work in {path}: wait for it, or stop it") from error
    except OSError:  # a file system without locks
        os.close(descriptor)
        return None
    return descriptor


def _take(out: Path) -> Path:
    out.parent.mkdir(parents=True, exist_ok=True)
    try:
        out.mkdir()
    except FileExistsError as error:
        if not out.is_dir() or any(out.iterdir()):
            raise UsageError(
                f"{out} already exists, and a run never writes over anything: choose another --out"
            ) from error
    return out


def _next_free(base: Path, model_name: str) -> Path:
    base.mkdir(parents=True, exist_ok=True)
    prefix = f"{model_name}-"
    endings = (entry.name.removeprefix(prefix) for entry in base.iterdir() if entry.name.startswith(prefix))
    number = max((int(ending) for ending in endings if ending.isdecimal()), default=0)
    while True:  # another process may be taking numbers too
        number += 1
        try:
            path = base / f"{prefix}{number}"
            path.mkdir()
        except FileExistsError:
            continue
        return path
