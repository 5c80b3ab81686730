"""Evaluating the validation split during training: the best weights are kept, and training may stop early.

Prechelt, "Early Stopping - But When?", in Neural Networks: Tricks of the Trade (1998).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace

from torch import Tensor, nn

from zoo import stages
from zoo.data.examples import Examples
from zoo.options.training import TrainingOptions
from zoo.training.evaluation import EVALUATING, Evaluation, evaluate
from zoo.training.objective.objective import PLAIN, Objective

Weights = dict[str, Tensor]


@dataclass(frozen=True)
class Kept:
    """Weights worth keeping: those after `step` steps; their validation loss; their rank, the lower the better."""

    step: int
    loss: float
    weights: Weights
    rank: float


@dataclass
class Validation:
    """The evaluations so far. They are made every `every` steps, by step number, so resuming does not change when.

    Attributes:
        examples: the validation split, on the model's device.
        every: steps between two evaluations.
        objective: the loss and the metrics, and which of them decides.
        patience: early stopping after so many evaluations without improvement; None for no early stopping.
        steps: after how many steps each evaluation was made.
        losses: the loss of each; NaN or infinite where the loss over the split was.
        ranks: what the best is decided by, the lower the better: the losses, or a metric with the sign for that.
        metrics: those of the last evaluation.
        best: the best of them.
        last: better still, but evaluated at the end of the run, between two regular evaluations: a run that is
            resumed from here must not know of it.
        evaluate: what evaluates a model for several processes that train together; None for this one alone.
    """

    examples: Examples
    every: int
    patience: int | None = None
    objective: Objective = PLAIN
    steps: list[int] = field(default_factory=list)
    losses: list[float] = field(default_factory=list)
    ranks: list[float] = field(default_factory=list)
    metrics: dict[str, float] = field(default_factory=dict)
    best: Kept | None = None
    last: Kept | None = None
    evaluate: Callable[[nn.Module, Examples, Objective], Evaluation] | None = None

    @classmethod
    def of(cls, options: TrainingOptions, examples: Examples, objective: Objective = PLAIN) -> Validation | None:
        """The validation that a run's options ask for; None where they ask for none before the end."""
        if options.validate_every is None:
            return None
        return cls(examples, options.validate_every, options.patience, objective)

    @property
    def kept(self) -> Kept | None:
        """The best weights known; None where no evaluation had a finite loss."""
        return self.last or self.best

    @property
    def exhausted(self) -> bool:
        """Whether there were `patience` evaluations without improvement."""
        return _ended_early(self.patience, self.ranks)

    def steps_left(self, step: int) -> int:
        """After how many more steps the next evaluation is due."""
        return self.every - step % self.every

    def evaluate_if_due(self, model: nn.Module, step: int) -> None:
        """Evaluate, if the number of steps done says so."""
        if step % self.every or step == 0 or step in self.steps[-1:]:
            return
        loss, rank = self._evaluate(model)
        self.steps.append(step)
        self.losses.append(loss)
        self.ranks.append(rank)
        if _better(loss, rank, self.best):
            self.best = Kept(step, loss, _copy(model), rank)

    def evaluate_at_the_end(self, model: nn.Module, step: int) -> None:
        """Evaluate the last weights too: the end of a run may fall between two evaluations."""
        if step and step not in self.steps[-1:]:
            loss, rank = self._evaluate(model)
            if _better(loss, rank, self.best):
                self.last = Kept(step, loss, _copy(model), rank)

    def _evaluate(self, model: nn.Module) -> tuple[float, float]:
        """Loss and rank of a model now."""
        with stages.within(EVALUATING):
            loss, self.metrics = (self.evaluate or evaluate)(model, self.examples, self.objective)
        return loss, self.objective.monitor.rank(loss, self.metrics)

    def copy(self) -> Validation:
        """A copy that later evaluations do not change."""
        return replace(self, steps=list(self.steps), losses=list(self.losses), ranks=list(self.ranks))


def stopped_early(options: TrainingOptions, ranks: Sequence[float]) -> bool:
    """Whether early stopping ends a run whose evaluations had these ranks."""
    return _ended_early(options.patience, ranks)


def _ended_early(patience: int | None, ranks: Sequence[float]) -> bool:
    return patience is not None and evaluations_since_best(ranks) >= patience


def evaluations_since_best(ranks: Sequence[float]) -> int:
    """How many evaluations there were since the best, of the lowest rank; all, where none had a finite one."""
    known = [rank if math.isfinite(rank) else math.inf for rank in ranks]
    lowest = min(known, default=math.inf)
    return len(known) if lowest == math.inf else len(known) - 1 - known.index(lowest)


def _better(loss: float, rank: float, than: Kept | None) -> bool:
    return math.isfinite(loss) and math.isfinite(rank) and (than is None or rank < than.rank)


def _copy(model: nn.Module) -> Weights:
    return {name: tensor.clone() for name, tensor in model.state_dict().items()}
