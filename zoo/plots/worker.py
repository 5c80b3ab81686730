"""The plot worker: a second Python process that imports matplotlib while this one imports torch and trains.

A run has nothing to plot in its first seconds, and importing matplotlib is half the time of plotting. Plots that the
worker fails to draw are drawn in this process.

The worker only draws: it answers with the content of the files, and the run writes them, under its lock. It reads one
request from standard input, which stays open as long as the run needs the worker. When it closes, because the run ended
or was killed, the worker and all its children end at once.

| message | content |
|---|---|
| request | its length in bytes, then JSON: name, kind and arguments of each plot |
| answer, of each plot that was drawn | its number in the request, its length in bytes, then the file's content |
"""

from __future__ import annotations

import contextlib
import json
import os
import queue
import select
import signal
import struct
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import IO, NoReturn

from zoo.plots.plot import Plot

Write = Callable[[str, bytes], None]  # a file's name and its content

_IDLE_S = 60.0  # then the worker exits and frees its memory: a longer run has time to import matplotlib itself
_TIMEOUT_S = 120.0  # for all plots together
_MAX_SIZE = 500_000  # values of a plot: sending more takes as long as importing matplotlib
_POLL_S = 0.5  # how often a process of the worker asks whether its parent is alive
_LENGTH = struct.Struct(">Q")
_ANSWER = struct.Struct(">QQ")
_STDIN, _STDOUT = 0, 1
_PIPE_BYTES = 1 << 20  # read at once


class PlotWorker:
    """The worker process."""

    def __init__(self, idle_s: float = _IDLE_S) -> None:
        """Start the process; it exits if it gets no plots within `idle_s` seconds.

        Raises:
            OSError: the process cannot be started.
        """
        # -P: a matplotlib.py in the current folder must not be imported
        command = [sys.executable, "-P", "-m", "zoo.plots.worker", str(idle_s)]
        self._process = subprocess.Popen(  # noqa: S603  # this Python, with no user input in the command
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            start_new_session=True,  # Ctrl-C is for the run only; and all of the session can be killed together
        )

    def render(self, plots: Sequence[Plot]) -> dict[str, bytes]:
        """Draw plots in the worker: the content of each file that it has made, by its name. It can be called once."""
        small = [plot for plot in plots if plot.size <= _MAX_SIZE]
        limit = threading.Timer(_TIMEOUT_S, self._kill)
        limit.daemon = True
        limit.start()
        try:
            request = json.dumps([[plot.name, plot.kind, plot.arguments] for plot in small]).encode()
            assert self._process.stdin is not None
            assert self._process.stdout is not None
            self._process.stdin.write(_LENGTH.pack(len(request)) + request)
            self._process.stdin.flush()
            return {small[number].name: content for number, content in _answers(self._process.stdout, len(small))}
        except (OSError, ValueError, TypeError):
            return {}
        finally:
            limit.cancel()

    def close(self) -> None:
        """Kill the process and its children."""
        self._kill()
        self._process.wait()
        for pipe in (self._process.stdin, self._process.stdout):
            with contextlib.suppress(OSError):
                assert pipe is not None
                pipe.close()

    def _kill(self) -> None:
        if self._process.returncode is None:  # else its number may be another process's by now
            with contextlib.suppress(OSError):
                os.killpg(self._process.pid, signal.SIGKILL)


def _answers(file: IO[bytes], count: int) -> list[tuple[int, bytes]]:
    """The number and the content of each plot in an answer to a request of so many; what is cut off is left out."""
    answer, at, found = file.read(), 0, []
    while len(answer) - at >= _ANSWER.size:
        number, length = _ANSWER.unpack_from(answer, at)
        content = answer[at + _ANSWER.size : at + _ANSWER.size + length]
        if number >= count or len(content) < length:
            break
        found.append((number, content))
        at += _ANSWER.size + length
    return found


@contextlib.contextmanager
def plot_worker(*, enabled: bool = True) -> Iterator[PlotWorker | None]:
    """A worker that is closed at the end of the block; None if it is not enabled, or could not run in parallel."""
    if not enabled or os.name != "posix" or not sys.executable or usable_cores() < 2:
        yield None
        return
    try:
        worker = PlotWorker()
    except OSError:
        yield None
        return
    try:
        yield worker
    finally:
        worker.close()


