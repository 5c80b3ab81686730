"""What a value on the command line may be, by the name of its parameter."""

from __future__ import annotations

import functools
import itertools
import re
from collections.abc import Callable, Iterable
from typing import Any

import click
from click.shell_completion import CompletionItem

from zoo.cli.completion import paths
from zoo.cli.completion.shells import NO_SPACE
from zoo.plugin.registry import Entry, KindRegistry, Registry

Complete = Callable[[click.Context, str], list[CompletionItem]]

_CHOICE = re.compile(r"(auto|[a-z][a-z0-9-]+)")  # one of `auto|cpu|cuda[:N]|mps` that can be typed as it stands

_SEVERAL = "[,"  # in the metavar of what takes several values: `MODEL[,MODEL...]`
_RUNS_READ = 20  # for their columns


def attach(command: click.Command) -> None:
    """Let the parameters of a command complete their values."""
    for parameter in command.params:
        if isinstance(parameter.type, click.Choice):  # which has its own
            continue
        function = VALUES.get(parameter.name or "")
        if function is None and isinstance(parameter, click.Option):
            function = functools.partial(_choices, parameter)
        if function is not None:
            if _SEVERAL in (parameter.metavar or ""):
                function = functools.partial(_behind_comma, function)
            setattr(parameter, "shell_complete", function)  # noqa: B010  # a method, which click lets a class replace


@functools.cache
def registry() -> Registry:
    """The plugins that can be loaded: what is wrong with the others is not said here."""
    import os

    from zoo.plugin.manager import load_plugins

    environ = {name: value for name, value in os.environ.items() if name != "ZOO_STRICT_PLUGINS"}
    try:
        return load_plugins(environ=environ)[0]
    except Exception:
        return load_plugins(environ={"ZOO_PLUGINS": ""})[0]


def _entries(kind: KindRegistry[Any], incomplete: str) -> list[CompletionItem]:
    return _matching(((kind.display_name(entry), entry.spec.summary) for entry in kind), incomplete)


def _matching(named: Iterable[tuple[str, str]], incomplete: str) -> list[CompletionItem]:
    return [CompletionItem(name, help=about) for name, about in named if name.startswith(incomplete)]


def _models(ctx: click.Context, incomplete: str) -> list[CompletionItem]:
    return _entries(registry().models, incomplete)


def _optimizers(ctx: click.Context, incomplete: str) -> list[CompletionItem]:
    return _entries(registry().optimizers, incomplete)


def _loggers(ctx: click.Context, incomplete: str) -> list[CompletionItem]:
    return _entries(registry().loggers, incomplete)


def _datasets(ctx: click.Context, incomplete: str) -> list[CompletionItem]:
    return [*_entries(registry().datasets, incomplete), *paths.files(incomplete)]


def _of_any_kind(ctx: click.Context, incomplete: str) -> list[CompletionItem]:
    return [item for kind in registry().kinds() for item in _entries(kind, incomplete)]


def _presets(ctx: click.Context, incomplete: str) -> list[CompletionItem]:
    model = _model(ctx)
    presets = {} if model is None else model.spec.presets
    return _matching(((name, preset.summary) for name, preset in presets.items()), incomplete)


def _engines(ctx: click.Context, incomplete: str) -> list[CompletionItem]:
    from zoo.options.training import AUTO, AUTOGRAD, STACKED

    model = _model(ctx)
    entries = list(registry().models) if model is None else [model]
    own = sorted({name for entry in entries for name in entry.spec.engines})
    return _matching(((name, "") for name in (AUTO, AUTOGRAD, STACKED, *own)), incomplete)


def _metrics(ctx: click.Context, incomplete: str) -> list[CompletionItem]:
    model = _model(ctx)
    own = [] if model is None else list(model.spec.metrics or ())
    return _matching(((name, "") for name in ["loss", *own]), incomplete)


def _settings(ctx: click.Context, incomplete: str) -> list[CompletionItem]:
    from zoo.cli.completion.settings import settings

    command = ctx.command.name or ""
    found = dict(settings(registry(), command, _given(ctx)))
    if "=" in incomplete:
        key = incomplete.partition("=")[0]
        return _matching(((f"{key}={value}", "") for value in found[key].values), incomplete) if key in found else []
    return [
        CompletionItem(f"{name}=", NO_SPACE, f"default {one.default}" if one.default else one.annotation)
        for name, one in found.items()
        if name.startswith(incomplete)
    ]


