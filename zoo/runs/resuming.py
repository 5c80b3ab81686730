"""Resuming a run: is everything that it depends on unchanged?

A resumed run must end where an uninterrupted one would have ended, bit for bit. So everything that decides its outcome
is compared with what its state records: the data, the plugins' versions, the settings, and a config that was edited.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from zoo.data.datasets import TextDataset
from zoo.data.kinds import Dataset
from zoo.data.loading import ARRANGEMENT
from zoo.data.sources.found import Found
from zoo.data.sources.given import Source
from zoo.engines import Optimizer
from zoo.errors import CheckpointError, UnknownNameError, UsageError
from zoo.files import parse_json, read_text
from zoo.options.declaration import NOT_GIVEN, decided, declared
from zoo.options.run import ResumeOptions, RunOptions
from zoo.options.schedule import Schedule
from zoo.phrasing import option, told
from zoo.plugin.recorded import find_recorded, naming_versions
from zoo.plugin.registry import Entry, Registry
from zoo.plugin.settings import resolve_settings, settings_under_todays_names, split_sections
from zoo.plugin.specs import RESULT_SECTIONS, SECTIONS, ModelSpec, OptimizerSpec
from zoo.runs.loggers import plan_loggers
from zoo.runs.plan import RunPlan, check_synthetic
from zoo.runs.schedules import resumed_function, without_steps
from zoo.storage.config import CHOSEN_WHEN_RESUMED, RANKS, RunConfig, config_under_todays_names, differences, is_in
from zoo.storage.data.resumed import given_source, own_source, resumed_settings
from zoo.storage.state import TrainingState
from zoo.training.building import build_optimizer
from zoo.training.validation import stopped_early

if TYPE_CHECKING:
    from torch import nn

# Paths of a config.

# What `--allow-changes` takes from an edited config.json or from other data: the trained weights stay meaningful.
CHANGEABLE = (
    *(f"training.{name}" for name, one in declared(RunOptions).items() if one.option.editable),
    "optimizer.hyperparameters",
    "dataset",
)

# Options that `zoo resume` may override: a difference is a warning, and no error.
_CHOSEN = CHOSEN_WHEN_RESUMED
_EXACT = {f"training.{name}" for name in ("steps", "seconds", "snapshots")}
_INEXACT = ("versions", *(path for path in _CHOSEN if path not in _EXACT))

_OF_GPU = tuple(f"versions.{name}" for name in ("gpu", "cuda", "rocm"))


def plan_resumption(
    registry: Registry, state: TrainingState, folder: Path, options: ResumeOptions
) -> tuple[RunPlan, dict[str, Any]]:
    """The plan of a run that is resumed from `state`, and the config that it was begun with, under today's names.

    Args:
        registry: the plugins that are installed now.
        state: where the run stopped.
        folder: the run's folder, whose `config.json` is read too.
        options: the user's, checked.

    Raises:
        UsageError: the run has all its steps, or no engine of the name that the user gives.
        CheckpointError: its config is damaged, or needs a plugin that is missing, or something differs.
    """
    begun = RunConfig.read(state.config, state.path)
    config = _edited(begun, folder, allow_changes=options.allow_changes)
    recorded = config.data_file(folder, state.place if config.dataset == begun.dataset else None)
    ends = _Ends.of(config.options, options, state)
    if stopped_early(config.options, state.ranks) and _has_result(folder, state.step):
        raise UsageError(f"early stopping ended the run in {folder} at step {state.step}: it is finished")
    ends.check(config.options, options, state, folder)
    if options.dataset is None:
        data = Found(own_source(registry, config, recorded, folder))
    else:
        data = given_source(registry, config, recorded, options)
    parts = _find_parts(registry, config, data.source, folder)
    others = parts.of_other_versions(config)
    loggers = plan_loggers(registry, options.log, _settings(options))
    with naming_versions(others):
        try:
            plan = replace(_plan(parts, config, options, data, ends), loggers=loggers)
        except UnknownNameError as error:
            raise CheckpointError(f"the run in {folder} cannot be resumed: {error}") from error
        except UsageError as error:
            raise CheckpointError(f"the run in {folder} cannot be resumed: its config does not fit: {error}") from error
        _check_engine(plan, options, folder)
        function = resumed_function(plan.options, options.schedule, plan.model)
        plan = replace(plan, schedule_function=function)
    then = _with_settings(begun, plan)
    _check_settings(_with_settings(config, plan), plan, folder, others)
    if not options.allow_changes:
        _check_versions(then, plan, folder, others)
    return plan, then


class _Ends(NamedTuple):
    """What ends a resumed run: a number of steps, seconds of training, or what comes first of both."""

    steps: int | None
    seconds: float | None

    @classmethod
    def of(cls, recorded: RunOptions, given: ResumeOptions, state: TrainingState) -> _Ends:
        """What the user gives over what the run was planned with; where one is given, the other no longer ends a run
        that has reached it."""
        steps, seconds = recorded.steps, recorded.seconds
        if given.steps is not NOT_GIVEN and seconds is not None and state.seconds >= seconds:
            seconds = None
        if given.seconds is not NOT_GIVEN and steps is not None and state.step >= steps:
            steps = None
        return cls(given.steps or steps, given.seconds or seconds)

    def check(self, recorded: RunOptions, given: ResumeOptions, state: TrainingState, folder: Path) -> None:
        """Refuse what leaves nothing to do.

        Raises:
            UsageError: the run has all its steps, or all its time, and a result.
        """
        if self.steps is None and (given.snapshots or recorded.snapshots):
            raise UsageError(f"{option('snapshots')} are spread over the steps of the run: give {option('steps')}, too")
        finished = _has_result(folder, state.step)
        if self.seconds is not None and state.seconds >= self.seconds and finished:
            larger = f"give a larger {option('seconds')}, or {option('steps')}, to continue"
            more = larger if given.seconds is None else f"{option('seconds', self.seconds)} is not more"
            raise UsageError(f"the run in {folder} has been trained for {state.seconds:.1f} seconds: {more}")
        if self.steps is not None and (self.steps < state.step or (self.steps == state.step and finished)):
            larger = f"give a larger {option('steps')} to continue"
            more = larger if given.steps is None else f"{option('steps', self.steps)} is not more"
            raise UsageError(f"the run in {folder} has done all its {state.step} steps: {more}")


class _Parts(NamedTuple):
    """What a run's config names, as it is installed now."""

    model: Entry[ModelSpec]
    optimizer: Entry[OptimizerSpec]
    synthetic: Entry[ModelSpec] | None
    dataset: Source

    def of_other_versions(self, config: RunConfig) -> list[str]:
        """What to say of those whose plugin is of another version now."""
        told = [
            config.recorded(name).other_version(entry)
            for name, entry in self._asdict().items()
            if isinstance(entry, Entry) and entry.full_name == config.recorded(name).name
        ]
        return list(dict.fromkeys(filter(None, told)))


