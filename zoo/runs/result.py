"""The result of a run: in Python, and as `metrics.json` and `zoo run --json` have it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from zoo.data.kinds import evaluated_of
from zoo.data.vocabulary import Vocabulary
from zoo.numbers import show_loss
from zoo.options.declaration import reported
from zoo.options.run import RunOptions
from zoo.plots.plot import Record
from zoo.plots.plotted import Plotted
from zoo.runs.clock import Clock
from zoo.runs.prepare import PreparedRun
from zoo.storage import checkpoint
from zoo.storage.card import html_card
from zoo.storage.config import RANKS, WEIGHTS_KEY
from zoo.text import brief
from zoo.training.loop import Training
from zoo.training.objective.objective import LOSS

if TYPE_CHECKING:
    from torch import nn


@dataclass(frozen=True, repr=False)
class Run(Plotted):
    """A finished run.

    Attributes:
        path: its folder; None where nothing is kept.
        metrics: the result, as `metrics.json` and `zoo run --json` have it.
        config: as in `config.json`.
        step_losses: the loss of every step, in nats.
        model: the trained module, on the device it was trained on.
        resumed_at: the step from which it was resumed; 0 for a new run. `metrics["seconds"]` covers the steps after it.
        evaluations: pairs of step and validation loss, of the evaluations during training.
        embedding: the name of the model's embedding table; None of a model without one.
    """

    path: Path  # None with keep=False, of which type checkers are not told: it is a Path wherever it is used
    metrics: dict[str, Any]
    config: dict[str, Any]
    step_losses: list[float]
    model: nn.Module
    resumed_at: int = 0
    evaluations: list[tuple[int, float]] = field(default_factory=list)
    embedding: str | None = None

    def __repr__(self) -> str:
        metrics = self.metrics
        losses = ", ".join(f"{name} {show_loss(loss)}" for name, loss in metrics["losses"].items())
        what = f"{metrics['model']} on {metrics['dataset']['name']}, {metrics['steps']:,} steps, {losses}"
        return brief(f"<Run {self._place}: {what}>")

    def _repr_html_(self) -> str:
        """For a notebook: what was trained, its losses and metrics, and where it is."""
        return html_card(f"Run {self._place}", self.config, self.metrics, resumed_at=self.resumed_at)

    @property
    def _place(self) -> str:
        return "that is not kept" if self.path is None else str(self.path)

    @property
    def losses(self) -> dict[str, float]:
        """The loss over each split: `train`, `val` and `test`."""
        return dict(self.metrics["losses"])

    def record(self, *, losses: bool) -> Record:
        """What its plots are made of; see `Plotted.record`."""
        step = self.metrics.get("best", {}).get("step", self.metrics["steps"])
        characters = self.config["dataset"]["vocabulary"]
        return Record(
            self.config,
            self.embedding,
            self.model,
            None if characters is None else Vocabulary(characters, characters[0]),
            step,
            self.step_losses if losses else (),
            self.losses,
            self.evaluations,
            None if step == self.metrics["steps"] else step,
        )


def result(
    run: PreparedRun,
    training: Training,
    path: Path | None,
    clock: Clock,
    losses: Mapping[str, float],
    metrics: Mapping[str, Mapping[str, float | None]],
) -> dict[str, Any]:
    """All of it but its own digest.

    Args:
        run, training, path, clock: the run, done; its folder, and what took how long.
        losses, metrics: of the splits, for the weights that are kept.
    """
    plan, config = run.plan, run.config
    return {
        "model": plan.model.spec.name,
        "dataset": {key: config["dataset"][key] for key in ("name", "sha256", "examples")},
        "parameters": config["model"]["parameters"],
        "optimizer": plan.optimizer.spec.name,
        **{key: config["training"][name] for key, name in reported(RunOptions).items()},
        "steps": training.step,
        "losses": losses,
        "metrics": metrics,
        "loss_unit": run.objective.loss.unit,
        **({} if run.ranks is None else {RANKS: run.ranks.count}),
        **evaluated_of(run.dataset),
        **_best(run, training),
        "seconds": clock.seconds(),
        "run_dir": None if path is None else str(path),
        WEIGHTS_KEY: checkpoint.digest(training.to_keep()[1]),
    }


def _best(run: PreparedRun, training: Training) -> dict[str, Any]:
    """The step of the best weights and their validation loss, where there were evaluations during training."""
    kept = training.validation.kept if training.validation is not None else None
    if kept is None:
        return {}
    monitor = run.objective.monitor
    value = {} if monitor.name == LOSS else {monitor.name: -kept.rank if monitor.higher else kept.rank}
    return {"best": {"step": kept.step, "loss": kept.loss, **value}}
