"""Measure zoo against the lecture's notebook, makemore's and nanoGPT's loops, NumPy, JAX and BLAS: in turn, as ratios.

    python scripts/benchmark.py [--words FILE] [--text FILE] [--rounds N] [--threads 1,2] [--plot FILE] [PART ...]

step        a training step by each engine
target      training alone, until the validation loss is 2.17
family      a training step of makemore's models, against makemore's own loop, written anew for this
text        a training step of `transformer` on running text, against nanoGPT's own loop, written anew for this
data        a file of words to the tensors of three splits
evaluation  the losses of three splits
start       `zoo --help`, `zoo list` and `zoo plugins`, against an empty click program that imports rich
command     `zoo run mlp-char` with plots and checkpoint, against the notebook as a script: seconds and memory
growth      a step over the size of hidden layer, batch and context, and data over its size; with a plot

Each part runs in processes of its own, held to as many cores as it has threads. With CUDA there, `step`, `target` and
`family` are measured on it as well: the notebook's loop and makemore's are then on the same device, and there are two
cores, because autograd works for a device in a thread of its own. JAX comes with `pip install 'zoo-models[bench]'`;
without it its rows are left out.
"""

from __future__ import annotations

import argparse
import functools
import importlib.metadata
import json
import os
import platform
import random
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

HERE = Path(__file__).parent
BUNDLED = HERE.parent / "plugins" / "zoo_lecture" / "data" / "names-ssa-2018.txt"
PARTS = ("step", "target", "family", "text", "data", "evaluation", "start", "command", "growth")
TEXT = "tinyshakespeare.txt"
UNITS = {"s": 1.0, "ms": 1e3, "µs": 1e6, "MiB": 1 / 2**20}
Row = dict[str, Any]
console = Console(width=120)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("parts", nargs="*", metavar="PART", help=f"by default all: {', '.join(PARTS)}")
    parser.add_argument(
        "--words", type=Path, default=BUNDLED, help="a file with one word a line; default bundled names"
    )
    parser.add_argument(
        "--text", type=Path, help=f"a file of running text for the part `text`; by default {TEXT} in zoo's cache"
    )
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--threads", default="1,2", help="numbers of threads, separated by commas; default 1,2")
    parser.add_argument("--plot", type=Path, help="write the plot of `growth` there")
    args = parser.parse_args()
    unknown = set(args.parts) - set(PARTS)
    if unknown:
        parser.error(f"no part {', '.join(unknown)}: there are {', '.join(PARTS)}")
    parts = args.parts or list(PARTS)
    console.print(about())
    files = dict.fromkeys(parts, args.words) | {"text": args.text or cached_text()}
    if "text" in parts and files["text"] is None:
        parts.remove("text")
        console.print(f"text is left out: there is no {TEXT} in zoo's cache, and no --text FILE")
    table = Table("what", "threads", "peer", "peer's", "zoo's", "times as fast", "goal", box=None)
    for threads in map(int, args.threads.split(",")):
        for part in parts:
            if part == "growth":
                continue
            for row in rows_of(part, files[part].resolve(), threads, args.rounds):
                add(table, row, threads)
    if table.row_count:
        console.print(table)
    if "growth" in parts:
        growth(args.words.resolve(), args.rounds, args.plot)


def cached_text() -> Path | None:
    """The text in zoo's cache, if a person has put it there."""
    from zoo.data.download import cache_folder

    path = cache_folder() / TEXT
    return path if path.is_file() else None


