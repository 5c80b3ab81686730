"""How long `zoo runs` takes for a thousand runs: a run of 200,000 steps, copied with other seeds and losses.

    python scripts/benchmarking/listing.py [--runs 1000] [--steps 200000]

Each time is that of a whole process, from its start to its end, without a terminal.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from zoo.files import readable_json
from zoo.storage.config import sealed

COMMANDS = (
    ["runs"],
    ["runs", "--sort", "val", "--where", "lr<=0.1", "-n", "20"],
    ["runs", "--json"],
    ["compare", "runs"],
)
ROUNDS = 5


def forge(template: Path, runs: Path, count: int) -> None:
    """Write run folders like `template`, a finished run, each with other seeds, rates and losses.

    Their `losses.csv` is a link to that of the template.
    """
    config = json.loads((template / "config.json").read_text())
    metrics = json.loads((template / "metrics.json").read_text())
    for number in range(count):
        folder = runs / f"{template.name}-{number + 1}"
        folder.mkdir(parents=True)
        chosen = {"seed": number, "lr": (0.05, 0.1, 0.2)[number % 3]}
        losses = {split: loss + number / 1000 for split, loss in metrics["losses"].items()}
        of_run: dict[str, Any] = {**metrics, **chosen, "losses": losses, "run_dir": str(folder)}
        (folder / "config.json").write_text(readable_json({**config, "training": {**config["training"], **chosen}}))
        (folder / "metrics.json").write_text(readable_json(sealed(of_run)))
        os.link(template / "losses.csv", folder / "losses.csv")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=1000)
    parser.add_argument("--steps", type=int, default=200_000)
    options = parser.parse_args()
    zoo = [sys.executable, "-m", "zoo"]
    with tempfile.TemporaryDirectory() as folder:
        work = Path(folder)
        train = [*zoo, "run", "mlp-char", "--dataset", "names-ssa-2018", "--steps", str(options.steps), "--no-plots"]
        subprocess.run([*train, "--quiet", "--out", "mlp-char"], cwd=work, check=True, stdout=subprocess.DEVNULL)
        forge(work / "mlp-char", work / "runs", options.runs)
        for command in COMMANDS:
            seconds = []
            for _ in range(ROUNDS):
                start = time.perf_counter()
                done = subprocess.run([*zoo, *command], cwd=work, check=True, capture_output=True)
                seconds.append(time.perf_counter() - start)
            print(f"{min(seconds):.2f} to {max(seconds):.2f} s   zoo {' '.join(command)}   {len(done.stdout):,} bytes")


if __name__ == "__main__":
    main()
