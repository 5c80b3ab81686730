"""What a run is to be: the user's options over a preset over the model's defaults, all checked before work starts."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, TypeVar

from zoo.data.loading import DATASET_INPUTS, arrangement
from zoo.errors import UnknownNameError, UsageError
from zoo.files import kind_of, shown
from zoo.plugin.registry import DISTRIBUTION, Entry, Registry, suggest
from zoo.plugin.settings import Signature, split_sections
from zoo.plugin.specs import (
    AUTO,
    AUTOGRAD,
    FLOAT32,
    PRECISIONS,
    TEACHER_SHARES,
    DatasetSpec,
    ModelSpec,
    OptimizerSpec,
    Preset,
    is_teacher_share,
)
from zoo.schedule import SCHEDULES, Schedule

TEACHER_SHARE = 1 / 3
SEED = 2147483647  # the lecture's
SAMPLING_SEED = SEED + 10  # the lecture's, too
ENGINES = "auto|autograd|manual|fused"  # how a person is told of them; a model may bring others
SECTIONS = ("model", "data", "optimizer")
OPTIMIZER_INPUTS = ("params", "lr")
MODEL_INPUTS = ("vocab_size", "max_length", "num_features", "num_classes", "fitted_size", "generator")

_ARRANGEMENT_KEYS = ("data.split", "data.shuffle_seed")
_LARGEST_SEED = 2**64 - 1
_LONGEST_NAME = 255  # bytes, on every common file system

T = TypeVar("T")


@dataclass(frozen=True)
class RunOptions:
    """What the user said; None where they said nothing. The fields are the options of `zoo run`."""

    model: str
    dataset: str | Path | None = None
    optimizer: str | None = None
    device: str = "auto"
    engine: str | None = None
    steps: int | None = None
    batch_size: int | None = None
    lr: float | None = None
    schedule: str | None = None
    warmup: int | None = None
    clip_norm: float | None = None
    validate_every: int | None = None
    patience: int | None = None
    teacher: str | None = None
    teacher_share: float | None = None
    precision: str = FLOAT32
    compile: bool = False
    seed: int = SEED
    init_seed: int = SEED
    preset: str | None = None
    settings: Mapping[str, object] = field(default_factory=dict)
    out: Path | None = None
    plots: bool = True
    offline: bool = False


@dataclass(frozen=True)
class Teaching:
    """That words of a fitted model are trained on, too, and their share of each batch."""

    teacher: Entry[ModelSpec]
    share: float


@dataclass(frozen=True)
class RunPlan:
    """A run with every choice made; the settings are complete and typed."""

    model: Entry[ModelSpec]
    dataset: Entry[DatasetSpec] | Path
    fallback: Entry[DatasetSpec] | None  # stands in for `dataset` when that cannot be downloaded
    optimizer: Entry[OptimizerSpec]
    preset: str | None
    steps: int
    batch_size: int
    lr: float
    schedule: Schedule
    clip_norm: float | None
    validate_every: int | None
    patience: int | None
    teaching: Teaching | None
    precision: str
    compile: bool
    seed: int
    init_seed: int
    device: str
    engine: str
    model_settings: dict[str, Any]
    data_settings: dict[str, Any]
    optimizer_settings: dict[str, Any]
    out: Path | None
    plots: bool
    offline: bool


def make_plan(registry: Registry, options: RunOptions) -> RunPlan:
    """Decide everything about a run.

    Raises:
        UsageError: an unknown name or key, a value of the wrong type or out of range.
        PluginError: a factory that is needed cannot be imported.
    """
    if options.out is not None:
        _check_text("out", options.out)
    model = registry.models.get(options.model)
    preset_name, preset = _preset(model.spec, options.preset)
    dataset, fallback = _dataset(registry, model, preset, options)
    optimizer = _optimizer(registry, model, preset, options)
    kept = _settings_that_apply(preset, options)
    settings = split_sections({**kept, **options.settings}, SECTIONS)
    if "lr" in settings["optimizer"]:
        raise UsageError("the learning rate is set with --lr, not with optimizer.lr")
    steps = _whole("steps", _first(options.steps, preset.steps, model.spec.steps))
    every = _first_or_none(options.validate_every, preset.validate_every, model.spec.validate_every)
    return RunPlan(
        model=model,
        dataset=dataset,
        fallback=fallback,
        optimizer=optimizer,
        preset=preset_name,
        steps=steps,
        batch_size=_whole("batch-size", _first(options.batch_size, preset.batch_size, model.spec.batch_size)),
        lr=_positive("lr", options.lr if options.lr is not None else _lr(registry, model, preset, optimizer)),
        schedule=_schedule(preset.schedule or model.spec.schedule, options, steps),
        clip_norm=_clip_norm(_first_or_none(options.clip_norm, preset.clip_norm, model.spec.clip_norm)),
        validate_every=_count("validate-every", every),
        patience=_patience(_first_or_none(options.patience, preset.patience, model.spec.patience), every),
        teaching=_teaching(registry, model, preset, options),
        precision=check_precision_name(options.precision),
        compile=options.compile,
        seed=_seed("seed", options.seed),
        init_seed=_seed("init-seed", options.init_seed),
        device=options.device,
        engine=check_engine(model, _first(options.engine, preset.engine if options.optimizer is None else None, AUTO)),
        model_settings=Signature(model.factory(), MODEL_INPUTS).resolve(
            "model", settings["model"], f"model {model.spec.name!r}"
        ),
        data_settings=resolve_data_settings(dataset, settings["data"]),
        optimizer_settings=Signature(optimizer.factory(), OPTIMIZER_INPUTS).resolve(
            "optimizer", settings["optimizer"], f"optimizer {optimizer.spec.name!r}"
        ),
        out=options.out,
        plots=options.plots,
        offline=options.offline,
    )


def resolve_data_settings(dataset: Entry[DatasetSpec] | Path, given: Mapping[str, object]) -> dict[str, Any]:
    """The settings of a dataset: its function's own, and those of the arrangement that were given.

    Raises:
        UsageError: an unknown key, or a value of the wrong type.
    """
    own = {} if isinstance(dataset, Path) else Signature(dataset.factory(), DATASET_INPUTS).settings
    signature = Signature(arrangement)
    signature.settings = {**signature.settings, **own}
    who = "a file of words" if isinstance(dataset, Path) else f"dataset {dataset.spec.name!r}"
    values = signature.resolve("data", given, who)
    return {name: value for name, value in values.items() if name in own or name in given}


def _preset(spec: ModelSpec, name: str | None) -> tuple[str | None, Preset]:
    if name is None:
        name = next(iter(spec.presets), None)
        return name, spec.presets[name] if name else Preset()
    if name not in spec.presets:
        raise UnknownNameError(f"model {spec.name!r} has no preset {name!r}; {suggest(name, spec.presets)}")
    return name, spec.presets[name]


def _dataset(
    registry: Registry, model: Entry[ModelSpec], preset: Preset, options: RunOptions
) -> tuple[Entry[DatasetSpec] | Path, Entry[DatasetSpec] | None]:
    """The dataset asked for, or the model's own with the one that may stand in for it: never where one was named."""
    if options.dataset is not None:
        return find_dataset(registry, options.dataset), None
    name = preset.dataset or model.spec.dataset
    if name is None:
        raise UsageError(f"model {model.spec.name!r} has no dataset of its own: name one with --dataset")
    entry = registry.datasets.get(name, prefer=_home(model))
    if entry.spec.fallback is None:
        return entry, None
    return entry, registry.datasets.get(entry.spec.fallback, prefer=(entry.plugin.distribution, DISTRIBUTION))


