"""The Python API: the same things as the command line does. torch is imported when a function needs it."""

from __future__ import annotations

import inspect
import os
import typing
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import wraps
from pathlib import Path
from typing import TYPE_CHECKING, Any, ParamSpec, TypeVar, cast

from zoo.ambient import in_neutral_state
from zoo.errors import UsageError, suggest, warn
from zoo.files import from_person
from zoo.numbers import show_value
from zoo.options.declaration import declared
from zoo.options.run import SEED, FileOptions, ResumeOptions, RunOptions
from zoo.options.sweep import SweepOptions, options_of_members
from zoo.options.values import plain
from zoo.phrasing import settings_as_arguments
from zoo.plugin.manager import load_plugins
from zoo.plugin.registry import Registry
from zoo.plugin.settings import REQUIRED, resolve_settings, signature_of
from zoo.runs.observer import Observer
from zoo.runs.plan import check_options, make_plan

if TYPE_CHECKING:
    from torch import nn

    from zoo.data.kinds import Dataset
    from zoo.runs.result import Run
    from zoo.storage.loading import Loaded
    from zoo.sweeps.results.sweep import Sweep

P = ParamSpec("P")
A = TypeVar("A")
R = TypeVar("R")


def list_models() -> list[str]:
    """The names of all models, sorted; the full name where a short one is shared."""
    return _registry().models.names()


def list_datasets() -> list[str]:
    """The names of all datasets, sorted."""
    return _registry().datasets.names()


def list_optimizers() -> list[str]:
    """The names of all optimizers, sorted."""
    return _registry().optimizers.names()


def list_loggers() -> list[str]:
    """The names of all loggers, sorted."""
    return _registry().loggers.names()


@in_neutral_state
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
    known = signature_of(entry).inputs
    inputs = {key: plain(hyperparameters.pop(key)) for key in list(hyperparameters) if key in known}
    for key, default in known.items():
        if default is REQUIRED and key not in inputs and key != "generator":
            raise UsageError(f"model {name!r} needs {key}, which the data decides in a run: give {key}=N")
    with settings_as_arguments("model"):
        settings = resolve_settings(entry, hyperparameters)
    return build_model(entry, {**settings, **inputs}, plain(init_seed))


@in_neutral_state
def load_dataset(
    source: str | os.PathLike[str] | Sequence[str] | Dataset,
    *,
    format: str | None = None,  # noqa: A002  # the name of the option
    column: str | None = None,
    target: str | None = None,
    offline: bool = False,
    **settings: object,
) -> Any:
    """Load a dataset, to look at it, to train on with code of one's own, or for `zoo.run(..., dataset=data)`.

        data = zoo.load_dataset("names")                             # a dataset's name
        data = zoo.load_dataset("names.txt", shuffle_seed=42)        # a file
        data = zoo.load_dataset(["emma", "olivia", "ava", ...])      # a list of words
        data = zoo.load_dataset("iris.csv", target="species")        # a table

        X, Y = data.tensors("train")

    A run on it has the numbers, and the `config.json`, of a run that is given the same name or file with the same
    settings. Of words that are nowhere but in this process, a run records the digest alone.

    Args:
        source: a dataset's name or a file, as `zoo.run` takes it; a list of words; or a dataset, which is returned as
            it is.
        format: how a file is read: `words`, `text`, `csv` or `tsv`.
        column: the column of a table that has the words.
        target: the column of a table that has the targets.
        offline: make no network request.
        settings: those of `data.KEY`: `split`, `shuffle_seed`, `evaluate`, and those of the dataset's own function.

    Returns:
        A `zoo.TextDataset` of words, a `zoo.CorpusDataset` of running text or a `zoo.TensorDataset` of anything else.

    Raises:
        DataError: the data cannot be had or used.
        UsageError: there is no such dataset, file or setting, or `source` is none of these.
        PluginError: the dataset's plugin is broken.
    """
    from zoo.data.download import fetcher
    from zoo.data.sources.found import open_dataset, warnings_of

    options = FileOptions(format=format, column=column, target=target)
    check_options(options)
    given = {name: plain(value) for name, value in settings.items()}
    with settings_as_arguments("data"):
        dataset = open_dataset(_registry(), plain(source), given, options, fetcher(offline=offline))
    if dataset is not source:
        for warning in warnings_of(dataset):
            warn(warning)
    return dataset


@dataclass(frozen=True, kw_only=True)
class _RunArguments(RunOptions):
    keep: bool = True
    observer: Observer | None = None


@dataclass(frozen=True, kw_only=True)
class _ResumeArguments(ResumeOptions):
    path: str | os.PathLike[str] = field(kw_only=False)
    observer: Observer | None = None