def other_versions(state: TrainingState, plan: RunPlan) -> list[str]:
    """What to say of the plugins of a resumed run that are of other versions now; for an error that may come of it."""
    parts = _Parts(plan.model, plan.optimizer, plan.synthetic, plan.dataset)
    return parts.of_other_versions(RunConfig.read(state.config, state.path))


def begun_with(then: dict[str, Any], plan: RunPlan) -> Callable[[nn.Module], Optimizer] | None:
    """What makes an optimizer with the settings that a run was begun with; None where it is resumed with the same.

    Args:
        then: the config that the run was begun with.
        plan: of its resumption.
    """
    settings = resolve_settings(plan.optimizer, then["optimizer"]["hyperparameters"])
    if settings == plan.optimizer_settings:
        return None
    return lambda model: build_optimizer(plan.optimizer, model, plan.lr, settings)


def _find_parts(registry: Registry, config: RunConfig, data: Source, folder: Path) -> _Parts:
    who = f"the run in {folder}"
    synthetic = None
    if config.options.synthetic is not None:
        synthetic = find_recorded(registry, registry.models, config.recorded("synthetic"), who)
    return _Parts(
        model=find_recorded(registry, registry.models, config.recorded("model"), who),
        optimizer=find_recorded(registry, registry.optimizers, config.recorded("optimizer"), who),
        synthetic=synthetic,
        dataset=data,
    )


def _plan(parts: _Parts, config: RunConfig, options: ResumeOptions, data: Found, ends: _Ends) -> RunPlan:
    model, optimizer, synthetic, dataset = parts
    chosen = replace(config.options, **_given(options))
    chosen = replace(chosen, schedule=_schedule(config, options, ends), steps=ends.steps, seconds=ends.seconds)
    if synthetic is not None:
        check_synthetic(synthetic, chosen, model)
    return RunPlan(
        options=chosen,
        model=model,
        dataset=dataset,
        fallback=None,
        optimizer=optimizer,
        synthetic=synthetic,
        model_settings=resolve_settings(model, config.hyperparameters, config.provides),
        data_settings=resumed_settings(data, config),
        dataset_sha256=config.dataset_sha256 if isinstance(dataset, Path) and options.dataset is None else None,
        optimizer_settings=resolve_settings(optimizer, config.optimizer_settings),
        loss_settings=config.loss_settings,
        made=data.made,
        like=config.table() if options.allow_changes else None,  # else it is the same table
    )


