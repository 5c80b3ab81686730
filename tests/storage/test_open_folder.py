"""A folder held open and locked, by a handle or by a lock file in it."""

from __future__ import annotations

import errno
import fcntl
import os
import shutil
import stat
import threading
from pathlib import Path

import pytest
from conftest import run_python

from zoo import UsageError, ZooError
from zoo.storage import open_folder
from zoo.storage.folder import FILES, STATE_FILE, RunFolder
from zoo.storage.open_folder import InUseError, OpenFolder, in_use

WAYS = ("handle", "handle and lock file", "lock file", "no lock")


@pytest.fixture(params=WAYS)
def way(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """How a folder is locked: by its handle, or as on NFS, on Windows, or where there are no locks at all."""
    way = str(request.param)
    if way == "lock file":
        monkeypatch.setattr(open_folder, "_HANDLES", False)
    elif way != "handle":
        real = fcntl.flock

        def flock(descriptor: int, operation: int) -> None:
            if way == "no lock" or stat.S_ISDIR(os.stat(descriptor).st_mode):
                raise OSError(errno.EBADF, os.strerror(errno.EBADF))
            real(descriptor, operation)

        monkeypatch.setattr(fcntl, "flock", flock)
    return way


@pytest.fixture
def empty(tmp_path: Path) -> Path:
    (tmp_path / "empty").mkdir()
    return tmp_path / "empty"


def test_files_are_written_replaced_and_removed(way: str, empty: Path) -> None:
    folder = OpenFolder(empty)
    folder.write("a", b"one")
    folder.write("a", b"two")
    folder.append("a", 2, b"o!")
    folder.write("b", b"")
    folder.remove("b")
    assert folder.names() == ["a"]
    folder.close()
    assert [path.name for path in empty.iterdir()] == ["a"]
    assert (empty / "a").read_bytes() == b"two!"


def test_a_folder_is_locked_until_it_is_closed(way: str, tmp_path: Path) -> None:
    if way == "no lock":
        pytest.skip("there is nothing to lock with")
    folder = OpenFolder(tmp_path)
    with pytest.raises(InUseError, match="another process is using"):
        OpenFolder(tmp_path)
    folder.close()
    OpenFolder(tmp_path).close()


def test_whether_a_folder_is_in_use_is_told_without_locking_it(way: str, empty: Path) -> None:
    assert not in_use(empty)
    folder = OpenFolder(empty)
    assert in_use(empty) == (way != "no lock")
    folder.close()
    assert not in_use(empty)
    (empty / open_folder.LOCK_FILE).touch()  # that a killed process left
    assert not in_use(empty)


def test_a_run_waits_for_a_lock_that_a_listing_has_for_an_instant(empty: Path) -> None:
    handle = os.open(empty, os.O_RDONLY)
    fcntl.flock(handle, fcntl.LOCK_SH)
    assert not in_use(empty)  # another listing
    listing = threading.Timer(0.02, os.close, [handle])
    listing.start()
    OpenFolder(empty).close()
    listing.join()


def test_a_lock_file_that_a_killed_process_left_locks_nothing(way: str, empty: Path) -> None:
    (empty / open_folder.LOCK_FILE).touch()
    with RunFolder.create("net", empty) as folder:
        assert folder.path == empty


def test_the_lock_of_a_killed_process_is_released(tmp_path: Path) -> None:
    code = "from pathlib import Path; from zoo.storage.open_folder import OpenFolder; import os; "
    for handles in (True, False):
        setting = f"from zoo.storage import open_folder; open_folder._HANDLES = {handles}; "
        done = run_python("-c", f"{code}{setting}OpenFolder(Path({str(tmp_path)!r})); os.kill(os.getpid(), 9)")
        assert done.returncode == -9
        OpenFolder(tmp_path).close()


@pytest.mark.parametrize("way", ["lock file"], indirect=True)
def test_without_handles_a_folder_that_is_not_at_its_path_is_not_written_to(way: str, tmp_path: Path) -> None:
    path = tmp_path / "run"
    path.mkdir()
    folder = OpenFolder(path)
    path.rename(tmp_path / "moved")
    path.mkdir()
    (path / "a").write_bytes(b"another's")
    with pytest.raises(FileNotFoundError):
        folder.write("a", b"x")
    with pytest.raises(FileNotFoundError):
        folder.append("a", 0, b"x")
    with pytest.raises(FileNotFoundError):
        folder.remove("a")
    assert folder.gone
    folder.close(delete_if_empty=True)
    assert (path / "a").read_bytes() == b"another's"


def test_the_path_follows_the_folder(tmp_path: Path) -> None:
    (tmp_path / "run").mkdir()
    folder = OpenFolder(tmp_path / "run")
    (tmp_path / "run").rename(tmp_path / "moved")
    assert folder.path == tmp_path / "moved"
    assert not folder.gone
    shutil.rmtree(tmp_path / "moved")
    assert folder.gone
    assert folder.path == tmp_path / "moved"
    folder.close(delete_if_empty=True)


@pytest.mark.parametrize("code", [errno.EINVAL, errno.ENOTSUP, errno.EBADF, errno.EACCES, errno.EPERM, errno.ENOSYS])
def test_a_file_system_whose_folders_cannot_be_synced_is_good_enough(
    way: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, code: int
) -> None:
    real = os.fsync

    def fsync(descriptor: int) -> None:
        if stat.S_ISDIR(os.stat(descriptor).st_mode):
            raise OSError(code, os.strerror(code))
        real(descriptor)

    monkeypatch.setattr(os, "fsync", fsync)
    folder = OpenFolder(tmp_path)
    folder.write("a", b"one")
    folder.close()
    assert (tmp_path / "a").read_bytes() == b"one"


# What else lies in the folder of a run


@pytest.fixture
def run(tmp_path: Path) -> Path:
    """Something that looks like a run's folder to `RunFolder.open`."""
    path = tmp_path / "run"
    path.mkdir()
    (path / STATE_FILE).touch()
    return path


@pytest.mark.parametrize("name", FILES)
def test_only_its_own_temporary_files_are_cleared_away(way: str, run: Path, name: str) -> None:
    own, folder = f".{name}.0123abcd.tmp", f".{name}.89abcdef.tmp"
    others = (".notes.tmp", f".{name}.tmp", f"{own}~", ".other.0123abcd.tmp", f"{name}.0123abcd.tmp")
    for file in (own, *others):
        (run / file).touch()
    for directory in (folder, ".x.tmp"):
        (run / directory).mkdir()
    RunFolder.open(run).close()
    assert {path.name for path in run.iterdir()} == {STATE_FILE, folder, ".x.tmp", *others}


@pytest.mark.parametrize("name", [name for name in FILES if name != STATE_FILE])
@pytest.mark.parametrize("target", ["file", "nothing"])
def test_links_in_place_of_its_files_are_refused_and_left(way: str, run: Path, name: str, target: str) -> None:
    elsewhere = run.parent / "elsewhere"
    if target == "file":
        elsewhere.write_text("mine")
    (run / name).symlink_to(elsewhere)
    with pytest.raises(ZooError, match="is a symbolic link"):
        RunFolder.open(run)
    assert (run / name).is_symlink()
    OpenFolder(run).close()  # it is not locked any more


def test_a_folder_of_the_users_that_stayed_empty_is_left(way: str, tmp_path: Path) -> None:
    (tmp_path / "mine").mkdir()
    RunFolder.create("net", tmp_path / "mine").close()
    assert (tmp_path / "mine").is_dir()
    RunFolder.create("net", tmp_path / "new").close()
    assert not (tmp_path / "new").exists()


def test_of_two_runs_that_want_one_folder_one_gets_it(
    way: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The second comes at the worst moment: when the first has made the folder, and not opened it."""
    if way == "no lock":
        pytest.skip("there is nothing to lock with")
    out = tmp_path / "run"
    winner: list[RunFolder] = []
    mkdir = Path.mkdir

    def raced(self: Path, *args: object, **kwargs: object) -> None:
        mkdir(self, *args, **kwargs)  # type: ignore[arg-type]
        if self == out and not winner:
            monkeypatch.setattr(Path, "mkdir", mkdir)
            winner.append(RunFolder.create("net", out))

    monkeypatch.setattr(Path, "mkdir", raced)
    with pytest.raises(InUseError):
        RunFolder.create("net", out)
    winner[0].write_card("it is mine")
    with pytest.raises((UsageError, InUseError)):
        RunFolder.create("net", out)
    winner[0].close()
    assert [path.name for path in out.iterdir()] == ["README.md"]
