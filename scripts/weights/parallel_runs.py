"""What `make_weights.py` and `leaderboard.py` share: many runs, each in a process of its own, some at a time."""

from __future__ import annotations

import json
import os
import platform
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, as_completed
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from zoo.plugin.manager import load_plugins
from zoo.plugin.registry import Registry

ENVIRONMENT = {"ZOO_PLUGINS": "", "ZOO_OFFLINE": "1", "OMP_NUM_THREADS": "1"}  # built-in plugins alone, on one core
SHUFFLED = ("--set", "data.shuffle_seed=42")  # the lecture's

T = TypeVar("T")
R = TypeVar("R")


class RunFailedError(Exception):
    """A command of zoo that ended with an error; the text is what it said."""


@dataclass(frozen=True)
class Finished:
    """A run that was trained and evaluated.

    Attributes:
        folder: its run folder.
        metrics: as `zoo run --json` prints them.
        config: as in `config.json`.
        novel: examples and losses over the words never seen in training, as `zoo eval --json` prints them.
    """

    folder: Path
    metrics: dict[str, Any]
    config: dict[str, Any]
    novel: dict[str, Any]


def built_in() -> Registry:
    """What the built-in plugins bring."""
    return load_plugins(environ=ENVIRONMENT)[0]


def train(model: str, options: Sequence[str], folder: Path, **environment: str) -> Finished:
    """Train a model on the CPU into `folder`, and evaluate it.

    Raises:
        RunFailedError: either command failed.
    """
    common = ("--device", "cpu", "--json")
    metrics = _zoo("run", model, *options, *common, "--no-plots", "--quiet", "--out", str(folder), **environment)
    novel = _zoo("eval", str(folder), *common, **environment)["novel"]
    config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    return Finished(folder, metrics, config, novel)


def in_parallel(do: Callable[[T], R], tasks: Sequence[T], jobs: int) -> Iterator[tuple[T, Future[R]]]:
    """`do` each task, `jobs` at a time, the first ones first; each task with its result, or error, as it is done."""
    with ThreadPoolExecutor(jobs) as pool:
        futures = {pool.submit(do, task): task for task in tasks}
        try:
            for future in as_completed(futures):
                yield futures[future], future
        finally:  # after Ctrl-C nothing new begins
            pool.shutdown(wait=False, cancel_futures=True)


def processor() -> str:
    """The name of this machine's processor."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
        return next(line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    except (OSError, StopIteration):
        return platform.processor() or platform.machine()


def _zoo(*words: str, **environment: str) -> dict[str, Any]:
    """The JSON object that a command prints."""
    done = subprocess.run(
        [sys.executable, "-P", "-m", "zoo", *words],
        capture_output=True,
        text=True,
        stdin=subprocess.DEVNULL,
        env={**os.environ, **ENVIRONMENT, **environment},
        check=False,
    )
    if done.returncode != 0:
        raise RunFailedError(f"'zoo {' '.join(words)}' ended with {done.returncode}: {done.stderr.strip()}")
    result: dict[str, Any] = json.loads(done.stdout)
    return result
