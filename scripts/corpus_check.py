"""Measure how a large running text is encoded: speed, memory, a warm cache, and what `kill -9` leaves behind.

    python scripts/corpus_check.py --megabytes 100 1000 --folder /tmp/corpus

Each part runs in a process of its own. With `--address-space 1000` (MB) its address space is limited, as by
`ulimit -v`, to so much more than it has once torch and zoo are imported.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent / "benchmarking"))

from texts import make_text

CHILD = """
import json, resource, sys, time
import torch
import zoo, zoo.storage.loading, zoo.runs.runner
from zoo.data.loading import encode

torch.set_num_threads(1)
path, limit = sys.argv[1], int(sys.argv[2])
status = dict(line.split(":", 1) for line in open("/proc/self/status"))
if limit:
    most = int(status["VmSize"].split()[0]) * 1024 + limit * 10**6
    resource.setrlimit(resource.RLIMIT_AS, (most, most))
began = time.perf_counter(), time.process_time()
data = zoo.CorpusDataset(path=path)
read = time.perf_counter() - began[0], time.process_time() - began[1]
train = encode(data, "sequences", None, max_length=64)["train"]
x, y = train.gather(torch.randint(0, len(train), (8, 12), generator=torch.Generator().manual_seed(1)))
first = time.perf_counter() - began[0]
began = time.perf_counter()
train.gather(torch.randint(0, len(train), (1000, 32), generator=torch.Generator().manual_seed(1)))
block = time.perf_counter() - began
print(json.dumps({
    "tokens": len(data), "seconds": read[0], "cpu_seconds": read[1], "first_batches": first, "block_32000": block,
    "peak_MB": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1000,
    "imported_MB": int(status["VmRSS"].split()[0]) / 1000,
    "sum": int(x.sum()), "file": str(getattr(data.tokens, "path", "")),
}))
"""


def child(path: Path, cache: Path, limit: int, kill_after: float | None = None) -> dict[str, float] | None:
    """One start; None if it was killed."""
    env = {**os.environ, "ZOO_CACHE": str(cache)}
    process = subprocess.Popen([sys.executable, "-c", CHILD, path, str(limit)], env=env, stdout=subprocess.PIPE)
    if kill_after is not None:
        parts, began = cache / "corpus", time.monotonic()
        while not list(parts.glob("*.tmp")) and time.monotonic() - began < 120:
            time.sleep(0.005)
        time.sleep(kill_after)
        process.send_signal(signal.SIGKILL)
    out, _ = process.communicate()
    return json.loads(out) if process.returncode == 0 else None


def check(megabytes: int, folder: Path, limit: int) -> None:
    path, cache = folder / f"text-{megabytes}.txt", folder / f"cache-{megabytes}"
    make_text(path, megabytes)
    time.sleep(2.5)  # the time of its inode is of now
    left = []
    for delay in (0.0, 0.1, 0.3):
        killed = child(path, cache, limit, kill_after=delay)
        left.append((killed is None, sorted(file.suffix for file in (cache / "corpus").iterdir())))
    print(f"{megabytes} MB: killed while encoding, and what was left:", left)
    for name in ("encoded", "warm", "warm again"):
        result = child(path, cache, limit)
        assert result is not None, f"{name} failed"
        rate = megabytes / result["seconds"]
        print(
            f"{megabytes} MB, {name}: {rate:,.0f} MB/s,", {key: value for key, value in result.items() if key != "file"}
        )
    print(
        "the cache has", sorted(f"{file.name[-16:]} {file.stat().st_size:,}" for file in (cache / "corpus").iterdir())
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--megabytes", type=int, nargs="+", default=[100], help="sizes of the texts")
    parser.add_argument("--folder", type=Path, required=True, help="for the texts and the cache; an empty one")
    parser.add_argument(
        "--address-space", type=int, default=1000, metavar="MB", help="beside the libraries; 0: no limit"
    )
    args = parser.parse_args()
    args.folder.mkdir(parents=True, exist_ok=True)
    for megabytes in args.megabytes:
        check(megabytes, args.folder, args.address_space)


if __name__ == "__main__":
    main()
