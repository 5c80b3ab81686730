"""A run's folder and its files. A folder belongs to one run and is never overwritten by another.

| file | what |
|---|---|
| `model.safetensors` | the weights, with config and digest in the metadata |
| `config.json` | everything that made the run |
| `losses.csv` | the loss of every step |
| `validation.csv` | the loss of each evaluation on the validation split, if there are any |
| `metrics.json` | the result, as `zoo run --json` prints it |
| `snapshots.safetensors` | the embedding table at moments of the training, with `--snapshots` |
| `training_state.safetensors` | all that resuming needs: weights, optimizer, RNG states, losses, step, data path |
| `loss.png`, `embeddings.png` | the plots |
| `README.md` | a model card |
| `report.html` | a page about the run, where `zoo report` has written one |

Loggers may make folders of their own in it, which zoo neither reads nor checks.
"""

from __future__ import annotations

import contextlib
import tempfile
from collections.abc import Callable, Collection, Mapping
from pathlib import Path
from typing import Any, TypeAlias

from zoo.data.finding import Place
from zoo.errors import UsageError, ZooError
from zoo.files import is_temporary, kind_of, readable_json
from zoo.phrasing import option
from zoo.storage import CONFIG_FILE as CONFIG_FILE
from zoo.storage import METRICS_FILE as METRICS_FILE
from zoo.storage import RUNS, checkpoint, state
from zoo.storage import STATE_FILE as STATE_FILE
from zoo.storage import WEIGHTS_FILE as WEIGHTS_FILE
from zoo.storage.history.snapshots import SNAPSHOTS_FILE, pack_snapshots
from zoo.storage.losses import LOSSES_FILE, VALIDATION_FILE, LossesFile, validation_csv
from zoo.storage.members.not_kept import no_state, not_kept
from zoo.storage.open_folder import LOCK_FILE, InUseError, OpenFolder
from zoo.storage.state import TrainingState
from zoo.text import shown
from zoo.training.history.snapshots import Snapshots
from zoo.training.loop import Training

CARD_FILE = "README.md"
REPORT_FILE = "report.html"
PLOT_FILES = ("loss.png", "embeddings.png")
FILES = (
    WEIGHTS_FILE,
    STATE_FILE,
    CONFIG_FILE,
    LOSSES_FILE,
    VALIDATION_FILE,
    SNAPSHOTS_FILE,
    METRICS_FILE,
    CARD_FILE,
    REPORT_FILE,
    *PLOT_FILES,
)


Warn = Callable[[str], None]


def ignore(_: str) -> None:
    """Tell nobody."""