def save_plots(
    plots: Sequence[Plot],
    worker: PlotWorker | None,
    warn: Callable[[str], None],
    write: Write,
    scratch: Path | None = None,
) -> list[str]:
    """Draw plots, in the worker as far as it can, write them, and return the names of their files.

    A plot that cannot be drawn costs a warning, not the run.

    Args:
        plots: what to draw.
        worker: the process to draw in; None for this one.
        warn: receives one line for each plot that cannot be drawn.
        write: writes a file, given its name and its content.
        scratch: a folder that can be written, see `Plot.render`.

    Raises:
        OSError: a file cannot be written, as will be true of the run's other files.
    """
    drawn = worker.render(plots) if worker is not None else {}
    names = []
    for plot in plots:
        try:
            content = drawn[plot.name] if plot.name in drawn else plot.render(scratch)
        except Exception as error:  # matplotlib, the fonts and the folders of the system may raise anything
            warn(f"cannot plot {plot.name}: {error}")
            continue
        write(plot.name, content)
        names.append(plot.name)
    return names


def usable_cores() -> int:
    """The number of CPU cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def main() -> None:
    """The worker process."""
    requests: queue.SimpleQueue[bytes] = queue.SimpleQueue()
    _end_with(os.getppid(), requests.put)
    os.environ.update({"MPLBACKEND": "agg", "MATPLOTLIBRC": os.devnull})  # the user's may be ones it cannot start with
    os.chdir(os.sep)  # away from a settings file; and no folder is kept in use
    tempfile.tempdir = os.devnull  # without a folder of its own, matplotlib fails here, and the run gives it one
    from zoo.plots import figures  # noqa: F401  # imported while there is nothing to plot yet

    try:
        request = json.loads(requests.get(timeout=float(sys.argv[1])))
    except queue.Empty:
        os._exit(0)
    plots = [Plot(*one) for one in request]
    for number, content in enumerate(_draw_all(plots)):
        if content:
            _write_all(_STDOUT, _ANSWER.pack(number, len(content)) + content)
    os._exit(0)  # the run would have to wait while matplotlib is unloaded


def _draw_all(plots: Sequence[Plot]) -> Iterator[bytes]:
    """The content of each plot, empty if it failed. All are drawn at once, each in a process of its own.

    Errors are not reported: the run draws the plot again and reports its own.
    """
    children = [_fork(plot) for plot in plots]
    for process, pipe in children:
        content = b"".join(iter(partial(os.read, pipe, _PIPE_BYTES), b""))
        os.close(pipe)
        yield content if os.waitpid(process, 0)[1] == 0 else b""


def _fork(plot: Plot) -> tuple[int, int]:
    """Draw a plot in a process of its own: its number, and the pipe from which to read the content."""
    reading, writing = os.pipe()
    worker = os.getpid()
    process = os.fork()
    if process == 0:
        try:
            _end_with(worker)
            _write_all(writing, plot.render())
            os._exit(0)
        finally:
            os._exit(1)
    os.close(writing)
    return process, reading


def _end_with(parent: int, receive: Callable[[bytes], None] | None = None) -> None:
    """Start a thread that kills the worker's session when the run closes standard input or the parent has died.

    Until then the thread reads what comes. With `receive`, that is a request first.
    """

    def watch() -> None:
        if receive is not None:
            (size,) = _LENGTH.unpack(_read(_LENGTH.size, parent))
            receive(_read(size, parent))
        while True:
            _read(1, parent)

    threading.Thread(target=watch, daemon=True, name="watch the run").start()


def _read(size: int, parent: int) -> bytes:
    """So many bytes of standard input.

    That it is closed is not enough to know: another child of the run may hold the other end of the pipe open.
    """
    content = bytearray()
    while len(content) < size:
        if select.select([_STDIN], [], [], _POLL_S)[0]:
            part = os.read(_STDIN, min(size - len(content), _PIPE_BYTES))
            content += part or _kill_session()
        elif os.getppid() != parent:
            _kill_session()
    return bytes(content)


def _kill_session() -> NoReturn:
    os.killpg(0, signal.SIGKILL)
    os._exit(1)


def _write_all(descriptor: int, content: bytes) -> None:
    left = memoryview(content)
    while left:
        left = left[os.write(descriptor, left) :]


if __name__ == "__main__":
    main()
