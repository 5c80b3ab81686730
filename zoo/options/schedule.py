"""How the learning rate changes over a run."""

from __future__ import annotations

import dataclasses
import itertools
import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeAlias

from zoo.numbers import show_value
from zoo.options.values import is_number, is_object_path
from zoo.text import brief

SCHEDULES = ("constant", "step", "cosine")

Factor: TypeAlias = Callable[[int, int], float]


@dataclass(frozen=True, repr=False)
class Schedule:
    """A learning rate that rises over `warmup` steps, and is then constant, falls at milestones, along a cosine, or as
    a function says.

    `Schedule(milestones=(100_000,), gamma=0.1)` is the lecture's: a tenth of the learning rate from step 100,000 on.
    `Schedule(cosine=True, warmup=500)` falls along half a cosine to 0 at the end of the run, as in Loshchilov and
    Hutter, "SGDR: Stochastic Gradient Descent with Warm Restarts", ICLR 2017, https://arxiv.org/abs/1608.03983

    Attributes:
        milestones: steps, counted from 0, at each of which the rate is multiplied by `gamma`.
        gamma: the factor.
        warmup: steps of a linear warm-up; the first step has 1 / warmup of the rate.
        cosine: fall along half a cosine, from the end of the warm-up to step `ends`.
        final: the fraction of the peak rate at the end of the cosine, and after it.
        ends: the step at which the cosine or the function ends; a plan puts the run's own number of steps here. Of
            milestones that follow from a number of steps, that number.
        function: `"package.module:function"`, or the function itself, called as `function(step, steps)`. It returns the
            factor of the peak rate at `step`, which counts from 0; `steps` is `ends`. It depends on nothing else.

    Raises:
        ValueError: a field is of another type, milestones do not rise, or a number is out of range.
    """

    milestones: tuple[int, ...] = ()
    gamma: float = 0.1
    warmup: int = 0
    cosine: bool = False
    final: float = 0.0
    ends: int | None = None
    function: str | Factor | None = None

    def __post_init__(self) -> None:
        for name, (words, holds) in _FIELDS.items():
            if not holds(getattr(self, name)):
                raise ValueError(f"{name} must be {words}, got {show_value(getattr(self, name))}")
        if any(step <= 0 for step in self.milestones) or list(self.milestones) != sorted(set(self.milestones)):
            raise ValueError(f"milestones must be steps above 0, each above the one before, got {self.milestones}")
        if not 0 < self.gamma < math.inf:
            raise ValueError(f"gamma must be a positive number, got {self.gamma}")
        if self.warmup < 0:
            raise ValueError(f"warmup must be a number of steps, got {self.warmup}")
        if not 0 <= self.final <= 1:
            raise ValueError(f"final must be from 0 to 1, got {self.final}")
        if bool(self.milestones) + self.cosine + (self.function is not None) > 1:
            raise ValueError("a schedule falls at milestones, along a cosine or as a function says: give one of them")
        if self.ends is not None and self.ends < 1:
            raise ValueError(f"ends must be a step above 0, got {self.ends}")

    def __repr__(self) -> str:
        """Only the fields that differ from their defaults."""
        values = {field.name: getattr(self, field.name) for field in dataclasses.fields(self)}
        values["function"] = self.path
        changed = (f"{f.name}={values[f.name]!r}" for f in dataclasses.fields(self) if values[f.name] != f.default)
        return brief(f"Schedule({', '.join(changed)})")

    def over(self, steps: int) -> Schedule:
        """This schedule for a run of so many steps: a cosine or a function that has no end yet ends with it."""
        ends_with_it = self.ends is None and (self.cosine or self.function is not None)
        return dataclasses.replace(self, ends=steps) if ends_with_it else self

    def named(self, name: str, steps: int) -> Schedule:
        """Another of `SCHEDULES`, or a function, in the place of this one, with this one's numbers where it has them.

        Without milestones of its own, `step` falls to `gamma` at half of the steps, and again at three quarters.
        """
        if name == "step":
            halfway, later = max(1, steps // 2), max(1, steps * 3 // 4)
            if self.milestones:
                return dataclasses.replace(self, cosine=False, function=None)
            milestones = tuple(sorted({halfway, later}))
            return dataclasses.replace(self, milestones=milestones, cosine=False, ends=steps, function=None)
        function = name if is_object_path(name) else None
        return dataclasses.replace(self, milestones=(), cosine=name == "cosine", ends=None, function=function)

    def as_options(self, steps: int | None = None) -> dict[str, object]:
        """The options of `zoo run` that ask for such a schedule, by their names.

        Args:
            steps: those of the run, where the options are to make it again: a schedule that was made for another number
                is asked for by that.
        """
        name = self.path or ("cosine" if self.cosine else "step" if self.milestones else "constant")
        options: dict[str, object] = {"schedule": name, "warmup": self.warmup}
        made_for = self.ends is not None and Schedule().named(name, self.ends).over(self.ends)
        follows = made_for and (made_for.ends, made_for.milestones) == (self.ends, self.milestones)
        return {**options, "schedule_steps": self.ends} if follows and steps not in (None, self.ends) else options

    @property
    def path(self) -> str | None:
        """Where its function is, `package.module:function`, as a config records it; None where there is none."""
        if self.function is None or isinstance(self.function, str):
            return self.function
        name = getattr(self.function, "__qualname__", type(self.function).__qualname__)
        return f"{getattr(self.function, '__module__', None)}:{name.replace('<', '').replace('>', '')}"

    @property
    def rests_from(self) -> int | None:
        """The step from which on the rate is 0: where a cosine that falls to 0 has ended; None where there is none."""
        return self.ends if self.cosine and not self.final else None

    def lr(self, base_lr: float, step: int) -> float:
        """The learning rate of `step` in a run with peak learning rate `base_lr`."""
        passed = sum(step >= milestone for milestone in self.milestones)
        try:
            rate = base_lr * self.gamma**passed
        except OverflowError:  # a gamma above 1, many times: the loss says where that leads
            rate = math.inf
        if self.cosine and self.ends is not None and step >= self.warmup:
            through = min(1.0, (step - self.warmup) / max(1, self.ends - self.warmup))
            rate *= self.final + (1 - self.final) * (1 + math.cos(math.pi * through)) / 2
        if self.function is not None:
            assert callable(self.function)  # a plan has put it in the place of its path
            rate *= self.function(step, self.ends or 1)
        return rate * (step + 1) / self.warmup if step < self.warmup else rate

    def lrs(self, base_lr: float, start: int, count: int) -> list[float]:
        """What `lr` is for `count` steps from `start` on, computed once where it stays the same."""
        end = start + count
        own = end if self.cosine or self.function is not None else min(max(start, self.warmup), end)
        rates = [self.lr(base_lr, step) for step in range(start, own)]
        edges = [own, *(step for step in self.milestones if own < step < end), end]
        for first, last in itertools.pairwise(edges if own < end else ()):
            rates += [self.lr(base_lr, first)] * (last - first)
        return rates


def _is_steps(value: object) -> bool:
    return isinstance(value, tuple) and all(type(step) is int for step in value)


_FIELDS: dict[str, tuple[str, Callable[[Any], bool]]] = {
    "milestones": ("a tuple of steps, as in (4000,)", _is_steps),
    "gamma": ("a number", is_number),
    "warmup": ("a whole number", lambda value: type(value) is int),
    "cosine": ("true or false", lambda value: isinstance(value, bool)),
    "final": ("a number", is_number),
    "function": ("'package.module:function' or a function", lambda f: f is None or callable(f) or is_object_path(f)),
    "ends": ("a whole number", lambda value: value is None or type(value) is int),
}

CONSTANT = Schedule()
