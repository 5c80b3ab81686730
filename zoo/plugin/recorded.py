"""What a checkpoint names, found again: its plugin may be missing now, or be of another version."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any, NamedTuple

from zoo.errors import (
    CheckpointError,
    DeviceError,
    EngineUnavailableError,
    MissingPluginError,
    OtherVersionError,
    PluginError,
    UnknownNameError,
    UsageError,
)
from zoo.plugin.registry import Entry, KindRegistry, Plugin, Registry, S
from zoo.text import pip_command, shown_version

# What a person asks for, or what already says it.
_OF_NO_VERSION = (MissingPluginError, OtherVersionError, UnknownNameError, DeviceError, EngineUnavailableError)


class Recorded(NamedTuple):
    """A model, dataset or optimizer in a config: its full name, `distribution/name`, and the plugin's version."""

    name: str
    version: str

    @property
    def distribution(self) -> str:
        return self.name.partition("/")[0]

    @property
    def plugin(self) -> str:
        """For messages: `zoo-trigram 1.0`."""
        return shown_version(f"{self.distribution} {self.version}")

    @property
    def install(self) -> str | None:
        """The command that installs the plugin in that version; None if these texts cannot be in one."""
        return pip_command("install", self.distribution, self.version)

    def other_version(self, entry: Entry[Any]) -> str | None:
        """What to say where the plugin is of another version now; None where it is of the same.

        It names both versions, and the command that brings the first one back.
        """
        if entry.plugin.version == self.version:
            return None
        back = f": '{self.install}' brings that version back" if self.install else ""
        return f"it was made with {self.plugin}, and {entry.plugin} is installed{back}"


def find_recorded(registry: Registry, kind: KindRegistry[S], recorded: Recorded, holder: object) -> Entry[S]:
    """The entry that a checkpoint names.

    Args:
        registry: the plugins that are installed now.
        kind: the registry of its kind.
        recorded: its name, and the version of its plugin.
        holder: what names it, for the message: a file, or `the run in a folder`.

    Raises:
        MissingPluginError: there is none; the message says how to install its plugin, and lists no others.
    """
    try:
        return kind.get(recorded.name)
    except UnknownNameError as error:
        needs = f"{holder} needs the {kind.kind} {recorded.name!r} of plugin {recorded.plugin}, which"
        loaded = _loaded(registry, recorded.distribution)
        if loaded is None:
            why = "is not installed, disabled or broken: see 'zoo plugins'"
            install = f"; '{recorded.install}' installs it" if recorded.install else ""
        else:
            why = f"the installed version {loaded.version} does not have"
            other = loaded.version != recorded.version and recorded.install
            install = f": '{recorded.install}' brings it back" if other else ""
        raise MissingPluginError(f"{needs} {why}{install}") from error


@contextmanager
def naming_versions(others: Sequence[str]) -> Iterator[None]:
    """A block that may fail because plugins are of other versions: its error then names these.

    Args:
        others: what `Recorded.other_version` says; empty where all are of the same version.

    Raises:
        OtherVersionError: a checkpoint does not fit, or a plugin fails or refuses a value, and there are others.
    """
    try:
        yield
    except (CheckpointError, PluginError, UsageError) as error:
        if not others or isinstance(error, _OF_NO_VERSION):
            raise
        raise OtherVersionError(f"{error} ({'; '.join(others)})") from error


def _loaded(registry: Registry, distribution: str) -> Plugin | None:
    """The plugin of that distribution, if it has registered anything."""
    entries = (entry for kind in registry.kinds() for entry in kind)
    return next((entry.plugin for entry in entries if entry.plugin.distribution == distribution), None)
