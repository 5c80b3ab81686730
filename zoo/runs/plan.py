"""What a run is to be: the user's options over a preset over the model's defaults, all checked before work starts."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from zoo.data.datasets import check_shuffle_seed
from zoo.data.files.settings import with_file_options
from zoo.data.kinds import Dataset
from zoo.data.loading import ARRANGEMENT, resolve_data_settings
from zoo.data.sources.found import Found, check_as_it_is, find_source
from zoo.data.sources.given import Source
from zoo.errors import UnknownNameError, UsageError, suggest
from zoo.files import check_name, from_person
from zoo.options.declaration import NOT_GIVEN, decided, declared, filled, problems
from zoo.options.run import TEXT, FileOptions, ResumeOptions, RunOptions
from zoo.options.schedule import Factor, Schedule
from zoo.options.sweep import SweepOptions
from zoo.options.values import as_text, is_number
from zoo.phrasing import option
from zoo.plugin.registry import DISTRIBUTION, Entry, Registry
from zoo.plugin.settings import is_fitted, resolve_settings, settings_under_todays_names, split_sections
from zoo.plugin.specs import SECTIONS, DatasetSpec, ModelSpec, OptimizerSpec, Preset
from zoo.runs.loggers import PlannedLogger, needing_a_folder, plan_loggers
from zoo.runs.schedules import function_of, schedule_over

_SHARE = 1 / 3  # of synthetic words in each batch, by default
_ARRANGEMENT_KEYS = tuple(f"data.{name}" for name in ARRANGEMENT)
_FORMAT = "data.format"  # of a file


@dataclass(frozen=True)
class RunPlan:
    """A run with every choice made.

    Attributes:
        options: each with its value. Device, engine and threads may still be `auto` or left open: what they come to
            depends on the machine and the model.
        model, dataset, optimizer: what they name; a dataset may be a file, or data that was given in Python.
        made: the data, where it was made before: it is used as it is.
        fallback: used in place of `dataset` when that cannot be downloaded.
        synthetic: the model that synthetic words are sampled from.
        model_settings, data_settings, optimizer_settings: complete and typed; of the model without what has no default
            and must come from the data.
        loss_settings: as they were given: which loss it is shows with the data.
        named: the settings of the model that were asked for, and are not its defaults.
        schedule_function: that of the schedule, where it is a function.
        loggers: those that are told of the run, with their settings.
        dataset_sha256: the digest that the file must have, where a checkpoint led to it, or it is not read at all.
        like: what the columns of a table are for a run that is resumed on other rows.
        prefers_engine: the engine is a preset's or the model's, and not one that the user asks for: where it cannot be
            had, another one is used.
        prefers_precision: the same of the precision: float32 is used where the device has no other.
        warnings: what the user should know of it.
        until: the step at which it halts, to be resumed from there: everything else is as for all its steps.
    """

    options: RunOptions
    model: Entry[ModelSpec]
    dataset: Source
    fallback: Entry[DatasetSpec] | None
    optimizer: Entry[OptimizerSpec]
    synthetic: Entry[ModelSpec] | None
    model_settings: dict[str, Any]
    data_settings: dict[str, Any]
    optimizer_settings: dict[str, Any]
    schedule_function: Factor | None = None
    loggers: tuple[PlannedLogger, ...] = ()
    dataset_sha256: str | None = None
    like: Mapping[str, Any] | None = None
    prefers_engine: bool = False
    prefers_precision: bool = False
    loss_settings: dict[str, Any] = field(default_factory=dict)
    named: frozenset[str] = frozenset()
    made: Dataset | None = None
    warnings: tuple[str, ...] = ()
    until: int | None = None

    @property
    def steps(self) -> int:
        """Those of a run that has a number of steps."""
        return decided(self.options.steps)

    @property
    def most_steps(self) -> int | None:
        """The steps after which it ends; None where it goes on for as many as its seconds allow."""
        return self.options.steps

    @property
    def last_step(self) -> int | None:
        """The same, or the step at which it halts before that."""
        ends = [step for step in (self.until, self.most_steps) if step is not None]
        return min(ends, default=None)

    @property
    def batch_size(self) -> int:
        return decided(self.options.batch_size)

    @property
    def lr(self) -> float:
        """The peak learning rate."""
        return decided(self.options.lr)

    @property
    def schedule(self) -> Schedule:
        """The learning-rate schedule over the steps of the run."""
        assert isinstance(self.options.schedule, Schedule)  # a name was replaced when the plan was made
        function = self.schedule_function
        return self.options.schedule if function is None else replace(self.options.schedule, function=function)


def make_plan(registry: Registry, given: RunOptions) -> RunPlan:
    """Decide everything about a run.

    Raises:
        UsageError: an unknown name or key, a value of the wrong type or out of range.
        PluginError: a factory that is needed cannot be imported.
    """
    check_options(given)
    if not isinstance(given.model, str):
        raise UsageError(f"model must be a name, got {given.model!r}")
    if given.schedule is not NOT_GIVEN and not isinstance(given.schedule, str):
        raise UsageError("schedule must be a name; a Schedule or a function is for a model's spec or a preset")
    if given.out is not None:
        out = from_person(given.out)
        check_name("out", out)
        given = replace(given, out=out)
    model = registry.models.get(given.model)
    preset_name, preset = _preset(model.spec, given.preset)
    data, fallback = _dataset(registry, model, preset, given)
    dataset = data.source
    optimizer = _optimizer(registry, model, preset, given)
    settings = _settings(model, preset, given, dataset)
    options = filled(given, preset if given.optimizer is NOT_GIVEN else replace(preset, engine=NOT_GIVEN), model.spec)
    synthetic, options = _synthetic(registry, model, options, given)
    _check_seconds(given, model)
    if given.seconds is not None:
        options = replace(options, steps=given.steps)  # a default number is for a run without a limit
    schedule = schedule_over(given, preset, model.spec, options.steps)
    options = replace(
        options,
        preset=preset_name,
        lr=_lr(registry, model, preset, optimizer) if given.lr is NOT_GIVEN else options.lr,
        schedule=replace(schedule, function=schedule.path),
    )
    _check_together(given, options)
    model.spec.check_engine(decided(options.engine))
    data_settings = _data_settings(data, settings["data"], given)
    return RunPlan(
        options=options,
        model=model,
        dataset=dataset,
        fallback=fallback,
        optimizer=optimizer,
        synthetic=synthetic,
        model_settings=resolve_settings(model, settings["model"], partial=True),
        data_settings=data_settings,
        optimizer_settings=resolve_settings(optimizer, settings["optimizer"]),
        schedule_function=function_of(schedule, given, model),
        loggers=plan_loggers(registry, given.log, settings["logger"]),
        prefers_engine=given.engine is NOT_GIVEN,
        prefers_precision=given.precision is NOT_GIVEN,
        loss_settings=settings["loss"],
        named=frozenset(settings["model"]),
        made=data.made,
        warnings=_left_out(data, preset),
    )


def _check_together(given: RunOptions, options: RunOptions) -> None:
    """Refuse options that mean nothing without others.

    Args:
        given: what the user has given.
        options: with what the preset and the model's spec add.
    """
    if options.patience is not None and options.validate_every is None:
        raise UsageError(
            f"{option('patience')} counts evaluations of the validation split: give {option('validate_every')}, too"
        )
    if given.monitor not in (NOT_GIVEN, None) and options.validate_every is None:
        raise UsageError(
            f"{option('monitor')} decides at evaluations of the validation split: give {option('validate_every')}, too"
        )
    if given.warmup is not NOT_GIVEN and options.steps is not None and given.warmup > options.steps:
        raise UsageError(
            f"{option('warmup', given.warmup)} is longer than the run of {option('steps', options.steps)}: give fewer, "
            "or more"
        )


def _check_seconds(given: RunOptions, model: Entry[ModelSpec]) -> None:
    """Refuse a limit of seconds where the number of steps must be known, or there are none."""
    if given.seconds is None:
        return
    if is_fitted(model):
        raise UsageError(
            f"model {model.spec.name!r} is fitted to its data, and not trained: leave out {option('seconds')}"
        )
    if given.snapshots is not None and given.steps is NOT_GIVEN:
        raise UsageError(f"{option('snapshots')} are spread over the steps of the run: give {option('steps')}, too")


def keeping_nothing(plan: RunPlan) -> RunPlan:
    """The plan of a run that keeps nothing: without plots, which would be files.

    Raises:
        UsageError: something is asked for that is about files, or a logger needs a folder.
    """
    for name, one in declared(RunOptions).items():
        if one.option.about_files and getattr(plan.options, name) is not None:
            raise UsageError(f"keep=False writes no files, and {name} is about them: leave out one of them")
    logger = needing_a_folder(plan.loggers)
    if logger is not None:
        raise UsageError(
            f"keep=False makes no run folder, and logger {logger!r} writes to it: leave out one of the two"
        )
    return replace(plan, options=replace(plan.options, plots=False))


def check_options(given: RunOptions | ResumeOptions | FileOptions | SweepOptions) -> None:
    """Check the type and the range of each option that was given.

    Raises:
        UsageError: a value that its option cannot have.
    """
    for one, problem in problems(given):
        value = getattr(given, one.name)
        if isinstance(value, str) and one.option.choices:
            raise UnknownNameError(f"{option(one.name)} {problem}")
        number = one.option.range is not None and is_number(value)
        raise UsageError(f"{option(one.name) if number else one.name} {problem}")  # the rest only Python can give


def check_synthetic(source: Entry[ModelSpec], options: RunOptions, model: Entry[ModelSpec]) -> None:
    """Check that a model can be trained on such a share of synthetic words of another.

    Raises:
        UsageError: that other one is not fitted, the model itself is, or there is no share.
    """
    if not options.synthetic_share:
        raise UsageError(f"{option('synthetic_share')} must be above 0 where there are synthetic words")
    if not is_fitted(source):
        raise UsageError(
            f"{option('synthetic', source.spec.name)}: only a model that is fitted to its data can supply words"
        )
    if is_fitted(model):
        raise UsageError(
            f"model {model.spec.name!r} is fitted to its data, and not trained: leave out {option('synthetic')}"
        )


def _preset(spec: ModelSpec, name: str | None) -> tuple[str | None, Preset]:
    if name is None:
        name = next(iter(spec.presets), None)
        return name, spec.presets[name] if name else Preset()
    name = spec.renamed.get(name, name)
    if name not in spec.presets:
        raise UnknownNameError(f"model {spec.name!r} has no preset {name!r}; {suggest(name, spec.presets)}")
    return name, spec.presets[name]


def _dataset(
    registry: Registry, model: Entry[ModelSpec], preset: Preset, given: RunOptions
) -> tuple[Found, Entry[DatasetSpec] | None]:
    """The dataset given, or else the model's own with its fallback. One that was named is never replaced."""
    if given.dataset is not None:
        return find_source(registry, given.dataset), None
    if _FORMAT in preset.settings:
        raise UsageError(
            f"this preset of {model.spec.name!r} is for a file of yours: name one with {option('dataset', 'FILE')}"
        )
    name = preset.dataset or model.spec.dataset
    if name is None:
        raise UsageError(f"model {model.spec.name!r} has no dataset of its own: name one with {option('dataset')}")
    entry = registry.datasets.get(str(name), prefer=_home(model))
    if entry.spec.fallback is None:
        return Found(entry), None
    return Found(entry), registry.datasets.get(entry.spec.fallback, prefer=(entry.plugin.distribution, DISTRIBUTION))