def _taking(record: Callable[P, A]) -> Callable[[Callable[[A], R]], Callable[P, R]]:
    """Give a function that takes a record the arguments of the record's constructor, for people and type checkers."""

    def decorate(function: Callable[[A], R]) -> Callable[P, R]:
        @wraps(function, assigned=("__module__", "__name__", "__qualname__", "__doc__"))
        def called(*args: P.args, **kwargs: P.kwargs) -> R:
            return function(record(*map(plain, args), **{name: plain(value) for name, value in kwargs.items()}))

        del called.__wrapped__  # whose signature is not this one's
        called.__signature__ = _signature(record)  # type: ignore[attr-defined]
        init: Any = vars(record)["__init__"]
        init.__qualname__ = function.__name__  # which Python names where an argument is unknown or missing
        return called

    return decorate


def _signature(record: Callable[..., Any]) -> inspect.Signature:
    """That of a record's constructor as a person reads it: plain types, and no option's old name."""
    assert isinstance(record, type)
    hints, options = typing.get_type_hints(record), declared(record)
    parameters = [
        parameter.replace(annotation=hints[name])
        for name, parameter in inspect.signature(record).parameters.items()
        if name not in options or options[name].option.renamed is None
    ]
    return inspect.Signature(parameters)


@_taking(_RunArguments)
@in_neutral_state
def run(arguments: _RunArguments) -> Run:
    """Train a model, and write its run folder: `zoo run` in Python.

    The arguments are the options of `zoo run`, of the same names: `zoo.run("mlp-char", steps=5000, device="cpu")`.
    `zoo/options/training.py` declares them; one that is left out has its default.

    Whatever state of torch it is called in, it computes the same, and leaves that state as it was. Runs in several
    threads of one process take turns, a block of steps each, because torch's random numbers and number of threads are
    those of the process; start processes to train at the same time.

    Args:
        model: its name.
        dataset: a name, a file, a list of words, or a dataset, such as `zoo.load_dataset` returns.
        settings: as `--set` takes them: `{"model.hidden_size": 300, "data.shuffle_seed": 42}`.
        seconds: end the training after so many of it, whatever the default number of steps; `steps`, if given, is then
            the most. `metrics["steps"]` says how many there were: a run of so many steps is the same to the bit.
        out: the run's folder; by default the next free `runs/MODEL-N`.
        keep: with False, nothing is written to the disk: the result is the returned `Run` alone, of the same numbers,
            whose `path` is None. No plots are made, and a run that is stopped cannot be resumed.
        checkpoint_every: `"1000"` steps, or a time such as `"30s"`.
        observer: a `zoo.Observer`, which is told of progress and warnings. By default progress is shown in a notebook
            of Jupyter or marimo, and nowhere else; `zoo.Observer()` shows none there either.

    Raises:
        ZooError: see `zoo.errors`.
    """
    from zoo.notebooks.watching import watched
    from zoo.runs.runner import execute

    if not isinstance(arguments.keep, bool):
        raise UsageError(f"keep must be True or False, got {show_value(arguments.keep)}")
    plan = make_plan(_registry(), arguments)
    return watched(lambda observer: execute(plan, observer, keep=arguments.keep), arguments.observer)


@in_neutral_state
def sweep(model: str | Sequence[str], *, observer: Observer | None = None, **arguments: Any) -> Sweep:
    """Train many runs at once, and say which setting is better: `zoo sweep` in Python.

        sweep = zoo.sweep("mlp-char", seeds=64, lr=[0.03, 0.1], settings={"model.hidden_size": [100, 200]})

    The arguments are the options of `zoo sweep`, of the same names: those of `zoo.run`, of which a list makes a grid,
    and those of the sweep as a whole: `seeds`, `keep`, `jobs`, `out`, `search` and more. A range is text:
    `lr="0.001..1"`.

    Args:
        model: its name, or several.
        observer: as `run` takes it.
        arguments: the options.

    Raises:
        TypeError: there is no such option.
        ZooError: see `zoo.errors`.
    """
    from zoo.notebooks.watching import watched
    from zoo.sweeps.request import request_of
    from zoo.sweeps.sweeping import sweep as do_sweep

    own, known = declared(SweepOptions), [*inspect.signature(sweep).parameters]
    for name in arguments:
        if name not in known:
            raise TypeError(f"sweep() got an unexpected keyword argument {name!r}; {suggest(name, known)}")
    options = SweepOptions(**{name: plain(value) for name, value in arguments.items() if name in own})
    given = {name: value for name, value in arguments.items() if name not in own}
    request, registry = request_of(options, {"model": model, **given}), _registry()
    return watched(lambda watcher: do_sweep(request, registry, watcher), observer)


def _sweep_signature() -> inspect.Signature:
    """That of `sweep` as a person reads it; where an option of members may vary, it takes several values."""
    model, observer, _ = inspect.signature(sweep).parameters.values()
    own, of_run = dict(_signature(SweepOptions).parameters), _signature(_RunArguments).parameters
    del own["share"]  # is for commands
    members = []
    for name, one in options_of_members().items():
        hint = of_run[name].annotation
        several = hint | Sequence[Any] if one.option.in_sweep == "varies" else hint
        members.append(of_run[name].replace(annotation=several | None, default=None))
    return inspect.Signature([model, *own.values(), *members, observer])


