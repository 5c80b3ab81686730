"""A run's folder and its files. A folder belongs to one run and is never overwritten by another.

| file | what |
|---|---|
| `model.safetensors` | the weights, with config and digest in the metadata |
| `config.json` | everything that made the run |
| `losses.csv` | the loss of every step |
| `validation.csv` | the loss of each evaluation on the validation split, if there are any |
| `metrics.json` | the result, as `zoo run --json` prints it |
| `training_state.safetensors` | all that resuming needs: weights, optimizer state, RNG states, losses, step |
| `loss.png`, `embeddings.png` | the plots |
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
    """The files of one run, locked against other processes.

    A context manager, which releases the lock. If the process dies, the operating system releases it.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._lock = _lock(path)
        self._losses = LossesCsv()

    @classmethod
    def create(cls, model_name: str, out: Path | None = None) -> RunFolder:
        """Make a new folder: `out`, or the next free `runs/MODEL-N`.

        Raises:
            UsageError: `out` exists and is not an empty folder.
            ZooError: the folder cannot be made, or another process has locked it.
        """
        existed = out is not None and kind_of(out) != "nothing"
        try:
            path = _make_empty(out) if out is not None else _make_next(RUNS, model_name)
            try:
                return cls(path)
            except BaseException:
                if not existed:
                    with contextlib.suppress(OSError):
                        path.rmdir()
                raise
        except OSError as error:
            raise ZooError(f"cannot make the run folder {error.filename}: {error.strerror}") from error

    @classmethod
    def open(cls, path: Path) -> RunFolder:
        """Open the folder of an existing run and delete temporary files that a killed process left in it.

        Raises:
            UsageError: it has no run that can be resumed.
            ZooError: another process has locked it.
        """
        if kind_of(path) != "folder":
            raise UsageError(f"no run folder {shown(path)}")
        if kind_of(path / STATE_FILE) != "file":
            raise UsageError(f"the run in {path} cannot be resumed: there is no {STATE_FILE} in it")
        folder = cls(path)
        for leftover in path.glob(".*.tmp"):
            leftover.unlink(missing_ok=True)
        return folder

    def __enter__(self) -> RunFolder:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Release the lock, and delete the folder if it is empty."""
        if self._lock is None:
            return
        if self.path.is_dir() and not any(self.path.iterdir()):
            self.path.rmdir()
        os.close(self._lock)
        self._lock = None

    def write_first_checkpoint(self, training: Training, config: Mapping[str, Any]) -> None:
        """`write_checkpoint` in a new folder. If it fails, the folder is emptied, so that closing deletes it."""
        try:
            self.write_checkpoint(training, config)
        except BaseException:
            for path in self.path.iterdir():
                path.unlink()
            raise

    def write_checkpoint(self, training: Training, config: Mapping[str, Any]) -> None:
        """Write the training state, the losses, the config and the weights.

        The training state is written first and contains all the rest. After a crash, the other files can be restored
        from it, and its step, weights and losses always agree.

        Raises:
            OSError: a file cannot be written.
        """
        state.save(self.path / STATE_FILE, training, config)
        write_bytes(self.path / "losses.csv", self._losses.encode(training.losses))
        write_text(self.path / "config.json", readable_json(config))
        if training.validation is not None:
            write_bytes(self.path / VALIDATION_FILE, _validation_csv(training.validation))
        self.write_weights(training, config)

    def write_weights(self, training: Training, config: Mapping[str, Any]) -> None:
        """Write the weights to use: the best ones if the run evaluates on the validation split."""
        step, weights = training.to_keep()
        checkpoint.save(self.path / WEIGHTS_FILE, weights, {"config": config, "step": step})

    def write_metrics(self, metrics: Mapping[str, Any]) -> None:
        write_text(self.path / "metrics.json", readable_json(metrics))

    def write_card(self, text: str) -> None:
        write_text(self.path / "README.md", text)


class LossesCsv:
    """The content of `losses.csv`: `step,loss` for every step, with the fewest digits that give back the same float.

    The text is kept from checkpoint to checkpoint, so that only new losses are formatted.
    """

    def __init__(self) -> None:
        self._content = bytearray(b"step,loss\n")
        self._steps = 0

    def encode(self, losses: list[float]) -> bytes:
        """The file's content for the losses of all steps so far."""
        if len(losses) < self._steps:  # training has returned to an earlier step after a loss that was NaN or infinite
            self._content, self._steps = bytearray(b"step,loss\n"), 0
        new = enumerate(losses[self._steps :], start=self._steps)
        self._content += "".join([f"{step},{loss!r}\n" for step, loss in new]).encode()
        self._steps = len(losses)
        return bytes(self._content)


def _validation_csv(validation: Validation) -> bytes:
    """The content of `validation.csv`: the number of steps and the validation loss of each evaluation."""
    evaluations = zip(validation.steps, validation.losses, strict=True)
    return "".join(["step,loss\n", *(f"{step},{loss!r}\n" for step, loss in evaluations)]).encode()


def read_losses(path: Path) -> list[float]:
    """The losses in a `losses.csv`.

    Raises:
        CheckpointError: the file is missing or damaged.
    """
    steps, losses = _read_csv(path)
    if steps != list(range(len(losses))):
        raise CheckpointError(f"{path} is damaged: its steps do not count up from 0")
    return losses


def read_evaluations(path: Path) -> list[tuple[int, float]]:
    """Pairs of step and loss in a `validation.csv`; an empty list if there is no such file.

    Raises:
        CheckpointError: the file is damaged.
    """
    return list(zip(*_read_csv(path), strict=True)) if kind_of(path) != "nothing" else []


def _read_csv(path: Path) -> tuple[list[int], list[float]]:
    """The columns `step` and `loss`."""
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
    """Lock a folder against other processes. Returns its file descriptor, or None if it cannot be locked."""
    if os.name != "posix":
        return None
    import fcntl

    descriptor = os.open(path, os.O_RDONLY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        os.close(descriptor)
        raise ZooError(f"another process is using {path}: wait for it, or stop it") from error
    except OSError:  # the file system has no locks
        os.close(descriptor)
        return None
    return descriptor


def _make_empty(out: Path) -> Path:
    """Make the folder `out`; it may exist if it is empty."""
    out.parent.mkdir(parents=True, exist_ok=True)
    try:
        out.mkdir()
    except FileExistsError as error:
        if not out.is_dir() or any(out.iterdir()):
            raise UsageError(
                f"{out} already exists, and a run never overwrites anything: choose another --out"
            ) from error
    return out


def _make_next(base: Path, model_name: str) -> Path:
    """Make the folder `base/MODEL-N` with the next free N."""
    base.mkdir(parents=True, exist_ok=True)
    prefix = f"{model_name}-"
    endings = (entry.name.removeprefix(prefix) for entry in base.iterdir() if entry.name.startswith(prefix))
    number = max((int(ending) for ending in endings if ending.isdecimal()), default=0)
    while True:  # another process may take the same number
        number += 1
        try:
            path = base / f"{prefix}{number}"
            path.mkdir()
        except FileExistsError:
            continue
        return path