def find_dataset(registry: Registry, name: str | Path) -> Entry[DatasetSpec] | Path:
    """A registered dataset, or else a file of words. A file that is called like a dataset is reached as `./NAME`.

    Raises:
        UsageError: there is neither.
    """
    if isinstance(name, str) and name in registry.datasets:
        return registry.datasets.get(name)
    path = Path(name)
    _check_text("dataset", path)
    kind = kind_of(path)
    if kind == "file":
        return path
    if kind == "folder":
        raise UsageError(f"dataset {shown(name)} is a folder: name a text file with one word a line")
    if len(path.parts) > 1 or path.suffix:
        raise UsageError(f"no file {shown(name)}: --dataset takes a text file with one word a line, or a name")
    registry.datasets.get(str(name))  # raises, with the nearest names
    raise UsageError(f"no dataset {name!r}")


def _home(model: Entry[ModelSpec]) -> tuple[str, str]:
    """Whose names are meant by the names in a spec: its own distribution's, then the built-in ones."""
    return model.plugin.distribution, DISTRIBUTION


def _optimizer(
    registry: Registry, model: Entry[ModelSpec], preset: Preset, options: RunOptions
) -> Entry[OptimizerSpec]:
    if options.optimizer is not None:
        return registry.optimizers.get(options.optimizer)
    return registry.optimizers.get(preset.optimizer or model.spec.optimizer, prefer=_home(model))


def _settings_that_apply(preset: Preset, options: RunOptions) -> dict[str, object]:
    """A preset's settings, without those of an optimizer or a dataset that the user has replaced."""
    return {
        key: value
        for key, value in preset.settings.items()
        if not (options.optimizer is not None and key.startswith("optimizer."))
        and not (options.dataset is not None and key.startswith("data.") and key not in _ARRANGEMENT_KEYS)
    }


def _lr(registry: Registry, model: Entry[ModelSpec], preset: Preset, optimizer: Entry[OptimizerSpec]) -> float:
    """The learning rate that nobody gave: a preset's or a model's own belongs to the optimizer that it names."""
    own: list[tuple[float | None, str]] = [
        (preset.lr, preset.optimizer or model.spec.optimizer),
        (model.spec.lr, model.spec.optimizer),
    ]
    for lr, name in own:
        if lr is not None and _is_called(registry, optimizer, name, model):
            return lr
    fitting = _first_or_none(optimizer.spec.lr, preset.lr, model.spec.lr)
    if fitting is None:
        raise UsageError(
            f"neither {model.spec.name!r} nor {optimizer.spec.name!r} has a default learning rate: give --lr"
        )
    return fitting


