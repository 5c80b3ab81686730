"""`snapshots.safetensors`: the embedding table at moments of the training, where a run was asked for it.

The tensors are named by their steps: "0", "100", ... The file is written before the training state of each checkpoint,
and the state has the digest of the snapshots that belong to it. So after a crash the file may have later ones, which a
resumed run leaves out, and never fewer.

Axes: V characters, E embedding dimensions.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from zoo.errors import CheckpointError
from zoo.files import kind_of
from zoo.storage import checkpoint
from zoo.training.history.snapshots import Snapshots

SNAPSHOTS_FILE = "snapshots.safetensors"
_KEY = "snapshots"  # of the metadata: of which parameter they are
_LONGEST_STEP = 18  # digits


def pack_snapshots(snapshots: Snapshots) -> bytes:
    """The content of the file; the same snapshots give the same bytes."""
    tensors = {str(step): table for step, table in snapshots.taken.items()}
    return checkpoint.pack(SNAPSHOTS_FILE, tensors, {_KEY: {"parameter": snapshots.parameter}})


def read_snapshots(folder: Path) -> dict[int, Tensor]:
    """The snapshots in a run folder, by their steps, in that order; none where the run kept none.

    Each is float32 and finite, and all have the same shape (V, E). The file is untrusted input: it costs no more than
    `zoo.storage.bounds` says.

    Raises:
        CheckpointError: the file is damaged, or holds something else.
    """
    path = folder / SNAPSHOTS_FILE
    return {} if kind_of(path) == "nothing" else load_snapshots(path)


def load_snapshots(path: Path) -> dict[int, Tensor]:
    """The snapshots in a file.

    Raises:
        CheckpointError: it is missing or damaged, or holds something else.
    """
    stored = checkpoint.load(path)
    if not isinstance(stored.meta.get(_KEY), dict):
        raise CheckpointError(f"{path} has no snapshots: it is another file of zoo's")
    found: dict[int, Tensor] = {}
    for step in sorted(_step(name, path) for name in stored.tensors):
        table = stored.tensors[str(step)]
        first = next(iter(found.values()), table)
        if table.dtype != torch.float32 or table.ndim != 2 or table.shape != first.shape or not table.numel():
            raise CheckpointError(f"{path} is damaged: its snapshots are not tables of one shape")
        if not table.isfinite().all():
            raise CheckpointError(f"{path} is damaged: the snapshot of step {step} has numbers that are not finite")
        found[step] = table
    return found


def _step(name: str, path: Path) -> int:
    if not (name.isascii() and name.isdecimal() and len(name) <= _LONGEST_STEP and name == str(int(name))):
        raise CheckpointError(f"{path} is damaged: it has a tensor that is not named by a step")
    return int(name)


def record(snapshots: Snapshots) -> dict[str, Any]:
    """What a training state has of its snapshots."""
    return {"sha256": _digest(snapshots.taken)}


def recorded_snapshots(folder: Path, raw: object, step: int) -> dict[int, Tensor]:
    """The snapshots that belong to a training state of a folder; none where it has no record of any.

    Args:
        folder: of the run.
        raw: what `record` made.
        step: of the state; the file may have later ones, from before a crash.

    Raises:
        CheckpointError: the file does not have them.
    """
    if raw is None:
        return {}
    path = folder / SNAPSHOTS_FILE
    found = {at: table for at, table in load_snapshots(path).items() if at <= step}
    if not isinstance(raw, dict) or raw.get("sha256") != _digest(found):
        raise CheckpointError(f"{path} does not have the snapshots of the training state: it was changed")
    return found


def _digest(tables: Mapping[int, Tensor]) -> str:
    return checkpoint.digest({str(step): table for step, table in tables.items()})
