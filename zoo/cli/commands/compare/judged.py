"""What a comparison says of settings: which is better, whether that is more than luck, and what single runs show."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from zoo.errors import UsageError
from zoo.phrasing import option
from zoo.runs.listing.comparing import Repetitions, measured_on
from zoo.runs.listing.conditions import select
from zoo.runs.listing.judging import noise_of, noises, verdicts
from zoo.text import shown
from zoo.verdicts.noise import Noise
from zoo.verdicts.sentences import as_json, sentences, single_runs
from zoo.verdicts.verdict import Verdict

KnownNoise = Callable[[Repetitions], Noise | None]


@dataclass(frozen=True)
class Judged:
    """The verdicts on settings.

    Attributes:
        verdicts: one for each data, split and loss that several settings were measured on.
        noise: of the models that were compared, by what it is of, as far as it is known.
    """

    verdicts: Sequence[Verdict]
    noise: Mapping[str, Noise]

    def lines(self) -> list[str]:
        """In sentences; empty where there is nothing to compare."""
        return [line for verdict in self.verdicts for line in [*sentences(verdict), *single_runs(verdict, self.noise)]]

    def as_json(self) -> dict[str, Any]:
        """The keys that `zoo compare --json` has of it."""
        return {
            "verdicts": [
                {**as_json(verdict), "single_runs": single_runs(verdict, self.noise)} for verdict in self.verdicts
            ],
            "noise": {of: one.as_json() for of, one in self.noise.items()},
        }


def judge(
    groups: Sequence[Repetitions], conditions: Sequence[str], interim: Sequence[int], known: KnownNoise
) -> Judged:
    """The verdicts on settings.

    Args:
        groups: the settings.
        conditions: which of them is the baseline: `lr=0.1`; empty where the best is compared with the others.
        interim: after how many seeds it was tested, where they were added until it was decided.
        known: the noise of a setting that is repeated nowhere among these.

    Raises:
        UsageError: not exactly one setting meets the conditions.
    """
    baseline = _baseline(groups, conditions) if conditions else None
    found = verdicts(groups, baseline=baseline, interim=interim)
    noise = noises(groups)
    if any(one.size == 1 for one in groups) and found:
        for one in groups:
            if noise_of(one) not in noise and (other := known(one)) is not None:
                noise[noise_of(one)] = other
    return Judged(found, noise)


def _baseline(groups: Sequence[Repetitions], conditions: Sequence[str]) -> Repetitions:
    name = f"{option('baseline')} {' '.join(map(shown, conditions))}"
    first = [one.first for one in groups]
    left = select(first, conditions)
    if len(left) != 1:
        count = "no setting has" if not left else f"{len(left)} settings have"
        raise UsageError(f"{name}: {count} that; give what only one of them has, as in lr=0.1")
    chosen = next(one for one in groups if one.first is left[0])
    alike = [one for one in groups if measured_on(one.first).key == measured_on(chosen.first).key]
    if len(alike) < 2:
        raise UsageError(f"{name}: no other setting was measured on the same data, split and loss")
    return chosen