sweep.__signature__ = _sweep_signature()  # type: ignore[attr-defined]


@in_neutral_state
def resume_sweep(
    path: str | os.PathLike[str],
    *,
    dataset: str | os.PathLike[str] | Sequence[str] | Dataset | None = None,
    schedule: str | Sequence[str] | None = None,
    observer: Observer | None = None,
) -> Sweep:
    """Resume a sweep that was stopped or killed; of one that is finished, the result.

    Members that are done are not done again, and those under way are resumed from their checkpoints. On the same
    machine and versions it ends with the bytes of an uninterrupted sweep.

    Args:
        path: its folder.
        dataset: its data, where that was given in Python, or is no longer where it was.
        schedule: its schedule again, where that is a function: no file may cause an import.
        observer: as `run` takes it.

    Raises:
        ZooError: as `sweep`, and where something must be given again.
    """
    from zoo.notebooks.watching import watched
    from zoo.sweeps.sweeping import resume_sweep as do_resume

    folder, registry = from_person(path), _registry()
    given = {"dataset": plain(dataset), "schedule": plain(schedule)}
    given = {name: value for name, value in given.items() if value is not None}
    return watched(lambda watcher: do_resume(folder, registry, watcher, **given), observer)


@_taking(_ResumeArguments)
@in_neutral_state
def resume(arguments: _ResumeArguments) -> Run:
    """Resume a run from its last checkpoint: `zoo resume` in Python.

    On the CPU, with the same engine, threads and versions, it ends bit for bit where an uninterrupted run would have.

    Args:
        path: the run's folder.
        dataset: its data, where it is not found any more, as `run` takes it. It must have the digest of the run's.
        steps: how many steps it is to have in all; by default as many as it was planned with.
        seconds: how long it is to be trained in all, the time of earlier processes included; of a run without such a
            limit, from here on. Where one of `steps` and `seconds` is given, the other ends the run no more if that was
            reached already.
        device, engine, threads: others than the run's own; numbers may then differ in their last digits.
        allow_changes: resume although data, a plugin's version or an edited `config.json` differ.

    The other arguments are those of `run`.

    Raises:
        ZooError: as `run`, and where the run cannot be resumed as it began.
    """
    from zoo.notebooks.watching import watched
    from zoo.runs.runner import resume as resume_run

    path, registry = from_person(arguments.path), _registry()
    return watched(lambda observer: resume_run(path, registry, arguments, observer), arguments.observer)


@in_neutral_state
def load(target: str | Path, *, dataset: str | os.PathLike[str] | Sequence[str] | Dataset | None = None) -> Loaded:
    """Bring back a run, a lone `.safetensors` file, or the weights that a model's plugin ships.

    Args:
        target: the run's folder, the file, or the model's name.
        dataset: the data that it was trained on, where that is wanted and cannot be found any more, as `run` takes it.
            It must have the digest of the run's.

    Raises:
        UsageError: there is no such thing.
        CheckpointError: the file is damaged, foreign, or does not fit its own config.
        DataError: the dataset is not the run's.
    """
    from zoo.storage.loading import load as load_weights

    loaded = load_weights(target, _registry())
    return loaded if dataset is None else loaded.with_data(plain(dataset))


@in_neutral_state
def report(
    *runs: str | os.PathLike[str] | Run | Loaded,
    out: str | os.PathLike[str] | None = None,
    dataset: str | os.PathLike[str] | None = None,
    offline: bool = False,
) -> Path:
    """Write a page about a run, or about several side by side: `zoo report` in Python.

    Args:
        runs: run folders, `.safetensors` files, names of models with shipped weights; or what `zoo.run` or `zoo.load`
            returned.
        out: the HTML file; by default `report.html` in the folder of a single run, else in the current one. Only
            another report is replaced.
        dataset: the data of the runs, where it is not found any more: a name, or a file.
        offline: make no network request.

    Returns:
        The file.

    Raises:
        UsageError: there are no runs, one of them is none, or the file is there and is no report.
        UnavailableError: Bokeh is not installed: `pip install 'zoo-models[report]'`.
        CheckpointError: a file of a run is damaged.
    """
    from zoo.data.download import fetcher
    from zoo.reports.report import write_report

    targets = [run if isinstance(run, str) else from_person(cast(Any, getattr(run, "path", run))) for run in runs]
    data = None if dataset is None else os.fspath(dataset)
    path = None if out is None else from_person(out)
    return write_report(targets, path, _registry(), fetcher(offline=offline), dataset=data).path


def _registry() -> Registry:
    """Load the plugins anew: what is installed may have changed, and no state is kept between calls."""
    registry, statuses = load_plugins()
    for status in statuses:
        for warning in status.warnings:
            warn(warning)
    return registry
