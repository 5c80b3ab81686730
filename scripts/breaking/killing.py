"""What the scripts that kill share: their arguments and data, and commands of zoo in forks of this process."""

from __future__ import annotations

import argparse
import os
import random
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterable
from pathlib import Path

OUTPUT = Path("output.txt")  # of what was started
WORDS = "words.txt"
_LETTERS = "abcdefgh"

_exit_codes: dict[int, int] = {}


def kill(description: str | None, kills: int, function: Callable[..., Counter[str]], bad: Iterable[str]) -> None:
    """Read the arguments, call `function(kills, chooser)` in a folder with data, and end this process by its tally.

    Args:
        description: of the script.
        kills: how many there are by default.
        function: counts what came of so many kills.
        bad: counts that must be zero.
    """
    parser = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kills", type=int, default=kills)
    parser.add_argument("--seed", type=int, default=1)
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        os.chdir(folder)
        Path(WORDS).write_text("\n".join(a + b + c for a in _LETTERS for b in _LETTERS for c in _LETTERS))
        tally = function(args.kills, random.Random(args.seed))
        os.chdir(os.sep)
    print(", ".join(f"{count} {what}" for what, count in tally.items()))
    sys.exit(1 if any(tally[name] for name in bad) else 0)


def start(*args: object) -> int:
    """Run `zoo ARGS` in a fork of this process, with a process group of its own; its number.

    This process has imported torch, which makes a kill cost a fraction of a second. torch computes with one thread, as
    only that is left in a fork.
    """
    import torch

    from zoo.cli import main

    torch.set_num_threads(1)
    process = os.fork()
    if process == 0:
        os.setpgid(0, 0)
        output = os.open(OUTPUT, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
        os.dup2(output, 1)
        os.dup2(output, 2)
        try:
            main([*map(str, args)])
        except SystemExit as done:
            os._exit(done.code if isinstance(done.code, int) else 1)
        os._exit(70)
    _exit_codes.pop(process, None)  # of an earlier process of that number
    return process


def ended_within(process: int, seconds: float) -> bool:
    """Wait for a process so long at most; whether it has ended by itself."""
    deadline = time.perf_counter() + seconds
    while time.perf_counter() < deadline:
        done, status = os.waitpid(process, os.WNOHANG)
        if done:
            _exit_codes[process] = os.waitstatus_to_exitcode(status)
            return True
        time.sleep(0.0005)
    return False


def wait(process: int) -> int:
    """The exit code of a process that ends; below zero the signal that has ended it."""
    if process not in _exit_codes:
        _exit_codes[process] = os.waitstatus_to_exitcode(os.waitpid(process, 0)[1])
    return _exit_codes[process]


def last_line() -> str:
    """What was said last."""
    return (OUTPUT.read_text().splitlines() or [""])[-1]


def contents(folder: Path, names: Iterable[str]) -> dict[str, bytes]:
    """The files of a folder by name; all must be there."""
    return {name: (folder / name).read_bytes() for name in names}
