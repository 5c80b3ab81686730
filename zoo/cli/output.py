"""Everything that the command line writes: nothing else of it touches stdout or stderr.

Text is made visible here, so that no name in a checkpoint and no word of a dataset can steer the terminal. A stream
that fails costs neither the work nor a traceback: a dead stderr is ignored, a dead stdout is reported at the end.
"""

from __future__ import annotations

import contextlib
import errno
import io
import os
import sys
import threading
import warnings
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, Literal, NoReturn, TextIO

from zoo.errors import OtherVersionWarning
from zoo.text import message, visible, without_credentials

Name = Literal["stdout", "stderr"]

_COLUMNS = 80  # of a terminal that does not tell

# The reader left, as `head` does when it has enough. Like ripgrep and fd, and unlike programs that SIGPIPE kills
# (141), zoo then ends with the exit code of its work: whether it notices depends on how much fits into the pipe.
_READER_LEFT = {errno.EPIPE, errno.ECONNRESET, errno.ESHUTDOWN, *([errno.EINVAL] if os.name == "nt" else [])}


class _Streams:
    """The standard streams of one command."""

    def __init__(self, *, own_process: bool = False) -> None:
        self.own_process = own_process
        self.stdout: TextIO | None = sys.stdout  # None if the parent process closed it
        self.stderr: TextIO | None = sys.stderr
        self.failure: OSError | ValueError | None = None
        self.run_folder = ""
        self.silenced: tuple[TextIO | None, TextIO | None] | None = None
        self._lock = threading.RLock()  # a thread redraws the line of progress
        self._drawn = "", 0  # the line that stands at the end of stderr, and its columns
        self._unfinished = False  # whether the last line written to a terminal has no end yet

    def write(self, name: Name, text: str) -> None:
        stream = self.stdout if name == "stdout" else self.stderr
        if stream is None or not text or (name == "stdout" and self.failure is not None):
            return
        with self._lock:
            line, width = self._drawn
            if line:
                self._redraw("", 0)
            try:
                stream.write(_encodable(text, stream))
                stream.flush()
            except (OSError, ValueError) as error:  # a ValueError if it is closed
                if name == "stdout":
                    self.failure = error
            if _is_terminal(stream):
                self._unfinished = not text.endswith("\n")
            if line:
                self.redraw(line, width)

    def redraw(self, line: str, width: int) -> None:
        """Draw a line of so many columns at the end of stderr, a terminal, in place of the last one; or remove that.

        No control sequence is needed for this, which some terminals do not know.
        """
        with self._lock:
            if not (self._unfinished and line) and (line, width) != self._drawn:
                self._redraw(line, width)

    def _redraw(self, line: str, width: int) -> None:
        covered = min(self._drawn[1], columns_of("stderr") - 1)
        end = "" if line else "\r" + " " * covered + "\r"
        self._drawn = line, width
        if self.stderr is None:
            return
        with contextlib.suppress(OSError, ValueError):
            self.stderr.write(end or "\r" + _encodable(line, self.stderr) + " " * (covered - width))
            self.stderr.flush()

    def settle(self) -> None:
        """Discard what could not be written: Python would try again when it exits, and exit with 120."""
        for stream in filter(None, (self.stdout, self.stderr)):
            try:
                stream.flush()
            except (OSError, ValueError):
                with contextlib.suppress(OSError, ValueError), open(os.devnull, "w") as nothing:  # noqa: PTH123  # fast
                    os.dup2(nothing.fileno(), stream.fileno())


_streams: _Streams | None = None  # of the command that runs, if it is run by `main`


def _current() -> _Streams:
    return _streams or _Streams()


class _Guarded(io.TextIOBase):
    """A standard stream as everything else sees it while a command runs: click's help, plugins, rich, tracebacks."""

    def __init__(self, name: Name, streams: _Streams) -> None:
        self._name: Name = name
        self._streams = streams

    def _real(self) -> TextIO | None:
        return self._streams.stdout if self._name == "stdout" else self._streams.stderr

    def write(self, text: str) -> int:
        if not isinstance(text, str):
            raise TypeError(f"a string is required, not {type(text).__name__}")
        self._streams.write(self._name, text)
        return len(text)

    def writable(self) -> bool:
        return True

    def isatty(self) -> bool:
        return _is_terminal(self._real())

    def fileno(self) -> int:
        real = self._real()
        return super().fileno() if real is None else real.fileno()

    @property
    def encoding(self) -> str:  # type: ignore[override]
        return getattr(self._real(), "encoding", None) or "utf-8"

    @property
    def errors(self) -> str:  # type: ignore[override]
        return getattr(self._real(), "errors", None) or "strict"

    @property
    def buffer(self) -> Any:  # click would write to that of stdout, past this
        if self._name == "stdout":
            raise AttributeError("buffer")
        return getattr(self._real(), "buffer")  # noqa: B009  # it may have none


