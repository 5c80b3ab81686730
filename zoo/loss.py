"""The loss that everything here is trained on."""

from __future__ import annotations

from torch import Tensor
from torch.nn import functional as F

IGNORED = -1  # a target that does not count


def cross_entropy(logits: Tensor, targets: Tensor, reduction: str = "mean") -> Tensor:
    """Cross-entropy in nats over all targets but the ignored ones.

    Args:
        logits: shape (B, classes), or (B, T, classes) for a target at each position.
        targets: shape (B,) or (B, T).
        reduction: `mean`, `sum` or `none`.
    """
    if logits.ndim == 3:
        logits, targets = logits.flatten(0, 1), targets.flatten()  # (B * T, classes), (B * T,)
    return F.cross_entropy(logits, targets, ignore_index=IGNORED, reduction=reduction)
