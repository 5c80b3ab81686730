"""The plot worker: a second Python process that imports matplotlib while this one imports torch and trains.

A run has nothing to plot in its first seconds, and importing matplotlib is half the time of plotting. Plots that the
worker fails to draw are drawn in this process. The worker reads its plots as JSON from standard input, and exits if
none come within a time limit or its parent has died.
"""

from __future__ import annotations

import contextlib
import json
import os
import select
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from zoo.plots.plot import Plot

_IDLE_S = 60.0  # then the worker exits and frees its memory: a longer run has time to import matplotlib itself
_TIMEOUT_S = 120.0  # for all plots together
_MAX_SIZE = 500_000  # values of a plot: sending more takes as long as importing matplotlib


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
            start_new_session=True,  # Ctrl-C is for the run only
        )

    def save(self, plots: Sequence[Plot]) -> list[Plot]:
        """Draw plots in the worker and return those that it has written. It can be called once."""
        small = [plot for plot in plots if plot.size <= _MAX_SIZE]
        try:
            request = json.dumps([[str(plot.path), plot.kind, plot.arguments] for plot in small])
            answer, _ = self._process.communicate(request.encode(), timeout=_TIMEOUT_S)
            saved = json.loads(answer)
        except (OSError, ValueError, TypeError, subprocess.TimeoutExpired):
            return []
        return [plot for plot in small if str(plot.path) in saved] if isinstance(saved, list) else []

    def close(self) -> None:
        """Kill the process."""
        self._process.kill()
        self._process.wait()
        for pipe in (self._process.stdin, self._process.stdout):
            with contextlib.suppress(OSError):
                assert pipe is not None
                pipe.close()


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


def save_plots(plots: Sequence[Plot], worker: PlotWorker | None, warn: Callable[[str], None]) -> list[str]:
    """Draw plots, in the worker as far as it can, and return the names of their files.

    A plot that fails costs a warning, not the run.

    Raises:
        OSError: a file cannot be written, as will be true of the run's other files.
    """
    saved = worker.save(plots) if worker is not None else []
    names = []
    for plot in plots:
        try:
            if plot not in saved:
                plot.save()
            names.append(plot.path.name)
        except OSError:
            raise
        except Exception as error:  # matplotlib and the fonts of the system may raise anything
            warn(f"cannot plot {plot.path.name}: {error}")
    return names


def usable_cores() -> int:
    """The number of CPU cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def main() -> None:
    """The worker process."""
    from zoo.plots import figures  # noqa: F401  # imported while there is nothing to plot yet

    ready, _, _ = select.select([sys.stdin], [], [], float(sys.argv[1]))
    request = json.loads((ready and sys.stdin.buffer.read()) or "[]")
    processes = {path: _fork(Plot(Path(path), kind, arguments)) for path, kind, arguments in request}
    saved = [path for path, process in processes.items() if os.waitpid(process, 0)[1] == 0]
    sys.stdout.write(json.dumps(saved))
    sys.stdout.flush()
    os._exit(0)  # the run would have to wait while matplotlib is unloaded


def _fork(plot: Plot) -> int:
    """Draw a plot in a process of its own and return its number.

    Errors are not reported: the run draws the plot again and reports its own.
    """
    process = os.fork()
    if process == 0:
        try:
            plot.save()
            os._exit(0)
        finally:
            os._exit(1)
    return process


if __name__ == "__main__":
    main()