class RunFolder:
    """The files of one run, locked against other processes.

    A context manager, which releases the lock. If the process dies, the operating system releases it.

    The folder may be moved meanwhile: the run goes on in it. If it is deleted, the run goes on in a new one.
    """

    def __init__(self, folder: OpenFolder, warn: Warn, *, made: bool) -> None:
        self._folder = folder
        self._made = made
        self._warn = warn
        self._named = folder.path
        self._losses = LossesFile()
        self._snapshots: list[int] | None = None  # the steps of those in the file
        self._checkpoint: tuple[Training, Mapping[str, Any]] | None = None
        self._results: dict[str, bytes] = {}
        self.place: Place | None = None  # of the run's data, if that is a file
        self.holds_earlier_work = False

    @classmethod
    def create(cls, model_name: str, out: Path | None = None, *, warn: Warn = ignore) -> RunFolder:
        """Make a new folder: `out`, or the next free `runs/MODEL-N`. `warn` is told where it was moved to.

        Raises:
            UsageError: `out` exists and is not an empty folder.
            ZooError: the folder cannot be made, or another process has locked it.
        """
        try:
            folder, made = (make_next(RUNS, model_name), True) if out is None else cls._open_new(out)
            return cls(folder, warn, made=made)
        except OSError as error:
            raise ZooError(f"cannot make the run folder {error.filename}: {error.strerror}") from error

    @classmethod
    def _open_new(cls, out: Path) -> tuple[OpenFolder, bool]:
        """That of a run that begins, and whether it was made."""
        return open_new(out)

    @classmethod
    def open(cls, path: Path, *, warn: Warn = ignore) -> RunFolder:
        """Open the folder of an existing run and delete temporary files that a killed process left in it.

        Raises:
            UsageError: it has no run that can be resumed.
            ZooError: another process has locked it, or files in it are links.
        """
        if kind_of(path) != "folder":
            raise UsageError(f"no run folder {shown(path)}{where_run_is(path) or not_kept(path)}")
        if kind_of(path / STATE_FILE) != "file":
            raise UsageError(f"the run in {path} cannot be resumed: there is no {STATE_FILE} in it{no_state(path)}")
        folder = OpenFolder(path)
        try:
            for name in FILES:
                if folder.is_link(name):
                    raise ZooError(
                        f"{path / name} is a symbolic link, which resuming would replace with a file: "
                        "put the file itself in its place, or delete the link if it is not needed"
                    )
            for name in folder.names():
                if is_temporary(name, FILES):
                    with contextlib.suppress(OSError):
                        folder.remove(name)
        except BaseException:
            folder.close()
            raise
        opened = cls(folder, warn, made=False)
        opened.holds_earlier_work = True
        return opened

    @property
    def path(self) -> Path:
        """Where the folder is."""
        return self._folder.path

    def __enter__(self) -> RunFolder:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Release the lock, and delete the folder if it was made for this run and is empty."""
        self._folder.close(delete_if_empty=self._made)

    def go_on_after(self, state: TrainingState) -> None:
        """The state from which a run is resumed, whose losses are in the folder."""
        if state.sealed is not None:
            self._losses.go_on_after(state.sealed, self.path / LOSSES_FILE)

    def write_first_checkpoint(self, training: Training, config: Mapping[str, Any]) -> None:
        """`write_checkpoint` in a new folder. If it fails, the folder is emptied, so that closing deletes it."""
        try:
            self.write_checkpoint(training, config)
        except BaseException:
            self.empty()
            raise

    def empty(self) -> None:
        """Remove all files of a run that did not get to its first step, and its loggers': another one may use it."""
        for name in self._folder.names():
            with contextlib.suppress(OSError):  # an error before is the one to report
                self._folder.remove_tree(name)

    def write_checkpoint(self, training: Training, config: Mapping[str, Any]) -> None:
        """Write the training state, the losses, the config and the weights.

        The training state is written first and contains all the rest, but for the older losses of a long run, which
        are in `losses.csv` before it, and the snapshots. After a crash, the other files can be restored from it, and
        its step, weights and losses always agree.

        Raises:
            OSError: a file cannot be written.
        """
        self._checkpoint = training, config
        is_long = LossesFile.is_long(len(training.losses))
        if is_long:
            self._write_losses(training)
        if training.snapshots is not None:
            self._write_snapshots(training.snapshots)
        self._write_state(training, config)
        if not is_long:
            self._write_losses(training)
        self.write(CONFIG_FILE, readable_json(config).encode())
        if training.validation is not None:
            self.write(VALIDATION_FILE, validation_csv(training.validation))
        self.write_weights(training, config)

    def write_last_checkpoint(self, training: Training, config: Mapping[str, Any]) -> None:
        """`write_checkpoint` of a training that has ended as planned."""
        self.write_checkpoint(training, config)

    def write_weights(self, training: Training, config: Mapping[str, Any]) -> None:
        """Write the weights to use: the best ones if the run evaluates on the validation split."""
        step, weights = training.to_keep()
        self.write(WEIGHTS_FILE, checkpoint.pack(WEIGHTS_FILE, weights, {"config": config, "step": step}))

    def write_metrics(self, metrics: Mapping[str, Any]) -> None:
        self._write_result(METRICS_FILE, readable_json(metrics).encode())

    def write_card(self, text: str) -> None:
        self._write_result(CARD_FILE, text.encode())

    def write_plot(self, name: str, image: bytes) -> None:
        self._write_result(name, image)

    def remove_plots(self, *, but: Collection[str]) -> None:
        """Delete the plots that an earlier stage of the run has left, but for those of these names."""
        for name in {*PLOT_FILES} - {*but}:
            self._results.pop(name, None)
            with contextlib.suppress(FileNotFoundError):
                self._in_folder(lambda folder, name=name: folder.remove(name))  # type: ignore[misc]

    def write(self, name: str, data: bytes | bytearray) -> None:
        """Replace a file's content, atomically; where the folder was moved, or deleted, in the folder that is there.

        Raises:
            OSError: it cannot be written.
        """
        self._in_folder(lambda folder: folder.write(name, data))

    def _write_result(self, name: str, data: bytes) -> None:
        """`write`, and keep the content: what comes from a checkpoint can be made again, and this cannot."""
        self._results[name] = data
        self.write(name, data)

    def _write_state(self, training: Training, config: Mapping[str, Any]) -> None:
        self.write(STATE_FILE, state.pack(STATE_FILE, training, config, self.place, self._losses.sealed))

    def _write_losses(self, training: Training) -> None:
        self._in_folder(lambda folder: self._losses.write(folder, training.losses))

    def _write_snapshots(self, snapshots: Snapshots) -> None:
        """Write them if there are others than the file has."""
        if self._snapshots != list(snapshots.taken):
            self.write(SNAPSHOTS_FILE, pack_snapshots(snapshots))
            self._snapshots = list(snapshots.taken)

    def _in_folder(self, write: Callable[[OpenFolder], None]) -> None:
        """Write to the folder; to another if it was deleted, be that before or meanwhile."""
        self._follow()
        try:
            write(self._folder)
        except OSError:
            if not self._folder.gone:
                raise
            self._follow()
            write(self._folder)

    def _follow(self) -> None:
        """Say where the folder was moved to; make a new one where it was deleted, with all that was in it."""
        if not self._folder.gone:
            if self._folder.path != self._named:
                self._warn(f"the run folder {self._named} was moved; the run goes on in {self._folder.path}")
                self._named = self._folder.path
            return
        old, self._folder = self._folder, make_anew(self._named)
        old.close()
        self._losses, self._snapshots = LossesFile(), None
        self._warn(f"the run folder {self._named} was deleted; the run goes on in {self._folder.path}")
        self._named = self._folder.path
        if self._checkpoint is not None:
            self.write_checkpoint(*self._checkpoint)
        for name, data in self._results.items():
            self.write(name, data)


