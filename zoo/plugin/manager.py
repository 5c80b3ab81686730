"""Find and load plugins one at a time, so that a broken plugin breaks neither the others nor the command line.

pluggy's own loader stops at the first exception, silently ignores misspelt hooks, and drops the second of two
distributions that use the same entry-point name. This loader does none of that.
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

from zoo.errors import PluginError, UsageError, ZooError, suggest
from zoo.plugin import hookspecs
from zoo.plugin.calling import changes_text, described, is_of_plugin, pass_on, plugin_import
from zoo.plugin.entry_points import EntryPoint
from zoo.plugin.entry_points import entry_points as find_entry_points
from zoo.plugin.registry import Entry, KindRegistry, Plugin, Registry, S
from zoo.plugin.specs import DatasetSpec, LoggerSpec, ModelSpec, OptimizerSpec
from zoo.text import message, pip_command, shown_version

GROUP = "zoo"
HOOKS = ("zoo_models", "zoo_datasets", "zoo_optimizers", "zoo_loggers")


@dataclass
class PluginStatus:
    """Whether one plugin was loaded, and what it provides: a row of `zoo plugins`."""

    plugin: Plugin
    state: Literal["loaded", "failed", "disabled"]
    provides: dict[str, list[str]] = field(default_factory=dict)  # {"models": [...], ...}
    error: BaseException | None = None
    changed: list[str] = field(default_factory=list)  # what its import changed of torch's state, and was put back
    unmet: str = ""  # the requirements that are not met, where it failed

    @property
    def cause(self) -> str:
        """Why the plugin failed, in one line; empty if it did not."""
        if self.error is None:
            return ""
        error = str(self.error) if isinstance(self.error, PluginError) else described(self.error)
        return message(error + self.unmet)

    @property
    def warning(self) -> str:
        """One line: which plugin and version was skipped, why, and how to mend or remove it."""
        install = pip_command("install", self.plugin.distribution) if self.unmet else None
        remove = pip_command("uninstall", self.plugin.distribution)
        mend = f"'{install}' installs them, or " if install else ""
        return message(
            f"plugin {shown_version(str(self.plugin))} was skipped: {self.cause}"
            + (f" ({mend}remove it with '{remove}')" if remove else "")
        )

    @property
    def warnings(self) -> list[str]:
        """What the user should know of it, each in one line."""
        changed = [f"plugin {self.plugin} {changes_text(self.changed)}"] if self.changed else []
        return [*changed, *([self.warning] if self.error is not None else [])]


def load_plugins(
    entry_points: Iterable[EntryPoint] | None = None, environ: Mapping[str, str] = os.environ
) -> tuple[Registry, list[PluginStatus]]:
    """Load every plugin that is installed and enabled.

    Args:
        entry_points: what to load; by default the installed entry points of the group `zoo`.
        environ: the variables `ZOO_PLUGINS` (unset: all; empty: only the built-in ones; `a,b`: the built-in ones and
            these) and `ZOO_STRICT_PLUGINS=1` (raise instead of skipping) are read from here.

    Returns:
        The registry, and a status for each plugin, built-in ones first, then sorted by name.

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
    registry.set_failed_plugins(status.plugin.distribution for status in statuses if status.state == "failed")
    return registry, statuses


def _unique(entry_points: Iterable[EntryPoint]) -> list[tuple[Plugin, EntryPoint]]:
    """Each entry point once (two paths may lead to one installation), built-in ones first, then sorted by name."""
    found: dict[tuple[str, str], tuple[Plugin, EntryPoint]] = {}
    for entry_point in entry_points:
        dist = entry_point.dist
        plugin = Plugin(entry_point.name, dist.name if dist else "unknown", dist.version if dist else "unknown")
        found.setdefault((plugin.distribution, plugin.name), (plugin, entry_point))
    return sorted(found.values(), key=lambda pair: (not pair[0].builtin, pair[0].distribution, pair[0].name))


