"""How long `zoo runs` takes for a thousand runs: a run of 200,000 steps, copied with other seeds and losses.

And how long `zoo compare` takes for them, and for a sweep of two thousand members.

    python scripts/benchmarking/listing.py [--runs 1000] [--steps 200000] [--members 2000]

Each time is that of a whole process, from its start to its end, without a terminal. What it imports is timed in turn.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from zoo.files import readable_json
from zoo.storage.config import sealed
from zoo.sweeps.member import FINISHED, Row
from zoo.sweeps.sheet import SHEET_FILE, SWEEP_FILE, as_csv, columns

COMMANDS = (
    ["runs"],
    ["runs", "--sort", "val", "--where", "lr<=0.1", "-n", "20"],
    ["runs", "--json"],
    ["compare", "runs"],
    ["compare", "sweep"],
    ["compare", "sweep", "--json"],
)
IMPORTED = "zoo.cli, zoo.cli.commands.compare.comparison, zoo.cli.commands.compare.judged, scipy.stats"
SETTINGS = 20  # of the sweep
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


def forge_sweep(template: Path, sweep: Path, members: int) -> None:
    """Write the folder of a sweep over learning rates, each with the same seeds; the first of each has a config."""
    config = json.loads((template / "config.json").read_text())
    generator = random.Random(1)
    rates, rows = [round(0.01 * (one + 1), 2) for one in range(SETTINGS)], []
    for number in range(1, members + 1):
        seed, rate = (number - 1) // SETTINGS + 1, rates[(number - 1) % SETTINGS]
        loss = 2.1 + rate / 100 + generator.gauss(0, 0.005)
        losses = {"train": loss, "val": loss + 0.01, "test": loss + 0.02}
        rows.append(Row(number, {"lr": rate}, seed, FINISHED, "", 1000, 11897, losses, {}, "0" * 64))
        if seed == 1:
            folder = sweep / f"{number:04}"
            folder.mkdir(parents=True)
            training = {**config["training"], "seed": seed, "init_seed": seed, "lr": rate}
            (folder / "config.json").write_text(readable_json({**config, "training": training}))
    (sweep / SHEET_FILE).write_text(as_csv(rows, columns(rows)))
    (sweep / SWEEP_FILE).write_text(readable_json({"models": ["mlp-char"], "same": {}, "settings": {}}))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=1000)
    parser.add_argument("--steps", type=int, default=200_000)
    parser.add_argument("--members", type=int, default=2000)
    options = parser.parse_args()
    zoo = [sys.executable, "-m", "zoo"]
    with tempfile.TemporaryDirectory() as folder:
        work = Path(folder)
        train = [*zoo, "run", "mlp-char", "--dataset", "names-ssa-2018", "--steps", str(options.steps), "--no-plots"]
        subprocess.run([*train, "--quiet", "--out", "mlp-char"], cwd=work, check=True, stdout=subprocess.DEVNULL)
        forge(work / "mlp-char", work / "runs", options.runs)
        forge_sweep(work / "mlp-char", work / "sweep", options.members)
        for name, command in (
            *((f"zoo {' '.join(one)}", [*zoo, *one]) for one in COMMANDS),
            ("what zoo compare imports", [sys.executable, "-c", f"import {IMPORTED}"]),
        ):
            seconds = []
            for _ in range(ROUNDS):
                start = time.perf_counter()
                done = subprocess.run(command, cwd=work, check=True, capture_output=True)
                seconds.append(time.perf_counter() - start)
            print(f"{min(seconds):.2f} to {max(seconds):.2f} s   {name}   {len(done.stdout):,} bytes")


if __name__ == "__main__":
    main()
