"""zoo: a plugin-style model zoo. Train, reload, sample and draw models that plugins bring.

Importing this package imports no torch, so that a plugin may `import zoo` and still be listed in an instant.
"""

from zoo.api import create_model, list_datasets, list_models, list_optimizers, load, resume, run
from zoo.datasets import TensorDataset, TextDataset
from zoo.download import Fetcher
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
from zoo.hookspecs import hookimpl
from zoo.schedule import Schedule
from zoo.specs import DatasetSpec, ModelSpec, OptimizerSpec, Preset
from zoo.vocabulary import Vocabulary

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
