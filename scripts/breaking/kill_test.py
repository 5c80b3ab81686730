"""Kill runs at random moments, and check that each resumes to the same bytes as an uninterrupted run.

    python scripts/breaking/kill_test.py [--kills 300] [--seed 1]

Runs are started by forking a process that has torch imported already, which makes a kill cost a fraction of a second.
A run is killed repeatedly, at moments sampled over its whole length, and resumed each time, until one resumption
finishes; then its files are compared with those of the uninterrupted run.
"""

from __future__ import annotations

import os
import random
import signal
import time
from collections import Counter
from pathlib import Path

from killing import WORDS, contents, ended_within, kill, last_line, start, wait

from zoo.storage import losses
from zoo.storage.folder import STATE_FILE

STEPS = 300
USUAL = losses.STEPS_OF_A_PART
COMPARED = ("model.safetensors", "training_state.safetensors", "losses.csv", "config.json", "README.md")
COMMON = ("--quiet", "--no-plots", "--checkpoint-every", "7")
LONG = "long"  # a run whose losses.csv grows, as that of a million steps does
STEPS_OF_A_PART = 50  # then
CASES = {  # model settings, optimizer: every optimizer that is built in, and each preset's way through the data
    "notebook": ("--preset", "notebook"),
    "lecture": ("--preset", "lecture", "--batch-size", "8"),
    LONG: ("--preset", "notebook"),
}


def main() -> None:
    kill(__doc__, 300, kill_and_compare, ("different", "failed"))


def kill_and_compare(kills: int, chooser: random.Random) -> Counter[str]:
    """Kill until there were `kills`, and count what came of it."""
    undisturbed, seconds = {}, {}
    for case, options in CASES.items():
        set_length(case)
        seconds[case] = min(undisturbed_seconds(f"whole-{case}-{number}", options) for number in range(3))
        undisturbed[case] = contents(Path(f"whole-{case}-0"), COMPARED)
    tally = Counter({"kills": 0, "kills before the first checkpoint": 0, "equal": 0, "different": 0, "failed": 0})
    number = 0
    while tally["kills"] < kills:
        number += 1
        case = chooser.choice(list(CASES))
        set_length(case)
        out = Path(f"run-{number}")
        process = start("run", "mlp-char", *data(CASES[case]), "--out", out, *COMMON)
        while killed(process, chooser.uniform(0, seconds[case])):
            tally["kills"] += 1
            if not (out / STATE_FILE).exists():
                tally["kills before the first checkpoint"] += 1
                out = Path(f"{out}-again")  # nothing was trained: begin anew
                process = start("run", "mlp-char", *data(CASES[case]), "--out", out, *COMMON)
            else:
                process = start("resume", out, *COMMON)
        code = wait(process)
        ended_before = code == 2 and (out / "metrics.json").exists()  # killed with its work done
        if code != 0 and not ended_before:
            tally["failed"] += 1
            print(f"{out}: exit code {code}: {last_line()}")
        else:
            tally["equal" if contents(out, COMPARED) == undisturbed[case] else "different"] += 1
    return tally


def set_length(case: str) -> None:
    """What counts as a long run, in the processes that are forked from now on."""
    losses.STEPS_OF_A_PART = STEPS_OF_A_PART if case == LONG else USUAL


def undisturbed_seconds(out: str, options: tuple[str, ...]) -> float:
    started = time.perf_counter()
    assert wait(start("run", "mlp-char", *data(options), "--out", out, *COMMON)) == 0
    return time.perf_counter() - started


def data(options: tuple[str, ...]) -> tuple[object, ...]:
    return ("--dataset", WORDS, "--device", "cpu", "--steps", STEPS, *options)


def killed(process: int, after_s: float) -> bool:
    """Kill a process after a while, unless it ended by itself; which of the two."""
    if ended_within(process, after_s):
        return False
    os.kill(process, signal.SIGKILL)
    return wait(process) == -signal.SIGKILL


if __name__ == "__main__":
    main()
