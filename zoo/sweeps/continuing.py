"""A member that goes on from another: it begins with a copy of its run folder, and ends with that of a run of its own.

A search by halving trains few steps of many settings, and more steps of the better ones. The folder of a member that
halted keeps its training state until the sweep ends.
"""

from __future__ import annotations

import contextlib
import shutil
from pathlib import Path

from zoo.files import kind_of, read_bytes, write_bytes
from zoo.storage import METRICS_FILE, STATE_FILE
from zoo.sweeps.member import Member, name_of

_RESULT = (METRICS_FILE, "README.md")  # which say that it is finished


def begin_continuation(member: Member, folder: Path) -> None:
    """Copy the run folder of the member that it goes on from, unless that was done before.

    Args:
        member: that `continues` another.
        folder: its own run folder, beside that of the other.

    Raises:
        OSError: a file cannot be read or written.
    """
    assert member.continues is not None
    if folder.is_dir():
        return
    source = folder.with_name(name_of(member.continues))
    copy = folder.with_name(f".{folder.name}.copy")  # renamed when it is complete
    with contextlib.suppress(FileNotFoundError):
        shutil.rmtree(copy)
    copy.mkdir()
    for path in sorted(source.iterdir()):
        if kind_of(path) == "file" and path.name not in _RESULT:
            write_bytes(copy / path.name, read_bytes(path))
    copy.rename(folder)


def is_of_several(member: Member) -> bool:
    """Whether another goes on from it, or it from another, so that it has a folder as long as the sweep goes on."""
    return member.until is not None or member.continues is not None


def drop_state(folder: Path) -> None:
    """Delete the training state in the run folder of a member that nothing goes on from any more."""
    with contextlib.suppress(FileNotFoundError):
        (folder / STATE_FILE).unlink()