def _allowed(zoo_plugins: str | None, plugins: list[Plugin]) -> list[Plugin]:
    """The plugins that the variable `ZOO_PLUGINS` allows."""
    if zoo_plugins is None:
        return plugins
    names = {name.strip() for name in zoo_plugins.split(",") if name.strip()}
    known = {name for plugin in plugins for name in (plugin.name, plugin.distribution)}
    for name in sorted(names - known):
        raise UsageError(f"ZOO_PLUGINS names {name!r}, which is not installed; {suggest(name, sorted(known))}")
    return [p for p in plugins if p.builtin or p.name in names or p.distribution in names]


def _load(pm: pluggy.PluginManager, registry: Registry, plugin: Plugin, entry_point: EntryPoint) -> PluginStatus:
    """Import and register one plugin and collect its specs; on failure, remove all of it from `pm` and `registry`."""
    key = f"{plugin.distribution}/{plugin.name}"  # entry-point names alone need not be unique
    changed: list[str] = []
    handled = sys.exc_info()[1]
    try:
        # a plugin's prints must not end up in a command's JSON output
        with plugin_import(changed), contextlib.redirect_stdout(sys.stderr):
            module = entry_point.load()
            _check_hook_names(module)
            pm.register(module, name=key)
            pm.check_pending()  # pluggy reports invalid hooks only here
            provides = {
                "models": _collect(pm, key, "zoo_models", ModelSpec, registry.models, plugin),
                "datasets": _collect(pm, key, "zoo_datasets", DatasetSpec, registry.datasets, plugin),
                "optimizers": _collect(pm, key, "zoo_optimizers", OptimizerSpec, registry.optimizers, plugin),
                "loggers": _collect(pm, key, "zoo_loggers", LoggerSpec, registry.loggers, plugin),
            }
    except BaseException as error:  # a plugin may raise anything, and some call sys.exit when imported
        pass_on(error, handled)
        if not is_of_plugin(error) and not isinstance(error, ZooError):
            raise
        if pm.has_plugin(key):
            pm.unregister(name=key)
        for kind in registry.kinds():
            kind.remove_plugin(plugin)
        return PluginStatus(plugin, "failed", error=error, changed=changed, unmet=_unmet(plugin))
    return PluginStatus(plugin, "loaded", provides=provides, changed=changed)


def _unmet(plugin: Plugin) -> str:
    from zoo.plugin.requirements import why_it_fails  # here, because only failures need it

    return why_it_fails(plugin.distribution)


def _check_hook_names(module: object) -> None:
    """Raise PluginError for a misspelt hook, which pluggy would silently ignore."""
    # vars() of a module, because getattr could trigger its lazy imports
    attributes = vars(module) if isinstance(module, ModuleType) else {n: getattr(module, n, None) for n in dir(module)}
    for name, attribute in attributes.items():
        options = getattr(attribute, "zoo_impl", None) if callable(attribute) else None
        if isinstance(options, dict) and not options.get("optionalhook") and name not in HOOKS:
            raise PluginError(f"there is no hook {name!r}; {suggest(name, HOOKS)}")


def _collect(
    pm: pluggy.PluginManager, key: str, hook: str, spec_type: type[S], kind: KindRegistry[S], plugin: Plugin
) -> list[str]:
    """Call one plugin's hook, register the specs it returns, and return their names, sorted."""
    others = [other for name, other in pm.list_name_plugin() if name != key]
    names = []
    caller = pm.subset_hook_caller(hook, others)
    results = caller()
    if len(results) < len(caller.get_hookimpls()):  # pluggy drops None
        raise PluginError(f"{hook} must return a list of {spec_type.__name__}, not NoneType: is its return missing?")
    for specs in results:
        if not isinstance(specs, list | tuple):
            raise PluginError(f"{hook} must return a list of {spec_type.__name__}, not {type(specs).__name__}")
        for spec in specs:
            if not isinstance(spec, spec_type):
                raise PluginError(f"{hook} must return a list of {spec_type.__name__}; {spec!r} is not one")
            kind.add(Entry(spec, plugin))
            names.append(spec.name)
    return sorted(names)
