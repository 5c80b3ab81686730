"""`metrics.json`: the result of a run, with digests that tie it to the weights and show whether it was edited."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from zoo.errors import CheckpointError
from zoo.files import canonical_json, parse_json, read_text
from zoo.options.declaration import declared
from zoo.options.run import RunOptions

WEIGHTS_KEY = "weights_sha256"  # of the weights that the losses are of: the digest in their file's metadata
_DIGEST_KEY = "sha256"  # of all the rest


def sealed(metrics: Mapping[str, Any]) -> dict[str, Any]:
    """The same metrics with their digest."""
    return {**metrics, _DIGEST_KEY: _digest(metrics)}


def read_metrics(path: Path) -> dict[str, Any]:
    """The object in a `metrics.json`. Runs of before it had digests are read too.

    Raises:
        CheckpointError: the file is missing or damaged, or was edited.
    """
    metrics = read_json(path)
    losses = metrics.get("losses")
    if not isinstance(losses, dict) or not all(type(x) is float and math.isfinite(x) for x in losses.values()):
        raise CheckpointError(f"{path} has no losses")
    if _DIGEST_KEY in metrics:
        rest = {key: value for key, value in metrics.items() if key != _DIGEST_KEY}
        if metrics[_DIGEST_KEY] != _digest(rest):
            raise CheckpointError(f"{path} was edited: it does not have the digest that it states")
    return metrics


def read_json(path: Path) -> dict[str, Any]:
    """The object in a JSON file.

    Raises:
        CheckpointError: the file is missing, or no JSON object.
    """
    try:
        value = parse_json(read_text(path))
    except OSError as error:
        raise CheckpointError(f"cannot read {path}: {error.strerror}") from error
    except ValueError as error:
        raise CheckpointError(f"{path} is damaged: it is not JSON") from error
    if not isinstance(value, dict):
        raise CheckpointError(f"{path} is damaged: it is not a JSON object")
    return value


def unlike(metrics: Mapping[str, Any], config: Any) -> list[str]:
    """What metrics say otherwise than the config of their run. What they do not have, as earlier ones, is left out."""
    try:
        wanted = {
            "model": config["model"]["name"],
            "parameters": config["model"]["parameters"],
            "optimizer": config["optimizer"]["name"],
            **{name: config["training"].get(name) for name, one in declared(RunOptions).items() if one.option.reported},
        }
        data = {f"dataset.{key}": config["dataset"][key] for key in ("sha256", "examples")}
    except (AttributeError, KeyError, TypeError):
        return ["config"]
    own = metrics.get("dataset")
    stated = {f"dataset.{key}": value for key, value in own.items()} if isinstance(own, dict) else {}
    stated |= metrics
    wanted |= data
    del wanted["steps"]  # those that were planned
    return [name for name, value in wanted.items() if name in stated and stated[name] != value]


def _digest(metrics: Mapping[str, Any]) -> str:
    return hashlib.sha256(canonical_json(metrics).encode("utf-8", "surrogatepass")).hexdigest()
