"""How the learning rate changes over a run."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Schedule:
    """A learning rate that is multiplied by `gamma` at each of `milestones` (steps, counted from 0).

    Without milestones it is constant. `Schedule(milestones=(100_000,), gamma=0.1)` is the lecture's: a tenth of the
    learning rate from step 100,000 on.
    """

    milestones: tuple[int, ...] = ()
    gamma: float = 0.1

    def __post_init__(self) -> None:
        if any(step <= 0 for step in self.milestones) or list(self.milestones) != sorted(set(self.milestones)):
            raise ValueError(f"milestones must be steps above 0, each above the one before, got {self.milestones}")
        if not 0 < self.gamma < float("inf"):
            raise ValueError(f"gamma must be a positive number, got {self.gamma}")

    def lr(self, base_lr: float, step: int) -> float:
        """The learning rate of `step` in a run that starts at `base_lr`."""
        passed = sum(step >= milestone for milestone in self.milestones)
        return base_lr * self.gamma**passed


CONSTANT = Schedule()