def _schedule(own: Schedule, options: RunOptions, steps: int) -> Schedule:
    """The model's own schedule, with what the user wants of it otherwise, over the steps of the run."""
    if options.schedule is not None:
        if options.schedule not in SCHEDULES:
            raise UnknownNameError(f"no schedule {options.schedule!r}; {suggest(options.schedule, SCHEDULES)}")
        own = own.named(options.schedule, steps)
    if options.warmup is not None:
        if not isinstance(options.warmup, int) or options.warmup < 0:
            raise UsageError(f"--warmup must be a number of steps, got {options.warmup}")
        own = replace(own, warmup=options.warmup)
    return own.over(steps)


def _clip_norm(value: float | None) -> float | None:
    return None if value is None else _positive("clip-norm", value)


def _count(name: str, value: int | None) -> int | None:
    return None if value is None else _whole(name, value)


def _patience(value: int | None, every: int | None) -> int | None:
    if value is not None and every is None:
        raise UsageError("--patience counts looks at the validation loss: give --validate-every, too")
    return _count("patience", value)


def _teaching(registry: Registry, model: Entry[ModelSpec], preset: Preset, options: RunOptions) -> Teaching | None:
    if options.teacher is not None:
        teacher = registry.models.get(options.teacher)
    elif preset.teacher is not None:
        teacher = registry.models.get(preset.teacher, prefer=_home(model))
    elif options.teacher_share is not None:
        raise UsageError("--teacher-share is of a teacher's words: give --teacher, too")
    else:
        return None
    share = _first(options.teacher_share, preset.teacher_share, TEACHER_SHARE)
    return check_teaching(Teaching(teacher, share), model) if share else None


def check_teaching(teaching: Teaching, model: Entry[ModelSpec]) -> Teaching:
    """Whether a model can be taught so.

    Raises:
        UsageError: the teacher is not fitted, the model itself is, or the share is none.
    """
    teacher = teaching.teacher.spec.name
    if not is_teacher_share(teaching.share):
        raise UsageError(f"--teacher-share must be 0 or {TEACHER_SHARES}, got {teaching.share}")
    if not is_fitted(teaching.teacher):
        raise UsageError(f"--teacher {teacher}: only a model that is fitted to its data can teach, as 'ngram' can")
    if is_fitted(model):
        raise UsageError(f"model {model.spec.name!r} is fitted to its data, and not trained: leave out --teacher")
    return teaching


def is_fitted(entry: Entry[ModelSpec]) -> bool:
    """Whether the model is made of its data, and its constructor so asks for `fitted_size`."""
    return "fitted_size" in Signature(entry.factory(), MODEL_INPUTS).inputs


def check_precision_name(name: str) -> str:
    """One of `PRECISIONS`; whether the device has it is seen when the device is there.

    Raises:
        UnknownNameError: it is none.
    """
    if name not in PRECISIONS:
        raise UnknownNameError(f"no precision {name!r}; {suggest(name, PRECISIONS)}")
    return name


def _is_called(registry: Registry, optimizer: Entry[OptimizerSpec], name: str, model: Entry[ModelSpec]) -> bool:
    try:
        return registry.optimizers.get(name, prefer=_home(model)) == optimizer
    except UsageError:  # a name that no plugin has, or several: not this one's
        return False


def _check_text(option: str, path: Path) -> None:
    """A run writes its names into UTF-8 files, and makes files of them; better to know now that one will not do."""
    try:
        str(path).encode()
    except UnicodeEncodeError as error:
        raise UsageError(f"--{option} {str(path)!a} is no name in UTF-8: choose another") from error
    if "\0" in str(path) or any(len(part.encode()) > _LONGEST_NAME for part in path.parts):
        raise UsageError(f"--{option} {shown(path)} is no name that a file can have: choose a shorter one")


def check_engine(model: Entry[ModelSpec], name: str) -> str:
    """The name of an engine that the model has; whether it can train what is planned is seen when it is made.

    Raises:
        UnknownNameError: it has none of that name.
    """
    own = (AUTO, AUTOGRAD, *model.spec.engines)
    if name not in own:
        raise UnknownNameError(f"model {model.spec.name!r} has no engine {name!r}; {suggest(name, own)}")
    return name


def _whole(name: str, value: int) -> int:
    _positive(name, value)
    if not isinstance(value, int) or isinstance(value, bool):
        raise UsageError(f"--{name} must be a whole number, got {value!r}")
    return value


def _positive(name: str, value: float) -> float:
    if not 0 < value < math.inf:
        raise UsageError(f"--{name} must be above 0, got {value}")
    return value


def _seed(name: str, value: int) -> int:
    if not isinstance(value, int) or isinstance(value, bool) or not 0 <= value <= _LARGEST_SEED:
        raise UsageError(f"--{name} must be from 0 to 2**64 - 1, got {value}")
    return value


def _first_or_none(*values: T | None) -> T | None:
    return next((value for value in values if value is not None), None)


def _first(given: T | None, preset: T | None, default: T) -> T:
    return given if given is not None else preset if preset is not None else default
