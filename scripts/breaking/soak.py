"""Do very many short runs in one process, and see that neither memory nor open files grow.

    python scripts/breaking/soak.py [--runs 10000]

Every run loads the plugins anew, trains, writes a folder, and is thrown away; some write plots, and some are loaded,
sampled and resumed first.
"""

from __future__ import annotations

import argparse
import gc
import os
import shutil
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

import torch

import zoo

WARM_UP = 200  # runs after which everything is imported, cached and pooled that ever will be
GROWTH_BYTES = 16 << 20
SETTINGS = {"model.hidden_size": 4, "model.embedding_dim": 2}


@dataclass(frozen=True)
class Use:
    """What this process holds."""

    resident_bytes: int
    open_files: int

    @classmethod
    def now(cls) -> Use:
        gc.collect()
        pages = int(Path("/proc/self/statm").read_text().split()[1])
        return cls(pages * os.sysconf("SC_PAGE_SIZE"), len(list(Path("/proc/self/fd").iterdir())))

    def __str__(self) -> str:
        return f"{self.resident_bytes / (1 << 20):.1f} MiB, {self.open_files} open files"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=10_000)
    runs = parser.parse_args().runs
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as folder:
        os.chdir(folder)
        grown = soak(runs)
        os.chdir(Path(__file__).parent)
    sys.exit(1 if grown else 0)


def soak(runs: int, warm_up: int = WARM_UP) -> list[str]:
    """Do the runs in the current folder; what has grown since the warm-up."""
    letters = "abeln"
    Path("words.txt").write_text("\n".join(a + b + c for a in letters for b in letters for c in letters))
    for number in range(warm_up):
        one_run(20 * number)  # mostly those that do more
    before, started = Use.now(), time.perf_counter()
    print(f"after {warm_up} runs to warm up: {before}", flush=True)
    for number in range(1, runs + 1):
        one_run(number)
        if number % max(1, runs // 10) == 0:
            each_ms = 1000 * (time.perf_counter() - started) / number
            print(f"after {number:,} runs of {each_ms:.0f} ms: {Use.now()}", flush=True)
    return growth(before, Use.now())


def growth(before: Use, after: Use) -> list[str]:
    """What is more than it may be, each told on stderr."""
    grown = []
    if after.open_files > before.open_files:
        grown.append(f"open files grew from {before.open_files} to {after.open_files}")
    if after.resident_bytes > before.resident_bytes + GROWTH_BYTES:
        grown.append(f"memory grew from {before} to {after}")
    for line in grown:
        print(line, file=sys.stderr)
    return grown


def one_run(number: int) -> None:
    """A run of two steps; every 200th with plots, every 10th loaded, sampled and resumed."""
    plots = number % 200 == 0
    out = Path("run")
    zoo.run(
        "mlp-char", dataset="words.txt", device="cpu", steps=2, batch_size=8, out=out, plots=plots, settings=SETTINGS
    )
    if number % 10 == 0:
        assert len(zoo.load(out).sample(5)) == 5
        assert len(zoo.resume(out, steps=3, plots=plots).step_losses) == 3
    shutil.rmtree(out)


if __name__ == "__main__":
    main()
