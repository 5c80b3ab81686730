"""Looking at the validation split while training: the best weights are kept, and training may stop early.

Prechelt, "Early Stopping - But When?", in Neural Networks: Tricks of the Trade (1998).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field, replace

from torch import Tensor, nn

from zoo.data.datasets import Examples
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
    """What validation has seen so far. It looks after every so many steps, counted from the first.

    Where and when a run is stopped and resumed therefore changes nothing in what it sees.

    Attributes:
        examples: the validation split, on the model's device.
        every: steps between two looks.
        patience: after so many looks in a row that were not better than the best, training ends; None for never.
        steps: after how many steps each look was.
        losses: what each saw, in nats; NaN or infinite where the loss of the whole split was.
        best: the best of them.
        last: better still, but seen at the end of the run and not at one of the regular looks: a run that goes on from
            here must not know of it.
    """

    examples: Examples
    every: int
    patience: int | None = None
    steps: list[int] = field(default_factory=list)
    losses: list[float] = field(default_factory=list)
    best: Kept | None = None
    last: Kept | None = None

    @property
    def kept(self) -> Kept | None:
        """The best weights that are known; None where nothing better than infinity was seen."""
        return self.last or self.best

    @property
    def exhausted(self) -> bool:
        """Whether the patience is at its end."""
        return self.patience is not None and looks_since_best(self.losses) >= self.patience

    def steps_left(self, step: int) -> int:
        """After how many more steps the next look is due."""
        return self.every - step % self.every

    def look_if_due(self, model: nn.Module, step: int) -> None:
        """To be called whenever some steps were done: after `step` of them, is it time?"""
        if step % self.every or step == 0 or step in self.steps[-1:]:
            return
        loss = evaluate(model, self.examples)
        self.steps.append(step)
        self.losses.append(loss)
        if _better(loss, self.best):
            self.best = Kept(step, loss, _copy(model))

    def look_at_the_end(self, model: nn.Module, step: int) -> None:
        """The last steps of a run may fall between two looks: their weights get a chance, too."""
        if step and step not in self.steps[-1:]:
            loss = evaluate(model, self.examples)
            if _better(loss, self.best):
                self.last = Kept(step, loss, _copy(model))

    def copy(self) -> Validation:
        """As it is now: what comes later is not seen in it."""
        return replace(self, steps=list(self.steps), losses=list(self.losses))


def looks_since_best(losses: Sequence[float]) -> int:
    """How many looks there were since the best; all of them, where none saw a number."""
    known = [loss if math.isfinite(loss) else math.inf for loss in losses]
    lowest = min(known, default=math.inf)
    return len(known) if lowest == math.inf else len(known) - 1 - known.index(lowest)


def _better(loss: float, than: Kept | None) -> bool:
    return math.isfinite(loss) and (than is None or loss < than.loss)


def _copy(model: nn.Module) -> Weights:
    return {name: tensor.clone() for name, tensor in model.state_dict().items()}
