"""What differs between the configs of several runs."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from zoo.runs.listing.settings import differing, settings_of, show_setting


def differences(configs: Sequence[object]) -> list[tuple[str, list[str]]]:
    """The settings that differ between runs, each with its value in every run, for people.

    Args:
        configs: as in the `config.json` of each run, of earlier runs too.

    Returns:
        Pairs of a name and a value for each config; `-` where a run does not have the setting. Models, data, plugins
        and versions are among them; what only follows from others, as the number of parameters does, is not.
    """
    runs = [settings_of(config) for config in configs]
    return [(name, [show_setting(run.get(name)) for run in runs]) for name in differing(runs)]


def differing_values(configs: Sequence[object]) -> list[tuple[str, list[Any]]]:
    """The same with the values as they are, and None where a run does not have the setting."""
    runs = [settings_of(config) for config in configs]
    return [(name, [run.get(name) for run in runs]) for name in differing(runs)]
