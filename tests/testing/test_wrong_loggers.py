"""Deliberately wrong loggers: each rule of `zoo.testing` finds what it is for."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from offering import Offer

import zoo
import zoo.testing
from zoo.testing import loggers


class Right:
    """Writes what it is told, and goes on where it was."""

    def __init__(self, run_dir: Path, resumed_at: int, every: int = 1) -> None:
        self.path, self.resumed_at, self.every = run_dir / "log.txt", resumed_at, every

    def start(self, config: dict[str, Any]) -> None:
        with self.path.open("a") as file:
            file.write(f"{config['model']['name']} from {self.resumed_at}\n")

    def steps(self, step: int, losses: list[float], lr: float) -> None:
        if step % self.every == 0:
            with self.path.open("a") as file:
                file.write(f"{step} {losses[-1]}\n")


class Fails(Right):
    def evaluated(self, step: int, losses: dict[str, float], metrics: dict[str, Any], model: torch.nn.Module) -> None:
        raise KeyError(step)


class FailsWhenResumed(Right):
    """Makes a file that is there already."""

    def start(self, config: dict[str, Any]) -> None:
        with self.path.open("x"):
            pass


class SetsThreads(Right):
    def start(self, config: dict[str, Any]) -> None:
        torch.set_default_dtype(torch.float64)


class WritesIntoTheRun(Right):
    def finish(self, metrics: dict[str, Any], model: torch.nn.Module) -> None:
        (self.path.parent / "losses.csv").write_text("step,loss\n")


class Lacks(Right):
    def __init__(self, run_dir: Path) -> None:
        raise zoo.UsageError("it needs the package nowhere: pip install nowhere")


@pytest.mark.parametrize(
    ("kind", "said"),
    [
        (Fails, "logger 'wrong' of plugin zoo-wrong 1.0 failed in its method 'evaluated'"),
        (SetsThreads, "logger 'wrong' of plugin zoo-wrong 1.0 changes settings of torch for all, which was undone"),
        (WritesIntoTheRun, "logger 'wrong' changes the run that it is told of: losses.csv is another"),
        (FailsWhenResumed, "failed in its method 'start', and is told nothing more: FileExistsError"),
    ],
)
def test_a_fault_of_a_logger_is_found(kind: type[Right], said: str, offer: Offer) -> None:
    offer(zoo.LoggerSpec("wrong", kind))
    with pytest.raises(AssertionError) as found:
        zoo.testing.check_logger("wrong")
    assert said in str(found.value)


def test_a_right_logger_passes_every_rule(offer: Offer) -> None:
    offer(zoo.LoggerSpec("wrong", Right))
    report = zoo.testing.check_logger("wrong", settings={"logger.every": 2})
    assert report.passed == tuple(f"logger 'wrong': {rule}" for rule in loggers.RULES)


def test_a_logger_that_lacks_a_package_is_skipped(offer: Offer) -> None:
    offer(zoo.LoggerSpec("wrong", Lacks))
    report = zoo.testing.check_logger("wrong")
    assert report.checks == 0
    assert {why for _, why in report.skipped} == {"it needs the package nowhere: pip install nowhere"}
