"""The four hooks that a plugin may implement. Each returns a list of frozen records and has no side effects.

A plugin is a module named by an entry point of the group `zoo`; `plugins/README.md` has a complete example.
"""

from __future__ import annotations

import pluggy

from zoo.plugin.specs import DatasetSpec, LoggerSpec, ModelSpec, OptimizerSpec

hookspec = pluggy.HookspecMarker("zoo")
hookimpl = pluggy.HookimplMarker("zoo")


@hookspec
def zoo_models() -> list[ModelSpec]:  # type: ignore[empty-body]  # a hook spec is a signature
    """The models of this plugin."""


@hookspec
def zoo_datasets() -> list[DatasetSpec]:  # type: ignore[empty-body]
    """The datasets of this plugin."""


@hookspec
def zoo_optimizers() -> list[OptimizerSpec]:  # type: ignore[empty-body]
    """The optimizers of this plugin."""


@hookspec
def zoo_loggers() -> list[LoggerSpec]:  # type: ignore[empty-body]
    """The loggers of this plugin."""
