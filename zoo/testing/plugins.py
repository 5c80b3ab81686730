"""The check of everything that a distribution brings."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from zoo.ambient import in_neutral_state
from zoo.errors import suggest
from zoo.plugin.manager import PluginStatus
from zoo.plugin.registry import Entry, Registry
from zoo.testing.bench import load_installed
from zoo.testing.datasets import check_dataset
from zoo.testing.engines import check_engines
from zoo.testing.loggers import check_logger
from zoo.testing.models.check import report_of_model, warn_of_skipped
from zoo.testing.optimizers import check_optimizer
from zoo.testing.report import Report

Settings = Mapping[str, Mapping[str, object]]


@in_neutral_state
def check_plugin(
    distribution: str,
    *,
    dataset: str | Path | None = None,
    datasets: Mapping[str, str | Path] | None = None,
    settings: Settings | None = None,
) -> Report:
    """Check all that a distribution brings: each of its models, with its engines, datasets, optimizers and loggers.

    Args:
        distribution: its name, as `pip` takes it: `zoo-stars`, `zoo_stars` and `Zoo.Stars` are one.
        dataset: trained on in place of the models' own, for tests without a network.
        datasets: the same for single models: `{"linear-char": "words.txt"}`.
        settings: by the name of a model, a dataset, an optimizer or a logger, as `zoo.run` takes them; those
            without a default must be given: `{"linear-char": {"model.size": 3}}`.

    Returns:
        What was tried. What could not be tried here is in its `skipped`, and a warning each.

    Raises:
        AssertionError: what is wrong.
        ZooError: something cannot be made or trained at all.
    """
    (registry, statuses), datasets, settings = load_installed(), datasets or {}, settings or {}
    mine = _brought_by(distribution, registry, statuses)
    _check_names("datasets", datasets, mine["model"])
    _check_names("settings", settings, [entry for entries in mine.values() for entry in entries])

    report = Report()
    for entry in mine["dataset"]:
        report += check_dataset(entry.full_name, settings=_of(entry, settings, "data"))
    for entry in mine["model"]:
        given: dict[str, Any] = {
            "dataset": _named(entry, datasets, dataset),
            "settings": _of(entry, settings, "model", "loss", "data", "optimizer"),
        }
        report += report_of_model(entry.full_name, **given) + check_engines(entry.full_name, **given)
    for entry in mine["optimizer"]:
        report += check_optimizer(entry.full_name, settings=_of(entry, settings, "optimizer"))
    for entry in mine["logger"]:
        report += check_logger(entry.full_name, settings=_of(entry, settings, "logger"))
    warn_of_skipped(report)
    return report


def _brought_by(distribution: str, registry: Registry, statuses: Sequence[PluginStatus]) -> dict[str, list[Entry[Any]]]:
    """What a distribution registers, by kind."""
    wanted = _normalized(distribution)
    for status in statuses:
        broken = status.state == "failed" and _normalized(status.plugin.distribution) == wanted
        assert not broken, f"plugin {status.plugin} failed to load: {status.cause}"
    mine = {
        kind.kind: [entry for entry in kind if _normalized(entry.plugin.distribution) == wanted]
        for kind in registry.kinds()
    }
    assert any(mine.values()), (
        f"no plugin of {distribution!r} is loaded: is it installed, and does 'zoo plugins' show it?"
    )
    return mine


def _normalized(distribution: str) -> str:
    """The name of a distribution as PEP 503 compares it, https://peps.python.org/pep-0503/#normalized-names"""
    return re.sub(r"[-_.]+", "-", distribution).lower()


def _check_names(argument: str, given: Mapping[str, object], entries: list[Entry[Any]]) -> None:
    known = [name for entry in entries for name in (entry.spec.name, entry.full_name)]
    for name in given:
        assert name in known, f"{argument} names {name!r}, which this plugin does not have; {suggest(name, known)}"


def _named(entry: Entry[Any], given: Mapping[str, Any], otherwise: Any) -> Any:
    """What is given for an entry, by its full name or its short one."""
    return given.get(entry.full_name, given.get(entry.spec.name, otherwise))


def _of(entry: Entry[Any], settings: Settings, *sections: str) -> dict[str, object]:
    """The settings of an entry in some sections: a model and a dataset may have the same name."""
    own: Mapping[str, object] = _named(entry, settings, {})
    return {key: value for key, value in own.items() if key.partition(".")[0] in sections}
