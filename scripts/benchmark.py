"""Measure zoo against the lecture's notebook: both in turn, in one run, as ratios of medians.

    python scripts/benchmark.py [--words FILE] [--rounds N] [--threads N] [data|step|growth ...]

`data`: the notebook's `build_dataset` against zoo, from a list of words to the tensors of three splits.
`step`: a training step of the notebook's loop against the `autograd` engine, and that their losses are equal.
`growth`: seconds and peak memory from a file of 10^4 to 10^7 words to tensors, each in a process of its own.
"""

from __future__ import annotations

import argparse
import platform
import random
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import torch
import torch.nn.functional as F
from rich.console import Console
from rich.table import Table
from torch import Tensor

import zoo
from zoo.data import encode
from zoo.training import Training, train

BUNDLED = Path(__file__).parent.parent / "plugins" / "zoo_lecture" / "data" / "names-ssa-2018.txt"
STEPS = 1000


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("parts", nargs="*", choices=["data", "step", "growth", []], metavar="data|step|growth")
    parser.add_argument(
        "--words", type=Path, default=BUNDLED, help="a file with one word a line; default the bundled one"
    )
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--measure-words", type=Path, help=argparse.SUPPRESS)  # what `growth` starts for each size
    args = parser.parse_args()
    if args.measure_words:
        measure_file(args.measure_words)
        return
    torch.set_num_threads(args.threads)
    parts = args.parts or ["data", "step", "growth"]
    print(f"torch {torch.__version__}, Python {platform.python_version()}, {processor()}, {args.threads} thread(s)")
    words = args.words.read_text(encoding="utf-8").split()
    if "data" in parts:
        data(words, args.rounds)
    if "step" in parts:
        step(words, args.rounds)
    if "growth" in parts:
        growth(words)


def data(words: list[str], rounds: int) -> None:
    """Words to the tensors of three splits, vocabulary included."""
    peer, ours = alternate(lambda: notebook_tensors(words), lambda: zoo_tensors(words), rounds)
    for (x, y), (nx, ny) in zip(zoo_tensors(words), notebook_tensors(words), strict=True):
        assert torch.equal(x, nx)
        assert torch.equal(y, ny)
    report(f"{len(words):,} words to tensors", "ms", 1e3, peer, ours)


def step(words: list[str], rounds: int) -> None:
    """A step of the lecture's net: batch 32, 11,897 parameters."""
    x, y = notebook_tensors(words)[0]
    peer_losses: list[float] = []
    our_losses: list[float] = []

    def peer() -> None:
        peer_losses[:] = notebook_loop(x, y, STEPS)

    def ours() -> None:
        our_losses[:] = zoo_loop(words, STEPS)

    notebook_s, zoo_s = alternate(peer, ours, rounds)
    assert our_losses == peer_losses or torch.get_num_threads() > 1
    report("training step, autograd", "µs", 1e6 / STEPS, notebook_s, zoo_s)
    same = "equal" if our_losses == peer_losses else "not equal"
    print(f"the {STEPS:,} losses of the two are {same} to the last bit")


def growth(words: list[str]) -> None:
    """From file to tensors, at sizes two to three decades apart."""
    table = Table("words", "characters", "seconds", "ns a character", "peak MiB", "of that tensors MiB", box=None)
    chooser = random.Random(1)
    for size in (10**4, 10**5, 10**6, 10**7):
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "words.txt"
            path.write_text("\n".join(chooser.choices(words, k=size)))
            command = [sys.executable, __file__, "--measure-words", str(path)]
            characters, seconds, peak, tensors = subprocess.check_output(command, text=True).split()
        nanoseconds = 1e9 * float(seconds) / int(characters)
        table.add_row(f"{size:,}", f"{int(characters):,}", f"{float(seconds):.3f}", f"{nanoseconds:.0f}", peak, tensors)
    Console(width=120).print(table)


