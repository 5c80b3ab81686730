"""The registry: every model, dataset, optimizer and logger by name, with the plugin that registered it.

A short name works while one distribution uses it, and always where it is a built-in one; `distribution/name` always
works.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any, Generic, NamedTuple, TypeVar

from zoo.errors import AmbiguousNameError, PluginError, UnknownNameError, suggest
from zoo.plugin.calling import plugin_call, plugin_errors
from zoo.plugin.entry_points import import_object
from zoo.plugin.specs import DatasetSpec, Factory, LoggerSpec, ModelSpec, OptimizerSpec, Spec
from zoo.text import brief

DISTRIBUTION = "zoo-models"  # the plugins of this distribution are the built-in ones

S = TypeVar("S", bound=Spec)


class Plugin(NamedTuple):
    """The origin of an entry: an entry point, and the distribution that declares it."""

    name: str
    distribution: str
    version: str

    @property
    def builtin(self) -> bool:
        return self.distribution == DISTRIBUTION

    def __str__(self) -> str:
        return f"{self.distribution} {self.version}"


class Entry(NamedTuple, Generic[S]):
    """A spec and the plugin that registered it."""

    spec: S
    plugin: Plugin

    def __repr__(self) -> str:
        return brief(f"<Entry of {self.who}>")

    @property
    def full_name(self) -> str:
        return f"{self.plugin.distribution}/{self.spec.name}"

    @property
    def title(self) -> str:
        """For messages: `model 'trigram'`."""
        return f"{self.spec.kind} {self.spec.name!r}"

    @property
    def who(self) -> str:
        """For messages about a plugin's fault: `model 'trigram' of plugin zoo-trigram 1.0`."""
        return f"{self.title} of plugin {self.plugin}"

    def factory(self) -> Callable[..., Any]:
        """Import the spec's factory; see `load`."""
        return self.load(self.spec.factory)

    def load(self, target: Factory) -> Callable[..., Any]:
        """Import a factory that the spec names; a callable is returned unchanged.

        Raises:
            PluginError: the import fails, or the imported object is not callable.
        """
        found: Any = target
        if isinstance(target, str):
            imported = target.partition(":")[0] in sys.modules  # then none of its code runs
            guarded = plugin_errors if imported else plugin_call
            try:
                with guarded(f"{self.spec.name!r} of plugin {self.plugin}", f"cannot be imported from {target!r}"):
                    found = import_object(target)
            except PluginError as error:
                from zoo.plugin.requirements import why_it_fails  # here, because only failures need it

                raise PluginError(f"{error}{why_it_fails(self.plugin.distribution)}") from error.__cause__
        if not callable(found):
            raise PluginError(f"{target!r} of plugin {self.plugin} is not a class or a function")
        factory: Callable[..., Any] = found
        return factory


class KindRegistry(Generic[S]):
    """All entries of one kind, such as models, looked up by short or full name."""

    def __init__(self, kind: str) -> None:
        self.kind = kind
        self._entries: dict[str, Entry[S]] = {}  # by full name
        self.failed_plugins: tuple[str, ...] = ()  # an unknown name may be one of theirs

    def __repr__(self) -> str:
        return f"{len(self._entries):,} {self.kind}{'s' * (len(self._entries) != 1)}"

    def add(self, entry: Entry[S]) -> None:
        """Register an entry.

        Raises:
            PluginError: the same distribution has already registered that name.
        """
        if entry.full_name in self._entries:
            raise PluginError(f"the {self.kind} {entry.spec.name!r} is registered twice by {entry.plugin.distribution}")
        self._entries[entry.full_name] = entry

    def remove_plugin(self, plugin: Plugin) -> None:
        self._entries = {name: entry for name, entry in self._entries.items() if entry.plugin != plugin}

    def __iter__(self) -> Iterator[Entry[S]]:
        """Entries sorted by short name; built-in ones first where several share a name."""
        return iter(sorted(self._entries.values(), key=lambda e: (e.spec.name, not e.plugin.builtin, e.full_name)))

    def __contains__(self, name: str) -> bool:
        return name in self._entries or bool(self._short(name))

    def names(self) -> list[str]:
        """The display names of all entries, sorted."""
        return sorted(self.display_name(entry) for entry in self)

    def display_name(self, entry: Entry[S]) -> str:
        """The short name where it means this entry, else the full name."""
        return entry.spec.name if self._short(entry.spec.name) == [entry] else entry.full_name

    def get(self, name: str, *, prefer: Sequence[str] = ()) -> Entry[S]:
        """Find an entry by short or full name.

        Args:
            name: `name` or `distribution/name`.
            prefer: distributions, in order, whose entry is preferred where several share the short name. For names in
                a plugin's own specs; names given by a user are never resolved this way.

        Raises:
            UnknownNameError: no entry has that name; the message suggests the nearest names.
            AmbiguousNameError: several distributions use that short name, and it is no built-in one.
        """
        if name in self._entries:
            return self._entries[name]
        for distribution in prefer:
            if f"{distribution}/{name}" in self._entries:
                return self._entries[f"{distribution}/{name}"]
        found = self._short(name)
        if not found:
            raise UnknownNameError(self._unknown(name))
        if len(found) > 1:
            choices = " or ".join(repr(entry.full_name) for entry in found)
            raise AmbiguousNameError(
                f"{len(found)} plugins have {with_article(self.kind)} called {name!r}: use {choices}"
            )
        return found[0]

    def _short(self, name: str) -> list[Entry[S]]:
        """The entries that a short name may mean. A built-in name means zoo's own, whatever plugins call theirs."""
        found = [entry for entry in self if entry.spec.name == name]
        return [entry for entry in found if entry.plugin.builtin] or found

    def _unknown(self, name: str) -> str:
        message = f"no {self.kind} {name!r}; {suggest(name, self.names())}"
        if self.failed_plugins:
            message += f" (plugins that failed to load: {', '.join(self.failed_plugins)}; see 'zoo plugins')"
        return message


class Registry:
    """The registries of all kinds."""

    def __init__(self) -> None:
        self.models: KindRegistry[ModelSpec] = KindRegistry("model")
        self.datasets: KindRegistry[DatasetSpec] = KindRegistry("dataset")
        self.optimizers: KindRegistry[OptimizerSpec] = KindRegistry("optimizer")
        self.loggers: KindRegistry[LoggerSpec] = KindRegistry("logger")

    def __repr__(self) -> str:
        return f"<Registry: {', '.join(map(repr, self.kinds()))}>"

    def kinds(self) -> list[KindRegistry[Any]]:
        return [self.models, self.datasets, self.optimizers, self.loggers]

    def set_failed_plugins(self, distributions: Iterable[str]) -> None:
        failed = tuple(distributions)
        for kind in self.kinds():
            kind.failed_plugins = failed


def with_article(kind: str) -> str:
    return f"an {kind}" if kind[0] in "aeiou" else f"a {kind}"
