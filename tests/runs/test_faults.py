"""A disk that fails at every single operation of a run, one after the other: one line is said, and nothing is lost."""

from __future__ import annotations

import errno
import os
import shutil
import stat
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import IO, Any

import matplotlib.figure
import pytest

import zoo
from zoo.storage import losses
from zoo.storage.folder import RunFolder

Zoo = Callable[..., Any]

STEPS = 12
QUICK = ("--device", "cpu", "--quiet", "--checkpoint-every", 5)
NET = ("--batch-size", 4, "--set", "model.hidden_size=3", "--set", "model.embedding_dim=2")
COMPARED = ("model.safetensors", "losses.csv")
FAULTS = {"full": errno.ENOSPC, "forbidden": errno.EACCES, "broken": errno.EIO}
PICTURE = b"\x89PNG" + bytes(100)
KINDS = {"make folder", "open folder", "open", "write", "flush", "sync", "close", "rename", "sync folder"}


@dataclass
class Disk:
    """The operations that change a disk, counted. The one numbered `fails_at` fails; on a full disk all after it do."""

    code: int = 0
    fails_at: int | None = None
    done: list[str] = field(default_factory=list)

    @property
    def reached(self) -> bool:
        return self.fails_at is not None and len(self.done) >= self.fails_at

    def operate(self, kind: str, path: object = None) -> None:
        self.done.append(kind)
        lasting = self.code == errno.ENOSPC  # a full disk stays full; the others come and go
        if self.fails_at is not None and (
            len(self.done) == self.fails_at or (lasting and len(self.done) > self.fails_at)
        ):
            raise OSError(self.code, os.strerror(self.code), None if path is None else str(path))

    def install(self, patch: pytest.MonkeyPatch) -> None:
        """Take the place of the functions by which zoo writes."""
        real_fsync, real_replace, real_mkdir, real_open, real_fdopen = (
            os.fsync,
            os.replace,
            os.mkdir,
            os.open,
            os.fdopen,
        )

        def fsync(descriptor: int) -> None:
            self.operate("sync folder" if stat.S_ISDIR(os.stat(descriptor).st_mode) else "sync")
            real_fsync(descriptor)

        def rename(source: Any, target: Any, **handles: Any) -> None:
            self.operate("rename", source)
            real_replace(source, target, **handles)

        def mkdir(path: Any, *args: Any, **kwargs: Any) -> None:
            if not Path(path).exists():
                self.operate("make folder", path)
            real_mkdir(path, *args, **kwargs)

        def open_anything(path: Any, flags: int, *args: Any, **kwargs: Any) -> int:
            if flags & os.O_DIRECTORY or Path(path).is_dir():
                self.operate("open folder", path)
            elif flags & os.O_WRONLY:
                self.operate("open", path)
            return real_open(path, flags, *args, **kwargs)

        def open_descriptor(descriptor: int, mode: str = "r", *args: Any, **kwargs: Any) -> Any:
            file = real_fdopen(descriptor, mode, *args, **kwargs)
            return file if set("wxa+").isdisjoint(mode) else Written(self, file)

        patch.setattr(os, "fsync", fsync)
        patch.setattr(os, "replace", rename)
        patch.setattr(os, "rename", rename)
        patch.setattr(os, "mkdir", mkdir)
        patch.setattr(os, "open", open_anything)
        patch.setattr(os, "fdopen", open_descriptor)