def _schedule(config: RunConfig, options: ResumeOptions, ends: _Ends) -> Schedule:
    """The run's own, or what the user changes it to; `check_unchanged` refuses that, unless it is allowed."""
    own = config.options.schedule
    assert isinstance(own, Schedule)
    if options.schedule in (NOT_GIVEN, own.as_options()["schedule"]):
        return own
    steps, name = config.options.steps or ends.steps, decided(options.schedule)
    if steps is None and own.named(name, 1000).over(1000) != own.named(name, 2000).over(2000):
        raise without_steps(own.named(name, 1000))
    return own.named(name, steps or 1).over(steps or 1)


def _settings(options: ResumeOptions) -> dict[str, object]:
    """Those of loggers: a run keeps all others."""
    sections = split_sections(options.settings or {}, SECTIONS)
    for section in RESULT_SECTIONS:
        for key in sections[section]:
            raise UsageError(f"'{section}.{key}' is a setting of the run, which it keeps: set logger.KEY here")
    return sections["logger"]


def _check_engine(plan: RunPlan, options: ResumeOptions, folder: Path) -> None:
    try:
        plan.model.spec.check_engine(decided(plan.options.engine))
    except UnknownNameError as error:
        if options.engine is not None:
            raise
        raise CheckpointError(f"the run in {folder} cannot be resumed: {error}") from error


def _given(options: ResumeOptions) -> dict[str, Any]:
    """What the user gives for this resumption that is also an option of a run."""
    shared = {name: getattr(options, name) for name in declared(ResumeOptions) if name in declared(RunOptions)}
    return {name: value for name, value in shared.items() if value is not NOT_GIVEN}


def same_data(then: dict[str, Any], now: dict[str, Any], dataset: Dataset) -> dict[str, Any]:
    """The config of a resumed run, with its data under the name that the run began with.

    Data of the same digest is the same data, from whatever place and under whatever name it comes. The digest of words
    that were given in Python is theirs, wherever `dataset` has them from now.
    """
    before, after = then["dataset"], now["dataset"]
    if before.get("given_in") and isinstance(dataset, TextDataset) and before["sha256"] == dataset.words_sha256:
        after = {**after, "sha256": before["sha256"]}
    if before["sha256"] != after["sha256"] or _source(before) == _source(after):
        return now
    settings = {key: value for key, value in after["settings"].items() if key in ARRANGEMENT}
    settings |= {key: value for key, value in before["settings"].items() if key not in ARRANGEMENT}
    of_source = {"name": before["name"], "plugin": before.get("plugin")}
    of_source |= {"given_in": before["given_in"]} if before.get("given_in") else {}
    rest = {key: value for key, value in after.items() if key not in (*of_source, "given_in")}
    return {**now, "dataset": {**of_source, **rest, "settings": settings}}


def _source(dataset: dict[str, Any]) -> tuple[str, str | None]:
    """The name of a dataset, and where it is from: a distribution, Python, or, for a file, None."""
    plugin = dataset.get("plugin")
    return dataset["name"], dataset.get("given_in") if plugin is None else plugin["distribution"]


def _is_other(dataset: dict[str, Any], entry: Entry[Any]) -> bool:
    """Whether a dataset is another than the run's own: one that was given with --dataset is compared by its digest."""
    return _source(dataset) != (entry.spec.name, entry.plugin.distribution)


def check_unchanged(then: dict[str, Any], now: dict[str, Any], folder: Path, *, allow_changes: bool) -> None:
    """Compare the config that the run was begun with and its config now, once data and model are there.

    What a resumption may choose is left out, and versions of torch and Python are left to the caller to warn of.

    Raises:
        CheckpointError: they differ.
    """
    found = [
        line
        for line in differences(then, now)
        if not is_in(line, ("versions", "metrics", *_CHOSEN)) and not (allow_changes and _may_change(line))
    ]
    if any(is_in(line, ("dataset.vocabulary", "model")) and ".plugin." not in line for line in found):
        raise CheckpointError(f"the run in {folder} cannot be resumed: {'; '.join(found)}")
    _refuse(found, folder, allowed=not allow_changes and all(map(_may_change, found)))


def _may_change(line: str) -> bool:
    if is_in(line, ("dataset.vocabulary",)):
        return False  # the weights are made for these characters
    return is_in(line, CHANGEABLE) or ".plugin.version:" in line


