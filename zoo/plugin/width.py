"""The setting of a model that makes it larger: the field `width` of its spec."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeAlias

from zoo.errors import PluginError, UsageError, suggest
from zoo.phrasing import setting
from zoo.plugin.registry import Entry
from zoo.plugin.specs import ModelSpec

Width: TypeAlias = int | list[int]


def width_of(entry: Entry[ModelSpec], settings: Mapping[str, Any]) -> Width:
    """The width of a model with these settings: a whole number, or several, one a layer.

    Args:
        entry: the model.
        settings: all of it, complete and typed: see `zoo.plugin.settings.resolve_settings`.

    Raises:
        UsageError: its spec names no width.
        PluginError: its spec names one that is no argument of its factory, or no whole numbers above 0.
    """
    name = entry.spec.width
    if name is None:
        sizes = setting("model.KEY", "VALUE", "SIZE,SIZE,...")
        raise UsageError(f"{entry.title} does not say which of its settings makes it larger: give sizes with {sizes}")
    if name not in settings:
        raise PluginError(f"{entry.title} has no setting {name!r}, its spec's 'width'; {suggest(name, settings)}")
    found = settings[name]
    sizes_found = list(found) if isinstance(found, list | tuple) else [found]
    if not sizes_found or not all(type(size) is int and size > 0 for size in sizes_found):
        raise PluginError(f"{entry.title} has the width {name!r}, which must be whole numbers above 0, got {found!r}")
    return found if type(found) is int else sizes_found


def scaled(width: Width, factor: float) -> Width:
    """A width times a factor, rounded, and at least 1."""
    if isinstance(width, list):
        return [max(1, round(size * factor)) for size in width]
    return max(1, round(width * factor))
