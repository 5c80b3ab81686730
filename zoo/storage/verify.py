"""Check that a file or a run folder is intact, and describe its content."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from zoo.ambient import in_neutral_state
from zoo.errors import CheckpointError, UsageError, ZooError
from zoo.files import kind_of, parse_json, read_text, shown
from zoo.numbers import show_loss
from zoo.plugin.registry import Registry
from zoo.storage import state as states
from zoo.storage.config import differences
from zoo.storage.folder import STATE_FILE, WEIGHTS_FILE
from zoo.storage.loading import load
from zoo.storage.losses import VALIDATION_FILE, read_evaluations, read_losses


@dataclass(frozen=True)
class Finding:
    """The result for one file: a description of its content, or of the damage."""

    file: str
    intact: bool
    text: str


@in_neutral_state
def verify(path: Path, registry: Registry) -> list[Finding]:
    """Check a `.safetensors` file, or every file of a run folder that zoo reads.

    Raises:
        UsageError: there is no such file or folder, or no run in it.
        ZooError: the system denies access to the path.
    """
    kind = kind_of(path)
    if kind == "folder":
        if all(kind_of(path / name) == "nothing" for name in (WEIGHTS_FILE, STATE_FILE)):
            raise UsageError(f"no run in {path}: there is neither {WEIGHTS_FILE} nor {STATE_FILE} in it")
        return _folder(path, registry)
    if kind == "nothing":
        raise UsageError(f"no file or run folder called {shown(path)}")
    return [_file(path, registry)]


def _file(path: Path, registry: Registry) -> Finding:
    """Check a single file: weights, or a training state."""
    weights = _find(path.name, lambda: _weights(path, registry))
    if weights.intact:
        return weights
    state = _find(path.name, lambda: _state(path))
    return state if state.intact else weights


def _folder(path: Path, registry: Registry) -> list[Finding]:
    checks: dict[str, Callable[[], str]] = {
        WEIGHTS_FILE: lambda: _weights(path / WEIGHTS_FILE, registry),
        STATE_FILE: lambda: _state(path / STATE_FILE),
        "losses.csv": lambda: _losses(path),
        "config.json": lambda: _config(path),
        "metrics.json": lambda: _metrics(path),
    }
    if kind_of(path / VALIDATION_FILE) != "nothing":  # only a run with evaluations during training has one
        checks[VALIDATION_FILE] = lambda: _evaluations(path)
    return [_find(name, check) for name, check in checks.items()]


def _find(name: str, check: Callable[[], str]) -> Finding:
    try:
        return Finding(name, True, check())
    except ZooError as error:
        return Finding(name, False, str(error))


def _weights(path: Path, registry: Registry) -> str:
    loaded = load(path, registry)
    step = loaded.step
    at = "" if step is None else f", step {step:,}"
    parameters = sum(p.numel() for p in loaded.model.parameters())
    return f"weights of {loaded.entry.full_name}, {parameters:,} parameters{at}"


def _state(path: Path) -> str:
    state = states.load(path)
    return f"training state at step {state.step:,}, {len(state.weights)} tensors of weights"


def _losses(path: Path) -> str:
    losses, state = read_losses(path / "losses.csv"), states.load(path / STATE_FILE)
    if losses != state.losses[: len(losses)]:
        raise CheckpointError("are not the losses of the training state")
    behind = state.step - len(losses)  # above 0 after a crash between writing the two files; resuming repairs it
    return f"{len(losses):,} steps" + (f", {behind:,} behind the training state" if behind else "")


def _evaluations(path: Path) -> str:
    found, recorded = read_evaluations(path / VALIDATION_FILE), states.load(path / STATE_FILE).evaluations
    if repr(found) != repr(recorded[: len(found)]):  # whose texts are equal where the losses are NaN, too
        raise CheckpointError("are not the evaluations of the training state")
    return f"{len(found):,} evaluations"


def _config(path: Path) -> str:
    config = _json(path / "config.json")
    changed = differences(states.load(path / STATE_FILE).config, config)
    if changed:
        raise CheckpointError(f"is not the config of the training state: {'; '.join(changed)}")
    return "the config of the training state"


def _metrics(path: Path) -> str:
    if kind_of(path / "metrics.json") == "nothing":
        return "none: the run has not ended"
    losses = _json(path / "metrics.json").get("losses")
    if not isinstance(losses, dict) or not all(isinstance(loss, float) for loss in losses.values()):
        raise CheckpointError("has no losses")
    return ", ".join(f"{name} {show_loss(loss)}" for name, loss in losses.items())


def _json(path: Path) -> dict[str, Any]:
    try:
        value = parse_json(read_text(path))
    except OSError as error:
        raise CheckpointError(f"cannot read {path}: {error.strerror}") from error
    except ValueError as error:
        raise CheckpointError(f"{path} is damaged: it is not JSON") from error
    if not isinstance(value, dict):
        raise CheckpointError(f"{path} is damaged: it is not a JSON object")
    return value
