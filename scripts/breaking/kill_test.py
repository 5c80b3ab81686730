"""Kill runs at random moments, and check that each resumes to the same bytes as an uninterrupted run.

    python scripts/breaking/kill_test.py [--kills 300] [--seed 1]

Runs are started by forking a process that has torch imported already, which makes a kill cost a fraction of a second.
A run is killed repeatedly, at moments sampled over its whole length, and resumed each time, until one resumption
finishes; then its files are compared with those of the uninterrupted run.
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
from pathlib import Path

import torch

from zoo.cli import main as zoo_main
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
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kills", type=int, default=300)
    parser.add_argument("--seed", type=int, default=1)
    args = parser.parse_args()
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as folder:
        os.chdir(folder)
        words = Path("words.txt")
        letters = "abcdefgh"
        words.write_text("\n".join(a + b + c for a in letters for b in letters for c in letters))
        tally = kill_and_compare(args.kills, random.Random(args.seed))
    print(", ".join(f"{count} {what}" for what, count in tally.items()))
    sys.exit(1 if tally["different"] or tally["failed"] else 0)


def kill_and_compare(kills: int, chooser: random.Random) -> Counter[str]:
    """Kill until there were `kills`, and count what came of it."""
    undisturbed, seconds = {}, {}
    for case, options in CASES.items():
        set_length(case)
        seconds[case] = min(undisturbed_seconds(f"whole-{case}-{number}", options) for number in range(3))
        undisturbed[case] = contents(Path(f"whole-{case}-0"))
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
        ended_before = last_exit_code(process) == 2 and (out / "metrics.json").exists()  # killed with its work done
        if last_exit_code(process) != 0 and not ended_before:
            tally["failed"] += 1
            print(f"{out}: exit code {last_exit_code(process)}: {Path('output.txt').read_text().splitlines()[-1]}")
        else:
            tally["equal" if contents(out) == undisturbed[case] else "different"] += 1
    return tally


def set_length(case: str) -> None:
    """What counts as a long run, in the processes that are forked from now on."""
    losses.STEPS_OF_A_PART = STEPS_OF_A_PART if case == LONG else USUAL


def undisturbed_seconds(out: str, options: tuple[str, ...]) -> float:
    started = time.perf_counter()
    assert wait(start("run", "mlp-char", *data(options), "--out", out, *COMMON)) == 0
    return time.perf_counter() - started


def data(options: tuple[str, ...]) -> tuple[object, ...]:
    return ("--dataset", "words.txt", "--device", "cpu", "--steps", STEPS, *options)


_exit_codes: dict[int, int] = {}


def start(*args: object) -> int:
    """Run `zoo ARGS` in a fork of this process; its number."""
    process = os.fork()
    if process == 0:
        zoo_output = os.open("output.txt", os.O_WRONLY | os.O_CREAT | os.O_APPEND)
        os.dup2(zoo_output, 1)
        os.dup2(zoo_output, 2)
        try:
            zoo_main([str(arg) for arg in args])
        except SystemExit as done:
            os._exit(done.code if isinstance(done.code, int) else 1)
        os._exit(70)
    return process


def killed(process: int, after_s: float) -> bool:
    """Kill a process after a while, unless it ended by itself; which of the two."""
    deadline = time.perf_counter() + after_s
    while time.perf_counter() < deadline:
        done, status = os.waitpid(process, os.WNOHANG)
        if done:
            _exit_codes[process] = os.waitstatus_to_exitcode(status)
            return False
        time.sleep(0.0005)
    os.kill(process, signal.SIGKILL)
    return wait(process) == -signal.SIGKILL


def wait(process: int) -> int:
    _exit_codes[process] = os.waitstatus_to_exitcode(os.waitpid(process, 0)[1])
    return _exit_codes[process]


def last_exit_code(process: int) -> int:
    return _exit_codes[process]


def contents(folder: Path) -> dict[str, bytes]:
    return {name: (folder / name).read_bytes() for name in COMPARED}


if __name__ == "__main__":
    main()