class Written:
    """A file that is being written, on a disk that may fail."""

    def __init__(self, disk: Disk, file: IO[Any]) -> None:
        self._disk = disk
        self._file = file

    def __enter__(self) -> Written:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._file.close()
        if error is None:
            self._disk.operate("close")

    def write(self, data: Any) -> int:
        try:
            self._disk.operate("write")
        except OSError:
            self._file.write(data[: len(data) // 2])  # as much as fits
            raise
        return int(self._file.write(data))

    def flush(self) -> None:
        self._disk.operate("flush")
        self._file.flush()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._file, name)


FailEverywhere = Callable[..., None]


@pytest.fixture
def fail_everywhere(monkeypatch: pytest.MonkeyPatch) -> FailEverywhere:
    """`fail_everywhere(fault, command, check, clean)`: run a command with the first operation failing, then with the
    second, and so on until there are no more; look at what is there after each, and put things back.

    All that is found is told at the end, for one fault more or less says little.
    """

    def run(fault: str, command: Callable[[], Any], check: Callable[[], None], clean: Callable[[], None]) -> None:
        found, number = [], 0
        while True:
            number += 1
            disk = Disk(FAULTS[fault], number)
            with monkeypatch.context() as patch:
                disk.install(patch)
                outcome = command()
            if not disk.reached:
                break
            try:
                # the folders of some file systems cannot be synced, which is no failure
                if outcome.code or fault != "forbidden" or disk.done[number - 1] not in ("open folder", "sync folder"):
                    assert_told(outcome)
                check()
            except (AssertionError, zoo.ZooError) as error:
                found.append(f"operation {number}, {disk.done[number - 1]}: {outcome.err}{error}")
            clean()
        assert outcome.code == 0
        assert number > 5
        assert not found, "\n".join([f"{len(found)} of {number - 1} faults:", *found])

    return run


@pytest.fixture(params=FAULTS)
def fault(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture(autouse=True)
def quick_pictures(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is in a picture does not matter here, and drawing takes longer than all the rest."""

    def savefig(self: matplotlib.figure.Figure, file: IO[bytes], **_: Any) -> None:
        file.write(PICTURE)

    monkeypatch.setattr(matplotlib.figure.Figure, "savefig", savefig)


@pytest.fixture
def whole(zoo_here: Zoo, words_file: Path) -> dict[str, bytes]:
    """The files of a run that nobody disturbed."""
    assert start(zoo_here, words_file, "whole", "--no-plots").code == 0
    return contents(Path("whole"))


def start(zoo_here: Zoo, words: Path, out: str | Path, *args: object, steps: int = STEPS) -> Any:
    return zoo_here("run", "mlp-char", "--dataset", words, "--steps", steps, "--out", out, *QUICK, *NET, *args)


def contents(folder: Path) -> dict[str, bytes]:
    return {name: (folder / name).read_bytes() for name in COMPARED}


def assert_told(outcome: Any) -> None:
    """One line, the right exit code, and no temporary file."""
    assert outcome.code == 1
    assert outcome.err.startswith("zoo: error: ")
    assert outcome.err.count("\n") == 1
    assert outcome.err.endswith("\n")
    assert "unexpected" not in outcome.err
    assert "None" not in outcome.err
    assert [path for path in Path().rglob("*") if path.name.startswith(".") or path.suffix == ".tmp"] == []


def assert_goes_on(zoo_here: Zoo, folder: Path, whole: dict[str, bytes], *args: object) -> None:
    """Now that the disk works again, the run comes to the same end as one that nobody disturbed."""
    again = zoo_here("resume", folder, *QUICK, "--no-plots", *args)
    finished = again.code == 2 and "has done all its" in again.err  # the fault came after the last file
    assert finished or again.code == 0, again.err
    assert contents(folder) == whole


CASES = {  # the fault, and what is added to the command
    "full": ("full", "--no-plots", "--out", "parent/run"),
    "full, with pictures": ("full", "--out", "parent/run"),
    "forbidden, numbered": ("forbidden", "--no-plots"),
    "broken": ("broken", "--no-plots", "--out", "parent/run"),
    "full, long run": ("full", "--no-plots", "--out", "parent/run"),
    "broken, long run": ("broken", "--no-plots", "--out", "parent/run"),
}


@pytest.fixture
def long_run(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where the case says so, a run is long after three steps, so that its `losses.csv` grows."""
    if "long" in request.getfixturevalue("case"):
        monkeypatch.setattr(losses, "STEPS_OF_A_PART", 3)


@pytest.mark.usefixtures("long_run")
@pytest.mark.parametrize("case", CASES)
def test_a_run_that_fails_anywhere_leaves_nothing_or_goes_on_as_if_it_had_not(
    zoo_here: Zoo, words_file: Path, whole: dict[str, bytes], fail_everywhere: FailEverywhere, case: str
) -> None:
    fault, *args = CASES[case]
    command = ("run", "mlp-char", "--dataset", words_file, "--steps", STEPS, *QUICK, *NET, *args)

    def check() -> None:
        for folder in (*Path("runs").glob("*"), *Path("parent").glob("*")):
            assert_goes_on(zoo_here, folder, whole)

    def clean() -> None:
        remove("runs")
        remove("parent")

    fail_everywhere(fault, lambda: zoo_here(*command), check, clean)


def test_going_on_that_fails_anywhere_leaves_the_run_at_a_checkpoint_to_go_on_from(
    zoo_here: Zoo, words_file: Path, whole: dict[str, bytes], fail_everywhere: FailEverywhere, fault: str
) -> None:
    good = set()
    for steps in (6, 10, STEPS):
        start(zoo_here, words_file, f"{steps}-steps", "--no-plots", steps=steps)
        good.add(weights(Path(f"{steps}-steps")))
    folder = Path(shutil.copytree("6-steps", "run"))

    def check() -> None:
        assert weights(folder) in good
        assert_goes_on(zoo_here, folder, whole, "--steps", STEPS)

    def clean() -> None:
        remove("run")
        shutil.copytree("6-steps", folder)

    command = ("resume", folder, "--steps", STEPS, "--no-plots", *QUICK)
    fail_everywhere(fault, lambda: zoo_here(*command), check, clean)


def test_drawing_that_fails_anywhere_leaves_each_picture_as_it_was_or_new(
    zoo_here: Zoo, words_file: Path, fail_everywhere: FailEverywhere, fault: str
) -> None:
    start(zoo_here, words_file, "run")
    folder, old = Path("run"), b"an older picture"
    pictures = [folder / "loss.png", folder / "embeddings.png"]
    before = contents(folder)

    def age() -> None:
        for picture in pictures:
            picture.write_bytes(old)

    def check() -> None:
        assert all(picture.read_bytes() in (old, PICTURE) for picture in pictures)
        assert contents(folder) == before

    age()
    fail_everywhere(fault, lambda: zoo_here("plot", folder), check, age)


def test_a_picture_for_elsewhere_that_fails_anywhere_leaves_no_half_picture(
    zoo_here: Zoo, words_file: Path, fail_everywhere: FailEverywhere, fault: str
) -> None:
    start(zoo_here, words_file, "run")
    command = ("plot", "run", "loss", "--out", "new/pictures")

    def check() -> None:
        assert all(picture.read_bytes() == PICTURE for picture in Path("new").rglob("*.png"))

    fail_everywhere(fault, lambda: zoo_here(*command), check, lambda: remove("new"))


def weights(folder: Path) -> tuple[int | None, bytes]:
    """How far the weights of a folder have come, and the values of one of them."""
    loaded = zoo.load(folder)
    return loaded.step, loaded.model.state_dict()["W1"].numpy().tobytes()


def remove(folder: str) -> None:
    shutil.rmtree(folder, ignore_errors=True)


def test_a_run_that_comes_too_late_leaves_the_folder_to_the_one_that_has_it(zoo_here: Zoo, words_file: Path) -> None:
    with RunFolder.create("mlp-char", Path("run")) as folder:  # made, and nothing written into it yet
        outcome = start(zoo_here, words_file, "run")
        assert_told(outcome)
        assert "another process is using" in outcome.err
        assert folder.path.is_dir()


def test_a_folder_that_was_there_stays_when_a_run_cannot_begin_in_it(
    zoo_here: Zoo, words_file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    Path("mine").mkdir()
    with monkeypatch.context() as patch:
        Disk(errno.EACCES, 1).install(patch)
        outcome = start(zoo_here, words_file, "mine")
    assert_told(outcome)
    assert Path("mine").is_dir()


def test_every_kind_of_operation_is_among_those_that_fail(
    zoo_here: Zoo, words_file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    disk = Disk()
    with monkeypatch.context() as patch:
        disk.install(patch)
        assert start(zoo_here, words_file, "parent/run").code == 0
    assert set(disk.done) == KINDS
    files = len(list(Path("parent/run").iterdir()))
    assert disk.done.count("rename") == files + 4 * 3  # checkpoints of steps 0, 5, 10 and 12 are four files each
