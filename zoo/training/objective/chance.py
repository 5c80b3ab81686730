"""Whether a trained model is better than chance: than guessing uniformly, or than predicting the mean."""

from __future__ import annotations

import math
from collections.abc import Mapping

from zoo.numbers import divergence, show_loss
from zoo.phrasing import option

_TRIAL = 1_000  # steps; a run of fewer is none that one expects much of

Metrics = Mapping[str, Mapping[str, float | None]]  # by split and by name


def remark(
    losses: Mapping[str, float], metrics: Metrics, *, first: float, classes: int | None, steps: int
) -> str | None:
    """What to say of a run that is no better than chance, with a remedy; None if it is better, or was a trial.

    Args:
        losses, metrics: of the splits, after training.
        first: the loss of the first batch.
        classes: of the targets; None where the loss is no cross-entropy in nats.
        steps: of the training.
    """
    if classes is not None:
        diverged = divergence(losses["train"], first, classes)
        if diverged is not None or steps < _TRIAL:
            return diverged
        return _worse_than_uniform(losses, math.log(max(classes, 1)))
    return None if steps < _TRIAL else _worse_than_mean(metrics)


def _worse_than_uniform(losses: Mapping[str, float], uniform: float) -> str | None:
    for split, remedy in _remedies().items():
        if losses.get(split, -math.inf) > uniform:
            return (
                f"the loss on the {split} split, {show_loss(losses[split])}, is above that of guessing uniformly at "
                f"random, {show_loss(uniform)}: {remedy}"
            )
    return None


def _worse_than_mean(metrics: Metrics) -> str | None:
    for split, remedy in _remedies().items():
        r2 = metrics.get(split, {}).get("r2")
        if r2 is not None and r2 < 0:
            return f"on the {split} split it is worse than predicting the mean of the targets (R2 {r2:.4f}): {remedy}"
    return None


def _remedies() -> dict[str, str]:
    """What to do about a split on which a model is no better than chance; training comes before validation."""
    early_stopping = f"{option('validate_every')} and {option('patience')}"
    return {
        "train": f"try a smaller {option('lr')}, or more {option('steps')}",
        "val": f"it overfits; try fewer {option('steps')}, a smaller model, or early stopping ({early_stopping})",
    }
