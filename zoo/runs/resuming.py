"""Going on with a run: is what made it still the same?

A run that goes on must end where it would have ended undisturbed, bit for bit. So everything that decides its outcome
is held against what stands in its state: the data, the plugins' versions, the settings, and a config that was edited.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from zoo.errors import CheckpointError, UnknownNameError, UsageError
from zoo.files import parse_json, read_text
from zoo.plugin.registry import Entry, Registry
from zoo.plugin.settings import Signature
from zoo.plugin.specs import ModelSpec
from zoo.runs.plan import (
    MODEL_INPUTS,
    OPTIMIZER_INPUTS,
    RunPlan,
    Teaching,
    check_engine,
    check_precision_name,
    check_teaching,
    resolve_data_settings,
)
from zoo.storage.config import RunConfig, differences
from zoo.storage.state import TrainingState

# What may be changed on purpose, with a flag: the trained weights still mean the same.
CHANGEABLE = (
    "training.lr",
    "training.batch_size",
    "training.schedule",
    "training.clip_norm",
    "training.patience",
    "optimizer.hyperparameters",
    "dataset",
)

_ASKED_FOR = ("training.device:", "training.engine:")


@dataclass(frozen=True)
class ResumeOptions:
    """How a run is to go on.

    Attributes:
        steps: how many it is to have in all; None for as many as it was planned with.
        device, engine: others than the run's own. Results are then close to, not equal to, those of the first.
        allow_changes: go on with what differs, where that makes sense: `CHANGEABLE`, and plugins' versions.
        plots, offline: as for a new run.
    """

    steps: int | None = None
    device: str | None = None
    engine: str | None = None
    allow_changes: bool = False
    plots: bool = True
    offline: bool = False


def plan_resumption(registry: Registry, state: TrainingState, folder: Path, options: ResumeOptions) -> RunPlan:
    """The plan of a run that goes on from `state`.

    Args:
        registry: the plugins of today.
        state: where the run stopped.
        folder: the run's folder, whose `config.json` is read too.
        options: the user's.

    Raises:
        UsageError: it has all its steps.
        CheckpointError: its config is damaged, or needs a plugin that is missing, or something differs.
    """
    config = RunConfig.read(_edited(state, folder, allow_changes=options.allow_changes), state.path)
    steps = config.steps if options.steps is None else options.steps
    if config.patience is not None and state.out_of_patience(config.patience) and _has_result(folder, state.step):
        raise UsageError(
            f"the run in {folder} stopped early, at step {state.step}: its validation loss had not become better "
            f"{config.patience} times in a row"
        )
    if steps < state.step or (steps == state.step and _has_result(folder, steps)):
        more = "give a larger --steps to go on" if options.steps is None else f"--steps {steps} is not more"
        raise UsageError(f"the run in {folder} has done all its {state.step} steps: {more}")
    try:
        plan = _plan(registry, config, folder, steps, options)
    except UnknownNameError as error:
        raise CheckpointError(f"the run in {folder} cannot go on: {error}") from error
    except UsageError as error:
        raise CheckpointError(f"the run in {folder} cannot go on: its config does not fit: {error}") from error
    _check_values(plan, folder)
    if not options.allow_changes:
        _check_versions(config.raw, plan, folder)
    _check_settings(config, plan, folder)
    return plan


def _plan(registry: Registry, config: RunConfig, folder: Path, steps: int, options: ResumeOptions) -> RunPlan:
    model = registry.models.get(config.model)
    optimizer = registry.optimizers.get(config.optimizer)
    source = Path(config.dataset) if config.dataset_is_file else registry.datasets.get(config.dataset)
    optimizer_signature = Signature(optimizer.factory(), OPTIMIZER_INPUTS)
    return RunPlan(
        model=model,
        dataset=source,
        fallback=None,
        optimizer=optimizer,
        preset=config.preset,
        steps=steps,
        batch_size=config.batch_size,
        lr=config.lr,
        schedule=config.schedule,
        clip_norm=config.clip_norm,
        validate_every=config.validate_every,
        patience=config.patience,
        teaching=_teaching(registry, config, model),
        precision=check_precision_name(config.precision),
        compile=config.compile,
        seed=config.seed,
        init_seed=config.init_seed,
        device=options.device or config.device,
        engine=check_engine(model, options.engine or config.engine),
        model_settings=Signature(model.factory(), MODEL_INPUTS).resolve("model", config.hyperparameters),
        data_settings=resolve_data_settings(source, config.data_settings),
        optimizer_settings=optimizer_signature.resolve("optimizer", config.optimizer_settings),
        out=folder,
        plots=options.plots,
        offline=options.offline,
    )


def _teaching(registry: Registry, config: RunConfig, model: Entry[ModelSpec]) -> Teaching | None:
    if config.teacher is None or config.teacher_share is None:
        return None
    return check_teaching(Teaching(registry.models.get(config.teacher), config.teacher_share), model)


def check_unchanged(state: TrainingState, config: dict[str, Any], folder: Path, *, allow_changes: bool) -> None:
    """Hold the config of the run as it would go on against that of its state, once data and model are there.

    Steps, device and engine were asked for, and versions of torch and Python are left to the caller to warn of.

    Raises:
        CheckpointError: they differ.
    """
    found = [
        line
        for line in differences(state.config, config)
        if not line.startswith(("versions.", "training.steps:", *_ASKED_FOR))
        and not (allow_changes and _may_change(line))
    ]
    if any(line.startswith(("dataset.vocabulary", "model.")) and ".plugin." not in line for line in found):
        raise CheckpointError(f"the run in {folder} cannot go on: {'; '.join(found)}")
    _refuse(found, folder)


def _may_change(line: str) -> bool:
    if line.startswith("dataset.vocabulary"):
        return False  # the weights are made for these characters
    return line.startswith(CHANGEABLE) or ".plugin.version:" in line


def inexact(state: TrainingState, config: dict[str, Any]) -> list[str]:
    """What differs of device, engine and versions: numbers may do so too, in their last digits."""
    found = differences(state.config, config)
    return [line for line in found if line.startswith(("versions.", *_ASKED_FOR))]


def _edited(state: TrainingState, folder: Path, *, allow_changes: bool) -> dict[str, Any]:
    """The config to go on with: the state's own, or what the user made of `config.json`, if that is allowed."""
    original = RunConfig.read(state.config, state.path).raw
    path = folder / "config.json"
    try:
        edited = parse_json(read_text(path))
    except FileNotFoundError:
        return original
    except OSError as error:
        raise CheckpointError(f"cannot read {path}: {error.strerror}") from error
    except ValueError as error:
        raise CheckpointError(f"{path} is damaged: it is not JSON; delete it to go on with the state's own") from error
    changed = [line for line in differences(original, edited) if not line.startswith("training.steps:")]
    if not changed:
        return original
    if not allow_changes:
        _refuse([f"config.json was edited: {line}" for line in changed], folder)
    wrong = [line for line in changed if not line.startswith(CHANGEABLE)]
    if wrong:
        raise CheckpointError(f"{path} was edited where a run cannot change: {'; '.join(wrong)}")
    return dict(edited)


