"""Simulated measurements of a pendulum's period."""

from __future__ import annotations

import numpy as np

import zoo


def pendulum(examples: int = 2000, outliers: float = 0.05, seed: int = 0) -> zoo.TensorDataset:
    """Length in metres and amplitude in radians, from which the period in seconds is to be predicted.

    Args:
        examples: the number of measurements; 80 % are for training and 10 % each for validation and test.
        outliers: the share of the training periods that were read off wrongly.
        seed: of all random numbers.
    """
    rng = np.random.default_rng(seed)
    x = rng.uniform([0.1, 0.0], [2.0, 2.0], size=(examples, 2)).astype(np.float32)
    length, amplitude = x.T
    period = 2 * np.pi * np.sqrt(length / 9.81) * (1 + amplitude**2 / 16 + 11 * amplitude**4 / 3072)
    period += rng.normal(0, 0.02, examples)
    first, second = int(examples * 0.8), int(examples * 0.9)
    period[:first] += (rng.random(first) < outliers) * rng.exponential(10, first)
    y = period[:, None].astype(np.float32)  # (N, 1), as the net's output
    return zoo.TensorDataset((x[:first], y[:first]), (x[first:second], y[first:second]), (x[second:], y[second:]))
