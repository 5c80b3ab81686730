"""Runs by two ranks, as `torchrun` starts them."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from conftest import Zoo
from launching import Launched, launch, process_of_rank
from torch import Tensor

from zoo.training.distributed.engine import _Share

COMPARED = ("model.safetensors", "training_state.safetensors", "losses.csv", "config.json", "README.md")
SMALL = ("--device", "cpu", "--set", "model.hidden_size=8", "--no-plots", "--quiet")


def files_of(folder: Path) -> dict[str, bytes]:
    return {name: (folder / name).read_bytes() for name in COMPARED}


def when_saved(launched: Launched, step: int, folder: Path) -> None:
    """Wait until a checkpoint has so many steps."""
    deadline = time.monotonic() + 30
    while time.monotonic() < deadline:
        losses = folder / "losses.csv"
        if losses.exists() and losses.read_text().count("\n") > step:
            return
        time.sleep(0.002)
    pytest.fail(f"no checkpoint of step {step}: {launched.said}")


def test_rank_0_keeps_the_run_and_says_its_result(words_file: Path) -> None:
    launched = launch("run", "mlp-char", "--dataset", words_file, "--steps", 40, *SMALL)
    assert launched.wait() == [0, 0], launched.said
    assert [*Path("runs").iterdir()] == [Path("runs/mlp-char-1")]
    first, second = launched.said
    assert second == []
    assert "(autograd, 2 ranks)" in first[0]
    assert json.loads(Path("runs/mlp-char-1/config.json").read_text())["training"]["ranks"] == 2
    assert "torchrun --nproc-per-node 2 -m zoo run" in Path("runs/mlp-char-1/README.md").read_text()


def test_a_rank_that_is_killed_costs_nothing_but_a_restart(words_file: Path) -> None:
    run = ("run", "mlp-char", "--dataset", words_file, "--steps", 240, "--checkpoint-every", 20, *SMALL)
    whole = launch(*run, "--out", "others/whole")
    assert whole.wait() == [0, 0], whole.said
    for attempt, rank in enumerate((1, 0)):
        launched = launch(*run, restarts=attempt)
        when_saved(launched, 60 * (attempt + 1), Path("runs/mlp-char-1"))
        launched.kill(rank)
        codes = launched.wait()
        assert codes[rank] == -signal.SIGKILL
        assert codes[1 - rank] == 1, launched.said
        if rank == 1:
            assert "another rank was lost" in launched.said[0][-1]
            assert "to resume: torchrun --nproc-per-node 2 -m zoo resume runs/mlp-char-1" in launched.said[0][-1]
        else:
            assert launched.said[1] == []
    last = launch(*run, restarts=2)
    assert last.wait() == [0, 0], last.said
    assert [*Path("runs").iterdir()] == [Path("runs/mlp-char-1")]
    assert files_of(Path("runs/mlp-char-1")) == files_of(Path("others/whole"))


def test_what_goes_wrong_is_told_once(words_file: Path) -> None:
    for wrong, text in {
        ("nosuch",): "no model 'nosuch'",
        ("mlp-char", "--steps", "many"): "--steps",
        ("mlp-char", "--batch-size", 1): "--batch-size 1 is fewer examples than there are ranks (2)",
        ("mlp-char", "--engine", "manual"): "engine 'manual' trains in one process, and there are 2 ranks",
        ("mlp-bn",): "batch norm",
        ("ngram",): "is not trained in steps",
    }.items():
        launched = launch("run", *wrong, "--dataset", words_file, "--device", "cpu", "--quiet")
        assert launched.wait() == [2, 2], launched.said
        assert [len(lines) for lines in launched.said] == [1, 0], launched.said
        assert text in launched.said[0][0]
    assert not Path("runs").exists()


def test_a_stop_at_any_rank_stops_all_of_them(words_file: Path) -> None:
    run = ("run", "mlp-char", "--dataset", words_file, "--steps", 100_000, "--checkpoint-every", 20, *SMALL)
    for rank in (0, 1):
        launched = launch(*run, name=str(rank))
        folder = Path(f"runs/mlp-char-{rank + 1}")
        when_saved(launched, 20, folder)
        launched.kill(rank, signal.SIGINT)
        codes = launched.wait()
        assert codes[0] == (130 if rank == 0 else 143), launched.said
        assert "stopped at step" in launched.said[0][-1]
        assert launched.said[1] == []


def test_resumed_by_both_and_by_one_process(words_file: Path, zoo_here: Zoo) -> None:
    net = [f"--set=model.{setting}" for setting in ("n_layer=1", "n_embd=8", "n_head=2", "dropout=0.3")]
    run = ("transformer", "--dataset", words_file, "--device", "cpu", "--validate-every", 8, *net, "--no-plots")
    assert launch("run", *run, "--steps", 30, "--out", "whole").wait() == [0, 0]
    assert launch("run", *run, "--steps", 13, "--out", "part").wait() == [0, 0]
    shutil.copytree("part", "again")
    launched = launch("resume", "part", "--steps", 30, "--no-plots")
    assert launched.wait() == [0, 0], launched.said
    assert files_of(Path("part")) == files_of(Path("whole"))
    assert "warning: the last digits" not in " ".join(launched.said[0])
    alone = zoo_here("resume", "again", "--steps", 30, "--no-plots")
    assert alone.code == 0
    assert "training.ranks: 2 then, 1 now" in alone.err
    assert "ranks" not in json.loads(Path("again/config.json").read_text())["training"]


def test_ranks_stop_early_and_diverge_together(words_file: Path) -> None:
    run = ("run", "mlp-char", "--dataset", words_file, *SMALL)
    stopped = launch(*run, "--steps", 5000, "--validate-every", 2, "--patience", 2, "--lr", 1, "--out", "early")
    assert stopped.wait() == [0, 0], stopped.said
    assert json.loads(Path("early/metrics.json").read_text())["steps"] < 5000
    diverged = launch(*run, "--steps", 50, "--lr", 1e30, "--out", "far")
    assert diverged.wait() == [1, 1], diverged.said
    assert "zoo: error: the loss became" in diverged.said[0][-1]
    assert diverged.said[1] == []


def test_what_fails_at_one_rank_is_told_by_rank_0(words_file: Path) -> None:
    forward, calls = _Share.forward, 0

    def failing(self: _Share, *args: Any) -> Tensor:
        nonlocal calls
        calls += 1
        if os.environ["RANK"] == "1" and calls == 40:
            raise MemoryError
        return forward(self, *args)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(_Share, "forward", failing)
        launched = launch("run", "mlp-char", "--dataset", words_file, "--steps", 90, *SMALL)
    assert launched.wait() == [1, 1], launched.said
    assert len(launched.said[0]) == 1
    assert "rank 1: there is not enough memory" in launched.said[0][0]
    assert "stopped at step" in launched.said[0][0]
    assert launched.said[1] == []
    again = launch("resume", "runs/mlp-char-1", "--no-plots")
    assert again.wait() == [0, 0], again.said
    assert launch("run", "mlp-char", "--dataset", words_file, "--steps", 90, *SMALL).wait() == [0, 0]
    assert files_of(Path("runs/mlp-char-1")) == files_of(Path("runs/mlp-char-2"))


def test_one_rank_is_no_other_run(words_file: Path, zoo_here: Zoo) -> None:
    """The same engine and bytes; a restart goes on in its folder as well, and of a finished one gives the result."""
    run = ("run", "mlp-char", "--dataset", words_file, "--steps", 60, *SMALL)
    alone = zoo_here(*run)
    first = launch(*run, count=1)
    assert first.wait() == [0], first.said
    assert files_of(Path("runs/mlp-char-1")) == files_of(Path("runs/mlp-char-2"))
    again = launch(*run, count=1, restarts=1)
    assert again.wait() == [0], again.said
    assert again.said[0][-1] == first.said[0][-1] == "Everything is in runs/mlp-char-2"
    assert len([*Path("runs").iterdir()]) == 2
    assert alone.code == 0


def test_other_commands_are_done_once(run: Path) -> None:
    launched = launch("verify", run)
    assert launched.wait() == [0, 0]
    assert "intact" in " ".join(launched.said[0])
    assert launched.said[1] == []


@pytest.mark.skipif(sys.platform != "linux", reason="finds the ranks in /proc")
def test_torchrun_itself_restarts_a_run_whose_rank_is_killed(words_file: Path) -> None:
    run = ("run", "mlp-char", "--dataset", words_file, "--steps", 300, "--checkpoint-every", 20, *SMALL)
    assert launch(*run, "--out", "others/whole").wait() == [0, 0]
    launcher = ("-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2", "--max-restarts", "1")
    command = [sys.executable, "-P", *launcher, "-m", "zoo", *map(str, run)]
    with Path("output.txt").open("wb") as output, subprocess.Popen(command, stdout=output, stderr=output) as torchrun:
        folder, deadline = Path("runs/mlp-char-1"), time.monotonic() + 60
        while not (folder / "losses.csv").exists() or (folder / "losses.csv").read_text().count("\n") < 60:
            assert time.monotonic() < deadline, Path("output.txt").read_text()
            time.sleep(0.005)
        os.kill(process_of_rank(1, torchrun.pid), signal.SIGKILL)
        assert torchrun.wait(60) == 0, Path("output.txt").read_text()
    said = Path("output.txt").read_text()
    assert said.count("another rank was lost") == 1
    assert said.count("Everything is in runs/mlp-char-1") == 1
    assert "find_unused_parameters" not in said
    assert [*Path("runs").iterdir()] == [folder]
    assert files_of(folder) == files_of(Path("others/whole"))
