"""`zoo info`."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any

import click

from zoo.cli import output
from zoo.cli.state import State, debug_option, json_option
from zoo.cli.table import print_table
from zoo.data.corpus.dataset import CorpusDataset
from zoo.data.loading import arrangement
from zoo.data.tensors import TensorDataset
from zoo.errors import UnknownNameError, suggest
from zoo.numbers import show_loss
from zoo.options.declaration import filled
from zoo.options.training import AUTOGRAD
from zoo.plugin.calling import is_of_plugin
from zoo.plugin.registry import Entry, KindRegistry, Registry
from zoo.plugin.settings import REQUIRED, Setting, Signature, signature_of
from zoo.plugin.specs import GENERATE_INPUTS, DatasetSpec, ModelSpec, OptimizerSpec, Preset
from zoo.storage.shipped import bits, can_sample, has_weights, shipped_metrics
from zoo.text import quoted


@click.command("info")
@click.argument("name")
@json_option
@debug_option
@click.pass_obj
def command(state: State, name: str, as_json: bool) -> None:
    """Describe a model, dataset, optimizer or logger.

    What can be set, with types and defaults; presets; where it comes from.
    """
    found = _find(state.registry, name)
    if as_json:
        output.json_object({"name": name, "found": [_as_json(kind, entry) for kind, entry in found]})
        return
    for number, (kind, entry) in enumerate(found):
        if number:
            output.lines("")
        _print(kind, entry, name)


def _find(registry: Registry, name: str) -> list[tuple[str, Entry[Any]]]:
    """Everything of that name: a model, a dataset, an optimizer and a logger may share one."""
    found: list[tuple[str, Entry[Any]]] = []
    kinds: list[KindRegistry[Any]] = registry.kinds()
    for kind in kinds:
        try:
            found.append((kind.kind, kind.get(name)))
        except UnknownNameError:
            continue
    if not found:
        known = sorted({name for kind in registry.kinds() for name in kind.names()})
        raise UnknownNameError(f"no model, dataset, optimizer or logger {name!r}; {suggest(name, known)}")
    return found


def _settings(entry: Entry[Any]) -> dict[str, Setting]:
    """What `--set` takes for it, by key; its loss has settings, too."""
    settings = signature_of(entry).settings
    if isinstance(entry.spec, DatasetSpec) and (made := _made(entry.factory())) is not TensorDataset:
        not_its = "shuffle_seed" if made is CorpusDataset else "evaluate"
        shared = {key: setting for key, setting in Signature(arrangement).settings.items() if key != not_its}
        settings = {**settings, **{key: setting for key, setting in shared.items() if key not in settings}}
    found = {f"{entry.spec.section}.{name}": setting for name, setting in settings.items()}
    if getattr(entry.spec, "loss", None) is not None:
        from zoo.training.objective.objective import named_loss

        found |= {f"loss.{name}": setting for name, setting in named_loss(entry)[2].settings.items()}
    if isinstance(entry.spec, ModelSpec) and entry.spec.generate is not None:
        given = (*GENERATE_INPUTS, *entry.spec.inputs, "classes")
        of_generate = Signature(entry.load(entry.spec.generate), given).settings
        found |= {f"generate.{name}": setting for name, setting in of_generate.items()}
    return found


def _judged(entry: Entry[Any]) -> list[str]:
    """Lines on the loss and the metrics that a model or a dataset names."""
    lines = []
    if getattr(entry.spec, "loss", None) is not None:
        from zoo.training.objective.objective import named_loss

        lines.append(f"Loss: {named_loss(entry)[1]}")
    if names := getattr(entry.spec, "metrics", None):
        lines.append(f"Metrics: {', '.join(names)}")
    return lines


def _made(factory: Callable[..., Any]) -> type[Any] | None:
    """The kind of dataset that a function says it returns: `CorpusDataset` or `TensorDataset`; None for words.

    One that does not say may return any: that is not known before it is called, and it may download.
    """
    try:
        made = factory if isinstance(factory, type) else inspect.signature(factory, eval_str=True).return_annotation
    except BaseException as error:  # an annotation may hold any expression
        if not is_of_plugin(error):
            raise
        return None
    kinds = (CorpusDataset, TensorDataset)
    return next((kind for kind in kinds if isinstance(made, type) and issubclass(made, kind)), None)


def _presets(spec: Any) -> dict[str, Preset]:
    return dict(spec.presets) if isinstance(spec, ModelSpec) else {}


def _engines(spec: Any) -> list[str]:
    """What `--engine` takes, the fastest first; which of them can be had here is known when one is made."""
    return [*spec.engines, AUTOGRAD] if isinstance(spec, ModelSpec) else []


def _print(kind: str, entry: Entry[Any], typed: str) -> None:
    """All about an entry, in the words that a person `typed` to name it."""
    spec = entry.spec
    output.lines(f"{spec.name}: {spec.summary}" if spec.summary else spec.name)
    output.lines(f"{kind} of {entry.plugin}, full name {entry.full_name}")
    if spec.description:
        output.lines("", *click.wrap_text(spec.description, 88).split("\n"))
    if isinstance(spec, ModelSpec):
        output.lines("", _training(spec))
        if spec.engines:
            output.lines(f"Engines, the fastest first: {', '.join(_engines(spec))}")
        if spec.width is not None:
            output.lines(f"Larger by {spec.section}.{spec.width}: zoo sweep {quoted(typed)} --ladder 6")
        if has_weights(entry):
            output.lines("", *_weights(entry, typed))
    if isinstance(spec, OptimizerSpec) and spec.lr is not None:
        output.lines("", f"Its own learning rate is {spec.lr:g}")
    if judged := _judged(entry):
        output.lines(*judged)
    rows = [
        (key, s.type_name, "required" if s.default is REQUIRED else str(s.default))
        for key, s in _settings(entry).items()
    ]
    if rows:
        output.lines("")
        print_table(["--set", "type", "default"], rows, whole=["default"])
    if presets := _presets(spec):
        output.lines("")
        print_table(["--preset", ""], [(name, preset.summary) for name, preset in presets.items()])
    if spec.references:
        output.lines("", *spec.references)


def _training(spec: ModelSpec) -> str:
    """How a model is trained by default: by its first preset, over its own defaults."""
    options = filled(next(iter(spec.presets.values()), Preset()), spec)
    return (
        f"Trained by default on {options.dataset or 'a dataset of yours'} "
        f"with {options.optimizer}: {options.steps:,} steps "
        f"of {options.batch_size} examples" + ("" if options.lr is None else f", lr {options.lr:g}")
    )


def _weights(entry: Entry[ModelSpec], typed: str) -> list[str]:
    """Lines on what is known of the weights that a model comes with, and how to use them."""
    commands = ["sample" if can_sample(entry) else "predict", "eval"]
    use = ", ".join(f"zoo {command} {quoted(typed)}" for command in commands)
    known = shipped_metrics(entry)
    if known is None:
        return [f"Comes with trained weights: {use}"]
    preset = f", preset {known.preset}" if known.preset else ""
    loss, novel = known.losses["val"], known.novel.get("val")
    return [
        f"Comes with weights trained on {known.dataset}{preset}: {known.parameters:,} parameters, "
        f"{known.steps:,} steps in {known.seconds:,.1f} s",
        f"Their validation loss is {_in_unit(loss, known.unit)}"
        + ("" if novel is None else f", and {show_loss(novel)} over unseen words"),
        f"Use them: {use}",
    ]


def _in_unit(loss: float, unit: str) -> str:
    return f"{show_loss(loss)} nats ({show_loss(bits(loss))} bits)" if unit == "nats" else f"{show_loss(loss)} ({unit})"


def _as_json(kind: str, entry: Entry[Any]) -> dict[str, Any]:
    spec = entry.spec
    known = shipped_metrics(entry) if isinstance(spec, ModelSpec) else None
    return {
        "kind": kind,
        "full_name": entry.full_name,
        "distribution": entry.plugin.distribution,
        "version": entry.plugin.version,
        "summary": spec.summary,
        "description": spec.description,
        "references": list(spec.references),
        "settings": [
            {
                "key": key,
                "type": s.type_name,
                "default": None if s.default is REQUIRED else s.default,
                "required": s.default is REQUIRED,
            }
            for key, s in _settings(entry).items()
        ],
        "presets": {name: preset.summary for name, preset in _presets(spec).items()},
        "engines": _engines(spec),
        "width": f"{spec.section}.{spec.width}" if isinstance(spec, ModelSpec) and spec.width is not None else None,
        "metrics": list(getattr(spec, "metrics", None) or ()),
        "weights": isinstance(spec, ModelSpec) and has_weights(entry),
        "figures": known and known.as_json(),
    }
