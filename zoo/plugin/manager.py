"""Find and load plugins, one at a time, so that a broken one can never take the others or the command line with it.

pluggy's own loader stops at the first exception, passes over misspelt hooks in silence and drops the second of two
distributions that use the same entry-point name; this one does none of that.
"""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from types import ModuleType
from typing import Literal

import pluggy

from zoo.errors import PluginError, UsageError, suggest
from zoo.plugin import hookspecs
from zoo.plugin.entry_points import EntryPoint
from zoo.plugin.entry_points import entry_points as find_entry_points
from zoo.plugin.registry import Entry, Plugin, Registry, S, Shelf
from zoo.plugin.specs import DatasetSpec, ModelSpec, OptimizerSpec

GROUP = "zoo"
HOOKS = ("zoo_models", "zoo_datasets", "zoo_optimizers")


@dataclass
class PluginStatus:
    """What became of one plugin: a row of `zoo plugins`."""

    plugin: Plugin
    state: Literal["loaded", "failed", "disabled"]
    brings: dict[str, list[str]] = field(default_factory=dict)  # {"models": [...], ...}
    error: BaseException | None = None

    @property
    def cause(self) -> str:
        """Why it failed, in one line."""
        if self.error is None:
            return ""
        text = " ".join(str(self.error).split())
        return text if isinstance(self.error, PluginError) else f"{type(self.error).__name__}: {text}".rstrip(": ")

    @property
    def warning(self) -> str:
        """One line for a person: who, which version, why, and how to be rid of it."""
        dist = self.plugin.distribution
        return f"plugin {dist} {self.plugin.version} was skipped: {self.cause} (remove it with 'pip uninstall {dist}')"


def load_plugins(
    entry_points: Iterable[EntryPoint] | None = None, environ: Mapping[str, str] = os.environ
) -> tuple[Registry, list[PluginStatus]]:
    """Load every plugin that is installed and enabled.

    Args:
        entry_points: what to load; by default the installed entry points of the group `zoo`.
        environ: `ZOO_PLUGINS` (unset: all; empty: the built-in ones alone; `a,b`: those beside the built-in ones) and
            `ZOO_STRICT_PLUGINS=1` (raise instead of skipping) are read from here.

    Returns:
        The registry, and a status for each plugin, built-in ones first and then by name.

    Raises:
        UsageError: `ZOO_PLUGINS` names a plugin that is not installed.
        PluginError: a plugin fails, and `ZOO_STRICT_PLUGINS` is set.
    """
    found = _unique(find_entry_points(GROUP) if entry_points is None else entry_points)
    allowed = _allowed(environ.get("ZOO_PLUGINS"), [plugin for plugin, _ in found])
    strict = environ.get("ZOO_STRICT_PLUGINS", "") not in ("", "0")
    pm = pluggy.PluginManager("zoo")
    pm.add_hookspecs(hookspecs)
    registry = Registry()
    statuses = []
    for plugin, entry_point in found:
        if plugin not in allowed:
            statuses.append(PluginStatus(plugin, "disabled"))
            continue
        status = _load(pm, registry, plugin, entry_point)
        if status.error is not None and strict:
            raise PluginError(f"plugin {plugin} failed to load: {status.cause}") from status.error
        statuses.append(status)
    registry.set_unloaded(status.plugin.distribution for status in statuses if status.state == "failed")
    return registry, statuses


def _unique(entry_points: Iterable[EntryPoint]) -> list[tuple[Plugin, EntryPoint]]:
    """Each entry point once (an installation can be seen through two paths), built-in ones first, then by name."""
    found: dict[tuple[str, str], tuple[Plugin, EntryPoint]] = {}
    for entry_point in entry_points:
        dist = entry_point.dist
        plugin = Plugin(entry_point.name, dist.name if dist else "unknown", dist.version if dist else "unknown")
        found.setdefault((plugin.distribution, plugin.name), (plugin, entry_point))
    return sorted(found.values(), key=lambda pair: (not pair[0].builtin, pair[0].distribution, pair[0].name))


def _allowed(wanted: str | None, plugins: list[Plugin]) -> list[Plugin]:
    if wanted is None:
        return plugins
    names = {name.strip() for name in wanted.split(",") if name.strip()}
    known = {name for plugin in plugins for name in (plugin.name, plugin.distribution)}
    for name in sorted(names - known):
        raise UsageError(f"ZOO_PLUGINS names {name!r}, which is not installed; {suggest(name, sorted(known))}")
    return [p for p in plugins if p.builtin or p.name in names or p.distribution in names]


def _load(pm: pluggy.PluginManager, registry: Registry, plugin: Plugin, entry_point: EntryPoint) -> PluginStatus:
    """Import, register and ask one plugin; on any failure leave no trace of it in `pm` or `registry`."""
    key = f"{plugin.distribution}/{plugin.name}"  # entry-point names alone need not be unique
    try:
        with contextlib.redirect_stdout(sys.stderr):  # what a plugin prints must not get into a command's result
            module = entry_point.load()
            _check_hook_names(module)
            pm.register(module, name=key)
            pm.check_pending()  # what pluggy itself finds wrong with hooks, it tells only when asked
            brings = {
                "models": _collect(pm, key, "zoo_models", ModelSpec, registry.models, plugin),
                "datasets": _collect(pm, key, "zoo_datasets", DatasetSpec, registry.datasets, plugin),
                "optimizers": _collect(pm, key, "zoo_optimizers", OptimizerSpec, registry.optimizers, plugin),
            }
    except (Exception, SystemExit) as error:  # a plugin may raise anything, and some call sys.exit when imported
        if pm.has_plugin(key):
            pm.unregister(name=key)
        for shelf in registry.shelves():
            shelf.remove_plugin(plugin)
        return PluginStatus(plugin, "failed", error=error)
    return PluginStatus(plugin, "loaded", brings=brings)


def _check_hook_names(module: object) -> None:
    """A misspelt hook would be passed over in silence."""
    attributes = vars(module) if isinstance(module, ModuleType) else {n: getattr(module, n, None) for n in dir(module)}
    for name, attribute in attributes.items():  # of a module only what is there: it may import more when asked for it
        options = getattr(attribute, "zoo_impl", None) if callable(attribute) else None
        if isinstance(options, dict) and not options.get("optionalhook") and name not in HOOKS:
            raise PluginError(f"there is no hook {name!r}; {suggest(name, HOOKS)}")


def _collect(
    pm: pluggy.PluginManager, key: str, hook: str, spec_type: type[S], shelf: Shelf[S], plugin: Plugin
) -> list[str]:
    """Ask one plugin's hook and put what it brings on the shelf; the names, sorted."""
    others = [other for name, other in pm.list_name_plugin() if name != key]
    names = []
    caller = pm.subset_hook_caller(hook, others)
    answers = caller()
    if len(answers) < len(caller.get_hookimpls()):  # pluggy passes over None
        raise PluginError(f"{hook} must return a list of {spec_type.__name__}, not NoneType: is its return missing?")
    for answer in answers:
        if not isinstance(answer, list | tuple):
            raise PluginError(f"{hook} must return a list of {spec_type.__name__}, not {type(answer).__name__}")
        for spec in answer:
            if not isinstance(spec, spec_type):
                raise PluginError(f"{hook} must return a list of {spec_type.__name__}; {spec!r} is none")
            shelf.add(Entry(spec, plugin))
            names.append(spec.name)
    return sorted(names)
