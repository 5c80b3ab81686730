"""The memory that this machine has, so that what cannot fit is refused before the system kills the process."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path

from zoo.errors import UsageError

_CGROUPS = Path("/sys/fs/cgroup")


def memory_bytes() -> int | None:
    """What a process may use at most: of the machine, of its control group, and by its own limit. None if unknown."""
    return min(_limits(), default=None)


def fits(needed_bytes: int) -> bool:
    """Whether so many bytes could be allocated, if nothing else took memory."""
    limit = memory_bytes()
    return limit is None or needed_bytes <= limit


def check_fits(what: str, needed_bytes: int) -> None:
    """Refuse what cannot fit into memory before anything is allocated.

    Args:
        what: what needs it, for the message: `--batch-size 4000000000`.
        needed_bytes: how much.

    Raises:
        UsageError: the machine has less.
    """
    limit = memory_bytes()
    if limit is not None and needed_bytes > limit:
        raise UsageError(
            f"{what} needs {show_bytes(needed_bytes)} of memory, and this machine has {show_bytes(limit)}: "
            "choose a smaller one"
        )


def show_bytes(count: int) -> str:
    """A size for a person: `1.5 GiB`."""
    size, units = float(count), ["bytes", "KiB", "MiB", "GiB", "TiB", "PiB"]
    while size >= 1024 and len(units) > 1:
        size, units = size / 1024, units[1:]
    return f"{size:,.0f} {units[0]}" if units[0] == "bytes" or size >= 100 else f"{size:.1f} {units[0]}"


def _limits() -> Iterator[int]:
    with contextlib.suppress(AttributeError, OSError, ValueError):  # not on every system
        yield os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    with contextlib.suppress(ImportError, OSError, ValueError):
        import resource

        own = resource.getrlimit(resource.RLIMIT_AS)[0]
        if own != resource.RLIM_INFINITY:
            yield own
    for file in _cgroup_files():
        with contextlib.suppress(OSError, ValueError):  # there is no such file, or it says "max"
            yield int(file.read_text())


def _cgroup_files() -> Iterator[Path]:
    """The files that may state the limit of this process's control group, or of one around it; of both versions."""
    try:
        lines = Path("/proc/self/cgroup").read_text().splitlines()
    except OSError:
        return
    for line in lines:
        number, _, rest = line.partition(":")
        controllers, _, path = rest.partition(":")
        if number == "0":
            base, name = _CGROUPS, "memory.max"
        elif "memory" in controllers.split(","):
            base, name = _CGROUPS / "memory", "memory.limit_in_bytes"
        else:
            continue
        group = base / path.lstrip("/")
        while group.is_relative_to(base):  # within a container the path may not exist, and the base is the limit's
            yield group / name
            group = group.parent