@contextlib.contextmanager
def guarded(*, own_process: bool) -> Iterator[None]:
    """While a command runs, all that is written to stdout and stderr goes through this module.

    Args:
        own_process: the process is the command's own, so that its file descriptors may be changed.
    """
    global _streams
    outer = _streams, sys.stdout, sys.stderr, warnings.formatwarning
    if own_process:
        _open_closed_descriptors()
        _wait_for_slow_readers()
    streams = _streams = _Streams(own_process=own_process)
    sys.stdout, sys.stderr = _Guarded("stdout", streams), _Guarded("stderr", streams)

    def format_warning(*args: Any, **kwargs: Any) -> str:
        if isinstance(args[0], OtherVersionWarning):  # zoo's own, and not about a line of code
            return f"zoo: warning: {message(args[0])}\n"
        return "\n".join(map(visible, outer[3](*args, **kwargs).split("\n")))

    warnings.formatwarning = format_warning
    try:
        yield
    finally:
        if own_process:
            streams.settle()
        _streams, sys.stdout, sys.stderr, warnings.formatwarning = outer


def silence() -> None:
    """From now on, nothing is written: another process of the same command says all there is to say."""
    if _streams is not None:
        _streams.silenced = _streams.stdout, _streams.stderr
        _streams.stdout = _streams.stderr = None


def speak() -> None:
    """From now on, what is written is, after `silence`: this process has something of its own to say."""
    if _streams is not None and _streams.silenced is not None:
        _streams.stdout, _streams.stderr = _streams.silenced
        _streams.silenced = None


def keep_plugins_out() -> None:
    """From now on, what plugins print goes to stderr, whether through Python or to file descriptor 1.

    Outside of `main` nothing changes: the streams are the caller's.
    """
    streams = _streams
    if streams is None or sys.stdout is sys.stderr:
        return
    sys.stdout = sys.stderr
    if not streams.own_process:
        return
    real = streams.stdout
    if real is not None:
        with contextlib.suppress(OSError, ValueError):
            if real.fileno() == 1:
                streams.stdout = open(os.dup(1), "w", encoding=real.encoding, errors=real.errors)  # noqa: PTH123, SIM115
    os.dup2(2, 1)
    _report_exits()


def _report_exits() -> None:
    """Say which code ends this process with `os._exit`, which skips everything else, and let it be no success.

    A C library that calls `_exit` is not noticed.
    """
    real_exit, process = os._exit, os.getpid()

    def end(status: int) -> NoReturn:
        if os.getpid() == process:  # in a child process it is the way to end
            caller = sys._getframe(1)
            where = f"{caller.f_code.co_filename}, line {caller.f_lineno}"
            error(f"{where}, ended zoo with os._exit({status}); 'zoo plugins' shows the plugins")
        real_exit(status or 1 if os.getpid() == process else status)

    os._exit = end


def lines(*texts: str, bold_first: bool = False) -> None:
    """Lines on stdout. A line break within one of them is escaped, so that no text can pass for a line of zoo's."""
    shown = [visible(text) for text in texts]
    if bold_first and on_terminal() and os.environ.get("TERM") != "dumb":
        shown[0] = f"\x1b[1m{shown[0]}\x1b[0m"
    _current().write("stdout", "\n".join(shown) + "\n")


def rows(cells: Iterable[Sequence[str]]) -> None:
    """Lines on stdout for another program, their cells separated by tabs."""
    text = "".join("\t".join(map(visible, row)) + "\n" for row in cells)
    _current().write("stdout", text)


