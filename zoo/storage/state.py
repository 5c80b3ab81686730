"""`training_state.safetensors`: all that a resumed run needs to give the same result as an uninterrupted one.

Weights and losses are in it too, because one file can be replaced atomically, and several cannot. Of a run of more than
a million steps, the first whole millions of losses are only in `losses.csv`, which grows.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from zoo import cuda
from zoo.data.finding import Place
from zoo.engines import Optimizer
from zoo.errors import CheckpointError, ZooError, out_of_memory
from zoo.files import write_bytes
from zoo.options.values import is_number
from zoo.plugin.calling import is_of_plugin
from zoo.plugin.optimizer_state import PREFIX, flattened, load_exactly, unflatten_state
from zoo.storage import checkpoint
from zoo.storage.bounds import building
from zoo.storage.history.snapshots import record, recorded_snapshots
from zoo.storage.losses import LOSSES_FILE, Sealed
from zoo.training.building import Trial
from zoo.training.loop import Training
from zoo.training.objective.objective import Monitor
from zoo.training.validation import Kept, Validation

_MODEL = "model."
_BEST = "best."
_EVALUATIONS = "validation_steps", "validation_losses"
_RANKS = "validation_ranks"  # what the best was decided by, where that was not the loss


@dataclass(frozen=True)
class TrainingState:
    """The content of the file, checked as far as is possible without the model.

    `place` is where the data was on the machine of the run, if it was a file. No other file of a run has a path.
    `seconds` are those of training that a run with a time limit has used.
    """

    path: Path
    config: Any
    step: int
    weights: dict[str, Tensor]
    losses: list[float]
    sealed: Sealed | None
    tensors: dict[str, Tensor]
    optimizer: Any
    validation: Any
    place: Place | None
    file_bytes: int
    snapshots: Any = None
    seconds: float = 0.0

    def building(self) -> AbstractContextManager[None]:
        """A context in which the model that the config asks for is built, within what the file justifies."""
        return building(self.path, self.file_bytes, len(self.weights))

    def restore(self, training: Training, begun_with: Callable[[nn.Module], Optimizer] | None = None) -> None:
        """Bring a new `training` to this state.

        Args:
            training: its optimizer has the settings that the run goes on with.
            begun_with: makes an optimizer with the settings that it had when the state was saved, where these are
                others: what differs between two new ones of each replaces what the state has of it.

        Raises:
            CheckpointError: weights, optimizer state or RNG state do not fit; `training` must then be discarded.
        """
        checkpoint.fill(training.model, self.weights, self.path)
        try:
            edits = _Edits.of(training, begun_with)
            self._check_optimizer(training.trial, edits)
            load_exactly(training.optimizer, self._optimizer_state(edits))
            _check_generator(self.tensors["generator"])
            training.generator.set_state(self.tensors["generator"])
            if training.validation is not None:
                self._restore_validation(training.validation, training.model.state_dict())
            if training.snapshots is not None:
                training.snapshots.go_on_from(recorded_snapshots(self.path.parent, self.snapshots, self.step))
        except CheckpointError:
            raise
        except BaseException as error:  # an optimizer may raise anything for a state that does not fit
            if not is_of_plugin(error):
                raise
            what = "its config" if begun_with is None else "the optimizer.hyperparameters that were edited"
            raise CheckpointError(f"{self.path} does not fit {what}: {type(error).__name__}: {error}") from error
        if training.time_limit is not None:
            training.time_limit.before = self.seconds
        training.step = self.step
        training.losses[:] = self.losses

    def _optimizer_state(self, edits: _Edits) -> Any:
        """A copy: an optimizer may take the tensors that it loads for its own."""
        tensors = {name: t.clone() for name, t in self.tensors.items() if name.partition(".")[0] == PREFIX}
        return edits.in_place_of(unflatten_state(self.optimizer, tensors))

    def _check_optimizer(self, trial: Trial, edits: _Edits) -> None:
        """Refuse the state of another optimizer, and one of the right shapes that fails in the next step."""
        saved = self._optimizer_state(edits)
        own = _reference(trial, self._optimizer_state(edits))
        if not _fits(saved, own) or _groups(saved) != _groups(own):
            raise CheckpointError(f"{self.path} does not fit its config: its optimizer state is another optimizer's")
        trial.step(saved)

    @property
    def best_step(self) -> int | None:
        """The step of the best weights so far; None without evaluations."""
        step: int | None = None if self.validation is None else self.validation["best_step"]
        return step

    @property
    def best(self) -> dict[str, Tensor]:
        """The best weights so far; none without evaluations."""
        return {name.removeprefix(_BEST): tensor for name, tensor in self.tensors.items() if name.startswith(_BEST)}

    @property
    def ranks(self) -> list[float]:
        """What the evaluations so far are compared by, the lower the better: their losses, or the metric monitored."""
        if _RANKS in self.tensors:
            ranks: list[float] = self.tensors[_RANKS].tolist()
            return ranks
        return [loss for _, loss in self.evaluations]

    @property
    def evaluations(self) -> list[tuple[int, float]]:
        """Step and loss of the evaluations so far."""
        if self.validation is None:
            return []
        return list(zip(*(self.tensors[name].tolist() for name in _EVALUATIONS), strict=True))

    def _restore_validation(self, validation: Validation, weights: Mapping[str, Tensor]) -> None:
        """Restore the evaluations and the best weights. States of older versions have none."""
        if self.validation is None:
            return
        steps = [step for step, _ in self.evaluations]
        if steps != list(range(validation.every, self.step + 1, validation.every)):
            raise CheckpointError(f"{self.path} is damaged: its validation losses are not those of its steps")
        validation.steps[:], validation.losses[:] = steps, [loss for _, loss in self.evaluations]
        validation.ranks[:] = self.ranks
        if self.best_step is None:
            return
        best = self.best
        if best.keys() != weights.keys() or not _fits(best, weights):
            raise CheckpointError(f"{self.path} does not fit its config: its best weights are another model's")
        index = steps.index(self.best_step)
        validation.best = Kept(self.best_step, validation.losses[index], best, validation.ranks[index])

    def restore_global_generators(self, device: torch.device) -> None:
        """Set the state of torch's global generators, which dropout and the like use.

        To be called in a `zoo.training.building.seeded` block, which restores the caller's state.

        Raises:
            CheckpointError: a state is invalid.
        """
        try:
            _check_generator(self.tensors["global_generator"])
            torch.set_rng_state(self.tensors["global_generator"])
            if cuda.holds(device) and "cuda_generator" in self.tensors:
                cuda.set_generator_state(self.tensors["cuda_generator"], device)
        except (KeyError, RuntimeError, TypeError) as error:
            if out_of_memory(error):
                raise
            raise CheckpointError(f"{self.path} is damaged: its RNG state cannot be restored") from error


@dataclass(frozen=True)
class _Edits:
    """The states of new optimizers, with the settings that a state was saved with and with those to go on with."""

    before: Any = None
    after: Any = None

    @classmethod
    def of(cls, training: Training, begun_with: Callable[[nn.Module], Optimizer] | None) -> _Edits:
        if begun_with is None:
            return cls()
        return cls(begun_with(training.model).state_dict(), training.optimizer.state_dict())

    def in_place_of(self, saved: Any) -> Any:
        """The saved state with what differs between them, but for tensors: those were learnt."""
        return _with_edits(saved, self.before, self.after)


def _with_edits(saved: Any, before: Any, after: Any) -> Any:
    if isinstance(saved, Mapping) and isinstance(before, Mapping) and isinstance(after, Mapping):
        return {key: _with_edits(item, before.get(key), after.get(key)) for key, item in saved.items()}
    if isinstance(saved, list) and isinstance(before, list) and isinstance(after, list):
        alike = len(saved) == len(before) == len(after)
        return [_with_edits(*items) for items in zip(saved, before, after, strict=True)] if alike else saved
    if any(isinstance(value, Tensor) for value in (saved, before, after)):
        return saved
    return saved if before == after else after


def _check_generator(state: Tensor) -> None:
    """Refuse the state of a Mersenne twister that would read beyond its 624 words.

    torch checks each of its two counters, but not their sum.

    Raises:
        RuntimeError: the state is invalid.
    """
    if state.dtype != torch.uint8 or state.ndim != 1 or len(state) < 24:
        raise RuntimeError("it is not the state of a generator")
    left, following = int(state[8:12].clone().view(torch.int32)), int(state[16:24].clone().view(torch.int64))
    if not (0 < left <= 624 and 0 <= following <= 624 and left + following <= 625):
        raise RuntimeError("its counters contradict each other")


def _fits(state: Any, reference: Any) -> bool:
    """Whether a state has the structure, shapes and types of a reference, made in a first step.

    `load_state_dict` of an optimizer accepts any state, and its kernels may not check shapes and types again.

    Keys may be missing: a parameter without a gradient has no state. What is made in a later step may come beside all
    of the reference, at the end of a list, or in place of None or a number.
    """
    if isinstance(reference, Tensor):
        return isinstance(state, Tensor) and state.shape == reference.shape and state.dtype == reference.dtype
    if isinstance(reference, Mapping):
        if not isinstance(state, Mapping) or (state.keys() - reference.keys() and reference.keys() - state.keys()):
            return False
        return all(_fits(state[key], reference[key]) for key in state if key in reference)
    if isinstance(reference, list | tuple):
        return type(state) is type(reference) and len(state) >= len(reference) and all(map(_fits, state, reference))
    return True


def _groups(state: Mapping[str, Any]) -> list[Any]:
    """Which parameters are in which group. In another order, each would get the state of another one's shape."""
    return [group.get("params") for group in state.get("param_groups", ()) if isinstance(group, Mapping)]


