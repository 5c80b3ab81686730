"""The model card: a run folder's `README.md`, for the person who finds the folder."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from zoo.numbers import show_evaluated, show_loss
from zoo.options.declaration import declared
from zoo.options.run import RunOptions
from zoo.options.schedule import Schedule
from zoo.options.values import as_text, convert_fields
from zoo.text import code_block, code_span, markdown, quoted


def model_card(config: Mapping[str, Any], metrics: Mapping[str, Any], *, plots: list[str]) -> str:
    """Results, how to load the weights, and how to make them again, as Markdown.

    Args:
        config: as in `config.json`.
        metrics: as in `metrics.json`.
        plots: file names of the plots.
    """
    name = markdown(config["model"]["name"])
    dataset, training = config["dataset"], config["training"]
    examples = dataset["examples"]
    table = _table(examples, metrics)
    images = "\n".join(f"![{plot.partition('.')[0]}]({plot})" for plot in plots)
    versions = ", ".join(f"{markdown(package)} {markdown(version)}" for package, version in config["versions"].items())
    text = f"""# {name}

{config["model"]["parameters"]:,} parameters, trained for {_steps(metrics)}
of {training["batch_size"]} examples with {markdown(config["optimizer"]["name"])} (learning rate {training["lr"]:g})
on {markdown(dataset["name"])}{_synthetic(training)}.

{table}
{_evaluated(metrics)}
{images}

## Load

With zoo:

```python
import zoo

loaded = zoo.load("model.safetensors")
loaded.model
```

Without:

```python
from safetensors.torch import load_file

weights = load_file("model.safetensors")  # a dict of tensors
```

## Reproduce

{code_block(f"$ {command(config)}", "console")}

- model: {_part(config["model"])}
- dataset: {_part(dataset)}, sha256 {code_span(dataset["sha256"])}
- optimizer: {_part(config["optimizer"])}
- device: {markdown(training["device"])}, engine: {markdown(training["engine"])}
- versions: {versions}
"""
    return text.replace("\n\n\n\n", "\n\n")


def _table(examples: Mapping[str, Any], metrics: Mapping[str, Any]) -> str:
    """The loss and the metrics of each split."""
    found: Mapping[str, Mapping[str, float | None]] = metrics.get("metrics", {})
    names = list(dict.fromkeys(name for split in found.values() for name in split))
    head = ["split", "examples", f"loss ({markdown(metrics.get('loss_unit', 'nats'))})"]
    lines = [[*head, *(markdown(name.replace("_", " ")) for name in names)], ["---"] * (len(head) + len(names))]
    for split, loss in metrics["losses"].items():
        values = [found.get(split, {}).get(name) for name in names]
        shown = ["-" if value is None else show_loss(value) for value in values]
        lines.append([split, f"{examples[split]:,}", show_loss(loss), *shown])
    return "\n".join(f"|{'|'.join(line)}|" if line[0] == "---" else f"| {' | '.join(line)} |" for line in lines)


def _steps(metrics: Mapping[str, Any]) -> str:
    best = metrics.get("best")
    return f"{metrics['steps']:,} steps" + (f" (the best weights are those after {best['step']:,})" if best else "")


def _evaluated(metrics: Mapping[str, Any]) -> str:
    return f"\n{show_evaluated(metrics['evaluated'])}.\n" if "evaluated" in metrics else ""


def _synthetic(training: Mapping[str, Any]) -> str:
    source = training["synthetic"]
    return f", and on synthetic words sampled from {markdown(source['name'])}" if source else ""


def command(config: Mapping[str, Any]) -> str:
    """The command line that makes this run again, with nothing left to defaults that may change."""
    words = ["zoo", "run", _full_name(config["model"]), "--dataset", _full_name(config["dataset"])]
    words += ["--optimizer", _full_name(config["optimizer"])]
    for name, value in _recorded_options(config):
        words += [declared(RunOptions)[name].flag] + ([] if value is True else [str(value)])
    settings = {
        "model": config["model"]["hyperparameters"],
        "loss": config.get("loss", {}).get("settings", {}),
        "data": config["dataset"]["settings"],
        "optimizer": config["optimizer"]["hyperparameters"],
    }
    for section, values in settings.items():
        for key, value in values.items():
            words += ["--set", f"{section}.{key}={as_text(value)}"]
    return " ".join(map(quoted, words))


def _recorded_options(config: Mapping[str, Any]) -> Iterator[tuple[str, object]]:
    """The options that a config records, as they are given on the command line; without those that are off."""
    for name, value in config["training"].items():
        if name == "schedule":
            yield from convert_fields(Schedule, value).as_options().items()
        elif isinstance(value, Mapping):  # provided by a plugin
            yield name, _full_name(value)
        elif value is not None and value is not False:
            yield name, value


def _full_name(part: Mapping[str, Any]) -> str:
    """A name that works whatever else is installed; of a file, a path that is not taken for a dataset's name."""
    name = str(part["name"])
    if part["plugin"]:
        return f"{part['plugin']['distribution']}/{name}"
    plain = "/" in name or ("." in name and name[0] not in "-~")
    return name if plain else f"./{name}"


def _part(part: Mapping[str, Any]) -> str:
    """A model, dataset or optimizer, with the plugin that it is of; a dataset may be a file."""
    plugin = part["plugin"]
    of = f" of {markdown(plugin['distribution'])} {markdown(plugin['version'])}" if plugin else ""
    return code_span(part["name"]) + of
