"""Kill sweeps at random moments, and check that each resumes to the same bytes as an uninterrupted sweep.

    python scripts/breaking/sweep_kill_test.py [--kills 30] [--seed 1]

What is killed is the process of the sweep, all of its processes at once, or a worker alone. A sweep is killed
repeatedly, at moments sampled over its whole length, and resumed each time, until one resumption finishes; then its
files are compared with those of the uninterrupted sweep. Members that were done when it was killed must not have been
trained again: their files keep their time.
"""

from __future__ import annotations

import os
import random
import signal
import time
from collections import Counter
from collections.abc import Mapping
from pathlib import Path

from killing import WORDS, contents, ended_within, kill, last_line, start, wait

from zoo.sweeps.sheet import SHEET_FILE, read_sheet

WAYS = ("sweep", "all", "worker")  # what is killed
STEPS = "120,200"
MADE = ("--seeds", "4", "--steps", STEPS, "--lr", "0.03,0.1", "--jobs", "2", "--checkpoint-every", "20")
OF_SWEEP = (SHEET_FILE, "sweep.json")
OF_MEMBER = ("model.safetensors", "losses.csv", "config.json", "README.md", "validation.csv")


def main() -> None:
    kill(__doc__, 30, kill_and_compare, ("different", "failed", "done again"))


def kill_and_compare(kills: int, chooser: random.Random) -> Counter[str]:
    """Kill until there were `kills`, and count what came of it."""
    started = time.perf_counter()
    assert wait(start("sweep", "mlp-char", *data(), "--out", "whole")) == 0, last_line()
    seconds, undisturbed = time.perf_counter() - started, files(Path("whole"))
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
                process = start("resume", out, "--quiet")
            else:
                out = Path(f"{out}-again")
                process = start("sweep", "mlp-char", *data(), "--out", out)
        if wait(process) != 0:
            tally["failed"] += 1
            print(f"{out}: exit code {wait(process)}: {last_line()}")
        else:
            tally["done again"] += sum(times(out, name) != then for name, then in done.items())
            found = files(out)
            tally["equal" if found == undisturbed else "different"] += 1
            for name in sorted(name for name in {*found, *undisturbed} if found.get(name) != undisturbed.get(name)):
                print(f"{out / name} differs")
    return tally


def data() -> tuple[object, ...]:
    return ("--dataset", WORDS, "--device", "cpu", "--engine", "manual", "--quiet", *MADE)


def killed(process: int, after_s: float, what: str, tally: Counter[str]) -> bool:
    """Kill what is to be killed after a while; whether the sweep ended of it, and not by itself.

    A worker that is killed is replaced, and the sweep goes on.
    """
    if ended_within(process, after_s):
        return False
    tally["kills"] += 1
    if what == "worker":
        for worker in workers(process)[:1]:
            os.kill(worker, signal.SIGKILL)
    else:
        (os.killpg if what == "all" else os.kill)(process, signal.SIGKILL)
    return wait(process) == -signal.SIGKILL


def workers(process: int) -> list[int]:
    try:
        return list(map(int, Path(f"/proc/{process}/task/{process}/children").read_text().split()))
    except OSError:
        return []


def rows(folder: Path) -> list[int]:
    """The members that the sheet says are done."""
    sheet = folder / SHEET_FILE
    return [row.member for row in read_sheet(sheet)] if sheet.exists() else []


def times(folder: Path, member: str) -> Mapping[str, int]:
    """When each file of a member was written."""
    return {path.name: path.stat().st_mtime_ns for path in (folder / member).iterdir()}


def files(folder: Path) -> dict[str, bytes]:
    """What is compared of a sweep: of its files those that are there."""
    members = [f"{member.name}/{name}" for member in sorted(folder.glob("[0-9]*")) for name in OF_MEMBER]
    return contents(folder, [name for name in (*OF_SWEEP, *members) if (folder / name).exists()])


if __name__ == "__main__":
    main()
