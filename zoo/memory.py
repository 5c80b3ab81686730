"""Memory: how much this machine has, and what to say where it is not enough."""

from __future__ import annotations

import os

from zoo.errors import UsageError

_FALLBACK = 1 << 46  # bytes, where the system does not tell: more than any machine of these models has


def physical_memory() -> int:
    """The memory of this machine, in bytes."""
    try:
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (AttributeError, OSError, ValueError):  # AttributeError: Windows
        return _FALLBACK


def check_fits(what: str, needed: int) -> None:
    """Refuse what cannot fit into memory before anything is allocated: the system may end a process that tries.

    Args:
        what: what needs it, for the message: `--batch-size 4000000000`.
        needed: bytes.

    Raises:
        UsageError: the machine has less.
    """
    if needed > physical_memory():
        raise UsageError(
            f"{what} needs {show_bytes(needed)} of memory, and this machine has {show_bytes(physical_memory())}: "
            "choose a smaller one"
        )


def show_bytes(count: int) -> str:
    """A size for a person: `1.5 GiB`."""
    size, units = float(count), ["bytes", "KiB", "MiB", "GiB", "TiB", "PiB"]
    while size >= 1024 and len(units) > 1:
        size, units = size / 1024, units[1:]
    return f"{size:,.0f} {units[0]}" if units[0] == "bytes" or size >= 100 else f"{size:.1f} {units[0]}"
