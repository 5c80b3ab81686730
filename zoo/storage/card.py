"""The model card: a run folder's `README.md`, for the person who finds the folder."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from zoo.errors import UsageError, ZooError
from zoo.files import kind_of
from zoo.html import facts, line, table, titled
from zoo.numbers import show_evaluated, show_loss
from zoo.options.declaration import declared
from zoo.options.run import RunOptions
from zoo.options.schedule import Schedule
from zoo.options.values import as_text, convert_fields
from zoo.storage.config import RANKS, WEIGHTS_KEY, read_metrics, unlike
from zoo.storage.folder import METRICS_FILE, WEIGHTS_FILE
from zoo.text import code_block, code_span, markdown, quoted

# How the weights are loaded, by someone who is in their folder.
LOAD_WITH_ZOO = f"""import zoo

loaded = zoo.load("{WEIGHTS_FILE}")
loaded.model"""
LOAD_WITHOUT_ZOO = f"""from safetensors.torch import load_file

weights = load_file("{WEIGHTS_FILE}")  # a dict of tensors"""


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
    figures = _table(examples, metrics)
    images = "\n".join(f"![{plot.partition('.')[0]}]({plot})" for plot in plots)
    versions = ", ".join(f"{markdown(package)} {markdown(version)}" for package, version in config["versions"].items())
    text = f"""# {name}

{config["model"]["parameters"]:,} parameters, trained for {_steps(metrics)}
of {training["batch_size"]} examples with {markdown(config["optimizer"]["name"])} (learning rate {training["lr"]:g})
on {markdown(dataset["name"])}{_synthetic(training)}.

{figures}
{_evaluated(metrics)}
{images}

## Load

With zoo:

{code_block(LOAD_WITH_ZOO, "python")}

Without:

{code_block(LOAD_WITHOUT_ZOO, "python")}

## Reproduce

{_reproduce(config)}

- model: {_part(config["model"])}
- dataset: {_part(dataset)}, sha256 {code_span(dataset["sha256"])}
- optimizer: {_part(config["optimizer"])}
- device: {markdown(training["device"])}, engine: {markdown(training["engine"])}{_ranks(training)}
- versions: {versions}
"""
    return text.replace("\n\n\n\n", "\n\n")


def _table(examples: Mapping[str, Any], metrics: Mapping[str, Any]) -> str:
    """The loss and the metrics of each split."""
    head, *rows = results(examples, metrics)
    lines = [list(map(markdown, head)), ["---"] * len(head), *rows]
    return "\n".join(f"|{'|'.join(line)}|" if line[0] == "---" else f"| {' | '.join(line)} |" for line in lines)


def results(examples: Mapping[str, Any], metrics: Mapping[str, Any]) -> list[list[str]]:
    """The loss and the metrics of each split, as the cells of a table: a head, and a row for each split.

    Args:
        examples: how many each split has.
        metrics: as in `metrics.json`.
    """
    found: Mapping[str, Mapping[str, float | None]] = metrics.get("metrics", {})
    names = list(dict.fromkeys(name for split in found.values() for name in split))
    table = [["split", "examples", f"loss ({metrics.get('loss_unit', 'nats')})"]]
    table[0] += [name.replace("_", " ") for name in names]
    for split, loss in metrics["losses"].items():
        values = [found.get(split, {}).get(name) for name in names]
        shown = ["-" if value is None else show_loss(value) for value in values]
        table.append([split, f"{examples[split]:,}", show_loss(loss), *shown])
    return table


class WithResult:
    """A trained model whose result may be in a file beside its weights.

    Attributes:
        path: the file of the weights.
        config: as in `config.json`.
        step: the number of steps of the weights, if it is known.
        weights_sha256: the digest of the weights.
    """

    path: Path
    config: dict[str, Any]
    step: int | None
    weights_sha256: str | None

    @property
    def losses(self) -> dict[str, float]:
        """The loss over each split after training: `train`, `val` and `test`. Raises as `metrics`."""
        return dict(self.metrics["losses"])

    @property
    def metrics(self) -> dict[str, Any]:
        """The result, as in `metrics.json`.

        Raises:
            UsageError: there is none beside the weights, as of a run that is not finished; or it is of other weights.
            CheckpointError: it is damaged.
        """
        name = METRICS_FILE if self.path.name == WEIGHTS_FILE else self.path.with_suffix(".json").name  # of a plugin
        found, advice = self.path.parent / name, "'zoo eval' computes them"
        if kind_of(found) == "nothing":
            raise UsageError(f"the losses of {self.path} are not recorded, because there is no {found}: {advice}")
        metrics = read_metrics(found)
        if metrics.get(WEIGHTS_KEY, self.weights_sha256) != self.weights_sha256 or unlike(metrics, self.config):
            raise UsageError(f"{found} has the losses of other weights than {self.path}: {advice}")
        return metrics

    def _repr_html_(self) -> str:
        """For a notebook: what was trained, and its losses and metrics, where they are recorded."""
        metrics = None
        with contextlib.suppress(ZooError):
            metrics = self.metrics
        return html_card(str(self.path), self.config, metrics, step=self.step)


def html_card(
    title: str,
    config: Mapping[str, Any],
    metrics: Mapping[str, Any] | None,
    *,
    step: int | None = None,
    resumed_at: int = 0,
) -> str:
    """What a notebook shows of a trained model: what it is, how it was trained, and its results, where it has any.

    Args:
        title: above it, such as the path.
        config: as in `config.json`.
        metrics: as in `metrics.json`, if there are any.
        step: the number of steps of the weights, where there are no metrics to tell it.
        resumed_at: the step from which on the time of the metrics is.
    """
    try:
        return titled(title, *_html_parts(config, metrics, step, resumed_at))
    except (AttributeError, KeyError, TypeError, ValueError):  # a checkpoint may say anything
        return titled(title, line("its config or its metrics are not as zoo writes them"))


