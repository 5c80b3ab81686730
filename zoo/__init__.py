"""zoo: a plugin-style model zoo. Train, reload, sample and draw models that plugins bring.

Importing this package imports no torch, and of zoo itself only what is used, so that a plugin may `import zoo` and
still be listed in an instant.
"""

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from zoo.api import create_model, list_datasets, list_models, list_optimizers, load, resume, run
    from zoo.data.datasets import TensorDataset, TextDataset
    from zoo.data.download import Fetcher
    from zoo.data.vocabulary import Vocabulary
    from zoo.errors import (
        AmbiguousNameError,
        CheckpointError,
        DataError,
        DeviceError,
        DivergedError,
        EngineUnavailableError,
        InterruptedRunError,
        PluginError,
        UnavailableError,
        UnknownNameError,
        UsageError,
        ZooError,
    )
    from zoo.plugin.hookspecs import hookimpl
    from zoo.plugin.specs import DatasetSpec, ModelSpec, OptimizerSpec, Preset
    from zoo.schedule import Schedule

_HOMES = {  # module: the names that it lends to this one
    "api": ("create_model", "list_datasets", "list_models", "list_optimizers", "load", "resume", "run"),
    "data.datasets": ("TensorDataset", "TextDataset"),
    "data.download": ("Fetcher",),
    "errors": (
        "AmbiguousNameError",
        "CheckpointError",
        "DataError",
        "DeviceError",
        "DivergedError",
        "EngineUnavailableError",
        "InterruptedRunError",
        "PluginError",
        "UnavailableError",
        "UnknownNameError",
        "UsageError",
        "ZooError",
    ),
    "plugin.hookspecs": ("hookimpl",),
    "schedule": ("Schedule",),
    "plugin.specs": ("DatasetSpec", "ModelSpec", "OptimizerSpec", "Preset"),
    "data.vocabulary": ("Vocabulary",),
}
_HOME = {name: module for module, names in _HOMES.items() for name in names}

__all__ = [
    "AmbiguousNameError",
    "CheckpointError",
    "DataError",
    "DatasetSpec",
    "DeviceError",
    "DivergedError",
    "EngineUnavailableError",
    "Fetcher",
    "InterruptedRunError",
    "ModelSpec",
    "OptimizerSpec",
    "PluginError",
    "Preset",
    "Schedule",
    "TensorDataset",
    "TextDataset",
    "UnavailableError",
    "UnknownNameError",
    "UsageError",
    "Vocabulary",
    "ZooError",
    "create_model",
    "hookimpl",
    "list_datasets",
    "list_models",
    "list_optimizers",
    "load",
    "resume",
    "run",
]


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module 'zoo' has no attribute {name!r}")
    value = getattr(importlib.import_module(f"zoo.{_HOME[name]}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
