"""How much runs of one setting differ by their seeds alone: what a difference of two single runs is held against."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from zoo.verdicts.populations import Measure, Population


@dataclass(frozen=True)
class Noise:
    """What is known of it.

    Attributes:
        sd: the standard deviation over seeds, pooled over settings.
        degrees: the degrees of freedom of `sd`: the seeds, less one for each setting.
        measure: what varies.
        source: where it is from, for people.
    """

    sd: float
    degrees: int
    measure: Measure
    source: str

    def usual_difference(self) -> float:
        """What the difference of two runs of one setting stays below in 95 % of cases, by Student's t."""
        from scipy import special  # which is imported in a third of the time of `scipy.stats`

        return float(special.stdtrit(self.degrees, 0.975)) * math.sqrt(2) * self.sd

    def as_json(self) -> dict[str, Any]:
        """For `--json`."""
        return {
            "sd": self.sd,
            "degrees_of_freedom": self.degrees,
            "usual_difference": self.usual_difference(),
            "measure": self.measure.name,
            "unit": self.measure.unit,
            "source": self.source,
        }


def pooled(populations: Iterable[Population], measure: Measure, source: str) -> Noise | None:
    """The noise of settings, each with its own mean; None where none is repeated."""
    deviations, degrees = list[float](), 0
    for one in populations:
        if one.sd is not None:
            degrees += len(one.finite) - 1
            deviations.append(one.sd * math.sqrt(len(one.finite) - 1))
    return None if degrees == 0 else Noise(math.hypot(*deviations) / math.sqrt(degrees), degrees, measure, source)
