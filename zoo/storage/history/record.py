"""What a run folder records of the training, as plots show it."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

from zoo.data.examples import SPLITS
from zoo.errors import CheckpointError
from zoo.files import kind_of, parse_json, read_text
from zoo.plots.plot import Record
from zoo.storage.losses import LOSSES_FILE, VALIDATION_FILE, read_evaluations, read_losses

_METRICS_FILE = "metrics.json"


def has_losses(weights: Path) -> bool:
    """Whether there is a run beside a file of weights, whose losses are there."""
    return kind_of(weights.parent / LOSSES_FILE) == "file"


def with_losses(record: Record, weights: Path) -> Record:
    """The record with the losses of the run of these weights: of every step, and of each split if it has ended.

    Raises:
        CheckpointError: they are missing or damaged.
    """
    folder = weights.parent
    losses = read_losses(folder / LOSSES_FILE)
    evaluations = read_evaluations(folder / VALIDATION_FILE)
    return replace(record, losses=losses, evaluations=evaluations, **_result(folder / _METRICS_FILE, len(losses)))


def _result(path: Path, steps: int) -> dict[str, Any]:
    """The losses of the splits, and the step of the weights that they are of where it is not the last."""
    try:
        metrics: Any = parse_json(read_text(path))
        splits = metrics.get("dataset", {}).get("examples", SPLITS)  # running text may be without a test split
        final = {str(name): float(metrics["losses"][name]) for name in SPLITS if name in splits}
        best = int(metrics["best"]["step"]) if "best" in metrics else None
        if metrics.get("steps", steps) != steps:
            return {}  # of before the run was resumed
    except FileNotFoundError:
        return {}
    except (OSError, ValueError, TypeError, KeyError, AttributeError) as error:
        raise CheckpointError(f"{path} is damaged: {error!r}") from error
    return {"final": final, "best": None if best == steps else best}
