"""From what a person gives as a dataset to where it is from, and to the data."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

from zoo.data.datasets import TextDataset
from zoo.data.download import Fetcher
from zoo.data.files.settings import with_file_options
from zoo.data.kinds import Dataset
from zoo.data.loading import ARRANGEMENT, find_dataset, load_dataset, resolve_data_settings
from zoo.data.sources.given import Given, Source, arrangement_of, data_of, is_data, is_name, state_of, words_of
from zoo.data.sources.origin import Origin
from zoo.data.tensors import TensorDataset
from zoo.errors import UsageError
from zoo.options.run import FileOptions
from zoo.phrasing import setting_name
from zoo.plugin.registry import Entry, Registry
from zoo.plugin.settings import signature_of


class Found(NamedTuple):
    """What was given as a dataset.

    Attributes:
        source: where it is from.
        made: the data, where it was made before; it is used as it is.
        settings: of data that was made before: those that make it again.
    """

    source: Source
    made: Dataset | None = None
    settings: Mapping[str, Any] | None = None


def find_source(registry: Registry, given: Any) -> Found:
    """Where data is from that a person gives: by name, as a file, as a list of words or as a dataset.

    A dataset that `zoo.load_dataset` had from a name or a file, and that is what it was then, is from there.

    Raises:
        DataError: words cannot be used.
        UsageError: it is none of these, or there is no such dataset or file.
    """
    if is_name(given):
        return Found(find_dataset(registry, given))
    if not is_data(given):
        return Found(words_of(given))
    dataset: Dataset = given
    state, origin = state_of(dataset), dataset.origin
    if origin is not None:
        settings = _settings_now(dataset, origin, state)
        source = _known(registry, origin.source)
        if settings is not None and source is not None:
            return Found(source, dataset, settings)
    data = data_of(dataset)
    return Found(data, data.dataset, arrangement_of(dataset))


def _known(registry: Registry, source: Entry[Any] | Path) -> Entry[Any] | Path | None:
    """The source as it is found now; None for a dataset whose plugin is not there any more."""
    if isinstance(source, Path):
        return source
    return registry.datasets.get(source.full_name) if source.full_name in registry.datasets else None


def _settings_now(dataset: Dataset, origin: Origin, state: object) -> Mapping[str, Any] | None:
    """The settings that make the dataset as it is now; None where none do."""
    if state == origin.state:
        return origin.settings
    if isinstance(dataset, TensorDataset):  # its tensors were changed
        return None
    own = signature_of(origin.source).settings if isinstance(origin.source, Entry) else {}
    if own.keys() & set(ARRANGEMENT):
        return None
    return {name: value for name, value in origin.settings.items() if name not in ARRANGEMENT} | arrangement_of(dataset)


def open_dataset(
    registry: Registry, given: Any, settings: Mapping[str, object], options: FileOptions, fetch: Fetcher
) -> Dataset:
    """The data that a person gives, made; it remembers where it is from.

    Args:
        registry: of datasets.
        given: a name, a file, a list of words, or a dataset, which is returned as it is.
        settings: of the section `data`.
        options: how a file is read.
        fetch: what downloads.

    Raises:
        ZooError: as `find_source` and `load_dataset`; or settings are given for a dataset that was made already.
    """
    if is_data(given):
        check_as_it_is(settings, options)
        made: Dataset = given
        return made
    source = find_source(registry, given).source
    resolved = resolve_data_settings(source, with_file_options(source, settings, options))
    dataset = load_dataset(source, resolved, fetch)
    if not isinstance(source, Given):
        dataset.origin = Origin(source.absolute() if isinstance(source, Path) else source, resolved, state_of(dataset))
    return dataset


def check_as_it_is(settings: Mapping[str, object], options: FileOptions) -> None:
    """Refuse settings for a dataset that was made already.

    Raises:
        UsageError: there are some.
    """
    given = [setting_name("data", name) for name in settings]
    given += [name for name in ("format", "column", "target") if getattr(options, name) is not None]
    if given:
        raise UsageError(
            f"{given[0]} cannot be set for a dataset that was made already: give it to zoo.load_dataset, with the "
            "name, the file or the list of words"
        )


def warnings_of(dataset: Dataset) -> tuple[str, ...]:
    """What is doubtful about the words of a dataset."""
    return dataset.notices if isinstance(dataset, TextDataset) else ()
