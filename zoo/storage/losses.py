"""`losses.csv` and `validation.csv`: the loss of every step, and of every evaluation on the validation split.

A short run's file is replaced at every checkpoint. A long run's file grows: each checkpoint appends the losses of the
steps since the last one, and those of the first whole millions of steps are then not in the training state again. The
state has the number, size and digest of the lines that it relies on.
"""

from __future__ import annotations

import csv
import hashlib
import io
import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from zoo.errors import CheckpointError
from zoo.files import kind_of, read_bytes, read_text
from zoo.storage.open_folder import OpenFolder
from zoo.training.validation import Validation

LOSSES_FILE = "losses.csv"
VALIDATION_FILE = "validation.csv"
STEPS_OF_A_PART = 1_000_000  # 8 MB of a training state, some 20 MB of text
_HEADER = b"step,loss\n"


@dataclass(frozen=True)
class Sealed:
    """The beginning of a `losses.csv` that a training state relies on.

    Attributes:
        steps: how many steps' losses it has.
        size: in bytes, with the header.
        sha256: of these bytes.
    """

    steps: int
    size: int
    sha256: str

    @classmethod
    def read(cls, raw: object) -> Sealed | None:
        """Of a training state's metadata; None if it has none, or not of that form."""
        if not isinstance(raw, dict) or raw.keys() != {"steps", "size", "sha256"}:
            return None
        types = [type(raw[name]) for name in ("steps", "size", "sha256")]
        return cls(**raw) if types == [int, int, str] and raw["steps"] > 0 and raw["size"] > 0 else None

    def record(self) -> dict[str, Any]:
        """As `read` takes it."""
        return asdict(self)

    def losses(self, path: Path) -> list[float]:
        """Read them from a `losses.csv`.

        Raises:
            CheckpointError: the file is missing, or does not begin with these bytes.
        """
        try:
            content = read_bytes(path)[: self.size]
        except OSError as error:
            raise CheckpointError(
                f"cannot read {path}, which has the losses of the first {self.steps:,} steps: {error.strerror}"
            ) from error
        if hashlib.sha256(content).hexdigest() != self.sha256:
            raise CheckpointError(f"{path} was changed: it does not have the losses of the training state any more")
        losses = [float(line.partition(b",")[2]) for line in content.splitlines()[1:]]
        if len(losses) != self.steps:
            raise CheckpointError(f"{path} has {len(losses):,} losses where the training state says {self.steps:,}")
        return losses


class LossesFile:
    """Writes a `losses.csv`: `step,loss` for every step, with the fewest digits that give back the same float.

    What was written is kept in mind from checkpoint to checkpoint, so that only new losses are formatted.

    Attributes:
        sealed: of a long run, the whole millions of steps that are written.
    """

    def __init__(self) -> None:
        self._start_anew()

    def _start_anew(self) -> None:
        self._steps, self._size, self._digest = 0, len(_HEADER), hashlib.sha256(_HEADER)
        self._text = bytearray(_HEADER)  # of a short run, all of it
        self.sealed: Sealed | None = None

    def go_on_after(self, sealed: Sealed, path: Path) -> None:
        """Go on with a file whose beginning was checked: it need not be written anew.

        Raises:
            OSError: the file cannot be read.
        """
        self._digest = hashlib.sha256(read_bytes(path)[: sealed.size])
        self._steps, self._size, self.sealed, self._text = sealed.steps, sealed.size, sealed, bytearray()

    @staticmethod
    def is_long(steps: int) -> bool:
        """Whether the file of a run of that many steps grows, and has to be written before the training state."""
        return steps >= STEPS_OF_A_PART

    def write(self, folder: OpenFolder, losses: Sequence[float]) -> None:
        """Bring the file to the losses of all steps so far.

        Raises:
            OSError: it cannot be written. Next time it is written anew, whole.
        """
        if len(losses) < self._steps:  # training has returned to an earlier step after a loss that was NaN or infinite
            self._start_anew()
        try:
            if self.sealed is None:
                self._text += self._encode(losses)
                folder.write(LOSSES_FILE, self._text)
                if self.sealed is not None:
                    self._text = bytearray()
            else:
                folder.append(LOSSES_FILE, self._size, self._encode(losses))
        except FileNotFoundError:  # somebody has deleted or shortened it
            was_long = self.sealed is not None
            self._start_anew()
            if not was_long:
                raise
            self.write(folder, losses)
        except BaseException:
            self._start_anew()
            raise

    def _encode(self, losses: Sequence[float]) -> bytes:
        """The lines of the losses that are new."""
        parts = []
        while self._steps < len(losses):
            end = min(len(losses), (self._steps // STEPS_OF_A_PART + 1) * STEPS_OF_A_PART)
            new = zip(range(self._steps, end), losses[self._steps : end], strict=True)
            part = "".join([f"{step},{loss!r}\n" for step, loss in new]).encode()
            self._steps, self._size = end, self._size + len(part)
            self._digest.update(part)
            if end % STEPS_OF_A_PART == 0:
                self.sealed = Sealed(end, self._size, self._digest.hexdigest())
            parts.append(part)
        return b"".join(parts)


def validation_csv(validation: Validation) -> bytes:
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
    if not all(map(math.isfinite, losses)):
        raise CheckpointError(f"{path} is damaged: a loss in it is NaN or infinite")
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
