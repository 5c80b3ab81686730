"""Kill ranks of runs under torchrun at random moments, and check that each run ends as an undisturbed one, to the byte.

    python scripts/breaking/rank_kill.py [--kills 10] [--seed 1]

Each run is started once, by `torchrun --max-restarts`, which starts all ranks again whenever one was killed: one rank,
also rank 0, at a moment sampled over the whole length of a run, its start included. The first run is killed so many
times in a row, each time within a third of that length from its start, and then others. Linux only.
"""

from __future__ import annotations

import contextlib
import os
import random
import signal
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

from killing import OUTPUT, WORDS, contents, kill

RANKS = 2
COMPARED = ("model.safetensors", "training_state.safetensors", "losses.csv", "config.json", "README.md")
RUN = ("run", "mlp-char", "--dataset", WORDS, "--device", "cpu", "--steps", "1500", "--checkpoint-every", "20")
LIMIT_S = 300.0


def main() -> None:
    kill(__doc__, 10, kill_and_compare, ("different", "failed"))


def kill_and_compare(kills: int, chooser: random.Random) -> Counter[str]:
    """Kill until there were so many kills, and count what came of it."""
    started = time.monotonic()
    whole = start(0, "--out", "others/whole")
    assert whole.wait() == 0
    seconds, undisturbed = time.monotonic() - started, contents(Path("others/whole"), COMPARED)
    tally = Counter({"kills": 0, "in a row": 0, "runs": 0, "equal": 0, "different": 0, "failed": 0})
    _kill_one(kills, seconds / 3, undisturbed, chooser, tally)
    tally["in a row"] = tally["kills"]
    while tally["kills"] < 2 * kills:
        _kill_one(2 * kills, seconds, undisturbed, chooser, tally)
    return tally


def _kill_one(
    kills: int, seconds: float, undisturbed: dict[str, bytes], chooser: random.Random, tally: Counter[str]
) -> None:
    """Do a run, and kill ranks of it until there were so many kills in all, or it ends."""
    tally["runs"] += 1
    before = {*folders()}
    torchrun = start(kills)
    while tally["kills"] < kills and killed(torchrun, chooser, seconds):
        tally["kills"] += 1
    try:
        code = torchrun.wait(LIMIT_S)
    except subprocess.TimeoutExpired:
        torchrun.kill()
        code = None
    made = {*folders()} - before
    if code != 0 or len(made) != 1:
        tally["failed"] += 1
        print(f"exit code {code}, {len(made)} folders: {OUTPUT.read_text()[-2000:]}")
    else:
        tally["equal" if contents(made.pop(), COMPARED) == undisturbed else "different"] += 1


def start(restarts: int, *more: str) -> subprocess.Popen[bytes]:
    """`torchrun -m zoo run`."""
    launcher = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", str(RANKS)]
    command = [*launcher, "--max-restarts", str(restarts), "-m", "zoo", *RUN, "--quiet", "--no-plots", *more]
    with OUTPUT.open("ab") as output:
        return subprocess.Popen(command, stdout=output, stderr=output)


def killed(torchrun: subprocess.Popen[bytes], chooser: random.Random, seconds: float) -> bool:
    """Kill a rank after a while, unless the run ends first; which of the two."""
    known = {*children(torchrun.pid)}
    deadline = time.monotonic() + LIMIT_S
    while not known and torchrun.poll() is None and time.monotonic() < deadline:
        time.sleep(0.01)
        known = {*children(torchrun.pid)}
    moment = time.monotonic() + chooser.uniform(0, seconds)
    while time.monotonic() < moment:
        if torchrun.poll() is not None:
            return False
        time.sleep(0.005)
    victims = children(torchrun.pid)
    if not victims:
        return False
    victim = chooser.choice(victims)
    with contextlib.suppress(ProcessLookupError):
        os.kill(victim, signal.SIGKILL)
    while torchrun.poll() is None and time.monotonic() < deadline and {*children(torchrun.pid)} & {*victims}:
        time.sleep(0.01)  # until torchrun has ended the others too
    return True


def children(process: int) -> list[int]:
    """The ranks: the processes that torchrun has started and that are still there."""
    found = []
    for entry in Path("/proc").iterdir():
        with contextlib.suppress(OSError, ValueError):
            fields = (entry / "stat").read_text().rpartition(")")[2].split()
            if int(fields[1]) == process and fields[0] != "Z" and b"LOCAL_RANK=" in (entry / "environ").read_bytes():
                found.append(int(entry.name))
    return sorted(found)


def folders() -> list[Path]:
    runs = Path("runs")
    return [*runs.iterdir()] if runs.exists() else []


if __name__ == "__main__":
    main()
