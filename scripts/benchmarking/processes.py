"""Commands that are measured from the shell and back: what they take, and the environment that they have."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple


class Spent(NamedTuple):
    """What a command took.

    Attributes:
        seconds: from its start to its end.
        peak: bytes that the largest of its processes had.
        processor: seconds of processor time, of all its processes.
    """

    seconds: float
    peak: int
    processor: float


def spent(argv: Sequence[object], env: Mapping[str, str], folder: Path | None = None) -> Spent:
    """Run a command, its words as texts, in a folder; what it says is shown if it fails.

    This process is small, so that its own memory does not show in the command's, which starts as a copy of it.

    Raises:
        SystemExit: the command failed.
    """
    words = [str(word) for word in argv]
    with tempfile.TemporaryFile() as said:
        started = time.perf_counter()
        process = subprocess.Popen(words, stdout=subprocess.DEVNULL, stderr=said, env=env, cwd=folder)
        _, status, usage = os.wait4(process.pid, 0)
        seconds = time.perf_counter() - started
        process.returncode = os.waitstatus_to_exitcode(status)
        if process.returncode:
            said.seek(0)
            sys.stderr.buffer.write(said.read())
            raise SystemExit(f"{' '.join(words)} ended with {process.returncode}")
    return Spent(seconds, usage.ru_maxrss * 1024, usage.ru_utime + usage.ru_stime)


def limited(threads: int, cores: int | None = None) -> dict[str, str]:
    """The environment for so many threads; this process and those it starts are held to as many cores, or `cores`."""
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, set(range(min(cores or threads, os.cpu_count() or 1))))
    names = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")
    return {**as_installed(), **dict.fromkeys(names, str(threads)), "JAX_PLATFORMS": "cpu"}


def as_installed() -> dict[str, str]:
    """The environment, in which Python may keep what it has compiled: pip compiles what it installs, too."""
    return {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}


def peak_bytes() -> int:
    """The most memory that this process has had; not `ru_maxrss`, which starts from that of its parent."""
    try:
        status = Path("/proc/self/status").read_text()
    except OSError:
        import resource

        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    return int(status.partition("VmHWM:")[2].split()[0]) * 1024
