"""Cross-entropy, the loss of all models."""

from __future__ import annotations

import torch
from torch import Tensor

IGNORED = -1  # a target that is excluded from the loss

_HALF = (torch.bfloat16, torch.float16)
_REDUCTIONS = {"none": 0, "mean": 1, "sum": 2}
_cross_entropy = torch._C._nn.cross_entropy_loss  # `F.cross_entropy` without the checks of its arguments


def full_precision(logits: Tensor) -> Tensor:
    """Logits of half precision as float32: a sum of some thousand losses has two digits there, or is infinite."""
    return logits.float() if logits.dtype in _HALF else logits


def cross_entropy(logits: Tensor, targets: Tensor, reduction: str = "mean") -> Tensor:
    """Cross-entropy in nats over all targets that are not ignored, in `full_precision`.

    Args:
        logits: shape (B, classes), or (B, ..., classes) for a target at each position, or each pixel.
        targets: shape (B,) or (B, ...).
        reduction: `mean`, `sum` or `none`.
    """
    logits = full_precision(logits)
    if logits.ndim > 2:
        logits, targets = logits.flatten(0, -2), targets.flatten()  # (B * T, classes), (B * T,)
    code = _REDUCTIONS[reduction]
    return _cross_entropy(logits, targets, None, code, IGNORED, 0.0)  # type: ignore[arg-type]  # the hints are wrong
