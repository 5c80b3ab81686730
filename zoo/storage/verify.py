"""Check that a file or a run folder is intact and that its files are of one run, and describe its content.

A checkpoint writes its files in this order: snapshots, training state, losses, config, evaluations, weights. So after a
crash those after the state may be behind it, and none may be behind one that was written after it. Metrics come last.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Literal, TypeAlias

from torch import Tensor

from zoo.ambient import in_neutral_state
from zoo.errors import CheckpointError, MissingPluginError, OtherVersionError, PluginError, UsageError, ZooError
from zoo.files import kind_of
from zoo.numbers import show_loss
from zoo.options.declaration import declared
from zoo.options.run import RunOptions
from zoo.plugin.registry import Registry
from zoo.storage import checkpoint
from zoo.storage import state as states
from zoo.storage.checkpoint import Checkpoint
from zoo.storage.config import (
    CHOSEN_WHEN_RESUMED,
    WEIGHTS_KEY,
    config_under_todays_names,
    differences,
    is_in,
    read_json,
    read_metrics,
    unlike,
)
from zoo.storage.folder import CONFIG_FILE, METRICS_FILE, STATE_FILE, WEIGHTS_FILE, where_run_is
from zoo.storage.history.snapshots import SNAPSHOTS_FILE, load_snapshots, recorded_snapshots
from zoo.storage.loading import rebuild
from zoo.storage.losses import LOSSES_FILE, VALIDATION_FILE, read_evaluations, read_losses
from zoo.storage.members.not_kept import SWEEP_FILE, not_kept
from zoo.storage.state import TrainingState
from zoo.text import shown

Result: TypeAlias = Literal["intact", "damaged", "not checked"]

# What a resumption may choose anew: after a crash in its first checkpoint, files of before and after are side by side.
_CHOSEN = ("versions", *CHOSEN_WHEN_RESUMED)


class _NotCheckedError(Exception):
    """The file is not known to be damaged, but cannot be compared."""


@dataclass(frozen=True)
class Finding:
    """The result for one file: a description of its content, of the damage, or of what is missing to check it."""

    file: str
    result: Result
    text: str

    @property
    def intact(self) -> bool:
        """Whether it was checked, and is not damaged."""
        return self.result == "intact"

    @property
    def damaged(self) -> bool:
        """Whether it is damaged, or of another run."""
        return self.result == "damaged"


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
        return _Folder(path, registry).findings()
    if kind == "nothing":
        raise UsageError(f"no file or run folder called {shown(path)}{not_kept(path)}")
    finding = _file(path, registry)
    if finding.damaged and path.suffix != ".safetensors":  # which it need not be: it may be another intact file
        raise UsageError(f"{path} is no .safetensors file{where_run_is(path) or ': give one, or a run folder'}")
    return [finding]


def _file(path: Path, registry: Registry) -> Finding:
    """Check a single file: weights, a training state, or snapshots."""
    weights = _find(path.name, lambda: _describe(path, checkpoint.load(path), registry))
    if not weights.damaged:
        return weights
    for describe in (lambda: _describe_state(states.load(path)), lambda: _describe_snapshots(load_snapshots(path))):
        other = _find(path.name, describe)
        if other.intact:
            return other
    return weights


def _find(name: str, check: Callable[[], str]) -> Finding:
    try:
        return Finding(name, "intact", check())
    except _NotCheckedError as reason:
        return Finding(name, "not checked", str(reason))
    except ZooError as error:
        return Finding(name, "damaged", str(error))


def _describe(path: Path, stored: Checkpoint, registry: Registry) -> str:
    """What weights are, after trying whether they fit their model."""
    try:
        loaded = rebuild(path, stored, registry)
    except (MissingPluginError, OtherVersionError, PluginError) as error:
        raise _NotCheckedError(f"the file is as it was written; whether it fits its model: {error}") from error
    at = "" if loaded.step is None else f", step {loaded.step:,}"
    parameters = sum(p.numel() for p in loaded.model.parameters())
    return f"weights of {loaded.entry.full_name}, {parameters:,} parameters{at}"


def _describe_state(state: TrainingState) -> str:
    return f"training state at step {state.step:,}, {len(state.weights)} tensors of weights"


def _describe_snapshots(found: Mapping[int, Tensor]) -> str:
    if not found:
        return "no snapshots yet"
    rows, columns = next(iter(found.values())).shape
    steps = f"step {max(found):,}" if len(found) == 1 else f"steps {min(found):,} to {max(found):,}"
    return f"{len(found):,} snapshots of {rows:,} x {columns:,} numbers, {steps}"


class _Folder:
    """The checks of one run folder. Each file is read once."""

    def __init__(self, path: Path, registry: Registry) -> None:
        self._path = path
        self._registry = registry

    def findings(self) -> list[Finding]:
        checks: dict[str, Callable[[], str]] = {
            WEIGHTS_FILE: self._weights,
            STATE_FILE: lambda: _describe_state(states.load(self._path / STATE_FILE)),
            LOSSES_FILE: self._losses,
            CONFIG_FILE: self._config,
            METRICS_FILE: self._metrics,
        }
        if self._is_finished_member:
            del checks[STATE_FILE]
        expected = self._state is not None and self._state.validation is not None
        if expected or kind_of(self._path / VALIDATION_FILE) != "nothing":
            checks[VALIDATION_FILE] = self._evaluations  # only a run with evaluations during training has them
        kept = self._state is not None and self._state.snapshots is not None
        if kept or kind_of(self._path / SNAPSHOTS_FILE) != "nothing":
            checks[SNAPSHOTS_FILE] = self._snapshots
        return [_find(name, check) for name, check in checks.items()]

    @cached_property
    def _state(self) -> TrainingState | None:
        """None if it is damaged: nothing can be compared with it then."""
        try:
            return states.load(self._path / STATE_FILE)
        except CheckpointError:
            return None

    @property
    def _is_finished_member(self) -> bool:
        """Whether it is of a sweep, and has no training state any more, as a member that is finished."""
        files = {name: kind_of(self._path / name) == "file" for name in (METRICS_FILE, STATE_FILE)}
        return files == {METRICS_FILE: True, STATE_FILE: False} and kind_of(self._path.parent / SWEEP_FILE) == "file"

    @cached_property
    def _stored(self) -> Checkpoint | None:
        """The weights; None if they are damaged."""
        try:
            return checkpoint.load(self._path / WEIGHTS_FILE)
        except CheckpointError:
            return None

    @cached_property
    def _weights_step(self) -> int:
        """The step of the weights; 0 if they are damaged, or do not record it."""
        step = self._stored.meta.get("step") if self._stored is not None else None
        return step if isinstance(step, int) else 0

    @property
    def _reference(self) -> Any:
        """The config to compare with: the state's, or the weights' where there is no state."""
        if self._state is not None:
            return config_under_todays_names(self._state.config)
        return config_under_todays_names(self._stored.meta.get("config")) if self._stored is not None else None

    def _needed_state(self) -> TrainingState:
        if self._state is None:
            raise _NotCheckedError("it is compared with the training state, which is damaged or missing")
        return self._state

    def _weights(self) -> str:
        path = self._path / WEIGHTS_FILE
        stored = self._stored or checkpoint.load(path)  # raises what is wrong with them
        if self._state is not None:
            self._check_weights(stored, self._state)
        return _describe(path, stored, self._registry)

    def _check_weights(self, stored: Checkpoint, state: TrainingState) -> None:
        """Are these the state's weights, or the best of them, or those of a step before it?"""
        step, best_step = self._weights_step, state.best_step
        own = stored.meta["sha256"]
        if own != checkpoint.digest(state.weights) and own != _digest(state.best):
            if step > state.step:
                raise CheckpointError(
                    f"are of step {step:,}, after the training state's {state.step:,}: of another run"
                )
            if stored.meta.get("step") in (state.step, best_step):
                raise CheckpointError(
                    f"are not the weights that the training state has of step {step:,}: of another run"
                )
        changed = self._changed(stored.meta.get("config"), older=step < state.step)
        if changed:
            raise CheckpointError(f"have another config than the training state: {'; '.join(changed)}")

    def _changed(self, config: object, *, older: bool = False) -> list[str]:
        """Where a config differs from the training state's, but for what may differ."""
        reference = self._reference
        found = differences(reference, config_under_todays_names(config))
        allowed = (*_CHOSEN, *_EDITABLE) if older else _CHOSEN
        return [line for line in found if not is_in(line, allowed)]

    def _losses(self) -> str:
        losses = read_losses(self._path / LOSSES_FILE)
        if self._is_finished_member:
            if len(losses) != self._metrics_step:
                raise CheckpointError(
                    f"has {len(losses):,} losses, and {METRICS_FILE} is of step {self._metrics_step:,}"
                )
            return f"{len(losses):,} steps"
        state = self._needed_state()
        both = min(len(losses), state.step)
        # Only a long run's losses, which the state has sealed, are written before it.
        if losses[:both] != state.losses[:both] or (len(losses) > state.step and state.sealed is None):
            raise CheckpointError("are not the losses of the training state")
        later = max(self._weights_step, self._metrics_step)
        if len(losses) < min(later, state.step):
            raise CheckpointError(f"has {len(losses):,} losses, but a later file of the run has step {later:,}")
        behind = state.step - len(losses)  # above 0 after a crash between writing the two files; resuming repairs it
        return f"{len(losses):,} steps" + (f", {behind:,} behind the training state" if behind > 0 else "")

    def _evaluations(self) -> str:
        path, state = self._path / VALIDATION_FILE, self._needed_state()
        if kind_of(path) == "nothing":
            raise CheckpointError("is missing, but the training state has evaluations")
        found, recorded = read_evaluations(path), state.evaluations
        if repr(found) != repr(recorded[: len(found)]):  # whose texts are equal where the losses are NaN, too
            raise CheckpointError("are not the evaluations of the training state")
        later = max(self._weights_step, self._metrics_step)
        if len(found) < sum(step <= later for step, _ in recorded):
            raise CheckpointError(f"has {len(found):,} evaluations, but a later file of the run has step {later:,}")
        return f"{len(found):,} evaluations"

    def _snapshots(self) -> str:
        state = self._needed_state()
        recorded_snapshots(self._path, state.snapshots, state.step)
        if state.snapshots is None:
            raise CheckpointError("are not of this run: the training state has no snapshots")
        return _describe_snapshots(load_snapshots(self._path / SNAPSHOTS_FILE))

    def _config(self) -> str:
        config = read_json(self._path / CONFIG_FILE)
        if self._reference is None:
            raise _NotCheckedError("it is compared with training state and weights, which are damaged or missing")
        of = "the training state" if self._state is not None else "the weights"
        changed = self._changed(config)
        if changed:
            raise CheckpointError(f"is not the config of {of}: {'; '.join(changed)}")
        return f"the config of {of}"

    @cached_property
    def _metrics_step(self) -> int:
        """The step that the metrics are of; 0 if there are none."""
        try:
            step = read_metrics(self._path / METRICS_FILE).get("steps")
        except CheckpointError:
            return 0
        return step if isinstance(step, int) else 0

    def _metrics(self) -> str:
        path = self._path / METRICS_FILE
        if kind_of(path) == "nothing":
            return "none: the run has not ended"
        metrics = read_metrics(path)
        step = self._state.step if self._state is not None else self._metrics_step
        if self._metrics_step > step:
            raise CheckpointError(f"are of step {self._metrics_step:,}, after the training state's {step:,}")
        losses = ", ".join(f"{name} {show_loss(loss)}" for name, loss in metrics["losses"].items())
        if self._metrics_step < step:
            return f"{losses}, of step {self._metrics_step:,}, from which the run was resumed"
        other = unlike(metrics, self._reference) if self._reference is not None else []
        if other:
            raise CheckpointError(f"are not of this run: {', '.join(other)} differ from its config")
        self._check_metrics(metrics)
        return losses

    def _check_metrics(self, metrics: Mapping[str, Any]) -> None:
        """Are they of the weights in this folder?"""
        if self._stored is None:
            return
        best = metrics.get("best")
        other_best = isinstance(best, dict) and best.get("step") != self._stored.meta.get("step")
        if metrics.get(WEIGHTS_KEY, self._stored.meta["sha256"]) != self._stored.meta["sha256"] or other_best:
            raise CheckpointError(f"are not of the weights in {WEIGHTS_FILE}")


# What `--allow-changes` may change: weights from before that are not of the state's config in these.
_EDITABLE = (
    *(f"training.{name}" for name, one in declared(RunOptions).items() if one.option.editable),
    *("optimizer.hyperparameters", "dataset", "model.plugin.version", "optimizer.plugin.version"),
)


def _digest(tensors: Mapping[str, Tensor]) -> str | None:
    return checkpoint.digest(tensors) if tensors else None