def _html_parts(
    config: Mapping[str, Any], metrics: Mapping[str, Any] | None, step: int | None, resumed_at: int
) -> Iterator[str]:
    model, dataset, training = config["model"], config["dataset"], config["training"]
    how = f"{config['optimizer']['name']}, learning rate {training['lr']:g}, {training['batch_size']:,} examples a step"
    known = {
        "model": f"{model['name']}, {model['parameters']:,} parameters",
        "data": str(dataset["name"]),
        "trained for": _steps(metrics) if metrics else "" if step is None else f"{step:,} steps",
        "with": how,
        "time": _time(metrics, resumed_at) if metrics else "",
    }
    yield facts(known)
    if metrics is not None:
        head, *rows = results(dataset["examples"], metrics)
        yield table(head, rows)
    if metrics is not None and "evaluated" in metrics:
        yield line(f"{show_evaluated(metrics['evaluated'])}.")


def _time(metrics: Mapping[str, Any], resumed_at: int) -> str:
    """Of training, where, and by which engine."""
    last = f"the last {metrics['steps'] - resumed_at:,} steps in " if resumed_at else ""
    return f"{last}{metrics['seconds']['train']:.1f} s on {metrics['device']} ({metrics['engine']})"


def _steps(metrics: Mapping[str, Any]) -> str:
    best = metrics.get("best")
    return f"{metrics['steps']:,} steps" + (f" (the best weights are those after {best['step']:,})" if best else "")


def _evaluated(metrics: Mapping[str, Any]) -> str:
    return f"\n{show_evaluated(metrics['evaluated'])}.\n" if "evaluated" in metrics else ""


def _ranks(training: Mapping[str, Any]) -> str:
    return f", ranks: {training[RANKS]}" if RANKS in training else ""


def _synthetic(training: Mapping[str, Any]) -> str:
    source = training["synthetic"]
    return f", and on synthetic words sampled from {markdown(source['name'])}" if source else ""


def _reproduce(config: Mapping[str, Any]) -> str:
    """How to make this run again: a command, or, of data that no command can name, Python."""
    if config["dataset"].get("given_in") is None:
        return code_block(f"$ {command(config)}", "console")
    name, settings = config["dataset"]["name"], config["dataset"]["settings"]
    text = f"The data was given in Python, and is stored nowhere: {code_span(name)} is what has the sha256 below."
    return f"{text}\n\n{code_block(call(config, name, settings), 'python')}"


def call(config: Mapping[str, Any], data: str, data_settings: Mapping[str, Any]) -> str:
    """The Python code that makes a run again whose data was given in Python, where it is called `data`."""
    arguments: dict[str, object] = {"optimizer": _full_name(config["optimizer"]), **dict(_recorded_options(config))}
    settings = {
        f"{section}.{key}": value
        for section, values in _settings(config).items()
        for key, value in values.items()
        if section != "data"
    }
    arranged = "".join(f", {key}={value!r}" for key, value in data_settings.items())
    lines = [
        "import zoo",
        "",
        f"data = zoo.load_dataset({data}{arranged})" if config["dataset"]["kind"] == "text" else f"data = {data}",
        "zoo.run(",
        f"    {_full_name(config['model'])!r},",
        "    dataset=data,",
        *(f"    {key}={value!r}," for key, value in arguments.items()),
        *([f"    settings={settings!r},"] if settings else []),
        ")",
    ]
    return "\n".join(lines)


def command(config: Mapping[str, Any]) -> str:
    """The command line that makes this run again, with nothing left to defaults that may change."""
    ranks = config["training"].get(RANKS)
    launcher = [] if ranks is None else ["torchrun", "--nproc-per-node", str(ranks), "-m"]
    words = [*launcher, "zoo", "run", _full_name(config["model"]), "--dataset", _full_name(config["dataset"])]
    words += ["--optimizer", _full_name(config["optimizer"])]
    for name, value in _recorded_options(config):
        words += [declared(RunOptions)[name].flag] + ([] if value is True else [str(value)])
    for section, values in _settings(config).items():
        for key, value in values.items():
            words += ["--set", f"{section}.{key}={as_text(value)}"]
    return " ".join(map(quoted, words))


def _settings(config: Mapping[str, Any]) -> dict[str, Mapping[str, Any]]:
    """The settings of each section."""
    return {
        "model": config["model"]["hyperparameters"],
        "loss": config.get("loss", {}).get("settings", {}),
        "data": config["dataset"]["settings"],
        "optimizer": config["optimizer"]["hyperparameters"],
    }


def _recorded_options(config: Mapping[str, Any]) -> Iterator[tuple[str, object]]:
    """The options that a config records, as they are given on the command line; without those that are off.

    Their order is that of the options: a config that was read from the weights has another.
    """
    for name in declared(RunOptions):
        value = config["training"].get(name)
        if name == "schedule":
            yield from convert_fields(Schedule, value).as_options(config["training"].get("steps")).items()
        elif isinstance(value, Mapping):  # provided by a plugin
            yield name, _full_name(value)
        elif name == "seconds" and config["training"].get("steps") is not None:
            continue  # the steps alone make it again exactly
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
