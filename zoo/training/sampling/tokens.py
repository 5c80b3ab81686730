"""Sampling the next token from logits.

Axes: N samples, V tokens of the vocabulary.
"""

from __future__ import annotations

import torch
from torch import Tensor

from zoo.errors import ZooError
from zoo.training.sampling.options import SamplingOptions


def probabilities_of(logits: Tensor, options: SamplingOptions) -> Tensor:
    """Logits (N, V) to probabilities (N, V) in float64.

    Raises:
        ZooError: the logits are NaN or infinite.
    """
    top_k = 1 if options.temperature == 0 else options.top_k
    if top_k is not None and top_k < logits.shape[1]:
        kept = logits.topk(top_k, dim=1).indices  # not a threshold: with ties, more than k would pass it
        logits = torch.full_like(logits, -torch.inf).scatter(1, kept, logits.gather(1, kept))
    # in float64 and relative to the maximum, so that very small temperatures do not overflow
    logits = logits.double()
    probs = torch.softmax((logits - logits.amax(dim=1, keepdim=True)) / (options.temperature or 1.0), dim=1)
    if not probs.isfinite().all():
        raise ZooError("cannot sample from this model: its logits are NaN or infinite")
    return probs


def sample_categorical(cumulative: Tensor, generator: torch.Generator) -> Tensor:
    """One class per row, shape (N,), by inverse transform sampling from cumulative probabilities, shape (N, V)."""
    total = cumulative[:, -1:]
    # the product may be rounded up to the total itself, for which searchsorted would return V
    u = torch.rand(total.shape, dtype=total.dtype, generator=generator) * total
    u = torch.minimum(u, torch.nextafter(total, torch.zeros_like(total)))
    return torch.searchsorted(cumulative, u, right=True)[:, 0]
