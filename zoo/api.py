"""The Python API: the same things as the command line does. torch is imported when a function needs it."""

from __future__ import annotations

import dataclasses
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from zoo.errors import UsageError
from zoo.plugin.manager import load_plugins
from zoo.plugin.registry import Registry
from zoo.plugin.settings import REQUIRED, Signature
from zoo.runs.plan import MODEL_INPUTS, SEED, RunOptions, make_plan
from zoo.training.checkpoint_schedule import Cadence

if TYPE_CHECKING:
    from torch import nn

    from zoo.runs.runner import Observer, Run
    from zoo.storage.loading import Loaded


def list_models() -> list[str]:
    """The names of all models, sorted; the full name where a short one is shared."""
    return _registry().models.names()


def list_datasets() -> list[str]:
    """The names of all datasets, sorted."""
    return _registry().datasets.names()


def list_optimizers() -> list[str]:
    """The names of all optimizers, sorted."""
    return _registry().optimizers.names()


def create_model(name: str, *, pretrained: bool = False, init_seed: int = SEED, **hyperparameters: object) -> nn.Module:
    """Make a model, on the CPU.

    Args:
        name: `name` or `distribution/name`.
        pretrained: fill it with the weights that its plugin ships; their hyper-parameters come with them.
        init_seed: seed of the weights.
        hyperparameters: the constructor's keyword arguments, `vocab_size` and the like among them.

    Raises:
        UsageError: an unknown name or hyper-parameter, a value of the wrong type, or no shipped weights.
        PluginError: the model's plugin is broken.
    """
    from zoo.storage.loading import load as load_weights
    from zoo.training.building import build_model

    registry = _registry()
    entry = registry.models.get(name)
    if pretrained:
        if hyperparameters:
            raise UsageError(
                f"pretrained weights have their own hyper-parameters: leave out {', '.join(hyperparameters)}"
            )
        return load_weights(entry.full_name, registry).model
    signature = Signature(entry.factory(), MODEL_INPUTS)
    inputs = {key: hyperparameters.pop(key) for key in list(hyperparameters) if key in signature.inputs}
    for key, default in signature.inputs.items():
        if default is REQUIRED and key not in inputs and key != "generator":
            raise UsageError(f"model {name!r} needs {key}, which the data decides in a run: give {key}=N")
    return build_model(entry, {**signature.resolve("model", hyperparameters, f"model {name!r}"), **inputs}, init_seed)


def run(
    model: str,
    *,
    dataset: str | Path | None = None,
    optimizer: str | None = None,
    device: str = "auto",
    engine: str | None = None,
    steps: int | None = None,
    batch_size: int | None = None,
    lr: float | None = None,
    schedule: str | None = None,
    warmup: int | None = None,
    clip_norm: float | None = None,
    validate_every: int | None = None,
    patience: int | None = None,
    teacher: str | None = None,
    teacher_share: float | None = None,
    precision: str = "float32",
    compile: bool = False,  # noqa: A002  # as the option is called
    seed: int = SEED,
    init_seed: int = SEED,
    preset: str | None = None,
    settings: Mapping[str, object] | None = None,
    out: str | Path | None = None,
    plots: bool = True,
    offline: bool = False,
    checkpoint_every: str | None = None,
    observer: Observer | None = None,
) -> Run:
    """Train a model, and write its run folder: `zoo run` in Python.

    Args:
        model: its name.
        dataset: a name, or a text file with one word a line.
        settings: as `--set` takes them: `{"model.hidden_size": 300, "data.shuffle_seed": 42}`.
        out: the run's folder; by default the next free `runs/MODEL-N`.
        checkpoint_every: `"1000"` steps, or a time such as `"30s"`.
        observer: is told of progress and warnings.

    The other arguments are the options of `zoo run` of the same name.

    Raises:
        ZooError: anything that one sentence explains; see `zoo.errors`.
    """
    given = dict(locals())  # the arguments by their names, which are also those of `RunOptions`
    from zoo.runs.runner import execute

    given |= {"settings": settings or {}, "out": Path(out) if out is not None else None}
    options = RunOptions(**{field.name: given[field.name] for field in dataclasses.fields(RunOptions)})
    cadence = Cadence.parse(checkpoint_every)
    return execute(make_plan(_registry(), options), observer, cadence=cadence)


def resume(
    path: str | Path,
    *,
    steps: int | None = None,
    device: str | None = None,
    engine: str | None = None,
    allow_changes: bool = False,
    plots: bool = True,
    offline: bool = False,
    checkpoint_every: str | None = None,
    observer: Observer | None = None,
) -> Run:
    """Go on with a run from its last checkpoint: `zoo resume` in Python.

    On the CPU it ends, bit for bit, where it would have ended undisturbed.

    Args:
        path: the run's folder.
        steps: how many steps it is to have in all; by default as many as it was planned with.
        device, engine: others than the run's own; numbers may then differ in their last digits.
        allow_changes: go on although data, a plugin's version or an edited `config.json` differ.

    The other arguments are those of `run`.

    Raises:
        ZooError: as `run`, and where the run cannot go on as it began.
    """
    from zoo.runs.resuming import ResumeOptions
    from zoo.runs.runner import resume as go_on

    options = ResumeOptions(steps, device, engine, allow_changes, plots, offline)
    return go_on(Path(path), _registry(), options, observer, cadence=Cadence.parse(checkpoint_every))


def load(target: str | Path) -> Loaded:
    """Bring back a run, a lone `.safetensors` file, or the weights that a model's plugin ships.

    Raises:
        UsageError: there is no such thing.
        CheckpointError: the file is damaged, foreign, or does not fit its own config.
    """
    from zoo.storage.loading import load as load_weights

    return load_weights(target, _registry())


def _registry() -> Registry:
    """Load the plugins anew: what is installed may have changed, and no state is kept between calls."""
    registry, statuses = load_plugins()
    for status in statuses:
        if status.error is not None:
            warnings.warn(status.warning, stacklevel=3)
    return registry
