"""The time limit of a run: how long it has been trained, in all processes that it was resumed in, and what is left."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from dataclasses import dataclass

Now = Callable[[], float]  # seconds of a clock that only goes forward


@dataclass
class TimeLimit:
    """Ends a training after some seconds of it. Evaluations on the way and checkpoints count, as in `seconds.train`.

    Attributes:
        seconds: the limit.
        before: seconds that were used before the last `begin`.
        now: the clock.
    """

    seconds: float
    before: float = 0.0
    now: Now = time.perf_counter
    _began: float | None = None
    _block: float = 0.0  # when the current block of steps began
    _per_second: float | None = None  # steps, in the last block

    def begin(self) -> None:
        """The training begins, or goes on."""
        self._began = self._block = self.now()

    def end(self) -> None:
        """The training has ended, or is interrupted."""
        self.before, self._began = self.used, None

    @property
    def used(self) -> float:
        """Seconds of training so far."""
        return self.before + (0.0 if self._began is None else self.now() - self._began)

    @property
    def is_over(self) -> bool:
        return self.used >= self.seconds

    def did(self, steps: int) -> None:
        """A block of so many steps is done, with the evaluation after it; what was saved before it counts, too."""
        now = self.now()
        if steps and now > self._block:
            self._per_second = steps / (now - self._block)
        self._block = now

    def steps_left(self) -> int | None:
        """How many more steps fit at the speed of the last block, at least one; None where it is not known yet."""
        if self._per_second is None:
            return None
        return max(1, math.ceil((self.seconds - self.used) * self._per_second))

    def expected_steps(self, step: int, most: int | None) -> int:
        """About how many steps there will be in all, for a person: in three digits, at least `step`, at most `most`."""
        left = None if self.is_over else self.steps_left()
        found = step if left is None else max(step, _in_three_digits(step + left))
        return found if most is None else min(found, most)


def _in_three_digits(count: int) -> int:
    unit: int = 10 ** max(0, len(str(count)) - 3)
    return round(count / unit) * unit
