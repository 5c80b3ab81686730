"""The check of a logger: it is told of short runs of a small model, without failing and without a trace in them."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

import torch
from torch import Tensor, nn

from zoo.ambient import in_neutral_state
from zoo.data.tensors import TensorDataset
from zoo.errors import UsageError
from zoo.files import read_bytes
from zoo.options.run import ResumeOptions, RunOptions
from zoo.plugin.registry import Entry, Plugin, Registry
from zoo.plugin.specs import DatasetSpec, LoggerSpec, ModelSpec, OptimizerSpec
from zoo.runs.observer import Observer
from zoo.runs.plan import make_plan
from zoo.runs.result import Run
from zoo.runs.runner import execute, resume
from zoo.storage.folder import STATE_FILE, WEIGHTS_FILE
from zoo.testing.bench import load_registry
from zoo.testing.report import Report, Rule, SkippedError, try_rules

_STEPS, _MORE = 6, 10  # of a run, and once it is resumed
_FILES = (WEIGHTS_FILE, STATE_FILE, "losses.csv", "config.json")


@in_neutral_state
def check_logger(name: str, *, settings: Mapping[str, object] | None = None) -> Report:
    """A logger is told of a run, with evaluations, and of its resumption, and fails in none of it.

    The run has the same bytes as one without the logger. zoo would only warn of a failure, and undo what is changed.

    Args:
        name: the logger's name.
        settings: its own, as `zoo.run` takes them: `{"logger.every": 10}`.

    Returns:
        What was tried. A logger that lacks something here, such as a package, is skipped.

    Raises:
        AssertionError: what is wrong.
    """
    entry = load_registry().loggers.get(name)
    with tempfile.TemporaryDirectory() as folder:
        return try_rules(f"logger {name!r}", RULES, _Tried(f"logger {name!r}", entry, settings or {}, Path(folder)))


class _Net(nn.Module):
    def __init__(self, num_features: int, num_classes: int, generator: torch.Generator) -> None:
        super().__init__()
        self.table = nn.Parameter(torch.randn((num_features, num_classes), generator=generator))

    def forward(self, x: Tensor) -> Tensor:
        return x @ self.table


def _points() -> TensorDataset:
    x = torch.linspace(-1, 1, 24).view(12, 2)
    y = (x.sum(1) > 0).long()
    return TensorDataset((x, y), (x, y), (x, y))


class _Heard(Observer):
    """Keeps what is warned of."""

    def __init__(self) -> None:
        self.warnings: list[str] = []

    def warning(self, text: str) -> None:
        self.warnings.append(text)


@dataclass(frozen=True)
class _Tried:
    who: str
    entry: Entry[LoggerSpec]
    settings: Mapping[str, object]
    folder: Path
    heard: _Heard = field(default_factory=_Heard)

    @cached_property
    def registry(self) -> Registry:
        """The logger, and what it is told of."""
        registry, own = Registry(), Plugin("testing", self.entry.plugin.distribution, self.entry.plugin.version)
        registry.models.add(Entry(ModelSpec("net", _Net, dataset="points", optimizer="sgd", lr=0.1), own))
        registry.datasets.add(Entry(DatasetSpec("points", _points), own))
        registry.optimizers.add(Entry(OptimizerSpec("sgd", "torch.optim:SGD", lr=0.1), own))
        registry.loggers.add(self.entry)
        return registry

    @cached_property
    def logged(self) -> Run:
        """A run with the logger; `heard` keeps what is warned of."""
        try:
            return self._run("logged", [self.entry.full_name], self.settings)
        except UsageError as error:
            raise SkippedError(str(error)) from error

    @cached_property
    def unlogged(self) -> Run:
        return self._run("unlogged", [], {})

    def _run(self, name: str, loggers: list[str], settings: Mapping[str, object]) -> Run:
        options = RunOptions(
            "net",
            log=loggers,
            settings=settings,
            steps=_STEPS,
            validate_every=2,
            device="cpu",
            plots=False,
            out=self.folder / name,
        )
        return execute(make_plan(self.registry, options), self.heard)


def _is_told(tried: _Tried) -> None:
    assert tried.logged.path
    assert not tried.heard.warnings, tried.heard.warnings[0]


def _leaves_no_trace(tried: _Tried) -> None:
    for name in _FILES:
        same = read_bytes(tried.logged.path / name) == read_bytes(tried.unlogged.path / name)
        assert same, f"{tried.who} changes the run that it is told of: {name} is another"


def _is_told_again(tried: _Tried) -> None:
    path = tried.logged.path
    options = ResumeOptions(log=[tried.entry.full_name], settings=tried.settings, steps=_MORE, plots=False)
    resume(path, tried.registry, options, tried.heard)
    assert not tried.heard.warnings, f"{tried.heard.warnings[0]} (in a run that is resumed)"


RULES: dict[str, Rule[_Tried]] = {
    "it is told of a run without failing": _is_told,
    "the run has the bytes of one without it": _leaves_no_trace,
    "it is told of a run that is resumed": _is_told_again,
}
