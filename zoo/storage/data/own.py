"""The data that a model was trained on, found again by what its config says; or other data in its place."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from zoo.data.datasets import TextDataset
from zoo.data.download import Fetcher
from zoo.data.files.settings import given_file_options, with_file_options
from zoo.data.finding import RecordedFile, not_stored
from zoo.data.kinds import Dataset
from zoo.data.loading import load_dataset, resolve_data_settings, settings_for
from zoo.data.sources.found import Found, check_as_it_is, find_source
from zoo.data.sources.given import Given
from zoo.errors import DataError, MissingPluginError, UsageError
from zoo.options.run import FileOptions
from zoo.phrasing import option
from zoo.plugin.recorded import find_recorded
from zoo.plugin.registry import Registry
from zoo.storage.config import RunConfig
from zoo.storage.folder import STATE_FILE
from zoo.storage.state import remembered_place


def data_of_run(
    config: RunConfig,
    weights: Path,
    registry: Registry,
    fetch: Fetcher,
    other: Any,
    options: FileOptions,
    given: Dataset | None,
) -> Dataset:
    """The data of a run, or other data, split and shuffled the same way; see `Loaded.dataset`.

    Args:
        config, weights: of the run, and their file.
        registry, fetch: of datasets, and what downloads them.
        other: other data, as a person gives it; None for the run's own.
        options: how a file of other data is read.
        given: the run's own data, where a person gave it.
    """
    if other is not None:
        data = find_source(registry, other)
        settings = _settings_of_other(data, config, options)
        if data.made is not None:
            return data.made
        return load_dataset(data.source, settings, fetch, like=config.table())
    if unused := given_file_options(options):
        raise UsageError(f"{option(next(iter(unused)))} is for a file that is given with {option('dataset')}: add that")
    if given is not None:
        return given
    if config.dataset_is_given:
        raise not_stored(_recorded(config, weights))
    return _found_again(config, weights, registry, fetch)


def check_same(dataset: Dataset, config: RunConfig, weights: Path) -> None:
    """Refuse what is not the data of a run. Words are the same from wherever they come.

    Raises:
        DataError: its digest is another.
    """
    digests = [dataset.sha256, *([dataset.words_sha256] if isinstance(dataset, TextDataset) else [])]
    if config.dataset_sha256 not in digests:
        recorded = _recorded(config, weights)
        raise DataError(
            f"this dataset is not the data of this run, {recorded}: it has the sha256 {dataset.sha256[:12]}…"
        )


def _found_again(config: RunConfig, weights: Path, registry: Registry, fetch: Fetcher) -> Dataset:
    found = _recorded(config, weights).find() if config.dataset_is_file else None
    try:
        source = found or find_recorded(registry, registry.datasets, config.recorded("dataset"), weights)
        settings = resolve_data_settings(source, config.data_settings, recorded=True)
        known = config.dataset_sha256 if isinstance(source, Path) else None
        dataset = load_dataset(source, settings, fetch, sha256=known)
    except (DataError, UsageError, MissingPluginError) as error:
        raise DataError(f"{error} (the data of this run; give it with {option('dataset')})") from error
    if dataset.sha256 != config.dataset_sha256:
        name = found or config.dataset
        raise DataError(
            f"{name} has changed since this run was trained on it; give the same data with {option('dataset')}"
        )
    return dataset


def _settings_of_other(data: Found, config: RunConfig, options: FileOptions) -> dict[str, Any]:
    """The settings of data that the user gives: the run's own, as far as the two are of a kind."""
    if data.made is not None:
        check_as_it_is({}, options)
        return {}
    source, own = data.source, config.data_settings
    given = given_file_options(options)
    alike = (
        config.dataset_is_given if isinstance(source, Given) else config.dataset_is_file and isinstance(source, Path)
    )
    as_own = alike and not given
    kept = own if as_own else settings_for(source, own, config.kind if not given else "")
    return resolve_data_settings(source, with_file_options(source, kept, options), recorded=as_own)


def _recorded(config: RunConfig, weights: Path) -> RecordedFile:
    folder = weights.parent
    return config.data_file(folder, remembered_place(folder / STATE_FILE))
