"""Another Python that imports matplotlib while this one imports torch and trains, and that draws when it is asked.

Even the shortest run has nothing to draw for a second or two, and half of what drawing takes is matplotlib's import.
Nothing hangs on the other process: whatever happens to it, what it has not drawn is drawn here. It is told what to draw
by JSON on its standard input, and ends by itself when nobody has asked for long, or nobody is there any more.
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

from zoo.plots.plot import Picture

_IDLE_S = 60.0  # a run that takes longer has time to import matplotlib itself, and memory is left alone
_LONGEST_S = 120.0  # for all pictures
_MOST_NUMBERS = 500_000  # of a picture: to tell it more takes as long as to import matplotlib


class Painter:
    """The other process."""

    def __init__(self, idle_s: float = _IDLE_S) -> None:
        """Start it; it ends after so many seconds without work.

        Raises:
            OSError: no process can be started.
        """
        # -P: a matplotlib.py in the folder that the user is in is not matplotlib
        command = [sys.executable, "-P", "-m", "zoo.plots.worker", str(idle_s)]
        self._process = subprocess.Popen(  # noqa: S603  # this Python, and no word of the user's
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            start_new_session=True,  # it is the run that Ctrl-C is meant for
        )

    def draw(self, pictures: Sequence[Picture]) -> list[Picture]:
        """Those of the pictures that it has drawn; once, for it ends with that."""
        small = [picture for picture in pictures if picture.numbers <= _MOST_NUMBERS]
        try:
            request = json.dumps([[str(picture.path), picture.kind, picture.given] for picture in small])
            answer, _ = self._process.communicate(request.encode(), timeout=_LONGEST_S)
            drawn = json.loads(answer)
        except (OSError, ValueError, TypeError, subprocess.TimeoutExpired):
            return []
        return [picture for picture in small if str(picture.path) in drawn] if isinstance(drawn, list) else []

    def close(self) -> None:
        """End it, whatever it is at."""
        self._process.kill()
        self._process.wait()
        for pipe in (self._process.stdin, self._process.stdout):
            with contextlib.suppress(OSError):
                assert pipe is not None
                pipe.close()


@contextlib.contextmanager
def painter(*, wanted: bool = True) -> Iterator[Painter | None]:
    """A painter for the time being; None where none is wanted, or it could not work beside this process."""
    if not wanted or os.name != "posix" or not sys.executable or usable_cores() < 2:
        yield None
        return
    try:
        one = Painter()
    except OSError:
        yield None
        return
    try:
        yield one
    finally:
        one.close()


def draw_all(pictures: Sequence[Picture], painter: Painter | None, warn: Callable[[str], None]) -> list[str]:
    """Draw them, by the painter as far as it can; the names of those drawn. One that fails must not cost a run.

    Raises:
        OSError: the disk fails, which what is written next needs too.
    """
    drawn = painter.draw(pictures) if painter is not None else []
    names = []
    for picture in pictures:
        try:
            if picture not in drawn:
                picture.draw()
            names.append(picture.path.name)
        except OSError:
            raise
        except Exception as error:  # matplotlib may raise anything, and so may the fonts it finds
            warn(f"{picture.path.name} was not drawn: {error}")
    return names


def usable_cores() -> int:
    """How many cores this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def main() -> None:
    """The other process, from its start to its end."""
    from zoo.plots import figures as plotting  # noqa: F401  # before there is anything to draw

    asked, _, _ = select.select([sys.stdin], [], [], float(sys.argv[1]))
    request = json.loads((asked and sys.stdin.buffer.read()) or "[]")
    drawing = {path: _fork(Picture(Path(path), kind, given)) for path, kind, given in request}
    drawn = [path for path, process in drawing.items() if os.waitpid(process, 0)[1] == 0]
    sys.stdout.write(json.dumps(drawn))
    sys.stdout.flush()
    os._exit(0)  # taking matplotlib down would make the run wait


def _fork(picture: Picture) -> int:
    """Draw in a process of its own, beside the others; its number. Why one fails, the run meets again, and says it."""
    process = os.fork()
    if process == 0:
        try:
            picture.draw()
            os._exit(0)
        finally:
            os._exit(1)
    return process


if __name__ == "__main__":
    main()
