"""A run as its report needs it: what is in its folder, the model, and its data where that can be found."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from zoo.data.download import Fetcher
from zoo.data.examples import Examples, SplitName
from zoo.data.kinds import Dataset
from zoo.errors import ZooError
from zoo.files import kind_of
from zoo.plugin.registry import Registry
from zoo.storage.config import read_metrics
from zoo.storage.folder import METRICS_FILE
from zoo.storage.loading import Loaded, load
from zoo.storage.losses import LOSSES_FILE, VALIDATION_FILE, read_evaluations, read_losses
from zoo.training.objective.objective import Objective


@dataclass(frozen=True)
class ReportedRun:
    """A run, as the sections of its report see it.

    Attributes:
        name: that of its folder or file, for people; no two runs of a report have the same.
        loaded: the model, on the CPU and in evaluation mode, with its config. Sections leave it as it is.
        metrics: the content of `metrics.json`; None where there is none: a lone file, or a run that is not finished.
        step_losses: of every step from 0; empty for a lone file.
        evaluations: pairs of step and validation loss, of the evaluations during training.
        seed: of everything that sections draw: samples, a choice of examples.
        registry: where the data is found by name.
        fetch: what downloads it.
    """

    name: str
    loaded: Loaded
    metrics: Mapping[str, Any] | None
    step_losses: Sequence[float]
    evaluations: Sequence[tuple[int, float]]
    seed: int
    registry: Registry
    fetch: Fetcher

    @classmethod
    def read(cls, target: str, name: str, seed: int, registry: Registry, fetch: Fetcher) -> ReportedRun:
        """A run folder, a `.safetensors` file, or a model with shipped weights.

        Raises:
            ZooError: as `zoo.storage.loading.load`, and where a file of the folder is damaged.
        """
        loaded = load(target, registry)
        folder = loaded.path.parent
        metrics, losses = folder / METRICS_FILE, folder / LOSSES_FILE
        return cls(
            name,
            loaded,
            None if kind_of(metrics) == "nothing" else read_metrics(metrics),
            [] if kind_of(losses) == "nothing" else read_losses(losses),
            read_evaluations(folder / VALIDATION_FILE),
            seed,
            registry,
            fetch,
        )

    @property
    def folder(self) -> Path:
        """That of the weights."""
        return self.loaded.path.parent

    @property
    def config(self) -> Mapping[str, Any]:
        """As in `config.json`. It may come from anyone: templates escape what they show of it."""
        return self.loaded.config

    @cached_property
    def _data(self) -> Dataset | ZooError:
        try:
            return self.loaded.dataset(self.registry, self.fetch)
        except ZooError as error:
            return error

    @property
    def dataset(self) -> Dataset | None:
        """What it was trained on; None where that is not found, see `no_data`."""
        return None if isinstance(self._data, ZooError) else self._data

    @property
    def no_data(self) -> str | None:
        """Why its data is not there, in one line that names the remedy; None where it is."""
        return str(self._data) if isinstance(self._data, ZooError) else None

    @cached_property
    def examples(self) -> Mapping[SplitName, Examples]:
        """Those of its data; without data, none."""
        return {} if self.dataset is None else self.loaded.examples(self.dataset)

    @cached_property
    def objective(self) -> Objective | None:
        """Its loss and metrics; None without data."""
        return None if self.dataset is None else self.loaded.objective(self.registry, self.dataset)
