"""`losses.csv` and `validation.csv`: the loss of every step, and of every evaluation on the validation split.

A short run's file is replaced at every checkpoint. A long run's file grows: each checkpoint appends the losses of the
steps since the last one, and those of the first whole millions of steps are then not in the training state again. The
state has the number, size and digest of the lines that it relies on.
"""

from __future__ import annotations

import codecs
import csv
import hashlib
import io
import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from zoo.errors import CheckpointError
from zoo.files import kind_of, open_file, read_start
from zoo.storage.open_folder import OpenFolder

if TYPE_CHECKING:
    from zoo.training.validation import Validation

LOSSES_FILE = "losses.csv"
VALIDATION_FILE = "validation.csv"
STEPS_OF_A_PART = 1_000_000  # 8 MB of a training state, some 20 MB of text
_HEADER = b"step,loss\n"
_LONGEST_LINE = 100  # characters; a step and a loss have some 30
_BLOCK = 1 << 16  # characters
LAST = 100  # steps at the end of a file whose losses are read alone
_TAIL = 4096  # bytes that have these: a line has some 30


@dataclass(frozen=True)
class Ends:
    """The two ends of a `losses.csv`.

    Attributes:
        steps: how many steps it has.
        first: the loss of the first one; None without any.
        last: those of the last steps, at most `LAST`.
    """

    steps: int
    first: float | None
    last: Sequence[float]


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
        possible = types == [int, int, str] and 0 < raw["steps"] < raw["size"] <= _LONGEST_LINE * (raw["steps"] + 1)
        return cls(**raw) if possible else None

    def record(self) -> dict[str, Any]:
        """As `read` takes it."""
        return asdict(self)

    def losses(self, path: Path) -> list[float]:
        """Read them from a `losses.csv`.

        Raises:
            CheckpointError: the file is missing, does not begin with these bytes, or they are not what a run writes.
        """
        try:
            content = read_start(path, self.size)
        except OSError as error:
            raise CheckpointError(
                f"cannot read {path}, which has the losses of the first {self.steps:,} steps: {error.strerror}"
            ) from error
        if hashlib.sha256(content).hexdigest() != self.sha256:
            raise CheckpointError(f"{path} was changed: it does not have the losses of the training state any more")
        losses = _parse(content, path)
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
        self._digest = hashlib.sha256(read_start(path, sealed.size))
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
    return _checked(_rows(path), path)


def _checked(rows: Iterable[tuple[int, float]], path: Path) -> list[float]:
    """The losses of the steps from 0 on, if they are what a run can have."""
    losses: list[float] = []
    for step, loss in rows:
        if step != len(losses):
            raise CheckpointError(f"{path} is damaged: its steps do not count up from 0")
        if not math.isfinite(loss):
            raise CheckpointError(f"{path} is damaged: the loss of step {step} is {loss}, where a run would have ended")
        losses.append(loss)
    return losses


def _parse(content: bytes, path: Path) -> list[float]:
    """The same as `read_losses`, of lines that are in memory."""
    header, *lines = content.splitlines() or [b""]
    if header != _HEADER.strip():
        raise CheckpointError(f"{path} is damaged: its first line is not step,loss")
    parts = (line.partition(b",") for line in lines)
    try:
        return _checked(((int(step), float(loss)) for step, _, loss in parts), path)
    except ValueError as error:
        raise CheckpointError(f"{path} is damaged: it has lines that are not a step and a loss") from error


def read_ends(path: Path) -> Ends:
    """The first and the last losses in a `losses.csv`, without what is between them: it may be of any length.

    A last line that is not complete, because the file is being written, does not count.

    Raises:
        CheckpointError: the file is missing, or these lines are damaged.
    """
    try:
        with open_file(path) as file:
            start = file.read(2 * _LONGEST_LINE)
            size = file.seek(0, io.SEEK_END)
            file.seek(max(0, size - _TAIL))
            end = file.read(_TAIL)
    except OSError as error:
        raise CheckpointError(f"cannot read {path}: {error.strerror}") from error
    if not start.removeprefix(codecs.BOM_UTF8).startswith((_HEADER, _HEADER.replace(b"\n", b"\r\n"))):
        raise CheckpointError(f"{path} is damaged: its first line is not step,loss")
    values = end[end.find(b"\n") + 1 : end.rfind(b"\n") + 1].replace(b",", b" ").split()
    if not values and size <= _TAIL:
        return Ends(0, None, ())
    try:
        steps, losses = list(map(int, values[::2])), list(map(float, values[1::2]))
        ends = Ends(steps[-1] + 1, float(start.split(b"\n")[1].partition(b",")[2]), losses[-LAST:])
    except (IndexError, ValueError) as error:
        raise CheckpointError(f"{path} is damaged: it has lines that are not a step and a loss") from error
    counts_up = steps == list(range(steps[0], steps[0] + len(losses)))
    if not counts_up or steps[0] < 0 or (size <= _TAIL and steps[0] != 0):
        raise CheckpointError(f"{path} is damaged: its steps do not count up from 0")
    if not all(map(math.isfinite, losses)):
        raise CheckpointError(f"{path} is damaged: it has a loss that is NaN or infinite, where a run would have ended")
    return ends


def read_evaluations(path: Path) -> list[tuple[int, float]]:
    """Pairs of step and loss in a `validation.csv`; an empty list if there is no such file. A loss may be NaN.

    Raises:
        CheckpointError: the file is damaged.
    """
    return list(_rows(path)) if kind_of(path) != "nothing" else []


def _rows(path: Path) -> Iterator[tuple[int, float]]:
    """The columns `step` and `loss`, line by line, so that a file of another kind is refused at its first line.

    Raises:
        CheckpointError: the file is missing or damaged.
    """
    try:
        with open_file(path) as file, io.TextIOWrapper(file, "utf-8-sig") as text:
            rows = csv.reader(_lines(text))
            try:
                if next(rows, None) != ["step", "loss"]:
                    raise CheckpointError(f"{path} is damaged: its first line is not step,loss")
                for step, loss in rows:
                    yield int(step), float(loss)
            except (ValueError, csv.Error) as error:
                line = f"line {rows.line_num} is not a step and a loss"
                problem = str(error) if isinstance(error, csv.Error) else line
                raise CheckpointError(f"{path} is damaged: {problem}") from error
    except OSError as error:
        raise CheckpointError(f"cannot read {path}: {error.strerror}") from error


def _lines(text: io.TextIOBase) -> Iterator[str]:
    rest = ""
    while block := text.read(_BLOCK):
        *lines, rest = (rest + block).split("\n")
        if len(rest) > _LONGEST_LINE:
            raise csv.Error(f"it has a line of more than {_LONGEST_LINE} characters")
        yield from lines
    if rest:
        yield rest