def inexact(then: dict[str, Any], now: dict[str, Any]) -> list[str]:
    """What differs of device, engine, threads and versions: numbers may differ too, in their last digits."""
    then, now = ({**config, "training": {RANKS: 1, **config["training"]}} for config in (then, now))
    told = [line for line in differences(then, now) if is_in(line, _INEXACT)]
    if str(then["training"].get("device")).startswith("cuda") and "gpu" not in then["versions"]:
        return [line for line in told if not is_in(line, _OF_GPU)]  # of an earlier version, which did not record it
    return told


def idle_steps(plan: RunPlan) -> str | None:
    """What to say of steps of an extended run that change nothing; None where all of them do."""
    steps, rests = plan.most_steps, plan.schedule.rests_from
    if rests is None or (steps is not None and rests >= steps):
        return None
    anew = told(typed="'zoo run'", python="zoo.run")
    over, given = ("more", option("steps")) if steps is None else (f"{steps:,}", option("steps", steps))
    return (
        f"the learning rate is 0 from step {rests:,} on, where the cosine of the run ended: these steps leave the "
        f"weights as they are; for a cosine over {over} steps, train anew with {anew} and {given}"
    )


def _edited(begun: RunConfig, folder: Path, *, allow_changes: bool) -> RunConfig:
    """The config to resume with: the state's own, or `config.json` as the user edited it, if that is allowed.

    The number of steps is left as it was, because `--steps` changes it.
    """
    path = folder / "config.json"
    try:
        written = parse_json(read_text(path))
    except FileNotFoundError:
        return begun
    except OSError as error:
        raise CheckpointError(f"cannot read {path}: {error.strerror}") from error
    except ValueError as error:
        raise CheckpointError(f"{path} is damaged: it is not JSON; delete it to use the state's own") from error
    edited = config_under_todays_names(written)
    if not isinstance(edited, dict):
        raise CheckpointError(f"{path} is damaged: it is not a JSON object; delete it to use the state's own")
    changed = [line for line in differences(begun.raw, edited) if not is_in(line, ("training.steps",))]
    if not changed:
        return begun
    if not allow_changes:
        allowed = all(is_in(line, CHANGEABLE) for line in changed)
        _refuse([f"config.json was edited: {line}" for line in changed], folder, allowed=allowed)
    wrong = [line for line in changed if not is_in(line, CHANGEABLE)]
    if wrong:
        raise CheckpointError(f"{path} was edited where a run cannot change: {'; '.join(wrong)}")
    config = RunConfig.read(written, path)
    return replace(config, options=replace(config.options, steps=begun.options.steps))


def _has_result(folder: Path, steps: int) -> bool:
    """Whether the run was also evaluated: one that was killed after its last step was not."""
    try:
        metrics = parse_json(read_text(folder / "metrics.json"))
    except (OSError, ValueError):
        return False
    return isinstance(metrics, dict) and metrics.get("steps") == steps


def _with_settings(config: RunConfig, plan: RunPlan) -> dict[str, Any]:
    """A config with the model's settings under today's names."""
    settings = settings_under_todays_names(plan.model, config.hyperparameters)
    return {**config.raw, "model": {**config.raw["model"], "hyperparameters": settings}}


def _check_versions(raw: dict[str, Any], plan: RunPlan, folder: Path, others: list[str]) -> None:
    found = []
    for part, entry in (("model", plan.model), ("optimizer", plan.optimizer), ("dataset", plan.dataset)):
        if isinstance(entry, Entry) and not (part == "dataset" and _is_other(raw[part], entry)):
            now = {"distribution": entry.plugin.distribution, "version": entry.plugin.version}
            found += differences(raw[part]["plugin"], now, f"{part}.plugin")
    _refuse(found, folder, others, allowed=True)


def _check_settings(then: dict[str, Any], plan: RunPlan, folder: Path, others: list[str]) -> None:
    """A new version may have settings that the old one had not: their defaults were never chosen for this run."""
    found = differences(then["model"]["hyperparameters"], plan.model_settings, "model.hyperparameters")
    found += differences(then["optimizer"]["hyperparameters"], plan.optimizer_settings, "optimizer.hyperparameters")
    _refuse(found, folder, others, allowed=False)


def _refuse(found: list[str], folder: Path, others: Sequence[str] = (), *, allowed: bool) -> None:
    """Refuse to resume a run that differs in what was `found`.

    Args:
        others: what to say of plugins of other versions.
        allowed: whether `--allow-changes` would resume it, which then is advised.
    """
    if found:
        remedies = [*others, *([f"{option('allow_changes', True)} resumes it all the same"] if allowed else [])]
        raise CheckpointError(
            f"the run in {folder} would not be resumed as it began: {'; '.join(found)}"
            + (f" ({'; '.join(remedies)})" if remedies else "")
        )
