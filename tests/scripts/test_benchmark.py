"""`scripts/benchmark.py` on CUDA, without a GPU: what is where, what is left out, and when a clock starts."""

from __future__ import annotations

import os
import subprocess
import time
from collections.abc import Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import benchmark
import parts
import pytest
import steps
import torch
from peers import initial_weights, notebook_loop
from torch import Tensor

from zoo.engines import Stop
from zoo.training.loop import Training, train

EACH = {"notebook": 300e-6, "NumPy by hand": 80e-6, "autograd": 200e-6, "manual": 50e-6, "fused": 20e-6}


def test_the_notebooks_loop_is_on_the_device_of_its_data(monkeypatch: pytest.MonkeyPatch) -> None:
    """On `meta` nothing is computed, and the first value that is read fails: the loss."""
    asked: list[Any] = []
    randint = torch.randint

    def recorded(*args: Any, **options: Any) -> Tensor:
        asked.append(options.get("device"))
        return randint(*args, **options)

    monkeypatch.setattr(torch, "randint", recorded)
    x, y = torch.zeros(9, 3, dtype=torch.long, device="meta"), torch.zeros(9, dtype=torch.long, device="meta")
    with torch.random.fork_rng(), pytest.raises(RuntimeError, match=r"item\(\)"):
        notebook_loop(x, y, 1)
    assert asked == [torch.device("meta")]
    assert all(weight.device.type == "meta" for weight in initial_weights(device="meta"))


@pytest.mark.parametrize(
    ("device", "peers", "goals"),
    [("cpu", {"notebook", "NumPy by hand"}, [1.3, 2.5, 6.0]), ("cuda", {"notebook"}, [None, 5.0, 10.0])],
)
def test_what_computes_on_the_cpu_has_rows_there_only(
    device: str, peers: set[str], goals: list[float | None], monkeypatch: pytest.MonkeyPatch, words_file: Path
) -> None:
    monkeypatch.setattr(parts, "lecture_loops", lambda words, device: {n: (1, print) for n in EACH if n[0] != "N"})
    monkeypatch.setattr(parts, "seconds_a_step", lambda loops, rounds, device: {name: EACH[name] for name in loops})
    monkeypatch.setattr(parts, "jax_scan", lambda: None)
    rows = parts.step(words_file, 1, device)
    assert {row["peer"] for row in rows} == peers
    assert [row["goal"] for row in rows if row["peer"] == "notebook"] == goals


@pytest.mark.skipif(not hasattr(os, "sched_setaffinity"), reason="processes cannot be held to cores here")
@pytest.mark.parametrize(("device", "threads", "cores"), [("cpu", 1, 1), ("cpu", 2, 2), ("cuda", 1, 2), ("cuda", 4, 4)])
def test_cuda_has_a_second_core_for_the_thread_of_autograd(
    device: str, threads: int, cores: int, monkeypatch: pytest.MonkeyPatch, words_file: Path
) -> None:
    held: list[set[int]] = []
    env: dict[str, str] = {}

    def run(command: Sequence[str], **options: Any) -> SimpleNamespace:
        env.update(options["env"])
        assert command[-1] == device
        return SimpleNamespace(stdout="[]")

    monkeypatch.setattr(os, "sched_setaffinity", lambda process, those: held.append(those))
    monkeypatch.setattr(os, "cpu_count", lambda: 8)
    monkeypatch.setattr(subprocess, "run", run)
    assert benchmark.worker("step", words_file, threads, 1, device) == []
    assert held == [set(range(cores))]
    assert env["OMP_NUM_THREADS"] == str(threads)


def test_the_warm_up_has_a_block_of_a_graphs_steps(monkeypatch: pytest.MonkeyPatch) -> None:
    """Also where the first block takes long, because an engine compiles in it."""
    counts: list[int] = []

    class Slow:
        worth_from = 0

        def run(self, x: Tensor, y: Tensor, lrs: Sequence[float], stop: Stop) -> Tensor:
            time.sleep(0 if counts else 0.15)
            counts.append(len(y))
            return torch.ones(len(y))

    training = steps.new_training(benchmark.BUNDLED, "autograd", "cpu")
    assert isinstance(training, Training)
    training.engine = Slow()
    train(training, steps.WARM_UP)
    assert max(counts) >= 64
    done: list[int] = []
    monkeypatch.setattr(parts, "new_training", lambda *args, **options: training)
    monkeypatch.setattr(parts, "shuffled_examples", lambda words: {"val": training.examples})
    monkeypatch.setattr(parts, "evaluate", lambda model, examples: 2.0)
    monkeypatch.setattr(parts, "train", lambda training, steps: done.append(steps))
    parts.target(benchmark.BUNDLED, 1, "cpu")
    assert done == [steps.WARM_UP] * 3  # and nothing is counted where the target is reached


def test_each_loop_of_a_round_has_the_warm_ups_steps_at_least(words_file: Path) -> None:
    loops = steps.lecture_loops(benchmark.BUNDLED, "cpu", share=0.001)
    assert {"notebook", "autograd", "manual"} <= loops.keys()
    assert {count for count, _ in loops.values()} == {steps.WARM_UP}
