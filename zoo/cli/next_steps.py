"""What one may do next with a run that is finished: commands to copy, for a person at a terminal."""

from __future__ import annotations

import importlib.util
from collections.abc import Mapping
from typing import Any

from zoo.cli import output
from zoo.plugin.registry import Registry
from zoo.text import quoted_path

_OF_REPORT = ("bokeh", "jinja2")  # what `zoo report` needs beside zoo

_SHOWN = ("classes", "numbers")  # targets of which predictions make a table


def print_next_steps(config: Mapping[str, Any], run_folder: str, registry: Registry) -> None:
    """Say it below a result that was printed on a terminal; elsewhere, nothing."""
    if not output.on_terminal():
        return
    rows = next_steps(config, run_folder, registry)
    widest = max((len(command) for command, _ in rows), default=0)
    output.lines("", *(f"{command.ljust(widest)}   {about}" for command, about in rows))


def next_steps(config: Mapping[str, Any], run_folder: str, registry: Registry) -> list[tuple[str, str]]:
    """Commands that work for this model, each with what it is for.

    Args:
        config: of the run.
        run_folder: its path.
        registry: of models.
    """
    run, model, dataset = quoted_path(run_folder), config["model"]["name"], config["dataset"]
    spec = registry.models.get(model).spec if model in registry.models else None
    rows = []
    if getattr(spec, "generate", None) is not None:
        rows.append((f"zoo sample {run}", "sample from it"))
    elif dataset["kind"] != "tensors":
        rows.append((f"zoo sample {run}", f"sample {'words' if dataset['kind'] == 'text' else 'a text'}"))
    elif "columns" in (dataset.get("provides") or {}):
        rows.append((f"zoo predict {run} --input FILE.csv", "predict the rows of a table"))
    elif dataset["targets"] in _SHOWN and "test" in dataset["examples"]:
        rows.append((f"zoo predict {run} --split test", "predict the test split"))
    if all(importlib.util.find_spec(name) is not None for name in _OF_REPORT):
        rows.append((f"zoo report {run}", "write a page about it"))
    return rows