def measure_file(path: Path) -> None:
    """Print: characters (ends of words included), seconds, peak MiB of this process, MiB of the tensors."""
    started = time.perf_counter()
    examples = encode(zoo.TextDataset.from_file(path), "windows", 3)
    seconds = time.perf_counter() - started
    peak_kib = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    tensors = sum(split.x.nbytes + split.y.nbytes for split in examples.values())
    print(sum(map(len, examples.values())), seconds, round(peak_kib / 1024), round(tensors / 2**20))


def zoo_tensors(words: list[str]) -> list[tuple[Tensor, Tensor]]:
    examples = encode(zoo.TextDataset(words), "windows", 3)
    return [(split.x, split.y) for split in examples.values()]


def zoo_loop(words: list[str], steps: int) -> list[float]:
    from zoo_lecture.sgd import SGD

    model = zoo.create_model("mlp-char")
    training = Training(
        model=model,
        optimizer=SGD(model.parameters(), lr=0.1),
        examples=encode(zoo.TextDataset(words), "windows", 3)["train"],
        batch_size=32,
        lr=0.1,
        schedule=zoo.Schedule((100_000,)),
        generator=torch.Generator().manual_seed(2147483647),
    )
    train(training, steps)
    return training.losses


def notebook_tensors(words: list[str]) -> list[tuple[Tensor, Tensor]]:
    """The lecture's `build_dataset`, for its three splits."""
    stoi = {s: i + 1 for i, s in enumerate(sorted(set("".join(words))))}
    stoi["."] = 0

    def build_dataset(words: list[str]) -> tuple[Tensor, Tensor]:
        X, Y = [], []
        for w in words:
            context = [0] * 3
            for ch in w + ".":
                ix = stoi[ch]
                X.append(context)
                Y.append(ix)
                context = [*context[1:], ix]
        return torch.tensor(X), torch.tensor(Y)

    n1, n2 = int(0.8 * len(words)), int(0.9 * len(words))
    return [build_dataset(part) for part in (words[:n1], words[n1:n2], words[n2:])]


def notebook_loop(X: Tensor, Y: Tensor, steps: int) -> list[float]:
    """The lecture's training cells, seeded."""
    g = torch.Generator().manual_seed(2147483647)
    shapes = [(27, 10), (30, 200), (200,), (200, 27), (27,)]
    parameters = [torch.randn(shape, generator=g) for shape in shapes]
    C, W1, b1, W2, b2 = parameters
    for p in parameters:
        p.requires_grad = True
    lossi = []
    torch.manual_seed(2147483647)
    for i in range(steps):
        ix = torch.randint(0, X.shape[0], (32,))
        emb = C[X[ix]]
        h = torch.tanh(emb.view(-1, 30) @ W1 + b1)
        logits = h @ W2 + b2
        loss = F.cross_entropy(logits, Y[ix])
        for p in parameters:
            p.grad = None
        loss.backward()  # type: ignore[no-untyped-call]  # torch
        lr = 0.1 if i < 100000 else 0.01
        for p in parameters:
            assert p.grad is not None
            p.data += -lr * p.grad
        lossi.append(loss.item())
    return lossi


def alternate(peer: Callable[[], object], ours: Callable[[], object], rounds: int) -> tuple[list[float], list[float]]:
    """Seconds of each, taken in turn after a round that does not count."""
    seconds: tuple[list[float], list[float]] = ([], [])
    for number in range(rounds + 1):
        for function, times in zip((peer, ours), seconds, strict=True):
            started = time.perf_counter()
            function()
            if number:
                times.append(time.perf_counter() - started)
    return seconds


def report(what: str, unit: str, scale: float, peer: list[float], ours: list[float]) -> None:
    a, b = statistics.median(peer), statistics.median(ours)
    print(f"{what}: notebook {a * scale:.1f} {unit}, zoo {b * scale:.1f} {unit}, {a / b:.1f} times as fast")


def processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        return next(line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    except (OSError, StopIteration):
        return platform.processor() or platform.machine()


if __name__ == "__main__":
    main()
