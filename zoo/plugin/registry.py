"""Names, and what they stand for: every model, dataset and optimizer with the plugin that owns it.

A short name works while one distribution uses it; `distribution/name` always works.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any, Generic, NamedTuple, TypeVar

from zoo.errors import AmbiguousNameError, PluginError, UnknownNameError, suggest
from zoo.plugin.specs import DatasetSpec, Factory, ModelSpec, OptimizerSpec, Spec

DISTRIBUTION = "zoo-models"  # the plugins of this distribution are the built-in ones

S = TypeVar("S", bound=Spec)


class Plugin(NamedTuple):
    """Where something comes from: an entry point, and the distribution that declares it."""

    name: str
    distribution: str
    version: str

    @property
    def builtin(self) -> bool:
        return self.distribution == DISTRIBUTION

    def __str__(self) -> str:
        return f"{self.distribution} {self.version}"


class Entry(NamedTuple, Generic[S]):
    """A spec and its owner."""

    spec: S
    plugin: Plugin

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
        """Import what the spec names, as `load` does."""
        return self.load(self.spec.factory)

    def load(self, target: Factory) -> Callable[..., Any]:
        """Import what a path in the spec names.

        Raises:
            PluginError: the import fails, or what it finds cannot be called.
        """
        found: Any = target
        if isinstance(target, str):
            module_name, _, attribute = target.partition(":")
            try:
                found = importlib.import_module(module_name)
                for part in attribute.split("."):
                    found = getattr(found, part)
            except Exception as error:  # a plugin's module may raise anything while it is imported
                raise PluginError(
                    f"{self.spec.name!r} of plugin {self.plugin} cannot be imported from {target!r}: "
                    f"{type(error).__name__}: {error}"
                ) from error
        if not callable(found):
            raise PluginError(f"{target!r} of plugin {self.plugin} is not a class or a function")
        factory: Callable[..., Any] = found
        return factory


class Shelf(Generic[S]):
    """All entries of one kind, found by short or full name."""

    def __init__(self, kind: str) -> None:
        self.kind = kind
        self._entries: dict[str, Entry[S]] = {}  # by full name
        self.unloaded: tuple[str, ...] = ()  # plugins that failed: an unknown name may be one of theirs

    def add(self, entry: Entry[S]) -> None:
        """Put an entry on the shelf.

        Raises:
            PluginError: its distribution has already registered that name.
        """
        if entry.full_name in self._entries:
            raise PluginError(f"the {self.kind} {entry.spec.name!r} is registered twice by {entry.plugin.distribution}")
        self._entries[entry.full_name] = entry

    def remove_plugin(self, plugin: Plugin) -> None:
        self._entries = {name: entry for name, entry in self._entries.items() if entry.plugin != plugin}

    def __iter__(self) -> Iterator[Entry[S]]:
        """Entries by short name, built-in ones first where a name is shared."""
        return iter(sorted(self._entries.values(), key=lambda e: (e.spec.name, not e.plugin.builtin, e.full_name)))

    def __contains__(self, name: str) -> bool:
        return name in self._entries or bool(self._short(name))

    def names(self) -> list[str]:
        """The names to type, sorted."""
        return sorted(self.called(entry) for entry in self)

    def called(self, entry: Entry[S]) -> str:
        """The name to type for an entry: the short one where it is unique."""
        return entry.spec.name if len(self._short(entry.spec.name)) == 1 else entry.full_name

    def get(self, name: str, *, prefer: Sequence[str] = ()) -> Entry[S]:
        """Find an entry by short or full name.

        Args:
            name: `name` or `distribution/name`.
            prefer: distributions whose own entry, in this order, wins over others of the same short name: for names
                that a plugin gives in its own specs. What a person types is never settled that way.

        Raises:
            UnknownNameError: nothing is called that; the message has the nearest names.
            AmbiguousNameError: several distributions use that short name.
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
            raise AmbiguousNameError(f"{len(found)} plugins have {a(self.kind)} called {name!r}: say {choices}")
        return found[0]

    def _short(self, name: str) -> list[Entry[S]]:
        return [entry for entry in self if entry.spec.name == name]

    def _unknown(self, name: str) -> str:
        message = f"no {self.kind} {name!r}; {suggest(name, self.names())}"
        if self.unloaded:
            message += f" (plugins that failed to load: {', '.join(self.unloaded)}; see 'zoo plugins')"
        return message


class Registry:
    """The three shelves."""

    def __init__(self) -> None:
        self.models: Shelf[ModelSpec] = Shelf("model")
        self.datasets: Shelf[DatasetSpec] = Shelf("dataset")
        self.optimizers: Shelf[OptimizerSpec] = Shelf("optimizer")

    def shelves(self) -> list[Shelf[Any]]:
        return [self.models, self.datasets, self.optimizers]

    def set_unloaded(self, plugins: Iterable[str]) -> None:
        for shelf in self.shelves():
            shelf.unloaded = tuple(plugins)


def a(kind: str) -> str:
    """A kind with its article."""
    return f"an {kind}" if kind[0] in "aeiou" else f"a {kind}"