def _runs(ctx: click.Context, incomplete: str) -> list[CompletionItem]:
    from zoo.storage.shipped import has_weights

    folders = paths.runs(incomplete)
    shipped = (entry for entry in registry().models if has_weights(entry))
    names = _matching(((registry().models.display_name(entry), "shipped weights") for entry in shipped), incomplete)
    return [*folders, *names, *paths.weights(incomplete)]


def _run_folders(ctx: click.Context, incomplete: str) -> list[CompletionItem]:
    return paths.runs(incomplete)


def _run_of(ctx: click.Context, incomplete: str) -> list[CompletionItem]:
    """RUN of a command: `zoo resume` takes folders only."""
    return (_run_folders if ctx.command.name == "resume" else _runs)(ctx, incomplete)


def _columns(ctx: click.Context, incomplete: str) -> list[CompletionItem]:
    """The columns of `zoo runs`, of some of the runs that it would list."""
    from zoo.files import from_person
    from zoo.runs.listing.columns import column_names
    from zoo.runs.listing.finding import find_runs
    from zoo.runs.listing.record import read_run
    from zoo.storage import RUNS

    found = itertools.islice(find_runs(from_person(ctx.params.get("folder") or RUNS)), _RUNS_READ)
    return _matching(((name, "") for name in column_names([read_run(*one) for one in found])), incomplete)


def _conditions(ctx: click.Context, incomplete: str) -> list[CompletionItem]:
    return [CompletionItem(item.value, NO_SPACE) for item in _columns(ctx, incomplete)]


def _files(ctx: click.Context, incomplete: str) -> list[CompletionItem]:
    return paths.files(incomplete)


def _commands(ctx: click.Context, incomplete: str) -> list[CompletionItem]:
    root = ctx.find_root()
    return root.command.shell_complete(root, incomplete)


def _behind_comma(complete: Complete, ctx: click.Context, incomplete: str) -> list[CompletionItem]:
    """The last of several values, without those that are there already."""
    before, comma, last = incomplete.rpartition(",")
    found = [item for item in complete(ctx, last) if item.value not in before.split(",")]
    return [CompletionItem(f"{before}{comma}{item.value}", item.type, item.help) for item in found]


def _choices(option: click.Option, ctx: click.Context, incomplete: str) -> list[CompletionItem]:
    """Those that stand in the help: `auto|cpu|cuda[:N]|mps`."""
    parts = (option.metavar or "").split("|")
    texts = (part.partition("[")[0] for part in parts if len(parts) > 1)
    return _matching(((text, "") for text in texts if _CHOICE.fullmatch(text)), incomplete)


def _model(ctx: click.Context) -> Entry[Any] | None:
    """The model on the command line; None where it is unknown."""
    name = _given(ctx).get("model")
    return registry().models.get(name) if isinstance(name, str) and name in registry().models else None


def _given(ctx: click.Context) -> dict[str, Any]:
    """What is on the command line, by parameter: of several models the first.

    Arguments before an option without its value are not parsed yet.
    """
    given = {name: value for name, value in ctx.params.items() if value is not None}
    arguments = [one.name or "" for one in ctx.command.params if isinstance(one, click.Argument) and one.nargs == 1]
    missing = [name for name in arguments if name not in given]
    given |= dict(zip(missing, ctx.args, strict=False))
    model = given.get("model")
    return given | ({"model": model.partition(",")[0]} if isinstance(model, str) else {})


VALUES: dict[str, Complete] = {
    "model": _models,
    "synthetic": _models,
    "name": _of_any_kind,
    "dataset": _datasets,
    "optimizer": _optimizers,
    "log": _loggers,
    "preset": _presets,
    "engine": _engines,
    "monitor": _metrics,
    "settings": _settings,
    "run": _run_of,
    "runs": _runs,
    "path": _runs,
    "folder": _files,
    "input": _files,
    "out": _files,
    "plot": _files,
    "order": _columns,
    "where": _conditions,
    "topic": _commands,
}
