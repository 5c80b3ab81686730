"""Short runs of a model: undisturbed, stopped and resumed, loaded."""

from __future__ import annotations

import contextlib
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import torch

from zoo.data.download import fetcher
from zoo.files import read_bytes
from zoo.options.run import ResumeOptions, RunOptions
from zoo.options.training import AUTO
from zoo.plugin.registry import Registry
from zoo.runs.observer import Observer
from zoo.runs.plan import make_plan
from zoo.runs.result import Run
from zoo.runs.runner import execute, resume
from zoo.storage import state as states
from zoo.storage.folder import STATE_FILE, WEIGHTS_FILE
from zoo.storage.loading import Loaded, load
from zoo.testing.bench import Quiet
from zoo.testing.comparing import different
from zoo.testing.report import Rule
from zoo.training.evaluation import metrics_of

_FILES = (WEIGHTS_FILE, STATE_FILE, "losses.csv")


class _StoppedError(BaseException):
    """As a kill would: nothing is saved on the way out."""


class _Stopping(Quiet):
    """Ends a run after the first block that goes beyond a step."""

    def __init__(self, after: int) -> None:
        self._after = after

    def progress(self, step: int, steps: int, loss: float) -> None:
        if step > self._after:
            raise _StoppedError


@dataclass(frozen=True)
class Runs:
    """Runs of the same options.

    Attributes:
        who: the model, for messages.
        folder: where they are.
        registry, options: of them.
        hidden: what the model seems to keep outside its state, for a message; empty where nothing is known.
    """

    who: str
    folder: Path
    registry: Registry
    options: RunOptions
    hidden: Callable[[], str] = str

    @cached_property
    def undisturbed(self) -> Run:
        return execute(self._plan("undisturbed"), Observer())

    @cached_property
    def resumed(self) -> Run:
        """One that is stopped halfway, and resumed from its checkpoint."""
        with contextlib.suppress(_StoppedError):
            execute(self._plan("resumed"), _Stopping(self._half))
        return resume(self.folder / "resumed", self.registry, ResumeOptions(plots=False), Quiet())

    @cached_property
    def loaded(self) -> Loaded:
        return load(self.undisturbed.path, self.registry)

    @property
    def steps(self) -> int:
        assert isinstance(self.options.steps, int)
        return self.options.steps

    @property
    def _half(self) -> int:
        return self.steps // 2

    def _plan(self, name: str) -> Any:
        options = replace(
            self.options, engine=AUTO, out=self.folder / name, plots=False, checkpoint_every=str(self._half)
        )
        return make_plan(self.registry, options)

    def check_same_start(self) -> None:
        """That the run which was stopped had the losses of the other until then."""
        one, other = self.undisturbed.step_losses, self.resumed.step_losses
        k = next((k for k in range(self._half) if one[k] != other[k]), None)
        assert k is None, (
            f"{self.who} trains otherwise each time: two runs from the same seeds have the losses {one[k]} and "
            f"{other[k]} at step {k}{self.hidden()}; the model, its loss, its optimizer or its data draws from a "
            "generator that is not seeded, or keeps something between runs"
        )


def _finite(runs: Runs) -> None:
    losses = runs.undisturbed.step_losses
    assert all(map(math.isfinite, losses)), f"{runs.who} has the losses {losses}"


def _resumes(runs: Runs) -> None:
    runs.check_same_start()
    one, other = runs.undisturbed, runs.resumed
    pairs = zip(one.step_losses, other.step_losses, strict=True)
    k = next((k for k, (loss, resumed) in enumerate(pairs) if loss != resumed), None)
    key = _different_state(one, other)
    what = f"{key!r} differs"
    if k is not None:
        what = f"the loss of step {k} is {other.step_losses[k]}, and {one.step_losses[k]} undisturbed"
    assert (k, key) == (None, None), (
        f"{runs.who} ends otherwise where a run is stopped and resumed: {what}{runs.hidden()}; what training depends "
        "on must be in a state_dict, of the model or its optimizer, or follow from the seed and the step"
    )
    assert _result(one) == _result(other), f"{runs.who} has other results where a run is stopped and resumed"
    for name in _FILES:
        same = read_bytes(one.path / name) == read_bytes(other.path / name)
        assert same, f"{runs.who} has another {name} where a run is stopped and resumed"


def _different_state(one: Run, other: Run) -> str | None:
    first, second = (states.load(run.path / STATE_FILE) for run in (one, other))
    return different(first.weights, second.weights) or different(first.tensors, second.tensors)


def _result(run: Run) -> dict[str, Any]:
    return {name: value for name, value in run.metrics.items() if name not in ("seconds", "run_dir", "sha256")}


def _loads(runs: Runs) -> None:
    key = different(runs.undisturbed.model.state_dict(), runs.loaded.model.state_dict())
    assert key is None, f"{runs.who} has another {key!r} when it is loaded than when it was saved"


def _evaluates(runs: Runs) -> None:
    loaded, run = runs.loaded, runs.undisturbed
    dataset = loaded.dataset(runs.registry, fetcher(), None)
    found = loaded.evaluate(loaded.examples(dataset), torch.device("cpu"), loaded.objective(runs.registry, dataset))
    losses = {split: evaluation.loss for split, evaluation in found.items()}
    _check_equal(runs, "loss over", run.losses, losses)
    told: Mapping[str, Mapping[str, Any]] = run.metrics.get("metrics", {})
    for split, metrics in metrics_of(found).items():
        _check_equal(runs, f"metric of {split},", told.get(split, {}), metrics)


def _check_equal(runs: Runs, what: str, told: Mapping[Any, Any], now: Mapping[Any, Any]) -> None:
    key = different(told, now)
    assert key is None, (
        f"{runs.who} has another {what} {key} when it is loaded than when it was trained: {now.get(key)}, and "
        f"{told.get(key)} in metrics.json{runs.hidden()}"
    )


RUNS: dict[str, Rule[Runs]] = {
    "its losses are finite": _finite,
    "a run that is stopped and resumed has the bytes of an undisturbed one": _resumes,
    "its weights are loaded as they were saved": _loads,
    "loaded, it has the losses and metrics of its run": _evaluates,
}
