"""What was trained, at a glance."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from zoo.numbers import show_loss
from zoo.reports.reported import ReportedRun, in_order
from zoo.reports.section import Part
from zoo.text import visible


def make(run: ReportedRun) -> Part:
    """A small table; and where its data is not found, one line about that for all sections."""
    return Part({"facts": [(name, visible(text)) for name, text in _facts(run)], "no_data": run.no_data})


def _facts(run: ReportedRun) -> Iterator[tuple[str, str]]:
    config, training = run.config, run.config["training"]
    yield "Model", _part(config["model"])
    yield "Data", _part(config["dataset"]) + _sizes(run)
    yield "Steps", _steps(run)
    yield "Parameters", f"{sum(p.numel() for p in run.loaded.model.parameters()):,}"
    yield "Optimizer", f"{_part(config['optimizer'])}, peak learning rate {_number(training.get('lr'))}"
    yield from _results(run)
    device = (run.metrics or training).get("device")
    yield "Device", ", ".join(filter(None, [str(device or "not recorded"), _engine(training.get("engine"))]))
    yield "Time", _time((run.metrics or {}).get("seconds"))


def _part(part: Mapping[str, Any]) -> str:
    """A model, dataset or optimizer, with the plugin that it is of."""
    plugin = part.get("plugin")
    of = f" ({plugin.get('distribution')} {plugin.get('version')})" if isinstance(plugin, Mapping) else ""
    return f"{part['name']}{of}"


def _sizes(run: ReportedRun) -> str:
    examples = run.config["dataset"].get("examples")
    known = in_order(examples if isinstance(examples, Mapping) else {})
    listed = ", ".join(f"{_number(count)} {name}" for name, count in known.items())
    return f": {listed} {run.counted}" if listed else ""


def _steps(run: ReportedRun) -> str:
    """How many, and whether these are all of them."""
    options, step = run.loaded.checked.options, run.loaded.step
    batches = f", with batches of {options.batch_size:,} examples" if isinstance(options.batch_size, int) else ""
    done = "an unknown number" if step is None else f"{step:,}"
    if run.metrics is None:
        planned = f", of {options.steps:,} that were planned" if options.steps and step != options.steps else ""
        return f"{done}{batches}{planned}"
    all_steps = run.metrics.get("steps")
    if isinstance(run.metrics.get("best"), Mapping) and step != all_steps:
        return f"{_number(all_steps)}{batches}; the best weights, which are kept, are those after {done}"
    return f"{done}{batches}"


def _results(run: ReportedRun) -> Iterator[tuple[str, str]]:
    """The loss and each metric, of all splits side by side."""
    found = run.results
    if not found:
        yield f"Loss ({run.unit})", "not known: the run is not finished, and its data is not found"
        return
    yield f"Loss ({run.unit})", ", ".join(f"{split} {show_loss(one.loss)}" for split, one in found.items())
    for metric in dict.fromkeys(name for one in found.values() for name in one.metrics):
        values = {split: one.metrics.get(metric) for split, one in found.items()}
        shown = [f"{split} {'-' if value is None else show_loss(value)}" for split, value in values.items()]
        name = metric.replace("_", " ")
        yield name[:1].upper() + name[1:], ", ".join(shown)


def _engine(name: object) -> str:
    return f"engine {name}" if name else ""


def _time(seconds: object) -> str:
    known = seconds if isinstance(seconds, Mapping) else {}
    parts = [
        f"{known[key]:,.1f} s {what}"
        for key, what in (("train", "training"), ("total", "in all"))
        if isinstance(known.get(key), int | float)
    ]
    return ", ".join(parts) or "not recorded: the run is not finished"


def _number(value: object) -> str:
    return f"{value:,}" if isinstance(value, int | float) else str(value)
