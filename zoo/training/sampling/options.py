"""How characters are sampled."""

from __future__ import annotations

import math
import secrets
from dataclasses import dataclass

from zoo.errors import UsageError
from zoo.numbers import show_value
from zoo.options.run import SAMPLING_SEED
from zoo.options.values import fits, is_number, plain

_MOST = 10**9  # samples, or characters of one: their product fits into the sizes of torch
_DRAWN = 1 << 32  # seeds that are drawn: short enough to be typed again


@dataclass(frozen=True)
class SamplingOptions:
    """How words or running text are sampled.

    Attributes:
        temperature: divides the logits; 0 is greedy sampling.
        top_k: sample from the k most probable characters only; None for all.
        prefix: the beginning of each sample.
        seed: of the CPU generator of all random numbers.
    """

    temperature: float = 1.0
    top_k: int | None = None
    prefix: str = ""
    seed: int = SAMPLING_SEED

    def __post_init__(self) -> None:
        kinds = {"top_k": ("a whole number", int | None), "prefix": ("text", str), "seed": ("a whole number", int)}
        for name in vars(self):
            value = plain(getattr(self, name))
            words, kind = kinds.get(name, ("a number", float))
            if not (is_number(value) if kind is float else fits(value, kind)):
                raise UsageError(f"the {name.replace('_', '-')} must be {words}, got {show_value(value)}")
            object.__setattr__(self, name, value)
        if not 0 <= self.temperature < math.inf:
            raise UsageError(f"the temperature must be 0 or above, got {self.temperature}")
        if self.top_k is not None and self.top_k < 1:
            raise UsageError(f"top-k must be at least 1, got {self.top_k}")
        if not 0 <= self.seed < 2**64:
            raise UsageError(f"the seed must be from 0 to 2**64 - 1, got {self.seed}")


def drawn_seed() -> int:
    """A seed of the system's randomness, which no seed of zoo or of the caller decides."""
    return secrets.randbelow(_DRAWN)


def checked_count(n: object, what: str = "the number of samples") -> int:
    """A number of samples, or another one, as Python's.

    Raises:
        UsageError: it is no whole number from 1, or one that no memory could hold.
    """
    n = plain(n)
    if not fits(n, int):
        raise UsageError(f"{what} must be a whole number, got {show_value(n)}")
    assert isinstance(n, int)
    if n < 1:
        raise UsageError(f"{what} must be at least 1, got {n}")
    if n > _MOST:
        raise UsageError(f"{what} must be at most {_MOST:,}, got {show_value(n)}")
    return n
