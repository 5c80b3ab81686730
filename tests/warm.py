"""`python -m zoo` in a process of its own, without the second that the import of torch takes.

A process that has imported torch and zoo, and has done nothing else, forks for each command. The fork gets the working
folder, the environment and the arguments of the command, and runs `zoo.__main__` as Python would. At its end threads
are awaited, what was registered for it is done and the streams are written; torch is not taken apart, which takes long.
"""

from __future__ import annotations

import atexit
import gc
import importlib
import json
import os
import re
import runpy
import select
import signal
import subprocess
import sys
import tempfile
import threading
import traceback
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Any

IS_POSSIBLE = sys.platform == "linux"
_end_process = os._exit  # which zoo guards against plugins
_AT_START = re.compile(r"(PYTHON(?!PATH$)|OMP_|LC_|LANG)")  # variables that Python or torch reads when it starts


def takes(env: Mapping[str, str]) -> bool:
    """Whether a command with these variables can be a fork."""
    return IS_POSSIBLE and not any(map(_AT_START.match, env))


class WarmProcess:
    """Runs commands one after the other."""

    def __init__(self) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-P", __file__], stdin=subprocess.PIPE, stdout=subprocess.PIPE, bufsize=0
        )
        self._read = b""

    def __enter__(self) -> WarmProcess:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._process.communicate()  # it ends with its stdin

    def run(
        self, *args: str | Path, env: Mapping[str, str] | None = None, cwd: Path | None = None, timeout: float = 120
    ) -> subprocess.CompletedProcess[str]:
        """Run `python -m zoo ARGS`; what it writes is captured.

        Raises:
            subprocess.TimeoutExpired: it took too long, and was killed.
        """
        command = list(map(str, args))
        with tempfile.TemporaryDirectory() as folder:
            out, err = (str(Path(folder, name)) for name in ("out", "err"))
            wanted = {"args": command, "env": {**os.environ, **(env or {})}, "cwd": str(cwd or Path.cwd())}
            number = int(self._ask(json.dumps({**wanted, "out": out, "err": err})))
            code = self._answer(timeout)
            if code is None:
                os.kill(number, signal.SIGKILL)
                self._answer(None)
                raise subprocess.TimeoutExpired(command, timeout)
            written = [Path(path).read_text(encoding="utf-8") for path in (out, err)]
        return subprocess.CompletedProcess(command, int(code), *written)

    def _ask(self, line: str) -> str:
        assert self._process.stdin is not None
        self._process.stdin.write(f"{line}\n".encode())
        return self._answer(None) or ""

    def _answer(self, timeout: float | None) -> str | None:
        """The next line; None where none has come in time."""
        assert self._process.stdout is not None
        while b"\n" not in self._read:
            if not select.select([self._process.stdout], [], [], timeout)[0]:
                return None
            self._read += os.read(self._process.stdout.fileno(), 1000) or b"\n"
        line, _, self._read = self._read.partition(b"\n")
        return line.decode()


def serve() -> dict[str, Any] | None:
    """Fork for each line of stdin: None in this process, when there are no more; in a fork what it is to do."""
    for name in ("torch", "zoo.runs.runner", "zoo.storage.loading"):
        importlib.import_module(name)
    gc.freeze()  # looking through what all share would make a copy of it
    for line in sys.stdin:
        process = os.fork()
        if process == 0:
            wanted: dict[str, Any] = json.loads(line)
            return wanted
        sys.stdout.write(f"{process}\n")
        sys.stdout.flush()
        sys.stdout.write(f"{os.waitstatus_to_exitcode(os.waitpid(process, 0)[1])}\n")
        sys.stdout.flush()
    return None


def become(wanted: Mapping[str, Any]) -> None:
    """Make this fork the process that is wanted, and run the command."""
    os.environ.clear()
    os.environ.update(wanted["env"])
    os.chdir(wanted["cwd"])
    streams = (
        (os.devnull, os.O_RDONLY),
        (wanted["out"], os.O_WRONLY | os.O_CREAT),
        (wanted["err"], os.O_WRONLY | os.O_CREAT),
    )
    for number, (path, flags) in enumerate(streams):
        opened = os.open(path, flags)
        os.dup2(opened, number)
        os.close(opened)
    sys.stdin = os.fdopen(0, closefd=False)  # of the one that was there, something may be read already
    sys.path[:0] = filter(None, os.environ.get("PYTHONPATH", "").split(os.pathsep))
    sys.argv = ["", *wanted["args"]]
    code: object = 1
    try:
        runpy.run_module("zoo", run_name="__main__", alter_sys=True)
        code = 0
    except SystemExit as done:
        code = 0 if done.code is None else done.code
    except BaseException:
        traceback.print_exc()
    threading._shutdown()  # type: ignore[attr-defined]
    atexit._run_exitfuncs()
    for stream in (sys.stdout, sys.stderr):
        stream.flush()
    _end_process(code if isinstance(code, int) else 1)


if __name__ == "__main__":
    work = serve()
    if work is not None:
        become(work)
