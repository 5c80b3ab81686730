"""The four records by which plugins describe what they bring.

Making one imports nothing: a factory is named as `"package.module:attribute"` (or given as a callable) and imported
when it is used. That keeps `zoo list` instant however many plugins are installed; this file imports no torch either.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, ClassVar, Literal, TypeAlias

from zoo.errors import UnknownNameError, UsageError, suggest
from zoo.numbers import show_value
from zoo.options.declaration import NOT_GIVEN, POSITIVE, declared, problems
from zoo.options.training import AUTO, AUTOGRAD, STACKED, TrainingOptions
from zoo.options.values import is_number, is_plain, plain
from zoo.plugin import fields
from zoo.plugin.fields import Holds, check_fields, check_named, check_value, is_name, optional
from zoo.text import brief

Factory: TypeAlias = str | Callable[..., Any]
Reads: TypeAlias = Literal["windows", "sequences"]

RESULT_SECTIONS = ("model", "loss", "data", "optimizer")  # of settings that affect the result: a preset may give them
SECTIONS = (*RESULT_SECTIONS, "logger")  # of settings: `--set SECTION.KEY=VALUE`
GENERATE_INPUTS = ("model", "n", "generator")  # what a model's `generate` is given, besides what the data decides

_SETTING = Holds(
    f"SECTION.KEY, where the section is {', '.join(RESULT_SECTIONS[:-1])} or {RESULT_SECTIONS[-1]}",
    lambda key: _is_setting(key),
)
_VALUE = Holds("a finite number, text, true, false, None, or a list of these", lambda value: is_plain(plain(value)))
_DESCRIBED = {"description": fields.TEXT, "references": fields.TEXTS}
_JUDGED = {"loss": optional(fields.FACTORY), "metrics": optional(fields.MAPPING)}
_LR = Holds(POSITIVE.text, lambda value: value is None or (is_number(value) and POSITIVE.holds(value)))


@dataclass(frozen=True, repr=False, eq=False)
class Preset(TrainingOptions):
    """A named way to train a model: what it says of `zoo.options.training.TrainingOptions` replaces the model's own.

    `settings` are keyed as on the command line: `{"data.shuffle_seed": 42, "model.hidden_size": 300}`. `engine` holds
    for the preset's own optimizer, and is a preference: where it cannot be had, a run takes another, with a warning.
    """

    summary: str = ""
    settings: Mapping[str, object] = field(default_factory=dict, kw_only=True)

    def __post_init__(self) -> None:
        with _naming("a preset"):
            super().__post_init__()
            _check_options(self)
            check_fields(self, {"summary": fields.TEXT, "settings": fields.MAPPING})
            for key, value in self.settings.items():
                check_value("a key of settings", key, _SETTING)
                check_value(f"settings[{key!r}]", value, _VALUE)


def _short_repr(spec: Spec) -> str:
    """What tells a spec from others: its name, what makes it, and its summary."""
    path = spec.factory if isinstance(spec.factory, str) else getattr(spec.factory, "__qualname__", "a callable")
    return brief(f"{type(spec).__name__}({spec.name!r}, {path!r}, summary={spec.summary!r})")


@dataclass(frozen=True, repr=False, eq=False)
class ModelSpec(TrainingOptions):
    """A model: an `nn.Module` class, or a function that returns one, and how it is trained by default.

    The factory's keyword arguments are the model's hyper-parameters; `vocab_size`, `max_length`, `num_features`,
    `num_classes`, `num_outputs`, `generator` and what the dataset provides are filled in by zoo where the factory has
    an argument of that name.

    Fields:
        name: what people type; lower-case letters, digits, `.`, `_` and `-`.
        factory: `"package.module:attribute"` or a callable.
        summary: one line for `zoo list`.
        dataset, optimizer: the names trained with by default. A name of the same distribution is preferred.
        steps, batch_size, lr and so on: the defaults of its runs; see `zoo.options.training.TrainingOptions`.
        reads: how a text model is served: `"windows"` of its own `context_length`, or full padded `"sequences"`.
        embedding: the module's parameter of shape (vocab_size, embedding_dim) that `zoo plot RUN embeddings` shows
            and `--snapshots` keeps.
        width: the factory's argument that decides how large the model is, such as `"hidden_size"`: a whole number, or
            several, one a layer. `zoo sweep MODEL --ladder` multiplies it.
        presets: named ways to train it; the first one is the default.
        engines: faster implementations of its training step than autograd, by name, the fastest first: factories
            called with `(model, optimizer, batch_size)`, and with `loss` where they ask for it, each returning a
            `zoo.engines.Engine` or raising `zoo.EngineUnavailableError`. One that does not ask for the loss computes
            cross-entropy, and is offered where that is the loss.
        populations: for engines of the same names, what trains many nets at once, each to the bit as that engine trains
            it alone: factories called with a list of pairs `(model, optimizer)` and the batch size, and with `loss` as
            above, each returning a `zoo.engines.PopulationEngine` or raising `zoo.EngineUnavailableError`.
        fitted: the factory's arguments that the model's method `fit` decides; see `zoo.training.building.fit_model`.
            A model that has any is fitted to its data (by counting, for instance) and not trained.
        description, references: for `zoo info`: longer text, and papers or lectures.
        loss: what it is trained on, with the signature of the functions in `torch.nn.functional` (or a class as in
            `torch.nn`): `loss(output, target, *, reduction, **settings)`. One without `reduction` returns a number for
            each example or target. It may ask by name for `x`, for `model`, and for what the dataset provides. By
            default the dataset's, or what the targets decide: cross-entropy for whole numbers, mean squared error for
            others, and against the input where there are none. Its attribute `unit` says what it is in (`nats`, say).
        metrics: functions `metric(output, target)` with a number for each target or example, or classes with
            `update(output, target)` and `compute()`, by the names that results have for them. They may ask by name for
            `model` and for what the dataset provides. Their attribute `higher_is_better` is for `--monitor`. By default
            accuracy for classes, RMSE and R2 for numbers, bits per character for text; none where the loss is a
            plugin's own.
        generate: `generate(model, n, generator, **settings)` makes n samples: texts, or pictures of shape (n, H, W) or
            (n, 3, H, W) in 0..1. It may ask by name for what the data decides or provides, and for `classes`; settings
            are set with `zoo sample --set generate.KEY=VALUE`. By default words and running text are sampled one
            character at a time.
        weights: a checkpoint that the plugin ships, `"package:path/in/package.safetensors"`.
        renamed: settings and presets that have another name now, the old name first. Old names still work, on the
            command line and in checkpoints: `{"model.n_net": "model.ensemble_size"}`.
    """

    kind: ClassVar[str] = "model"
    section: ClassVar[str] = "model"  # of `--set`
    inputs: ClassVar[tuple[str, ...]] = (
        *("vocab_size", "max_length", "num_features", "num_classes", "num_outputs"),  # decided by the data
        "generator",
    )

    name: str
    factory: Factory
    summary: str = ""
    reads: Reads = field(default="windows", kw_only=True)
    embedding: str | None = field(default=None, kw_only=True)
    width: str | None = field(default=None, kw_only=True)
    presets: Mapping[str, Preset] = field(default_factory=dict, kw_only=True)
    engines: Mapping[str, Factory] = field(default_factory=dict, kw_only=True)
    populations: Mapping[str, Factory] = field(default_factory=dict, kw_only=True)
    fitted: tuple[str, ...] = field(default=(), kw_only=True)
    loss: Factory | None = field(default=None, kw_only=True)
    metrics: Mapping[str, Factory] | None = field(default=None, kw_only=True)
    generate: Factory | None = field(default=None, kw_only=True)
    description: str = field(default="", kw_only=True)
    references: tuple[str, ...] = field(default=(), kw_only=True)
    weights: str | None = field(default=None, kw_only=True)
    renamed: Mapping[str, str] = field(default_factory=dict, kw_only=True)

    def __post_init__(self) -> None:
        check_named(self.name, self.factory)
        with _naming(f"{self.kind} {self.name!r}"):
            super().__post_init__()
            _check_options(self)
            check_fields(self, _OF_MODEL)
            _check_engines(self)
            _check_metrics(self)
            for name, preset in self.presets.items():
                check_value("a key of presets", name, fields.NAME)
                check_value(f"presets[{name!r}]", preset, _PRESET)
            _check_renamed(self)
        for option in declared(type(self)).values():
            if getattr(self, option.name) is NOT_GIVEN:
                object.__setattr__(self, option.name, option.option.default)

    __repr__ = _short_repr

    def check_engine(self, name: str) -> None:
        """Check that the model has an engine of that name; whether it can train what is planned shows when it is made.

        Raises:
            UnknownNameError: it has none.
        """
        names = (AUTO, AUTOGRAD, STACKED, *self.engines)
        if name not in names:
            raise UnknownNameError(f"model {self.name!r} has no engine {name!r}; {suggest(name, names)}")


@dataclass(frozen=True, repr=False)
class DatasetSpec:
    """A dataset: a function that returns a `zoo.TextDataset` or a `zoo.TensorDataset`.

    Its keyword arguments can be set with `--set data.KEY=VALUE`; an argument called `fetch` is filled in by zoo with
    the `zoo.Fetcher` that downloads to the cache. `fallback` names the dataset to use instead, with a warning, when
    this one cannot be downloaded and the user had named no dataset at all. `loss` and `metrics` are those of
    `ModelSpec`, for models that name none.
    """

    kind: ClassVar[str] = "dataset"
    section: ClassVar[str] = "data"
    inputs: ClassVar[tuple[str, ...]] = ("fetch",)

    name: str
    factory: Factory
    summary: str = ""
    fallback: str | None = None
    description: str = ""
    references: tuple[str, ...] = ()
    loss: Factory | None = None
    metrics: Mapping[str, Factory] | None = None

    def __post_init__(self) -> None:
        check_named(self.name, self.factory)
        with _naming(f"{self.kind} {self.name!r}"):
            check_fields(self, {"summary": fields.TEXT, "fallback": optional(fields.NAME), **_DESCRIBED, **_JUDGED})
            _check_metrics(self)

    __repr__ = _short_repr


@dataclass(frozen=True, repr=False)
class OptimizerSpec:
    """An optimizer: a class with the constructor, `step`, `zero_grad`, `param_groups` and `state_dict` of
    `torch.optim.Optimizer`. Any class of `torch.optim` will do: `OptimizerSpec("adamw", "torch.optim:AdamW", lr=1e-3)`.
    `zoo.plugin.optimizer_state` says what its state may hold.

    `lr` is the learning rate used where neither the user nor the model's own preset for this optimizer gives one.
    `elementwise` says that a step treats each number of a parameter alike, by its own gradient and state and by how
    many steps there were, whatever the parameter's shape and the other numbers: then one such optimizer can update the
    weights of many nets at once. `sgd` and `adamw` do; one that takes norms, or products of matrices, does not.
    """

    kind: ClassVar[str] = "optimizer"
    section: ClassVar[str] = "optimizer"
    inputs: ClassVar[tuple[str, ...]] = ("params", "lr")

    name: str
    factory: Factory
    summary: str = ""
    lr: float | None = None
    description: str = ""
    references: tuple[str, ...] = ()
    elementwise: bool = False

    def __post_init__(self) -> None:
        check_named(self.name, self.factory)
        with _naming(f"{self.kind} {self.name!r}"):
            check_fields(self, {"summary": fields.TEXT, "lr": _LR, "elementwise": fields.FLAG, **_DESCRIBED})

    __repr__ = _short_repr


@dataclass(frozen=True, repr=False)
class LoggerSpec:
    """A logger: a class (or a function that returns an object) that is told of a run as it goes on, by `--log NAME`.

    Its keyword arguments are set with `--set logger.KEY=VALUE`. Arguments of these names are filled in by zoo:
    `run_dir` (the `Path` of the run folder, in which the logger may make a folder of its own), `resumed_at` (steps that
    were done before; 0 for a new run) and `embedding` (the name of the model's parameter of shape (vocab_size,
    embedding_dim), or None). `zoo.runs.loggers.Logger` has the methods that the object may have.
    """

    kind: ClassVar[str] = "logger"
    section: ClassVar[str] = "logger"
    inputs: ClassVar[tuple[str, ...]] = ("run_dir", "resumed_at", "embedding")

    name: str
    factory: Factory
    summary: str = ""
    description: str = ""
    references: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        check_named(self.name, self.factory)
        with _naming(f"{self.kind} {self.name!r}"):
            check_fields(self, {"summary": fields.TEXT, **_DESCRIBED})

    __repr__ = _short_repr


Spec: TypeAlias = ModelSpec | DatasetSpec | OptimizerSpec | LoggerSpec

_PRESET = Holds("a zoo.Preset", lambda value: isinstance(value, Preset))
_OF_MODEL = {
    "summary": fields.TEXT,
    "reads": fields.READS,
    "embedding": optional(fields.PARAMETER),
    "width": optional(fields.ARGUMENT),
    "presets": fields.MAPPING,
    "engines": fields.MAPPING,
    "populations": fields.MAPPING,
    "fitted": fields.ARGUMENTS,
    "generate": optional(fields.FACTORY),
    **_JUDGED,
    "weights": optional(fields.WEIGHTS),
    "renamed": fields.MAPPING,
    **_DESCRIBED,
}


@contextmanager
def _naming(who: str) -> Iterator[None]:
    """Say of which record a wrong value is."""
    try:
        yield
    except (ValueError, UsageError) as error:
        raise ValueError(f"{who}: {error}") from error


def _check_options(record: TrainingOptions) -> None:
    for option, problem in problems(record):
        raise ValueError(f"{option.name} {problem}")


def _check_engines(spec: ModelSpec) -> None:
    for engine, factory in spec.engines.items():
        check_value("a key of engines", engine, fields.NAME)
        check_value(f"engines[{engine!r}]", factory, fields.FACTORY)
        if engine in (AUTO, AUTOGRAD, STACKED):
            raise ValueError(f"a key of engines cannot be {engine!r}: every model has an engine of that name")
    for engine, factory in spec.populations.items():
        check_value(f"populations[{engine!r}]", factory, fields.FACTORY)
        if engine not in spec.engines:
            raise ValueError(f"a key of populations must be one of engines, which trains one net; got {engine!r}")


def _check_metrics(spec: ModelSpec | DatasetSpec) -> None:
    for name, factory in (spec.metrics or {}).items():
        check_value("a key of metrics", name, fields.IDENTIFIER)
        check_value(f"metrics[{name!r}]", factory, fields.FACTORY)
        if name in ("loss", "bits_per_character"):
            raise ValueError(f"a key of metrics cannot be {name!r}: zoo has a figure of that name")


def _check_renamed(spec: ModelSpec) -> None:
    """Old names that would never be looked up, or that lead nowhere, are the author's mistakes."""
    for old, new in spec.renamed.items():
        if all(isinstance(name, str) and name.startswith("model.") and _is_setting(name) for name in (old, new)):
            continue
        if not is_name(old) or "." in old or not is_name(new) or new not in spec.presets:
            raise ValueError(
                "renamed must have settings, as in {'model.width': 'model.hidden_size'}, or presets, the new name one "
                f"of its own; got {show_value({old: new})}"
            )


def _is_setting(key: object) -> bool:
    section, _, name = key.partition(".") if isinstance(key, str) else ("", "", "")
    return section in RESULT_SECTIONS and name.isidentifier()
