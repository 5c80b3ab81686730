"""Measure zoo against the lecture's notebook, makemore's and nanoGPT's loops, NumPy, JAX and BLAS: in turn, as ratios.

    python scripts/benchmark.py [--words FILE] [--text FILE] [--rounds N] [--threads 1,2] [--plot FILE]
                                [--megabytes 10,100] [--readme] [--quick] [PART ...]

step        a training step by each engine
target      training alone, until the validation loss is 2.17
family      a training step of makemore's models, against makemore's own loop, written anew for this
text        a training step of `transformer` on running text, against nanoGPT's own loop, written anew for this
data        a file of words to the tensors of three splits
evaluation  the losses of three splits
start       `zoo --help`, `zoo list` and `zoo plugins`, against an empty click program that imports rich
command     `zoo run mlp-char` with plots and checkpoint, against the notebook as a script: seconds and memory
corpus      a text of 10 and 100 MB: its first read, a warm start and a step, against nanoGPT's way
population  `zoo sweep`, against a loop of runs, a command a run, and JAX with all nets at once
ranks       `torchrun -m zoo run` with one and two ranks, against the single process
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
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

sys.path.insert(0, str(Path(__file__).resolve().parent / "benchmarking"))

from processes import as_installed, limited, spent

HERE = Path(__file__).parent
BUNDLED = HERE.parent / "plugins" / "zoo_lecture" / "data" / "names-ssa-2018.txt"
PARTS = ("step", "target", "family", "text", "data", "evaluation", "start", "command", "growth")
ALONE = ("corpus", "population", "ranks")  # each in a script of its own, once, with two cores
LONG = 5  # rounds of the others for one of these, which take minutes
TEXT = "tinyshakespeare.txt"
UNITS = {"s": 1.0, "ms": 1e3, "µs": 1e6, "MiB": 1 / 2**20}
Row = dict[str, Any]
console = Console(width=120)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("parts", nargs="*", metavar="PART", help=f"by default all: {', '.join((*PARTS, *ALONE))}")
    parser.add_argument(
        "--words", type=Path, default=BUNDLED, help="a file with one word a line; default bundled names"
    )
    parser.add_argument(
        "--text", type=Path, help=f"a file of running text for the part `text`; by default {TEXT} in zoo's cache"
    )
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--threads", default="1,2", help="numbers of threads, separated by commas; default 1,2")
    parser.add_argument("--plot", type=Path, help="write the plot of `growth` there")
    parser.add_argument("--megabytes", default="10,100", help="sizes of the texts of `corpus`; default 10,100")
    parser.add_argument(
        "--readme", action="store_true", help=f"write the rows of {', '.join(ALONE)} into scripts/README.md, too"
    )
    parser.add_argument("--quick", action="store_true", help=f"of {', '.join(ALONE)}: small sizes, to try them out")
    args = parser.parse_args()
    known = (*PARTS, *ALONE)
    unknown = set(args.parts) - set(known)
    if unknown:
        parser.error(f"no part {', '.join(unknown)}: there are {', '.join(known)}")
    parts = args.parts or list(known)
    console.print(about())
    files = dict.fromkeys(parts, args.words) | {"text": args.text or cached_text()}
    if "text" in parts and files["text"] is None:
        parts.remove("text")
        console.print(f"text is left out: there is no {TEXT} in zoo's cache, and no --text FILE")
    rows = [
        {**row, "threads": threads}
        for threads in map(int, args.threads.split(","))
        for part in parts
        if part in PARTS and part != "growth"
        for row in rows_of(part, files[part].resolve(), threads, args.rounds)
    ]
    for part in ALONE:
        if part in parts:
            own = ["--megabytes", args.megabytes] if part == "corpus" else ["--quick"] * args.quick
            rows += (found := alone(part, args.words.resolve(), max(1, args.rounds // LONG), own))
            if args.readme:
                write(part, found)
    if rows:
        console.print(shown(rows))
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


def alone(part: str, words: Path, rounds: int, options: Sequence[str]) -> list[Row]:
    """Rows of one of `ALONE`: a script that starts processes of one thread each, which may use two cores."""
    script = [sys.executable, HERE / "benchmarking" / f"{part}.py", "--words", words, "--rounds", rounds, *options]
    env = limited(1, cores=2)
    done = subprocess.run([*map(str, script)], stdout=subprocess.PIPE, env=env, text=True, check=True)
    rows: list[Row] = json.loads(done.stdout)
    return [{**row, "threads": 1} for row in rows]


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
                taken[name].append(spent(argv, env)[:2])
    rows = []
    for place, (what, unit, goal) in enumerate([("whole command", "s", 1 / 0.7), ("its peak memory", "MiB", 1.0)]):
        theirs, ours = (statistics.median(one[place] for one in taken[name][1:]) for name in ("notebook", "zoo"))
        rows.append(
            {"what": what, "peer": "notebook as a script", "theirs": theirs, "ours": ours, "unit": unit, "goal": goal}
        )
    return rows


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


COLUMNS = ("what", "threads", "peer", "peer's", "zoo's", "times as fast", "goal")


def shown(rows: Sequence[Row]) -> Table:
    table = Table(*COLUMNS, box=None)
    for row in rows:
        table.add_row(*cells(row))
    return table


def write(part: str, rows: Sequence[Row]) -> None:
    """Put the rows into this folder's README, where it has the part's."""
    from make_readme import with_section

    readme = HERE / "README.md"
    text = readme.read_text(encoding="utf-8")
    readme.write_text(with_section(text, part, f"{about()}:\n\n{markdown(rows)}"), encoding="utf-8")


def markdown(rows: Sequence[Row]) -> str:
    """The rows as a table."""
    lines = [COLUMNS, ("---",) * len(COLUMNS), *map(cells, rows)]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def cells(row: Row) -> tuple[str, ...]:
    scale = UNITS[row["unit"]]
    goal = "" if row["goal"] is None else f"{row['goal']:.2g}"
    theirs, ours = (f"{row[name] * scale:,.1f} {row['unit']}" for name in ("theirs", "ours"))
    times = f"{row['theirs'] / row['ours']:.2f}"
    return row["what"], str(row["threads"]), row["peer"], theirs, ours, times, goal


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
