"""Evaluating the validation split during training: the best weights are kept, and training may stop early.

Prechelt, "Early Stopping - But When?", in Neural Networks: Tricks of the Trade (1998).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field, replace

from torch import Tensor, nn

from zoo.data.examples import Examples
from zoo.options.training import TrainingOptions
from zoo.training.evaluation import evaluate

Weights = dict[str, Tensor]


@dataclass(frozen=True)
class Kept:
    """Weights worth keeping: those after `step` steps, whose validation loss was `loss`."""

    step: int
    loss: float
    weights: Weights


@dataclass
class Validation:
    """The evaluations so far. They are made every `every` steps, by step number, so resuming does not change when.

    Attributes:
        examples: the validation split, on the model's device.
        every: steps between two evaluations.
        patience: early stopping after so many evaluations without improvement; None for no early stopping.
        steps: after how many steps each evaluation was made.
        losses: the loss of each, in nats; NaN or infinite where the loss over the split was.
        best: the best of them.
        last: better still, but evaluated at the end of the run, between two regular evaluations: a run that is
            resumed from here must not know of it.
    """

    examples: Examples
    every: int
    patience: int | None = None
    steps: list[int] = field(default_factory=list)
    losses: list[float] = field(default_factory=list)
    best: Kept | None = None
    last: Kept | None = None

    @classmethod
    def of(cls, options: TrainingOptions, examples: Examples) -> Validation | None:
        """The validation that a run's options ask for; None where they ask for none before the end."""
        if options.validate_every is None:
            return None
        return cls(examples, options.validate_every, options.patience)

    @property
    def kept(self) -> Kept | None:
        """The best weights known; None where no evaluation had a finite loss."""
        return self.last or self.best

    @property
    def exhausted(self) -> bool:
        """Whether there were `patience` evaluations without improvement."""
        return _ended_early(self.patience, self.losses)

    def steps_left(self, step: int) -> int:
        """After how many more steps the next evaluation is due."""
        return self.every - step % self.every

    def evaluate_if_due(self, model: nn.Module, step: int) -> None:
        """Evaluate, if the number of steps done says so."""
        if step % self.every or step == 0 or step in self.steps[-1:]:
            return
        loss = evaluate(model, self.examples)
        self.steps.append(step)
        self.losses.append(loss)
        if _better(loss, self.best):
            self.best = Kept(step, loss, _copy(model))

    def evaluate_at_the_end(self, model: nn.Module, step: int) -> None:
        """Evaluate the last weights too: the end of a run may fall between two evaluations."""
        if step and step not in self.steps[-1:]:
            loss = evaluate(model, self.examples)
            if _better(loss, self.best):
                self.last = Kept(step, loss, _copy(model))

    def copy(self) -> Validation:
        """A copy that later evaluations do not change."""
        return replace(self, steps=list(self.steps), losses=list(self.losses))


def stopped_early(options: TrainingOptions, losses: Sequence[float]) -> bool:
    """Whether early stopping ends a run whose evaluations had these losses."""
    return _ended_early(options.patience, losses)


def _ended_early(patience: int | None, losses: Sequence[float]) -> bool:
    return patience is not None and evaluations_since_best(losses) >= patience


def evaluations_since_best(losses: Sequence[float]) -> int:
    """How many evaluations there were since the best; all of them, where none had a finite loss."""
    known = [loss if math.isfinite(loss) else math.inf for loss in losses]
    lowest = min(known, default=math.inf)
    return len(known) if lowest == math.inf else len(known) - 1 - known.index(lowest)


def _better(loss: float, than: Kept | None) -> bool:
    return math.isfinite(loss) and (than is None or loss < than.loss)


def _copy(model: nn.Module) -> Weights:
    return {name: tensor.clone() for name, tensor in model.state_dict().items()}
