"""The part `corpus` of `benchmark.py`: running text of several sizes: `python corpus.py --megabytes 10,100`.

Prints one JSON list of rows. A first read is from the file to the first batches of `transformer`: the digest, the
characters, and the text as numbers on the disk, in a cache that was empty. A warm start is the same with that cache.
Each is measured in a process of its own, after its imports, with the file in the system's own cache.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
from processes import peak_bytes
from texts import MEGABYTE, make_text

NANOGPT_READS = 100  # MB at most: a number in Python for each character takes some ten times the text's size
ROUND = 20  # steps
SETTLED = 3.0  # seconds after which a file counts as no longer changing
Row = dict[str, Any]
Taken = dict[str, float]


def zoo_reads(path: Path) -> Taken:
    """As `zoo run transformer --preset shakespeare` reads it; and seconds of a step."""
    import torch
    from running_text import Sizes, training
    from steps import train_more

    import zoo

    torch.set_num_threads(1)
    before, started = peak_bytes(), time.perf_counter()
    dataset = zoo.CorpusDataset(path=path, split=(0.9, 1.0))
    trained = training(dataset, "float32", Sizes())
    trained.examples.gather(torch.randint(0, len(trained.examples), (8, 12), generator=trained.generator))
    seconds, peak = time.perf_counter() - started, peak_bytes()
    train_more(trained, ROUND)
    started = time.perf_counter()
    train_more(trained, ROUND)
    return {"seconds": seconds, "bytes": peak - before, "step": (time.perf_counter() - started) / ROUND}


def nanogpt_reads(path: Path) -> Taken:
    """As its `prepare.py` for characters does: the text as a string, and a number in Python for each character."""
    from nanogpt import encoded

    before, started = peak_bytes(), time.perf_counter()
    ids, _ = encoded(path)
    ids.tofile(path.with_suffix(".bin"))
    return {"seconds": time.perf_counter() - started, "bytes": peak_bytes() - before}


def numpy_reads(path: Path) -> Taken:
    """The fastest that a person would write for ASCII: the bytes that occur, then a table applied to each MiB."""
    before, started = peak_bytes(), time.perf_counter()
    known = np.zeros(256, bool)
    with path.open("rb") as file:
        while piece := file.read(1 << 20):
            known |= np.bincount(np.frombuffer(piece, np.uint8), minlength=256) > 0
    table = (np.cumsum(known, dtype=np.uint8) - 1).tobytes()
    with path.open("rb") as file, path.with_suffix(".bin").open("wb") as numbers:
        while piece := file.read(1 << 20):
            numbers.write(piece.translate(table))
    return {"seconds": time.perf_counter() - started, "bytes": max(1, peak_bytes() - before)}


READERS = {reader.__name__: reader for reader in (zoo_reads, nanogpt_reads, numpy_reads)}


def measured(reader: str, path: Path, cache: Path) -> Taken:
    """What a reader takes, in a process of its own."""
    env = {**os.environ, "ZOO_CACHE": str(cache), "ZOO_PLUGINS": ""}
    words = [sys.executable, __file__, reader, str(path)]
    done = subprocess.run(words, env=env, stdout=subprocess.PIPE, text=True, check=True)
    taken: Taken = json.loads(done.stdout)
    return taken


def of_size(megabytes: int, rounds: int) -> dict[str, Taken]:
    """The medians for a text of so many megabytes: of each reader, and of a warm start."""
    taken: dict[str, list[Taken]] = {}
    with tempfile.TemporaryDirectory() as work:
        path = Path(work) / "text.txt"
        make_text(path, megabytes)
        time.sleep(SETTLED)
        for number in range(rounds):
            cache = Path(work) / f"cache-{number}"
            for name in ("zoo_reads", "warm", "numpy_reads", "nanogpt_reads"):
                if name != "nanogpt_reads" or megabytes <= NANOGPT_READS:
                    reader = "zoo_reads" if name == "warm" else name
                    taken.setdefault(name, []).append(measured(reader, path, cache))
    return {name: medians(values) for name, values in taken.items()}


def medians(values: list[Taken]) -> Taken:
    return {key: statistics.median(one[key] for one in values) for key in values[0]}


def rows(sizes: list[int], rounds: int) -> list[Row]:
    found: list[Row] = []
    first_step = None
    for megabytes in sizes:
        taken = of_size(megabytes, rounds)
        ours, warm = taken["zoo_reads"], taken["warm"]
        for reader, peer in (("nanogpt_reads", "nanoGPT's way"), ("numpy_reads", "NumPy by hand")):
            if reader in taken:
                theirs = taken[reader]["seconds"]
                found.append(row(f"first read of {megabytes:,} MB", peer, theirs, ours["seconds"], "ms"))
        size = megabytes * MEGABYTE
        found.append(row("its memory, beside libraries and net", "the text's size", size, ours["bytes"], "MiB"))
        found.append(row(f"warm start on {megabytes:,} MB", "first read", ours["seconds"], warm["seconds"], "ms"))
        if first_step is not None:
            peer = f"on {sizes[0]:,} MB"
            found.append(row(f"a step of transformer on {megabytes:,} MB", peer, first_step, warm["step"], "ms", 0.95))
        first_step = first_step or warm["step"]
    return found


def row(what: str, peer: str, theirs: float, ours: float, unit: str, goal: float | None = None) -> Row:
    return {"what": what, "peer": peer, "theirs": theirs, "ours": ours, "unit": unit, "goal": goal}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--megabytes", default="10,100", help="sizes of the texts")
    parser.add_argument("--rounds", type=int, default=1)
    parser.add_argument("--words", help="not used: `benchmark.py` gives it to all of its parts")
    args = parser.parse_args()
    print(json.dumps(rows([*map(int, args.megabytes.split(","))], args.rounds)))


if __name__ == "__main__":
    if sys.argv[1:2] and sys.argv[1] in READERS:
        print(json.dumps(READERS[sys.argv[1]](Path(sys.argv[2]))))
    else:
        main()