def json_object(value: Any) -> None:
    """One JSON object on stdout. What is not printable, or not in the encoding of stdout, is escaped as in JSON."""
    import json  # here, because not every command needs it

    streams = _current()
    text = json.dumps(value, ensure_ascii=False)
    encoding = getattr(streams.stdout, "encoding", None) or "utf-8"
    if not _has_all(encoding, text):
        text = json.dumps(value)
    if visible(text) != text:
        text = "".join(c if visible(c) == c else _json_escape(c) for c in text)
    streams.write("stdout", text + "\n")


def _json_escape(character: str) -> str:
    units = character.encode("utf-16-be", "surrogatepass").hex()
    return "".join(f"\\u{units[i : i + 4]}" for i in range(0, len(units), 4))


def warning(text: str) -> None:
    """A warning on stderr, in one line."""
    _current().write("stderr", f"zoo: warning: {message(text)}\n")


def error(text: str) -> None:
    """An error on stderr, in one line."""
    _current().write("stderr", f"zoo: error: {message(text)}\n")


def note(text: str) -> None:
    """Several lines on stderr, such as a traceback."""
    shown = without_credentials(text.rstrip("\n"))
    _current().write("stderr", "\n".join(map(visible, shown.split("\n"))) + "\n")


def keep_in_mind(run_folder: str) -> None:
    """Name a run's folder in the error if its result cannot be written to stdout."""
    _current().run_folder = run_folder


def undelivered() -> str | None:
    """What to say about results that could not be written to stdout; None if they were, or if nobody wants them."""
    streams = _current()
    failure = streams.failure
    if not isinstance(failure, OSError) or failure.errno in _READER_LEFT:
        return None
    kept = f"; everything is in {streams.run_folder}" if streams.run_folder else ""
    return f"cannot write the result to stdout: {failure.strerror or failure}{kept}"


def on_terminal(name: Name = "stdout") -> bool:
    """Whether a stream is a terminal."""
    return _is_terminal(getattr(_current(), name))


def columns() -> int | None:
    """The width of the terminal on stdout; None if it is not one."""
    if not on_terminal():
        return None
    with contextlib.suppress(ValueError):
        if (wanted := int(os.environ.get("COLUMNS", ""))) > 0:
            return wanted
    return columns_of("stdout")


def columns_of(name: Name) -> int:
    """The width of a stream's terminal now: it may have been resized since the shell set `COLUMNS`."""
    stream = getattr(_current(), name)
    with contextlib.suppress(OSError, ValueError, AttributeError):
        if (wide := os.get_terminal_size(stream.fileno()).columns) > 0:
            return wide
    return _COLUMNS


def encoding(name: Name) -> str:
    """The encoding of a stream."""
    return getattr(getattr(_current(), name), "encoding", None) or "utf-8"


def can_redraw() -> bool:
    """Whether a line on stderr can be redrawn: it is a terminal that can."""
    return on_terminal("stderr") and os.environ.get("TERM") != "dumb"


def redraw(line: str, width: int) -> None:
    """Draw a line at the end of stderr, in place of the last one; see `_Streams.redraw`."""
    _current().redraw(line, width)


def _is_terminal(stream: TextIO | None) -> bool:
    try:
        return stream is not None and stream.isatty()
    except ValueError:  # it is closed
        return False


def _encodable(text: str, stream: TextIO) -> str:
    """The text with escapes in place of the characters that the stream's encoding lacks."""
    encoding, errors = getattr(stream, "encoding", None) or "utf-8", getattr(stream, "errors", None) or "strict"
    if _has_all(encoding, text, errors):
        return text
    return text.encode(encoding, "backslashreplace").decode(encoding)


def _has_all(encoding: str, text: str, errors: str = "strict") -> bool:
    try:
        text.encode(encoding, errors)
    except UnicodeEncodeError:
        return False
    return True


def _open_closed_descriptors() -> None:
    """A closed 0, 1 or 2 would be the number of the next file, a checkpoint say, which a C library might print into."""
    for descriptor in (0, 1, 2):
        try:
            os.fstat(descriptor)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # the lowest number that is free


def _wait_for_slow_readers() -> None:
    """A parent process may have left a pipe that answers "try again" when it is full; Python's streams cannot."""
    for descriptor in (1, 2):
        with contextlib.suppress(OSError, AttributeError):  # Windows has this in newer versions of Python only
            if not os.get_blocking(descriptor):
                os.set_blocking(descriptor, True)