def _reference(trial: Trial, saved: Any) -> Any:
    """The state of such an optimizer after its first step, with the settings that a state has for its groups.

    Settings decide which tensors its kernels read. An optimizer of an unusual state takes no other settings.
    """
    try:
        optimizer = trial.step(_emptied(saved))
    except BaseException as error:
        if not is_of_plugin(error):
            raise
        optimizer = trial.step()
    return optimizer.state_dict()


def _emptied(saved: Any) -> Any:
    """A state without what belongs to parameters, also where it is of several optimizers."""
    if not isinstance(saved, dict):
        return saved
    has_groups = "param_groups" in saved
    return {key: {} if has_groups and key == "state" else _emptied(item) for key, item in saved.items()}


def save(path: Path, training: Training, config: Mapping[str, Any]) -> None:
    """Write the state of a training, atomically; the same state gives the same bytes.

    Raises:
        OSError: the file cannot be written; the old file is kept.
    """
    write_bytes(path, pack(path.name, training, config))


def pack(
    name: str, training: Training, config: Mapping[str, Any], place: Place | None = None, sealed: Sealed | None = None
) -> bytes:
    """The content of a training state; the same state gives the same bytes.

    Args:
        name: of the file, for messages.
        training: between two steps.
        config: of the run.
        place: of the run's data, if that is a file.
        sealed: the losses that `losses.csv` has, and the training state need not have.
    """
    tensors, tree = flattened(training.optimizer)
    tensors |= {_MODEL + name: tensor for name, tensor in training.model.state_dict().items()}
    tensors["losses"] = torch.tensor(training.losses[sealed.steps if sealed else 0 :], dtype=torch.float64)
    tensors["generator"] = training.generator.get_state()
    tensors["global_generator"] = torch.get_rng_state()
    device = training.examples.device
    if cuda.holds(device):
        tensors["cuda_generator"] = cuda.generator_state(device)
    meta = {"step": training.step, "optimizer": tree, "config": config}
    if place is not None:
        meta["data"] = place.as_json()
    if sealed is not None:
        meta["sealed"] = sealed.record()
    if training.snapshots is not None:
        meta["snapshots"] = record(training.snapshots)
    if training.time_limit is not None:  # else the same run gives the same bytes
        meta["seconds"] = training.time_limit.used
    if training.validation is not None:
        tensors |= _validation_tensors(training.validation)
        meta["validation"] = {"best_step": training.validation.best.step if training.validation.best else None}
    return checkpoint.pack(name, tensors, meta)


