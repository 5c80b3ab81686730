"""The training step of the lecture's net by every engine, and by the notebook's loop on the same device, taken in turn.

`benchmark.py` and `cuda_check.py` both measure with this.
"""

from __future__ import annotations

import statistics
import sys
import time
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any

import torch
from peers import notebook_loop, notebook_tensors

import zoo
from zoo import cuda
from zoo.data.loading import encode
from zoo.plugin.manager import load_plugins
from zoo.training.building import build_model, build_optimizer
from zoo.training.device import synchronize
from zoo.training.engines import choose_engine
from zoo.training.loop import Training, train

SEED = 2147483647
ENGINES = ("autograd", "manual", "fused")
WARM_UP = 256  # steps: blocks double, and an engine may replay a graph of 64 steps or compile a kernel in the first
GOALS = {  # times as fast as the notebook's loop on the same device
    "cpu": {"autograd": 1.3, "manual": 2.5, "fused": 6.0},
    "cuda": {"manual": 5.0, "fused": 10.0},
}
StepLoop = tuple[int, Callable[[int], object]]  # steps in a round, and what trains so many


def lecture_loops(words: Path, device: str, *, share: float = 1) -> dict[str, StepLoop]:
    """The notebook's loop and zoo's engines, as many of them as can be had.

    Args:
        words: a file with one word a line.
        device: of both: the notebook's data, weights and batches are on it, as its user would write it.
        share: of the usual number of steps in a round.
    """
    x, y = (tensor.to(device) for tensor in notebook_tensors(read(words))[0])
    loops: dict[str, StepLoop] = {"notebook": (1000, partial(notebook_loop, x, y))}
    for engine in ENGINES:
        training = new_training(words, engine, device)
        if isinstance(training, Training):
            loops[engine] = 1000 if engine == "autograd" else 8000, partial(train_more, training)
    return {name: (max(WARM_UP, int(steps * share)), loop) for name, (steps, loop) in loops.items()}


def seconds_a_step(loops: Mapping[str, StepLoop], rounds: int, device: str) -> dict[str, float]:
    """The median time of a step of each, all taken in turn."""
    seconds = in_turn({name: partial(loop, steps) for name, (steps, loop) in loops.items()}, rounds, device)
    return {name: value / loops[name][0] for name, value in seconds.items()}


def new_training(
    words: Path, engine: str, device: str, batch: int = 32, hidden: int = 200, context: int = 3, shuffled: bool = False
) -> Training | None:
    """The lecture's training by an engine, or None where that engine cannot be had."""
    registry, _ = load_plugins()
    entry, sgd = registry.models.get("mlp-char"), registry.optimizers.get("sgd")
    settings = {"vocab_size": 27, "context_length": context, "embedding_dim": 10, "hidden_size": hidden}
    model = build_model(entry, settings, SEED).to(device)
    optimizer = build_optimizer(sgd, model, 0.1, {})
    try:
        _, made = choose_engine(engine, entry, model, optimizer, batch_size=batch, steps=10**6)
    except zoo.UsageError as error:
        print(f"no {engine}: {error}", file=sys.stderr)
        return None
    examples = shuffled_examples(words) if shuffled else encode(zoo.TextDataset.from_file(words), "windows", context)
    generator = torch.Generator().manual_seed(SEED)
    schedule = zoo.Schedule((100_000,))
    return Training(model, optimizer, examples["train"].to(device), batch, 0.1, schedule, generator, engine=made)


def shuffled_examples(words: Path) -> Any:
    dataset = zoo.TextDataset.from_file(words)
    return encode(dataset.arranged(split=None, shuffle_seed=42), "windows", 3)


def train_more(training: Training, steps: int) -> None:
    with cuda.current(training.examples.device):  # as a run has it
        train(training, training.step + steps)


def in_turn(runs: Mapping[str, Callable[[], object]], rounds: int, device: str = "cpu") -> dict[str, float]:
    """The median of the seconds of each, all taken in turn, after a round that does not count."""
    seconds: dict[str, list[float]] = {name: [] for name in runs}
    for number in range(rounds + 1):
        for name, run in runs.items():
            synchronize(torch.device(device))
            started = time.perf_counter()
            run()
            synchronize(torch.device(device))
            if number:
                seconds[name].append(time.perf_counter() - started)
    return {name: statistics.median(times) for name, times in seconds.items()}


def read(words: Path) -> list[str]:
    return words.read_text(encoding="utf-8").splitlines()
