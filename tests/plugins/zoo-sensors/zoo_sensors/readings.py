"""Readings of eight sensors and the temperature that they are to tell, in one file of float32 in zoo's cache.

Axes: N readings, n of a batch.
"""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

import zoo

SENSORS = 8
CHUNK = 250_000  # readings that are made at once


def sensors(fetch: zoo.Fetcher, readings: int = 5_000_000, tolerance: float = 0.1, seed: int = 0) -> zoo.TensorDataset:
    """The first 80 % are for training, the next 10 % for validation. The test split has sensors that drift.

    Args:
        fetch: tells where the cache is.
        readings: rows of the file, which is made once.
        tolerance: the error of a temperature that counts as none, for the metric `within`.
        seed: of all random numbers.
    """
    if readings < 10:
        raise ValueError(f"readings must be at least 10, got {readings}")
    path = fetch.cache / f"sensors-{readings}-{seed}.npy"
    if not path.is_file():
        make(path, readings, seed)
    table = np.load(path, mmap_mode="r")
    x, y = table[:, :SENSORS], table[:, SENSORS:]
    first, second = int(readings * 0.8), int(readings * 0.9)
    return zoo.TensorDataset(
        (x[:first], y[:first]),
        (x[first:second], y[first:second]),
        Drifting(table[second:]),
        provides={"tolerance": tolerance},
    )


class Drifting:
    """Readings of which the last sensor tells more and more, made as they are gathered."""

    def __init__(self, table: NDArray[np.float32]) -> None:
        self.table = table

    def __len__(self) -> int:
        return len(self.table)

    def gather(self, indices: Tensor) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """Sensors (n, 8) and temperatures (n, 1)."""
        rows = self.table[indices.numpy()]  # a copy
        rows[:, SENSORS - 1] += 0.5 * indices.numpy() / len(self)
        return rows[:, :SENSORS], rows[:, SENSORS:]


def make(path: Path, readings: int, seed: int) -> None:
    """Write the file beside its place, part by part, and rename it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(f"{path.name}.{os.getpid()}.part")
    shape = (readings, SENSORS + 1)
    table = np.lib.format.open_memmap(part, mode="w+", dtype=np.float32, shape=shape)
    gain = np.random.default_rng(seed).normal(size=SENSORS)
    for start in range(0, readings, CHUNK):
        rows = table[start : start + CHUNK]
        rng = np.random.default_rng((seed, start))
        temperature = rng.normal(size=(len(rows), 1))
        rows[:, :SENSORS] = np.tanh(temperature * gain) + 0.1 * rng.normal(size=(len(rows), SENSORS))
        rows[:, SENSORS:] = temperature
    table.flush()
    part.replace(path)
