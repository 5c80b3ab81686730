"""A trial step of a net in a population, held against the same step by autograd."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from torch import Tensor

_OF_LOSS, _OF_GRADIENT = 1e-4, 1e-3  # how far off a trial may be, as shares
_NOISE = 1e-5  # of the largest gradient: what rounding makes of one that is 0 on paper
_ROUNDING = 1e-6  # of a loss near 0


@dataclass(frozen=True)
class Step:
    """What a step has computed before the update.

    Attributes:
        loss: a scalar.
        gradients: by the names of the parameters; None where there is none.
        buffers: after the step.
    """

    loss: Tensor
    gradients: Mapping[str, Tensor | None]
    buffers: Mapping[str, Tensor]


def difference(wanted: Step, found: Step) -> str | None:
    """What is not the same in two steps, but for rounding; None where all is."""
    if not abs(found.loss - wanted.loss) <= _OF_LOSS * abs(wanted.loss) + _ROUNDING:
        return f"a loss of {float(found.loss):.6g}, and not of {float(wanted.loss):.6g}"
    gradients = {name: gradient for name, gradient in wanted.gradients.items() if gradient is not None}
    noise = _NOISE * max((float(gradient.norm()) for gradient in gradients.values()), default=0.0)
    for name, gradient in gradients.items():
        if (off := _off(found.gradients.get(name), gradient, noise)) is not None:
            return f"the gradient of {name!r} is off by {off:.2g}"
    for name, buffer in wanted.buffers.items():
        if (off := _off(found.buffers.get(name), buffer, _ROUNDING)) is not None:
            return f"the buffer {name!r} is off by {off:.2g}"
    return None


def _off(found: Tensor | None, wanted: Tensor, noise: float) -> float | None:
    """By how much, where it is too much."""
    if found is None:
        return float("inf")
    off = float((found.double() - wanted.double()).norm())
    return None if off <= _OF_GRADIENT * float(wanted.double().norm()) + noise else off