def _validation_tensors(validation: Validation) -> dict[str, Tensor]:
    best = validation.best.weights if validation.best is not None else {}
    steps, losses = _EVALUATIONS
    by_loss = validation.objective.monitor == Monitor()  # then the ranks are the losses
    return {
        **({} if by_loss else {_RANKS: torch.tensor(validation.ranks, dtype=torch.float64)}),
        steps: torch.tensor(validation.steps, dtype=torch.int64),
        losses: torch.tensor(validation.losses, dtype=torch.float64),
        **{_BEST + name: tensor for name, tensor in best.items()},
    }


def load(path: Path) -> TrainingState:
    """Read a training state.

    Raises:
        CheckpointError: the file is missing, damaged, or not a training state.
    """
    stored = checkpoint.load(path)
    step, losses = stored.meta.get("step"), stored.tensors.get("losses")
    if not isinstance(step, int) or isinstance(step, bool) or losses is None or "generator" not in stored.tensors:
        raise CheckpointError(f"{path} is not a training state: it has no step, losses or RNG state")
    sealed = Sealed.read(stored.meta.get("sealed"))
    kept = step - (sealed.steps if sealed is not None else 0)
    if losses.dtype != torch.float64 or losses.shape != (kept,) or not losses.isfinite().all():
        raise CheckpointError(f"{path} is damaged: its losses are not those of {step} steps")
    if not _has_evaluations(stored, step):
        raise CheckpointError(f"{path} is damaged: its evaluations are not those of {step} steps")
    seconds = stored.meta.get("seconds", 0.0)
    if not is_number(seconds) or not 0 <= seconds < math.inf:
        raise CheckpointError(f"{path} is damaged: its seconds of training are no time")
    return TrainingState(
        path=path,
        config=stored.meta.get("config"),
        step=step,
        weights={k.removeprefix(_MODEL): t for k, t in stored.tensors.items() if k.startswith(_MODEL)},
        losses=(sealed.losses(path.parent / LOSSES_FILE) if sealed is not None else []) + losses.tolist(),
        sealed=sealed,
        tensors=stored.tensors,
        optimizer=stored.meta.get("optimizer"),
        validation=stored.meta.get("validation"),
        place=Place.read(stored.meta.get("data")),
        file_bytes=stored.file_bytes,
        snapshots=stored.meta.get("snapshots"),
        seconds=float(seconds),
    )


def _has_evaluations(stored: checkpoint.Checkpoint, step: int) -> bool:
    """Whether the evaluations in a state, if there are any, are such as `pack` writes; so are then the best weights."""
    recorded = stored.meta.get("validation")
    if recorded is None:
        return True
    steps, losses = (stored.tensors.get(name, torch.empty(0)) for name in _EVALUATIONS)
    ranks = stored.tensors.get(_RANKS, losses)
    written = steps.dtype == torch.int64 and losses.dtype == torch.float64 and steps.ndim == 1
    written = written and ranks.dtype == torch.float64 and ranks.shape == steps.shape
    if not (isinstance(recorded, dict) and "best_step" in recorded and written and steps.shape == losses.shape):
        return False
    known = dict(zip(steps.tolist(), losses.tolist(), strict=True))
    best = recorded["best_step"]
    best_is_known = best is None or (type(best) is int and math.isfinite(known.get(best, math.nan)))
    return best_is_known and len(known) == len(steps) and all(0 < one <= step for one in known)


def remembered_place(path: Path) -> Place | None:
    """Where the data of a run was, by its training state; None if there is no such file, or it does not tell."""
    try:
        return Place.read(checkpoint.load_meta(path).get("data"))
    except ZooError:
        return None
