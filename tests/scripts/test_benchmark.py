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
import nanogpt
import parts
import pytest
import running_text
import steps
import torch
from peers import initial_weights, notebook_loop
from rich.console import Console
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
    monkeypatch.setattr(parts, "evaluate", lambda model, examples: SimpleNamespace(loss=2.0))
    monkeypatch.setattr(parts, "train", lambda training, steps: done.append(steps))
    parts.target(benchmark.BUNDLED, 1, "cpu")
    assert done == [steps.WARM_UP] * 3  # and nothing is counted where the target is reached


def test_each_loop_of_a_round_has_the_warm_ups_steps_at_least(words_file: Path) -> None:
    loops = steps.lecture_loops(benchmark.BUNDLED, "cpu", share=0.001)
    assert {"notebook", "autograd", "manual"} <= loops.keys()
    assert {count for count, _ in loops.values()} == {steps.WARM_UP}


def test_running_text_has_a_row_for_each_precision(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, recwarn: pytest.WarningsRecorder
) -> None:
    """Both loops train a net of the same sizes on the same blocks, each of which has its next characters as targets."""
    text = tmp_path / "play.txt"
    text.write_text("To be, or not to be: that is\nthe question.\n" * 12)
    sizes = running_text.Sizes(n_layer=1, n_head=2, n_embd=8, max_length=8, batch_size=3, steps=2)
    monkeypatch.setattr(parts, "text_loops", lambda path: running_text.loops(path, sizes))
    with torch.random.fork_rng():
        rows = parts.text(text, 1, "cpu")
    precisions = [row["what"].rpartition(", ")[2] for row in rows]
    assert precisions == (
        ["float32"] if any("no bfloat16" in str(w.message) for w in recwarn) else ["float32", "bfloat16"]
    )
    assert {row["peer"] for row in rows} == {"nanoGPT's loop"}
    assert [row["goal"] for row in rows] == [{"float32": None, "bfloat16": 4 / 3}[name] for name in precisions]


def test_nanogpts_loop_learns_and_has_its_learning_rates(tmp_path: Path) -> None:
    text = tmp_path / "play.txt"
    text.write_text("abcdefgh" * 50)
    ids, vocab_size = nanogpt.encoded(text)
    assert (vocab_size, len(ids), ids[:9].tolist()) == (8, 360, [0, 1, 2, 3, 4, 5, 6, 7, 0])
    with torch.random.fork_rng():
        torch.manual_seed(1)
        loop = nanogpt.Loop(nanogpt.GPT(vocab_size, 8, n_layer=1, n_head=2, n_embd=16), ids, 4, 8)
        x, y = loop.batch()
        loop.train(150)
    assert x.shape == y.shape == (4, 8)
    assert torch.equal(x[:, 1:], y[:, :-1])
    assert torch.equal(y, (x + 1) % 8)
    assert loop.losses[0] > 1.9
    assert loop.losses[-1] < 1.2
    rates = [nanogpt.rate(step) for step in (0, 99, 100, 1050, 2000, 3000)]
    assert rates == pytest.approx([1e-3 / 101, 1e-3 * 100 / 101, 1e-3, 5.5e-4, 1e-4, 1e-4])


def test_without_a_text_its_part_is_left_out_with_a_word(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    asked: list[Path] = []
    monkeypatch.setenv("ZOO_CACHE", str(tmp_path))

    def rows_of(part: str, path: Path, threads: int, rounds: int) -> list[Any]:
        asked.append(path)
        return []

    monkeypatch.setattr(benchmark, "rows_of", rows_of)
    monkeypatch.setattr("sys.argv", ["benchmark.py", "text", "--threads", "1"])
    monkeypatch.setattr(benchmark, "about", lambda: "")
    monkeypatch.setattr(benchmark, "console", Console(width=120))
    benchmark.main()
    assert (
        "text is left out: there is no tinyshakespeare.txt in zoo's cache, and no --text FILE"
        in capsys.readouterr().out
    )
    (tmp_path / "tinyshakespeare.txt").write_text("to be")
    benchmark.main()
    assert asked == [tmp_path / "tinyshakespeare.txt"]
