"""The part `population` of `benchmark.py`: sweeps against loops, JAX and processes.

    python population.py --words FILE --rounds N [--quick]

Prints one JSON list of rows. Everything has the same cores, those of this process. Each member, run and net of JAX has
the same seed, data and steps, and `zoo run` and the sweep must end with the same bytes. All commands are timed from the
shell and back, with the imports; of JAX only the training is counted. What is compiled once on a machine, is before.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from time import perf_counter
from typing import Any

from processes import Spent, as_installed, spent

HERE = Path(__file__).resolve().parent
ZOO = (sys.executable, "-m", "zoo")
GRID = ("--lr", "0.01,0.03,0.1", "--batch-size", "32,64", "--seeds", "3")  # of each of two models
MIB = 2**20
Row = dict[str, Any]
Measure = Callable[[Path], float]


@dataclass(frozen=True)
class Sizes:
    """How much is measured.

    Attributes:
        members, steps: of the sweep of `mlp-char`.
        commands: how many of its members are trained by a command each, which gives the time of one.
        grid_steps: of the 36 members of two models.
        few, many: members of the sweeps of few steps, whose difference shows what one more member takes.
    """

    members: int = 64
    steps: int = 20_000
    commands: int = 8
    grid_steps: int = 300
    few: int = 100
    many: int = 2000


QUICK = Sizes(members=4, steps=1000, commands=2, grid_steps=5, few=4, many=12)


def cores() -> int:
    """How many this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


class Population:
    """The measurements, each in an empty folder of its own, and their rows."""

    def __init__(self, words: Path, sizes: Sizes) -> None:
        self.sizes = sizes
        self.words = words
        self.common = ("--dataset", str(words), "--device", "cpu", "--quiet")
        self.env = {**as_installed(), "ZOO_OFFLINE": "1", "ZOO_PLUGINS": ""}

    def sweep(self, folder: Path, *options: object, models: str = "mlp-char") -> Spent:
        """Seconds and peak bytes of one, into `folder/sweep`."""
        return spent([*ZOO, "sweep", models, *self.common, "--out", folder / "sweep", *options], self.env)

    def warm_up(self, folder: Path) -> None:
        """Compile the kernel, as is done once on a machine: JAX's compilation is not counted, either."""
        self.sweep(folder, "--engine", "fused", "--seeds", 1, "--steps", 1)

    def lecture(self, folder: Path, steps: int | None = None) -> float:
        steps = steps or self.sizes.steps
        return self.sweep(folder, "--engine", "fused", "--seeds", self.sizes.members, "--steps", steps)[0]

    def loop(self, folder: Path) -> float:
        """Seconds of one run after another in one process."""
        script = [sys.executable, HERE / "one_after_another.py", self.words, folder]
        return spent([*script, self.sizes.members, self.sizes.steps], self.env).seconds

    def commands(self, folder: Path, at_a_time: int) -> float:
        """Seconds that all members would take by a command each, from those of the first few."""

        def one(seed: int) -> None:
            lecture = ("--engine", "fused", "--steps", self.sizes.steps)
            self.run("mlp-char", folder / str(seed), "--seed", seed, "--init-seed", seed, *lecture)

        started, few = perf_counter(), self.sizes.commands
        with ThreadPoolExecutor(at_a_time) as pool:
            list(pool.map(one, range(1, few + 1)))
        return (perf_counter() - started) / few * self.sizes.members

    def run(self, model: str, out: Path, *options: object) -> None:
        own = ("--threads", "1", "--no-plots", "--out", out)
        spent([*ZOO, "run", model, *self.common, *own, *options], self.env)

    def jax(self, variant: str) -> float:
        """Seconds of the training alone; infinite where JAX is not installed."""
        if subprocess.run([sys.executable, "-c", "import jax"], capture_output=True).returncode:
            return float("inf")
        script = [sys.executable, HERE / "jax_members.py", self.words, self.sizes.members, self.sizes.steps, variant]
        done = subprocess.run([*map(str, script)], env=self.env, stdout=subprocess.PIPE, text=True, check=True)
        seconds: float = json.loads(done.stdout)["seconds"]
        return seconds

    def grid_by_sweep(self, folder: Path) -> float:
        return self.sweep(folder, *GRID, "--steps", self.sizes.grid_steps, models="mlp-char,gru")[0]

    def grid_by_commands(self, folder: Path) -> float:
        """Seconds of all of its members, a command after the other."""
        started = perf_counter()
        for seed in (1, 2, 3):
            for model in ("mlp-char", "gru"):
                for lr in GRID[1].split(","):
                    for batch_size in GRID[3].split(","):
                        own = ("--lr", lr, "--batch-size", batch_size, "--steps", self.sizes.grid_steps)
                        out = folder / f"{model}-{lr}-{batch_size}-{seed}"
                        self.run(model, out, *own, "--seed", seed, "--init-seed", seed)
        return perf_counter() - started


