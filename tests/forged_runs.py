"""Run folders that say anything, as `zoo runs` and `zoo compare` read them: written without training, or torch."""

from __future__ import annotations

import copy
import json
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from zoo.files import readable_json
from zoo.storage.config import sealed

PLUGIN = {"distribution": "zoo-models", "version": "0.1.0"}
SHA = "0a30b5557f192f32ab962680889aac5f6fda0f4cecf40a6d0b5694f58ea8cc4d"
NEWEST = 2_000_000_000.0  # seconds since 1970

CONFIG: dict[str, Any] = {
    "model": {
        "name": "mlp-char",
        "plugin": PLUGIN,
        "hyperparameters": {"context_length": 3, "hidden_size": 200},
        "inputs": {"vocab_size": 3},
        "parameters": 11897,
    },
    "dataset": {
        "name": "names",
        "plugin": PLUGIN,
        "kind": "text",
        "sha256": SHA,
        "settings": {},
        "examples": {"train": 80, "val": 10, "test": 10},
        "vocabulary": [".", "a", "b"],
    },
    "loss": {"name": "cross_entropy", "unit": "nats", "settings": {}},
    "metrics": ["bits_per_character"],
    "optimizer": {"name": "sgd", "plugin": PLUGIN, "hyperparameters": {}},
    "training": {
        "engine": "autograd",
        "steps": 4,
        "batch_size": 32,
        "lr": 0.1,
        "schedule": {"milestones": [], "gamma": 0.1, "warmup": 0, "cosine": False, "final": 0.0, "ends": None},
        "clip_norm": None,
        "validate_every": None,
        "preset": "notebook",
        "device": "cpu",
        "threads": 1,
        "seed": 1,
        "init_seed": 1,
    },
    "versions": {"zoo": "0.1.0", "torch": "2.13.0", "python": "3.11.7"},
}


def forge_run(
    folder: Path,
    changes: Mapping[str, object] | None = None,
    *,
    losses: Mapping[str, float] | None = None,
    metrics: Mapping[str, float | None] | None = None,
    result: Mapping[str, object] | None = None,
    steps: Sequence[float] = (1.0, 0.9, 0.8, 0.7),
    evaluations: Sequence[tuple[int, float]] = (),
    finished: bool = True,
    age: float = 0,
) -> Path:
    """Write a run folder.

    Args:
        folder: it must not exist.
        changes: of the config: `{"training.lr": 0.2, "model.name": "gru"}`.
        losses: over the splits.
        metrics: over the validation split.
        result: further keys of `metrics.json`, or others for those that it has.
        steps: the loss of each step.
        evaluations: those of `validation.csv`, if any.
        finished: whether it has a `metrics.json`.
        age: how many seconds it is older than `NEWEST`.
    """
    config = copy.deepcopy(CONFIG)
    for place, value in (changes or {}).items():
        *sections, last = place.split(".")
        section = config
        for name in sections:
            section = section.setdefault(name, {})
        section[last] = value
    folder.mkdir(parents=True)
    (folder / "config.json").write_text(readable_json(config))
    (folder / "losses.csv").write_text("".join(["step,loss\n", *(f"{i},{x!r}\n" for i, x in enumerate(steps))]))
    if evaluations:
        lines = [f"{step},{loss!r}\n" for step, loss in evaluations]
        (folder / "validation.csv").write_text("".join(["step,loss\n", *lines]))
    if finished:
        content = _metrics(config, len(steps), losses or {"train": 0.7, "val": 0.8, "test": 0.9}, metrics or {})
        (folder / "metrics.json").write_text(readable_json(sealed({**content, **(result or {})})))
    for path in folder.iterdir():
        os.utime(path, (NEWEST - age, NEWEST - age))
    return folder


def _metrics(
    config: dict[str, Any], steps: int, losses: Mapping[str, float], metrics: Mapping[str, float | None]
) -> dict[str, Any]:
    training = config["training"]
    return {
        "model": config["model"]["name"],
        "dataset": {name: config["dataset"][name] for name in ("name", "sha256", "examples")},
        "parameters": config["model"]["parameters"],
        "optimizer": config["optimizer"]["name"],
        **{name: training[name] for name in ("device", "engine", "batch_size", "lr", "seed", "init_seed", "threads")},
        "steps": steps,
        "losses": dict(losses),
        "metrics": {"val": dict(metrics)},
        "loss_unit": config["loss"]["unit"],
        "seconds": {"data": 0.1, "train": 2.5, "eval": 0.1, "total": 2.7},
    }


def edit_json(path: Path, **changes: object) -> None:
    """Change keys of a JSON object in a file."""
    path.write_text(json.dumps({**json.loads(path.read_text()), **changes}))