def _data_settings(data: Found, settings: Mapping[str, object], given: RunOptions) -> dict[str, Any]:
    """The settings of the data. Data that was made before has its own."""
    if data.settings is not None:
        check_as_it_is(split_sections(given.settings or {}, SECTIONS)["data"], given)
        return dict(data.settings)
    resolved = resolve_data_settings(data.source, with_file_options(data.source, settings, given))
    check_shuffle_seed(resolved.get("shuffle_seed"))
    return resolved


def _left_out(data: Found, preset: Preset) -> tuple[str, ...]:
    """What to say of the settings of a preset that data which was made before does not have."""
    if data.made is None:
        return ()
    return tuple(
        f"the preset's {key}={as_text(value)} is left out, because the dataset was made already: "
        f"zoo.load_dataset takes {key.partition('.')[2]}"
        for key, value in preset.settings.items()
        if key in _ARRANGEMENT_KEYS and _attribute(data.made, key) != value
    )


def _attribute(dataset: Dataset, key: str) -> object:
    return getattr(dataset, key.partition(".")[2], None)


def _home(model: Entry[ModelSpec]) -> tuple[str, str]:
    """The distributions in which a name of a model's spec is looked up first: its own, then the built-in one."""
    return model.plugin.distribution, DISTRIBUTION


