"""The memory that this machine has, so that what cannot fit is refused before the system kills the process."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path

_CGROUPS = Path("/sys/fs/cgroup")
_GIB = 1 << 30


def memory_bytes() -> int | None:
    """What a process may use at most: of the machine, of its control group, and by its own limit. None if unknown."""
    return min(_limits(), default=None)


def fits(needed_bytes: int) -> bool:
    """Whether so many bytes could be allocated, if nothing else took memory."""
    limit = memory_bytes()
    return limit is None or needed_bytes <= limit


def in_gib(size_bytes: int) -> str:
    """A size for a message: `1,234.5 GiB`."""
    return f"{size_bytes / _GIB:,.1f} GiB"


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
