"""The data of a run that is resumed: its own, wherever that is now, or what the user gives for it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from zoo.data.finding import RecordedFile, check_content, not_stored
from zoo.data.loading import resolve_data_settings, settings_for
from zoo.data.sources.found import Found, find_source
from zoo.data.sources.given import Given, Source
from zoo.errors import DataError, MissingPluginError
from zoo.options.run import ResumeOptions
from zoo.phrasing import option
from zoo.plugin.recorded import find_recorded
from zoo.plugin.registry import Registry
from zoo.storage.config import RunConfig


def _allow() -> str:
    return f"{option('allow_changes', True)} takes other data of the same characters"


def own_source(registry: Registry, config: RunConfig, recorded: RecordedFile, folder: Path) -> Source:
    """The data of a run, wherever it is now. Other data must be given: a state may lead to any file of this machine."""
    if config.dataset_is_given:
        raise not_stored(recorded)
    if not config.dataset_is_file:
        try:
            return find_recorded(registry, registry.datasets, config.recorded("dataset"), f"the run in {folder}")
        except MissingPluginError as error:
            raise MissingPluginError(f"{error} (the data of this run; give it with {option('dataset')})") from error
    try:
        return recorded.find()
    except DataError as error:
        raise DataError(f"{error} ({_allow()})") from error


def given_source(registry: Registry, config: RunConfig, recorded: RecordedFile, options: ResumeOptions) -> Found:
    """The data that the user gives. A dataset's digest is compared when it is made: see `check_unchanged`."""
    found = find_source(registry, options.dataset)
    if isinstance(found.source, Path) and found.made is None and not (options.allow_changes or config.dataset_is_given):
        try:
            check_content(found.source, recorded)
        except DataError as error:
            raise DataError(f"{error} ({_allow()})") from error
    return found


def resumed_settings(data: Found, config: RunConfig) -> dict[str, Any]:
    """The settings of a run's data. Those of a dataset's own function are only for that dataset."""
    if data.settings is not None:
        return dict(data.settings)
    source = data.source
    if isinstance(source, Given):  # arranged as that of the run was
        own = config.dataset_is_given
    elif isinstance(source, Path):  # read as that of the run was, if that was a file
        own = config.dataset_is_file
    else:
        own = not config.dataset_is_file and source.full_name == config.dataset
    kept = config.data_settings if own else settings_for(source, config.data_settings, config.kind)
    return resolve_data_settings(source, kept, recorded=True)