class NoFolder:
    """In place of the folder of a run that keeps nothing: what `RunFolder` would write is dropped."""

    path: None = None
    place: Place | None = None
    holds_earlier_work = False

    def __enter__(self) -> NoFolder:
        return self

    def __exit__(self, *_: object) -> None:
        pass

    def empty(self) -> None:
        pass

    def write_first_checkpoint(self, training: Training, config: Mapping[str, Any]) -> None:
        pass

    def write_checkpoint(self, training: Training, config: Mapping[str, Any]) -> None:
        pass

    def write_last_checkpoint(self, training: Training, config: Mapping[str, Any]) -> None:
        pass

    def write_weights(self, training: Training, config: Mapping[str, Any]) -> None:
        pass

    def write_metrics(self, metrics: Mapping[str, Any]) -> None:
        pass

    def write_card(self, text: str) -> None:
        pass

    def write_plot(self, name: str, image: bytes) -> None:
        pass

    def remove_plots(self, *, but: Collection[str]) -> None:
        pass


AnyFolder: TypeAlias = RunFolder | NoFolder


def where_run_is(path: Path) -> str:
    """What to add to a message where a file of a run was given in place of its folder; empty for another path."""
    of_run = path.name in FILES and kind_of(path) == "file" and kind_of(path.parent / WEIGHTS_FILE) == "file"
    return f": it is a file of the run {path.parent}; give that folder" if of_run else ""


def _make(path: Path) -> OpenFolder:
    """Make and open a folder. If it cannot be opened, it is deleted.

    Raises:
        FileExistsError: there is something at that path.
        InUseError: another run found the folder and was faster; it is left to that one.
        OSError: it cannot be made or opened.
    """
    path.mkdir()
    try:
        return OpenFolder(path)
    except OSError:
        with contextlib.suppress(OSError):
            path.rmdir()
        raise


def open_new(out: Path) -> tuple[OpenFolder, bool]:
    """Make and open the folder `out`, or open it if it is there and empty; and whether it was made.

    Raises:
        UsageError: it exists and is not an empty folder.
        OSError: it cannot be made or opened.
    """
    out.parent.mkdir(parents=True, exist_ok=True)
    with contextlib.suppress(FileExistsError):
        return _make(out), True
    return _open_empty(out), False


def _open_empty(path: Path) -> OpenFolder:
    """Open an existing folder that must be empty. Raises UsageError if it is not."""
    if kind_of(path) != "folder" or not all(entry.name == LOCK_FILE for entry in path.iterdir()):
        raise _exists(path)
    folder = OpenFolder(path)
    if folder.names():  # another run had it until a moment ago
        folder.close()
        raise _exists(path)
    return folder


def _exists(out: Path) -> UsageError:
    return UsageError(f"{out} already exists, and a run never overwrites anything: choose another {option('out')}")


def make_next(base: Path, model_name: str) -> OpenFolder:
    """Make and open the folder `base/MODEL-N` with the next free N."""
    base.mkdir(parents=True, exist_ok=True)
    prefix = f"{model_name}-"
    endings = (entry.name.removeprefix(prefix) for entry in base.iterdir() if entry.name.startswith(prefix))
    number = max((int(ending) for ending in endings if ending.isdecimal()), default=0)
    while True:  # another process may take the same number
        number += 1
        with contextlib.suppress(FileExistsError, InUseError):
            return _make(base / f"{prefix}{number}")


def make_anew(path: Path) -> OpenFolder:
    """A new folder in place of a deleted one: of its name, or a similar one; or among the system's temporary files.

    Raises:
        OSError: there is no place for it.
    """
    failures: list[OSError] = []
    for parent in (path.parent, Path(tempfile.gettempdir())):
        try:
            parent.mkdir(parents=True, exist_ok=True)
            for ending in ("", *(f"-again-{number}" for number in range(1, 100))):
                with contextlib.suppress(FileExistsError, InUseError):
                    return _make(parent / f"{path.name}{ending}")
        except OSError as error:
            failures.append(error)
    raise failures[0]  # of the place that the user knows
