"""A folder that is held open and locked: it is written to as the folder that it is, whatever becomes of its path.

A path is a name, and names change: a folder that is moved while a run writes into it leaves its name to the next run.
Files are therefore written relative to the handle of the folder that was locked. A system without such handles
(Windows) does not move a folder that has an open file in it.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import stat
import time
from pathlib import Path
from typing import TYPE_CHECKING

from zoo.errors import ZooError
from zoo.files import replacing

if TYPE_CHECKING:
    from filelock import BaseFileLock

LOCK_FILE = ".lock"  # where a folder itself cannot be locked
_ATTEMPTS, _PAUSE = 5, 0.01  # seconds; a listing of runs may have a lock for an instant, see `in_use`
_HANDLES = os.name == "posix" and {os.open, os.rename, os.unlink, os.stat} <= os.supports_dir_fd


class InUseError(ZooError):
    """Another run has locked the folder."""


class OpenFolder:
    """An open folder, locked against other runs. If the process dies, the operating system releases the lock.

    Attributes:
        flushes: whether what is written to a file goes on to the disk at once; see `zoo.files.replacing`.
    """

    flushes = True

    def __init__(self, path: Path) -> None:
        """Open and lock a folder.

        Raises:
            InUseError: another run has locked it.
            OSError: there is no such folder, or it cannot be opened.
        """
        self._path = path
        self._handle = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC) if _HANDLES else None
        self._file_lock: BaseFileLock | None = None
        try:
            self._identity = os.stat(path if self._handle is None else self._handle)
            self._lock()
        except BaseException:
            self.close()
            raise

    @property
    def path(self) -> Path:
        """Where the folder is now, as far as the system tells; where it was, if it is gone."""
        if not self._is_at(self._path) and not self.gone:
            for found in _paths(self._handle):
                if self._is_at(found):
                    self._path = found
        return self._path

    @property
    def gone(self) -> bool:
        """Whether the folder was deleted."""
        if self._is_at(self._path):
            return False
        if self._handle is None or _has_no_links(self._handle):
            return True
        found = _paths(self._handle)
        return bool(found) and not any(map(self._is_at, found))

    def names(self) -> list[str]:
        """The names of what is in it, but for the lock."""
        found = os.listdir(self._path if self._handle is None else self._handle)
        return [name for name in found if name != LOCK_FILE]

    def is_link(self, name: str) -> bool:
        """Whether there is a symbolic link of that name."""
        try:
            return stat.S_ISLNK(os.lstat(self._file(name), dir_fd=self._handle).st_mode)
        except OSError:
            return False

    def write(self, name: str, data: bytes | bytearray) -> None:
        """Replace a file's content, atomically.

        Raises:
            OSError: the file cannot be written; the old one is kept. Its name is that of the whole path.
        """
        try:
            with replacing(self._file(name), folder=self._handle, flush=self.flushes) as file:
                file.write(data)
        except OSError as error:
            raise OSError(error.errno, error.strerror, str(self.path / name)) from error

    def append(self, name: str, size: int, data: bytes) -> None:
        """Write data after the first `size` bytes of a file, in place of what follows them, and on to the disk.

        Raises:
            OSError: it cannot be written, or the file is shorter. Its first `size` bytes are as they were.
        """
        flags = os.O_WRONLY | getattr(os, "O_BINARY", 0) | getattr(os, "O_NOFOLLOW", 0)
        try:
            with os.fdopen(os.open(self._file(name), flags, dir_fd=self._handle), "wb") as file:
                if file.seek(0, os.SEEK_END) < size:
                    raise FileNotFoundError(2, "the file is shorter than it was")
                file.truncate(size)
                file.seek(size)
                file.write(data)
                file.flush()
                if self.flushes:
                    os.fsync(file.fileno())
        except OSError as error:
            raise OSError(error.errno, error.strerror, str(self.path / name)) from error

    def remove(self, name: str) -> None:
        """Delete a file.

        Raises:
            OSError: there is none, or it cannot be deleted.
        """
        os.unlink(self._file(name), dir_fd=self._handle)

    def remove_tree(self, name: str) -> None:
        """Delete a file, or a folder and all that is in it.

        Raises:
            OSError: there is none, or it cannot be deleted.
        """
        file = self._file(name)
        if stat.S_ISDIR(os.lstat(file, dir_fd=self._handle).st_mode):
            shutil.rmtree(file, dir_fd=self._handle)
        else:
            self.remove(name)

    def close(self, *, delete_if_empty: bool = False) -> None:
        """Release the lock, and delete the folder if it is empty and that is wanted."""
        if self._file_lock is not None:
            with contextlib.suppress(OSError):  # where the system lets an open file be deleted
                self.remove(LOCK_FILE)
            self._file_lock.release()
            self._file_lock = None
        if delete_if_empty and self._is_at(self._path):
            with contextlib.suppress(OSError):
                self._path.rmdir()  # which only deletes an empty one
        if self._handle is not None:
            os.close(self._handle)  # and with it the lock of the folder itself
            self._handle = None

    def _file(self, name: str) -> Path:
        """The path of a file, relative to the handle if there is one.

        Raises:
            FileNotFoundError: there is no handle, and at the path is no longer this folder.
        """
        if self._handle is not None:
            return Path(name)
        if not self._is_at(self._path):
            raise FileNotFoundError(2, "the folder was moved or deleted")
        return self._path / name

    def _is_at(self, path: Path) -> bool:
        """Whether this folder is what a path leads to."""
        try:
            return os.path.samestat(os.stat(path), self._identity)
        except (OSError, ValueError):
            return False

    def _lock(self) -> None:
        """Lock the folder itself, or where that cannot be done (Windows, NFS) a file in it."""
        if self._handle is None or not _lock_handle(self._handle, self._path):
            self._file_lock = _lock_file(self._path)
            if self._handle is not None and not self._is_at(self._path):
                raise ZooError(f"{self._path} was moved while it was being opened: try again")


def in_use(path: Path) -> bool:
    """Whether a process has locked a folder, as a run does until it ends.

    It asks for a shared lock and gives it back at once. A run that starts at that instant waits for it.

    Raises:
        OSError: the folder cannot be opened.
    """
    if _HANDLES:
        folder = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            if not _can_share(folder):
                return True
            with contextlib.suppress(FileNotFoundError):
                file = os.open(LOCK_FILE, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK | os.O_NOFOLLOW, dir_fd=folder)
                try:
                    return not _can_share(file)
                finally:
                    os.close(file)
        finally:
            os.close(folder)
        return False
    if not (path / LOCK_FILE).exists():
        return False
    try:
        lock = _lock_file(path)
    except InUseError:
        return True
    if lock is not None:
        lock.release()
    return False


def _can_share(handle: int) -> bool:
    """Whether nobody has locked what is open; true where the file system has no locks."""
    import fcntl

    try:
        fcntl.flock(handle, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError:
        return True
    fcntl.flock(handle, fcntl.LOCK_UN)
    return True


def _lock_handle(handle: int, path: Path) -> bool:
    """Lock a folder; False if its file system cannot. Raises ZooError if it is locked already."""
    import fcntl

    for attempt in range(_ATTEMPTS):
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            if attempt == _ATTEMPTS - 1:
                raise _in_use(path) from error
            time.sleep(_PAUSE)
        except OSError:
            return False
        else:
            break
    return True


def _lock_file(folder: Path) -> BaseFileLock | None:
    """Lock a file in a folder; None if the file system has no locks at all."""
    import filelock  # which takes as long as a tenth of a short run

    lock = filelock.FileLock(folder / LOCK_FILE, timeout=_ATTEMPTS * _PAUSE, poll_interval=_PAUSE, thread_local=False)
    try:
        lock.acquire()
    except filelock.Timeout as error:
        raise _in_use(folder) from error
    except (OSError, NotImplementedError):
        with contextlib.suppress(OSError):
            (folder / LOCK_FILE).unlink()
        return None
    return lock


def _in_use(path: Path) -> InUseError:
    return InUseError(f"another process is using {path}: wait for it, or stop it")


def _has_no_links(handle: int) -> bool:
    """Whether a folder was deleted. A file system in layers, or of the network, may not tell."""
    try:
        return os.stat(handle).st_nlink == 0
    except OSError:
        return True


def _paths(handle: int | None) -> list[Path]:
    """Where an open folder may be, by what the system remembers of it."""
    found: list[Path] = []
    if handle is not None:
        with contextlib.suppress(OSError):
            found.append(Path(os.readlink(f"/proc/self/fd/{handle}")))  # Linux
        with contextlib.suppress(ImportError, AttributeError, OSError):
            import fcntl

            get_path: int = getattr(fcntl, "F_GETPATH")  # noqa: B009  # macOS only
            found.append(Path(os.fsdecode(fcntl.fcntl(handle, get_path, bytes(1024)).rstrip(b"\0"))))
    return found
