"""Kill sweeps at random moments, and check that each resumes to the same bytes as an uninterrupted sweep.

    python scripts/breaking/sweep_kill_test.py [--kills 30] [--seed 1]

What is killed is the process of the sweep, all of its processes at once, or a worker alone. A sweep is killed
repeatedly, at moments sampled over its whole length, and resumed each time, until one resumption finishes; then its
files are compared with those of the uninterrupted sweep. Members that were done when it was killed must not have been
trained again: their files keep their time.
"""

from __future__ import annotations

import argparse
import os
import random
import signal
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Mapping
from pathlib import Path

import torch

from zoo.cli import main as zoo_main
from zoo.sweeps.sheet import SHEET_FILE, read_sheet

WAYS = ("sweep", "all", "worker")  # what is killed
STEPS = "120,200"
MADE = ("--seeds", "4", "--steps", STEPS, "--lr", "0.03,0.1", "--jobs", "2", "--checkpoint-every", "20")
OF_SWEEP = (SHEET_FILE, "sweep.json")
OF_MEMBER = ("model.safetensors", "losses.csv", "config.json", "README.md", "validation.csv")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kills", type=int, default=30)
    parser.add_argument("--seed", type=int, default=1)
    args = parser.parse_args()
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as folder:
        os.chdir(folder)
        letters = "abcdefgh"
        Path("words.txt").write_text("\n".join(a + b + c for a in letters for b in letters for c in letters))
        tally = kill_and_compare(args.kills, random.Random(args.seed))
    print(", ".join(f"{count} {what}" for what, count in tally.items()))
    sys.exit(1 if tally["different"] or tally["failed"] or tally["done again"] else 0)


def kill_and_compare(kills: int, chooser: random.Random) -> Counter[str]:
    """Kill until there were `kills`, and count what came of it."""
    started = time.perf_counter()
    assert wait(start("sweep", "mlp-char", *data(), "--out", "whole")) == 0, Path("output.txt").read_text()
    seconds, undisturbed = time.perf_counter() - started, contents(Path("whole"))
    tally = Counter({"kills": 0, "before the first row": 0, "equal": 0, "different": 0, "failed": 0, "done again": 0})
    number = 0
    while tally["kills"] < kills:
        number += 1
        out = Path(f"sweep-{number}")
        process = start("sweep", "mlp-char", *data(), "--out", out)
        done: dict[str, Mapping[str, int]] = {}
        while killed(process, chooser.uniform(0, seconds), chooser.choice(WAYS), tally):
            tally["done again"] += sum(times(out, name) != then for name, then in done.items())
            done = {f"{number:04}": times(out, f"{number:04}") for number in rows(out)}
            tally["before the first row"] += not done
            if (out / "sweep.json").exists():
                process = start("resume", out)
            else:
                out = Path(f"{out}-again")
                process = start("sweep", "mlp-char", *data(), "--out", out)
        if _exit_codes[process] != 0:
            tally["failed"] += 1
            print(f"{out}: exit code {_exit_codes[process]}: {Path('output.txt').read_text().splitlines()[-1:]}")
        else:
            tally["done again"] += sum(times(out, name) != then for name, then in done.items())
            found = contents(out)
            tally["equal" if found == undisturbed else "different"] += 1
            for name in sorted(name for name in {*found, *undisturbed} if found.get(name) != undisturbed.get(name)):
                print(f"{out / name} differs")
    return tally


def data() -> tuple[object, ...]:
    return ("--dataset", "words.txt", "--device", "cpu", "--engine", "manual", *MADE)


_exit_codes: dict[int, int] = {}


def start(*args: object) -> int:
    """Run `zoo ARGS` in a fork of this process, with a process group of its own; its number."""
    process = os.fork()
    if process == 0:
        os.setpgid(0, 0)
        output = os.open("output.txt", os.O_WRONLY | os.O_CREAT | os.O_APPEND)
        os.dup2(output, 1)
        os.dup2(output, 2)
        try:
            zoo_main([*map(str, args), "--quiet"])
        except SystemExit as done:
            os._exit(done.code if isinstance(done.code, int) else 1)
        os._exit(70)
    return process


def killed(process: int, after_s: float, what: str, tally: Counter[str]) -> bool:
    """Kill what is to be killed after a while; whether the sweep ended of it, and not by itself.

    A worker that is killed is replaced, and the sweep goes on.
    """
    deadline = time.perf_counter() + after_s
    while True:
        done, status = os.waitpid(process, os.WNOHANG)
        if done:
            _exit_codes[process] = os.waitstatus_to_exitcode(status)
            return False
        if time.perf_counter() >= deadline:
            tally["kills"] += 1
            if what == "worker":
                for worker in workers(process)[:1]:
                    os.kill(worker, signal.SIGKILL)
                return wait(process) == -signal.SIGKILL
            (os.killpg if what == "all" else os.kill)(process, signal.SIGKILL)
            return wait(process) == -signal.SIGKILL
        time.sleep(0.0005)


def workers(process: int) -> list[int]:
    try:
        return list(map(int, Path(f"/proc/{process}/task/{process}/children").read_text().split()))
    except OSError:
        return []


def wait(process: int) -> int:
    _exit_codes[process] = os.waitstatus_to_exitcode(os.waitpid(process, 0)[1])
    return _exit_codes[process]


def rows(folder: Path) -> list[int]:
    """The members that the sheet says are done."""
    sheet = folder / SHEET_FILE
    return [row.member for row in read_sheet(sheet)] if sheet.exists() else []


def times(folder: Path, member: str) -> Mapping[str, int]:
    """When each file of a member was written."""
    return {path.name: path.stat().st_mtime_ns for path in (folder / member).iterdir()}


def contents(folder: Path) -> dict[str, bytes]:
    files = [folder / name for name in OF_SWEEP]
    files += [member / name for member in sorted(folder.glob("[0-9]*")) for name in OF_MEMBER]
    return {str(path.relative_to(folder)): path.read_bytes() for path in files if path.exists()}


if __name__ == "__main__":
    main()
