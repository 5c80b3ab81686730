"""A verdict in the words that a person reads."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from zoo.numbers import show_loss
from zoo.verdicts.noise import Noise
from zoo.verdicts.pairs import Pairs
from zoo.verdicts.populations import Measure
from zoo.verdicts.power import MOST
from zoo.verdicts.verdict import Comparison, Verdict

_EACH = 4  # so many comparisons have a sentence each; of more, those that are shown are counted
_NAMED = 4  # settings in a list


def sentences(verdict: Verdict) -> list[str]:
    """What the verdict says, a line each; empty where nothing could be compared."""
    comparisons = verdict.comparisons
    if len(comparisons) <= _EACH:
        return [_sentence(one, verdict) for one in comparisons]
    with_it = verdict.baseline or verdict.best
    shown, others = [one for one in comparisons if one.is_shown], [one for one in comparisons if not one.is_shown]
    lines = [_sentence(comparisons[0], verdict)]
    counted = f"{with_it} is told apart from {len(shown):,} of the {len(comparisons):,} other settings"
    if others:
        names = [one.pairs.better if one.pairs.worse == with_it else one.pairs.worse for one in others]
        counted += f", and not from {_listed(names)}"
    return [*lines, f"{counted}."]


def as_json(verdict: Verdict) -> dict[str, Any]:
    """A verdict with its sentences, for `--json` and `sweep.json`; keys are only ever added."""
    return {**verdict.as_json(), "sentences": sentences(verdict)}


def _listed(names: Sequence[str]) -> str:
    if len(names) > _NAMED:
        return f"{'; '.join(names[: _NAMED - 1])}; and {len(names) - _NAMED + 1:,} more"
    return "; ".join(names)


def _sentence(one: Comparison, verdict: Verdict) -> str:
    pairs, measure = one.pairs, verdict.measure
    names = f"{pairs.better} and {pairs.worse}"
    if pairs.n < 2:
        shared = "no seed" if pairs.n == 0 else "one seed only"
        return f"{names} share {shared}: nothing can be paired, and no difference can be shown{_alone(one)}."
    if pairs.test == "equal in every seed":
        return f"{names} have an equal {measure.name} in each of {pairs.n:,} seeds{_alone(one)}."
    if pairs.test == "the seed changes nothing":
        by = _quantity(pairs.difference or 0.0, measure, 0.0)
        return (
            f"{pairs.better} beats {pairs.worse} by {by}, in {pairs.n:,} of {pairs.n:,} seeds, which change nothing in "
            f"either: this is no matter of luck{_alone(one)}."
        )
    if one.p is None:
        return f"{names} diverged in all {pairs.n:,} seeds that they share: nothing can be said{_alone(one)}."
    if one.is_shown:
        return (
            f"{pairs.better} beats {pairs.worse}{_by(one, measure)}, {_in_seeds(pairs)}: more than luck "
            f"({_p(one.p)}{_corrections(verdict)}){_alone(one)}."
        )
    return (
        f"{pairs.better} is ahead of {pairs.worse}{_by(one, measure)}, {_in_seeds(pairs)}, but this may be luck "
        f"({_p(one.p)}{_corrections(verdict)}): {_more(one)}{_alone(one)}."
    )


def _by(one: Comparison, measure: Measure) -> str:
    difference, interval = one.pairs.difference, one.interval
    if difference is None:
        return ""
    half = 0.0 if interval is None else (interval[1] - interval[0]) / 2
    if sum(one.pairs.diverged):
        return f" (by {_quantity(difference, measure, half)} where neither diverged)"
    text = f" by {_quantity(difference, measure, half)}"
    if interval is None:
        return text
    low, high = (_decimals(end, half) for end in interval)
    return f"{text} (95 % interval {low} to {high})"


def _quantity(value: float, measure: Measure, spread: float) -> str:
    return f"{_decimals(value, spread)}{f' {measure.unit}' * bool(measure.unit)}"


def _decimals(value: float, spread: float) -> str:
    """A number with as many decimals as two digits of its spread have; of no spread, with three digits."""
    if spread <= 0 or not math.isfinite(spread):
        return f"{value:.3g}" if 0 < abs(value) < 1 else show_loss(value)
    decimals = max(0, 1 - math.floor(math.log10(spread)))
    return show_loss(value, decimals) if decimals <= 10 else f"{value:.2g}"


def _in_seeds(pairs: Pairs) -> str:
    text = f"in {pairs.wins:,} of {pairs.n:,} seeds"
    parts = [
        f"{name} diverged in {count:,}"
        for name, count in zip((pairs.better, pairs.worse), pairs.diverged, strict=True)
        if count
    ]
    return f"{text}, of which {' and '.join(parts)}" if parts else text


def _p(p: float) -> str:
    if p < 1e-4:
        return "p < 0.0001"
    return f"p = {p:.4f}" if p < 0.001 else f"p = {p:.3f}" if p < 0.1 else f"p = {p:.2f}"


def _corrections(verdict: Verdict) -> str:
    count, tests = verdict.corrected_for, len(verdict.interim)
    parts = [f"{count:,} comparisons"] * (count > 1) + [f"{tests} interim tests"] * (tests > 1)
    return f", corrected for {' and '.join(parts)}" if parts else ""


def _more(one: Comparison) -> str:
    if one.more_seeds is None:
        return f"to settle a difference of this size would take more than {MOST:,} seeds"
    return f"about {one.more_seeds:,} more seed{'s' * (one.more_seeds > 1)} would settle a difference of this size"


def _alone(one: Comparison) -> str:
    """Of seeds that could not be paired."""
    named = zip((one.pairs.better, one.pairs.worse), one.unpaired, strict=True)
    parts = [f"{count:,} seed{'s' * (count > 1)} of {name}" for name, count in named if count]
    return f"; {' and '.join(parts)} had no partner" if parts else ""


def single_runs(verdict: Verdict, noises: Mapping[str, Noise]) -> list[str]:
    """What to say of a difference that only single runs show; empty where every setting is repeated.

    Args:
        verdict: on all settings.
        noises: of what was compared, by its name: `gru on names`; as far as it is known.
    """
    ranked = [one for one in verdict.settings if one.mean is not None]
    ranked.sort(key=lambda one: -verdict.measure.gain(one.mean or 0.0, 0.0))
    pair = next(((one, ranked[0]) for one in ranked[1:] if not (one.is_repeated and ranked[0].is_repeated)), None)
    if pair is None:
        return []
    other, best = pair
    measure, gain = verdict.measure, abs((best.mean or 0.0) - (other.mean or 0.0))
    single = [one.name for one in (best, other) if not one.is_repeated]
    between = f"a difference of {_quantity(gain, measure, 0.0)} between {best.name} and {other.name} is no evidence"
    lines = [f"Single runs: {between}." if len(single) == 2 else f"A{between[1:]}: {single[0]} is a single run."]
    for of, noise in noises.items():
        if noise.sd > 0 and noise.measure == measure:
            usual = noise.usual_difference()
            lines.append(
                f"Over seeds, the {measure.name} of {of} has a standard deviation of {_rough(noise.sd, measure)} "
                f"({noise.source}): two runs of one setting differ by up to {_rough(usual, measure)} in 95 % of cases."
            )
    return lines


def _rough(value: float, measure: Measure) -> str:
    return f"{float(f'{value:.2g}'):,g}{f' {measure.unit}' * bool(measure.unit)}"
