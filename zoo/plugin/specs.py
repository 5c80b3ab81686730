"""The three records by which plugins describe what they bring.

Making one imports nothing: a factory is named as `"package.module:attribute"` (or given as a callable) and imported
when it is used. That keeps `zoo list` instant however many plugins are installed; this file imports no torch either.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, TypeAlias

from zoo.schedule import CONSTANT, Schedule

Factory: TypeAlias = str | Callable[..., Any]
Reads: TypeAlias = Literal["windows", "sequences"]

AUTO, AUTOGRAD = "auto", "autograd"  # the names of engines that every model has
PRECISIONS = FLOAT32, BFLOAT16 = "float32", "bfloat16"

_WHOLE = ("steps", "batch_size", "validate_every", "patience")
_NAME = re.compile(r"[a-z0-9][a-z0-9._-]*")
_FACTORY_PATH = re.compile(r"[A-Za-z_][\w.]*:[A-Za-z_][\w.]*")


@dataclass(frozen=True)
class Preset:
    """A named way to train a model: whatever is given here replaces the model's own default.

    `settings` are keyed as on the command line: `{"data.shuffle_seed": 42, "model.hidden_size": 300}`. `engine` holds
    for the preset's own optimizer. `teacher` is a model that is fitted, whose words are trained on beside those of the
    data, and `teacher_share` their share of each batch; see `zoo.training.synthetic`.
    """

    summary: str = ""
    dataset: str | None = None
    optimizer: str | None = None
    steps: int | None = None
    batch_size: int | None = None
    lr: float | None = None
    schedule: Schedule | None = None
    clip_norm: float | None = None
    engine: str | None = None
    validate_every: int | None = None
    patience: int | None = None
    teacher: str | None = None
    teacher_share: float | None = None
    settings: Mapping[str, object] = field(default_factory=dict)

    def __post_init__(self) -> None:
        _check_numbers(self)
        if self.teacher_share and not is_teacher_share(self.teacher_share):
            raise ValueError(f"teacher_share must be 0 or {TEACHER_SHARES}, got {self.teacher_share!r}")


@dataclass(frozen=True)
class ModelSpec:
    """A model: an `nn.Module` class, or a function that returns one, and how it is trained unless told otherwise.

    The factory's keyword arguments are the model's hyper-parameters; `vocab_size`, `max_length`, `num_features`,
    `num_classes`, `fitted_size` and `generator` are filled in by zoo where the factory asks for them by name. The last
    but one is for a model that is counted, not trained; see `zoo.training.building.fit_model`.

    Fields:
        name: what people type; lower-case letters, digits, `.`, `_` and `-`.
        factory: `"package.module:attribute"` or a callable.
        summary: one line for `zoo list`.
        dataset, optimizer: the names trained with by default. A name of the same distribution is preferred.
        steps, batch_size, lr, schedule: the defaults of a run.
        clip_norm: the norm of all gradients together is held to this; None for as it comes.
        validate_every: after so many steps each time the validation loss is looked at, and the best weights are kept;
            None for never.
        patience: training ends after so many looks in a row without a better one; None for never.
        reads: how a text model is served: `"windows"` of its own `context_length`, or whole padded `"sequences"`.
        embedding: the module's parameter of shape (vocab_size, embedding_dim) that `zoo plot RUN embeddings` draws.
        presets: other named ways to train it; the first one is the default.
        engines: faster ways to train it than autograd, by name, the fastest first: factories called with
            `(model, optimizer, batch_size)`, each returning a `zoo.training.engines.Engine` or raising
            `zoo.EngineUnavailableError`.
        description, references: for `zoo info`: longer text, and papers or lectures.
        weights: a checkpoint that the plugin ships, `"package:path/in/package.safetensors"`.
    """

    name: str
    factory: Factory
    summary: str = ""
    dataset: str | None = None
    optimizer: str = "sgd"
    steps: int = 1000
    batch_size: int = 32
    lr: float | None = None
    schedule: Schedule = CONSTANT
    clip_norm: float | None = None
    validate_every: int | None = None
    patience: int | None = None
    reads: Reads = "windows"
    embedding: str | None = None
    presets: Mapping[str, Preset] = field(default_factory=dict)
    engines: Mapping[str, Factory] = field(default_factory=dict)
    description: str = ""
    references: tuple[str, ...] = ()
    weights: str | None = None

    def __post_init__(self) -> None:
        _check_named(self.name, self.factory)
        _check_numbers(self)
        for engine, factory in self.engines.items():
            _check_named(engine, factory)
            if engine in (AUTO, AUTOGRAD):
                raise ValueError(f"an engine cannot be called {engine!r}: every model has that one")
        if self.reads not in ("windows", "sequences"):
            raise ValueError(f"reads must be 'windows' or 'sequences', got {self.reads!r}")
        if self.weights is not None and ":" not in self.weights:
            raise ValueError(f"weights must be 'package:path', got {self.weights!r}")


@dataclass(frozen=True)
class DatasetSpec:
    """A dataset: a function that returns a `zoo.TextDataset` or a `zoo.TensorDataset`.

    Its keyword arguments can be set with `--set data.KEY=VALUE`; an argument called `fetch` is filled in by zoo with
    the `zoo.Fetcher` that downloads to the cache. `fallback` names the dataset that stands in, with a warning, when
    this one cannot be downloaded and the user had named no dataset at all.
    """

    name: str
    factory: Factory
    summary: str = ""
    fallback: str | None = None
    description: str = ""
    references: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        _check_named(self.name, self.factory)


@dataclass(frozen=True)
class OptimizerSpec:
    """An optimizer: a class with the constructor, `step`, `zero_grad`, `param_groups` and `state_dict` of
    `torch.optim.Optimizer`. Any class of `torch.optim` will do: `OptimizerSpec("adamw", "torch.optim:AdamW", lr=1e-3)`.

    `lr` is the learning rate used where neither the user nor the model's own preset for this optimizer gives one.
    """

    name: str
    factory: Factory
    summary: str = ""
    lr: float | None = None
    description: str = ""
    references: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        _check_named(self.name, self.factory)
        _check_positive("lr", self.lr)


Spec: TypeAlias = ModelSpec | DatasetSpec | OptimizerSpec


def _check_named(name: str, factory: Factory) -> None:
    if not isinstance(name, str) or not _NAME.fullmatch(name):
        raise ValueError(f"a name is made of lower-case letters, digits, '.', '_' and '-', got {name!r}")
    if not callable(factory) and not (isinstance(factory, str) and _FACTORY_PATH.fullmatch(factory)):
        raise ValueError(f"the factory of {name!r} must be 'package.module:attribute' or callable, got {factory!r}")


TEACHER_SHARES = "from 0.05 to 0.95"  # those below, in words


def is_teacher_share(share: float) -> bool:
    """Whether of so small or large a share enough can be had: examples are repeated until it is right."""
    return 0.05 <= share <= 0.95


def _check_numbers(spec: ModelSpec | Preset) -> None:
    for name in (*_WHOLE, "lr", "clip_norm"):
        _check_positive(name, getattr(spec, name))


def _check_positive(name: str, value: float | None) -> None:
    if value is None:
        return
    if not (value > 0 and math.isfinite(value)):
        raise ValueError(f"{name} must be a positive number, got {value!r}")
    if name in _WHOLE and (not isinstance(value, int) or isinstance(value, bool)):
        raise ValueError(f"{name} must be a whole number, got {value!r}")