def throughput(population: Population, rounds: int) -> list[Row]:
    """A step of a member, by one sweep and by every peer, in turn; three members have the bytes of `zoo run`."""
    sizes = population.sizes
    measures: dict[str, Measure] = {
        "sweep": population.lecture,
        "sweep, a tenth of the steps": lambda folder: population.lecture(folder, max(1, sizes.steps // 10)),
        "one after another in one process": population.loop,
        "a command each, one after another": lambda folder: population.commands(folder, 1),
        f"a command each, {cores()} at a time": lambda folder: population.commands(folder, cores()),
        "jax.vmap of lax.scan": lambda folder: population.jax("vmap"),
        "jax.lax.map of lax.scan, a device a core": lambda folder: population.jax("map"),
    }
    with tempfile.TemporaryDirectory() as work:
        population.warm_up(Path(work) / "before")
        seconds = in_turn(measures, rounds, Path(work))
        assert_same_bytes(Path(work) / "0-0" / "sweep", Path(work) / "0-3", range(1, min(3, sizes.commands) + 1))
    whole, tenth = seconds.pop("sweep"), seconds.pop("sweep, a tenth of the steps")
    alone = (whole - tenth) / (sizes.steps - max(1, sizes.steps // 10)) * sizes.steps
    goals = {"one after another in one process": 1.8}
    what = f"{sizes.members} members, {sizes.steps:,} steps: a step"
    each = sizes.members * sizes.steps
    rows = [row(what, peer, taken / each, whole / each, "µs", goals.get(peer)) for peer, taken in seconds.items()]
    training = f"{what}, training alone"
    goals = {"jax.vmap of lax.scan": 3.0}
    rows += [
        row(training, peer, taken / each, alone / each, "µs", goals.get(peer))
        for peer, taken in seconds.items()
        if peer.startswith("jax")
    ]
    return [one for one in rows if one["theirs"] != float("inf")]


def grid(population: Population, rounds: int) -> list[Row]:
    """Two models, three rates, two sizes of a batch and three seeds: a sweep, and a command for each member."""
    measures: dict[str, Measure] = {"sweep": population.grid_by_sweep, "commands": population.grid_by_commands}
    with tempfile.TemporaryDirectory() as work:
        seconds = in_turn(measures, rounds, Path(work))
    what = f"36 members of mlp-char and gru, {population.sizes.grid_steps} steps"
    return [row(what, "36 commands", seconds["commands"], seconds["sweep"], "s", 3.0)]


def overhead(population: Population, rounds: int) -> list[Row]:
    """What one more member takes beside training and evaluation, and what many of them take in all."""
    few, many = population.sizes.few, population.sizes.many
    options = ("--engine", "fused", "--steps", 10, "--lr", "0.03,0.1")
    taken: list[list[float]] = []
    for _ in range(rounds):
        with tempfile.TemporaryDirectory() as few_work, tempfile.TemporaryDirectory() as many_work:
            short = population.sweep(Path(few_work), *options, "--seeds", few // 2)
            long = population.sweep(Path(many_work), *options, "--seeds", many // 2)
            each = (long.seconds - short.seconds) / (many - few) * cores()
            growth = max(0, long.peak - short.peak) / (many - few)
            needed = mean_seconds(Path(many_work) / "sweep")
            small, large = (compared(population, Path(work) / "sweep") for work in (few_work, many_work))
            taken.append([each - needed, growth, long.seconds, max(1e-3, large - small)])
    own, growth, seconds, comparing = (statistics.median(values) for values in zip(*taken, strict=True))
    what = f"{many:,} members of 10 steps"
    return [
        row("what a member takes beside training and evaluation", "the goal", 0.01, own, "ms", 1.0),
        row("memory that a member adds to the largest process", "the goal", 2.0 * MIB, max(1.0, growth), "MiB", 1.0),
        row(what, "10 ms and evaluation a member", (0.01 + needed) / cores() * many, seconds, "s"),
        row(f"zoo compare of {what}, beside imports", "the goal", 1.0, comparing, "s", 1.0),
    ]


def mean_seconds(sweep: Path) -> float:
    """Those of training and evaluation, of a member."""
    each = [json.loads(path.read_text())["seconds"] for path in sweep.glob("*/metrics.json")]
    return float(statistics.mean(one["train"] + one["eval"] for one in each))


def compared(population: Population, sweep: Path) -> float:
    """Seconds of `zoo compare`."""
    return statistics.median(spent([*ZOO, "compare", sweep], population.env).seconds for _ in range(3))


def in_turn(measures: dict[str, Measure], rounds: int, work: Path) -> dict[str, float]:
    """The median of the seconds of each, all taken in turn; the folder `ROUND-NUMBER` is that of a measurement."""
    taken: dict[str, list[float]] = {name: [] for name in measures}
    for round_ in range(rounds):
        for number, (name, measure) in enumerate(measures.items()):
            folder = work / f"{round_}-{number}"
            folder.mkdir()
            taken[name].append(measure(folder))
            print(f"{name}: {taken[name][-1]:.1f} s", file=sys.stderr)
    return {name: statistics.median(seconds) for name, seconds in taken.items()}


def assert_same_bytes(sweep: Path, runs: Path, numbers: Sequence[int]) -> None:
    """Members of a sweep have the weights, byte for byte, of the runs of these numbers."""
    assert numbers
    for number in numbers:
        ours, theirs = (
            (folder / "model.safetensors").read_bytes() for folder in (sweep / f"{number:04}", runs / str(number))
        )
        assert ours == theirs, f"member {number} of the sweep is not the run that 'zoo run' makes"


def row(what: str, peer: str, theirs: float, ours: float, unit: str, goal: float | None = None) -> Row:
    return {"what": what, "peer": peer, "theirs": theirs, "ours": ours, "unit": unit, "goal": goal}


def rows(words: Path, rounds: int, sizes: Sizes = Sizes()) -> list[Row]:
    population = Population(words, sizes)
    return [one for part in (throughput, grid, overhead) for one in part(population, rounds)]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--words", type=Path, required=True)
    parser.add_argument("--rounds", type=int, default=1)
    parser.add_argument("--quick", action="store_true", help="small sizes, to try it out")
    args = parser.parse_args()
    print(json.dumps(rows(args.words.resolve(), args.rounds, QUICK if args.quick else Sizes())))


if __name__ == "__main__":
    main()