def _has_result(folder: Path, steps: int) -> bool:
    """Whether the run was also evaluated: one that was killed after its last step still lacks that."""
    try:
        metrics = parse_json(read_text(folder / "metrics.json"))
    except (OSError, ValueError):
        return False
    return isinstance(metrics, dict) and metrics.get("steps") == steps


def _check_values(plan: RunPlan, folder: Path) -> None:
    """Seeds were looked at when the config was read."""
    clip_norm = 1.0 if plan.clip_norm is None else plan.clip_norm
    if not all(0 < value < float("inf") for value in (plan.batch_size, plan.lr, plan.steps, clip_norm)):
        raise CheckpointError(f"the run in {folder} has a damaged config: a number is out of range")


def _check_versions(raw: dict[str, Any], plan: RunPlan, folder: Path) -> None:
    found = []
    for part, entry in (("model", plan.model), ("optimizer", plan.optimizer), ("dataset", plan.dataset)):
        if isinstance(entry, Entry):
            now = {"distribution": entry.plugin.distribution, "version": entry.plugin.version}
            found += differences(raw[part]["plugin"], now, f"{part}.plugin")
    _refuse(found, folder)


def _check_settings(config: RunConfig, plan: RunPlan, folder: Path) -> None:
    """A new version may know settings that the old one did not: their defaults were never chosen for this run."""
    found = differences(config.hyperparameters, plan.model_settings, "model.hyperparameters")
    found += differences(config.optimizer_settings, plan.optimizer_settings, "optimizer.hyperparameters")
    _refuse(found, folder)


def _refuse(found: list[str], folder: Path) -> None:
    if found:
        raise CheckpointError(
            f"the run in {folder} would not go on as it began: {'; '.join(found)} "
            "(--allow-changes goes on all the same, where that makes sense)"
        )