def _optimizer(registry: Registry, model: Entry[ModelSpec], preset: Preset, given: RunOptions) -> Entry[OptimizerSpec]:
    if given.optimizer is not NOT_GIVEN:
        return registry.optimizers.get(given.optimizer)
    return registry.optimizers.get(decided(preset.optimizer or model.spec.optimizer), prefer=_home(model))


def _synthetic(
    registry: Registry, model: Entry[ModelSpec], options: RunOptions, given: RunOptions
) -> tuple[Entry[ModelSpec] | None, RunOptions]:
    """The model that synthetic words come from, and the options with their share; a share of 0 is none."""
    if options.synthetic is None and given.synthetic_share:
        raise UsageError(
            f"{option('synthetic_share')} is the share of synthetic words: give {option('synthetic')}, too"
        )
    if options.synthetic is None or options.synthetic_share == 0:
        none = 0.0 if options.synthetic_share == 0 else None  # 0 is recorded, because the preset may have another share
        return None, replace(options, synthetic=None, synthetic_share=none)
    source = registry.models.get(options.synthetic, prefer=() if given.synthetic is not None else _home(model))
    options = replace(options, synthetic=source.full_name, synthetic_share=options.synthetic_share or _SHARE)
    check_synthetic(source, options, model)
    return source, options