def rows_of(part: str, words: Path, threads: int, rounds: int) -> list[Row]:
    if part == "start":
        return start(rounds) if threads == 1 else []
    if part == "command":
        return command(words, threads, max(1, rounds // 2))
    if part == "target" and threads > 1:
        return []
    rows = worker(part, words, threads, rounds)
    if part in ("step", "target", "family") and cuda_name() is not None and threads == 1:
        rows += [{**row, "what": row["what"] + " (CUDA)"} for row in worker(part, words, threads, rounds, "cuda")]
    return rows


def worker(part: str, words: Path, threads: int, rounds: int, device: str = "cpu") -> list[Row]:
    """Rows of `benchmarking/parts.py`, from a process that may use so many cores."""
    script = [sys.executable, HERE / "benchmarking" / "parts.py", part, threads, words, rounds, device]
    env = limited(threads, cores=threads if device == "cpu" else max(2, threads))
    done = subprocess.run([*map(str, script)], stdout=subprocess.PIPE, env=env, text=True, check=True)
    rows: list[Row] = json.loads(done.stdout)
    return rows


def limited(threads: int, cores: int | None = None) -> dict[str, str]:
    """The environment for so many threads; this process and those it starts are held to as many cores, or `cores`."""
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, set(range(min(cores or threads, os.cpu_count() or 1))))
    names = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")
    return {**as_installed(), **dict.fromkeys(names, str(threads)), "JAX_PLATFORMS": "cpu"}


def as_installed() -> dict[str, str]:
    """The environment, in which Python may keep what it has compiled: pip compiles what it installs, too."""
    return {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}


def start(rounds: int) -> list[Row]:
    """Seconds from the shell and back."""
    empty = [sys.executable, "-c", "import click, rich.console\nclick.command()(lambda: None)()"]
    zoo = [sys.executable, "-m", "zoo"]
    commands = {"--help": [*zoo, "--help"], "list": [*zoo, "list"], "plugins": [*zoo, "plugins"]}
    seconds: dict[str, list[float]] = {name: [] for name in ("empty", *commands)}
    for _ in range(2 * rounds):
        for name, words in {"empty": empty, **commands}.items():
            seconds[name].append(spent(words, as_installed())[0])
    middle = {name: statistics.median(times) for name, times in seconds.items()}
    peer = "click and rich, empty"
    return [
        {
            "what": f"zoo {name}",
            "peer": peer,
            "theirs": middle["empty"],
            "ours": middle[name],
            "unit": "ms",
            "goal": 2 / 3,
        }
        for name in commands
    ]


def command(words: Path, threads: int, rounds: int) -> list[Row]:
    """`zoo run mlp-char` and the notebook, both from a file of words to weights and two plots on the disk."""
    env = limited(threads)
    taken: dict[str, list[tuple[float, int]]] = {"notebook": [], "zoo": []}
    with tempfile.TemporaryDirectory() as folder:
        for number in range(rounds + 1):
            notebook = [sys.executable, str(HERE / "benchmarking" / "notebook.py"), str(words), folder]
            out = ["--out", f"{folder}/{number}", "--quiet"]
            zoo = [sys.executable, "-m", "zoo", "run", "mlp-char", "--device", "cpu", "--dataset", str(words), *out]
            for name, argv in (("notebook", notebook), ("zoo", zoo)):
                taken[name].append(spent(argv, env))
    rows = []
    for place, (what, unit, goal) in enumerate([("whole command", "s", 1 / 0.7), ("its peak memory", "MiB", 1.0)]):
        theirs, ours = (statistics.median(one[place] for one in taken[name][1:]) for name in ("notebook", "zoo"))
        rows.append(
            {"what": what, "peer": "notebook as a script", "theirs": theirs, "ours": ours, "unit": unit, "goal": goal}
        )
    return rows


def spent(argv: list[str], env: dict[str, str]) -> tuple[float, int]:
    """Seconds and peak bytes of a command; this process is small, so its own memory does not show in theirs."""
    started = time.perf_counter()
    process = subprocess.Popen(argv, stdout=subprocess.DEVNULL, env=env)
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise SystemExit(f"{' '.join(argv)} ended with {process.returncode}")
    return time.perf_counter() - started, usage.ru_maxrss * 1024


def growth(words: Path, rounds: int, plot: Path | None) -> None:
    """Tables of the cost of a step over sizes, and of data, one thread."""
    rows = worker("growth", words, 1, max(1, rounds // 2))
    engines = [name for name in ("autograd", "manual", "fused") if name in rows[0]]
    table = Table("axis", "size", "matrix products, µs", *(f"{name}, µs (times them)" for name in engines), box=None)
    for row in rows:
        blas = row["matrix products"]
        cells = [f"{row[name] * 1e6:,.0f} ({row[name] / blas:.2f})" for name in engines]
        table.add_row(row["axis"], f"{row['size']:,}", f"{blas * 1e6:,.0f}", *cells)
    console.print(table)
    table = Table(
        "words", "characters and ends", "seconds", "ns each", "bytes each, beside libraries and tensors", box=None
    )
    data = [file_of(words, size) for size in (10**4, 10**5, 10**6, 10**7)]
    for size, row in data:
        each = f"{1e9 * row['seconds'] / row['characters']:.0f}"
        table.add_row(f"{size:,}", f"{row['characters']:,}", f"{row['seconds']:.3f}", each, f"{row['bytes']:.1f}")
    console.print(table)
    if plot is not None:
        draw(rows, data, engines, plot)


def file_of(words: Path, size: int) -> tuple[int, Row]:
    """A file of so many words, drawn from those of `words`, to tensors in a process of its own."""
    known = words.read_text(encoding="utf-8").split()
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "words.txt"
        path.write_text("\n".join(random.Random(1).choices(known, k=size)), encoding="utf-8")
        return size, worker("file", path, 1, 1)[0]


def draw(rows: list[Row], data: list[tuple[int, Row]], engines: Sequence[str], plot: Path) -> None:
    """The growth, on logarithmic axes."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(12, 3.6), layout="constrained")
    axes = figure.subplots(1, 4)
    for axis, name in zip(axes, ("hidden size", "batch size", "context length"), strict=False):
        part = [row for row in rows if row["axis"] == name]
        for line in ("matrix products", *engines):
            style = {"color": "0.6", "linestyle": "--"} if line == "matrix products" else {"marker": "."}
            axis.loglog([row["size"] for row in part], [row[line] * 1e6 for row in part], label=line, **style)
        axis.set(xlabel=name, ylabel="µs a step")
    axes[0].legend()
    axes[3].loglog([row["characters"] for _, row in data], [row["seconds"] for _, row in data], marker=".")
    axes[3].set(xlabel="characters", ylabel="seconds from file to tensors")
    figure.savefig(plot, dpi=110)


def add(table: Table, row: Row, threads: int) -> None:
    scale = UNITS[row["unit"]]
    goal = "" if row["goal"] is None else f"{row['goal']:.2g}"
    theirs, ours = (f"{row[name] * scale:,.1f} {row['unit']}" for name in ("theirs", "ours"))
    table.add_row(row["what"], str(threads), row["peer"], theirs, ours, f"{row['theirs'] / row['ours']:.2f}", goal)


def about() -> str:
    versions = []
    for name in ("torch", "numpy", "numba", "jax"):
        try:
            versions.append(f"{name} {importlib.metadata.version(name)}")
        except importlib.metadata.PackageNotFoundError:
            versions.append(f"no {name}")
    card = f", {cuda_name()}" if cuda_name() is not None else ""
    return f"{processor()}, {os.cpu_count()} cores{card}; Python {platform.python_version()}, {', '.join(versions)}"


@functools.cache
def cuda_name() -> str | None:
    """The name of the CUDA device, from a process of its own; None where there is none."""
    code = "import torch\nif torch.cuda.is_available(): print(torch.cuda.get_device_name())"
    done = subprocess.run([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True, check=True)
    return done.stdout.strip() or None


def processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        return next(line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    except (OSError, StopIteration):
        return platform.processor() or platform.machine()


if __name__ == "__main__":
    main()
