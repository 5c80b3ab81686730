"""The part `ranks` of `benchmark.py`: data-parallel training by torchrun, with one and two ranks on two cores.

    python ranks.py --words FILE --rounds N [--quick]

Prints one JSON list of rows: a step of a run under torchrun against the same run in a single process, with the same
global batch. All use `autograd` and one thread a process. `mlp-char` has a step so short that ranks cannot pay.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from processes import as_installed, spent
from texts import make_text

Row = dict[str, Any]
RANKS = (1, 2)


@dataclass(frozen=True)
class Net:
    """A run that is measured: what `zoo run` is told, and how many steps."""

    name: str
    options: tuple[str, ...]
    steps: int


def nets(words: Path, text: Path, *, quick: bool) -> list[Net]:
    shakespeare = ("--preset", "shakespeare", "--dataset", str(text), "--precision", "float32", "--batch-size", "48")
    share = 20 if quick else 1
    return [
        Net("transformer", shakespeare, 60 // share),
        Net("mlp-char", ("--dataset", str(words)), 4000 // share),
    ]


def seconds_a_step(net: Net, ranks: int | None, out: Path) -> float:
    """Of training alone, as the run's own clock has it; `None` ranks are the single process, without torchrun."""
    launcher = ["-m", "torch.distributed.run", "--standalone", f"--nproc-per-node={ranks}"] if ranks else []
    command = [sys.executable, *launcher, "-m", "zoo", "run", net.name, *net.options, "--steps", str(net.steps)]
    own = ["--engine", "autograd", "--device", "cpu", "--threads", "1", "--no-plots", "--quiet", "--out", str(out)]
    spent([*command, *own], {**as_installed(), "ZOO_OFFLINE": "1", "ZOO_PLUGINS": ""})
    seconds: float = json.loads((out / "metrics.json").read_text(encoding="utf-8"))["seconds"]["train"]
    return seconds / net.steps


def rows(words: Path, rounds: int, *, quick: bool = False) -> list[Row]:
    found: list[Row] = []
    with tempfile.TemporaryDirectory() as folder:
        work = Path(folder)
        make_text(work / "text.txt", 0.05)  # all of which each run evaluates
        for net in nets(words, work / "text.txt", quick=quick):
            taken: dict[int | None, list[float]] = {ranks: [] for ranks in (None, *RANKS)}
            for number in range(rounds):
                for ranks, seconds in taken.items():
                    seconds.append(seconds_a_step(net, ranks, work / f"{net.name}-{ranks}-{number}"))
            step = {ranks: statistics.median(seconds) for ranks, seconds in taken.items()}
            for ranks in RANKS:
                what = f"training step, {net.name}, {ranks} rank{'s' * (ranks > 1)}"
                unit = "ms" if step[None] > 1e-3 else "µs"
                found.append(row(what, "the single process", step[None], step[ranks], unit))
    return found


def row(what: str, peer: str, theirs: float, ours: float, unit: str) -> Row:
    return {"what": what, "peer": peer, "theirs": theirs, "ours": ours, "unit": unit, "goal": None}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--words", type=Path, required=True)
    parser.add_argument("--rounds", type=int, default=1)
    parser.add_argument("--quick", action="store_true")
    args = parser.parse_args()
    print(json.dumps(rows(args.words, args.rounds, quick=args.quick)))


if __name__ == "__main__":
    main()