def _settings(
    model: Entry[ModelSpec], preset: Preset, given: RunOptions, dataset: Source
) -> dict[str, dict[str, object]]:
    """What was set, over what the preset sets, by section.

    Settings of an optimizer or a dataset that the user has replaced are left out. A preset's format is for any file.
    """
    survives = (*_ARRANGEMENT_KEYS, *([_FORMAT] if isinstance(dataset, Path) else []))
    kept = {
        key: value
        for key, value in preset.settings.items()
        if not (given.optimizer is not NOT_GIVEN and key.startswith("optimizer."))
        and not (given.dataset is not None and key.startswith("data.") and key not in survives)
    }
    settings = split_sections(kept, SECTIONS)
    of_user = split_sections(given.settings or {}, SECTIONS)
    if TEXT in (given.format, of_user["data"].get("format")):  # which is in its order
        settings["data"].pop("shuffle_seed", None)
    for section, values in of_user.items():
        if section == model.spec.section:  # renamed before they are merged, for the user's to win under either name
            settings[section] = settings_under_todays_names(model, settings[section])
            values = settings_under_todays_names(model, values)
        settings[section].update(values)
    if "lr" in settings["optimizer"]:
        raise UsageError(f"the learning rate is set with {option('lr')}, not with optimizer.lr")
    return settings


def _lr(registry: Registry, model: Entry[ModelSpec], preset: Preset, optimizer: Entry[OptimizerSpec]) -> float:
    """The default learning rate: that of a preset or a model belongs to the optimizer that it names."""
    for lr, name in ((preset.lr, preset.optimizer or model.spec.optimizer), (model.spec.lr, model.spec.optimizer)):
        if lr is not None and _is_called(registry, optimizer, decided(name), model):
            return lr
    for lr in (optimizer.spec.lr, preset.lr, model.spec.lr):
        if lr is not None:
            return lr
    raise UsageError(
        f"neither {model.spec.name!r} nor {optimizer.spec.name!r} has a default learning rate: give {option('lr')}"
    )


def _is_called(registry: Registry, optimizer: Entry[OptimizerSpec], name: str, model: Entry[ModelSpec]) -> bool:
    try:
        return registry.optimizers.get(name, prefer=_home(model)) == optimizer
    except UsageError:  # a name that no plugin has, or several: not this one's
        return False
