"""How often a verdict errs, and how often it finds what is there, over simulated populations."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import pytest
from scipy import stats
from simulated import Draw, population

from zoo.verdicts.interim import nominal_level, plan
from zoo.verdicts.populations import Measure
from zoo.verdicts.verdict import ERROR, decide

LOSS = Measure()
COMPARISONS = 1_000
_SHAPE = (  # of the validation losses of 275 seeds of `mlp-char` after 1,000 steps: every 20th quantile, standardized
    *(-2.67, -1.62, -1.25, -1.06, -0.9, -0.74, -0.61, -0.45, -0.27, -0.08, 0.03, 0.16, 0.34, 0.51, 0.68, 0.8, 0.93),
    *(1.06, 1.18, 1.49, 2.34),
)


def _of_normal(generator: np.random.Generator, size: tuple[int, ...]) -> Draw:
    return generator.standard_normal(size)


def _of_real_runs(generator: np.random.Generator, size: tuple[int, ...]) -> Draw:
    places = generator.uniform(0, 1, size)
    return np.asarray(np.interp(places, np.linspace(0, 1, len(_SHAPE)), np.array(_SHAPE)))


def _of_skewed(generator: np.random.Generator, size: tuple[int, ...]) -> Draw:
    return generator.lognormal(0, 1, size)


SHAPES: dict[str, Callable[[np.random.Generator, tuple[int, ...]], Draw]] = {
    "normal": _of_normal,
    "real runs": _of_real_runs,
    "skewed": _of_skewed,
}


def losses(shape: str, size: tuple[int, ...], *, seed: int = 1) -> Draw:
    """Validation losses around 2, with what a seed does to both settings alike on the axis before the last."""
    generator = np.random.default_rng(seed)
    alike = generator.standard_normal((*size[:-2], 1, size[-1]))
    return np.asarray(2 + 0.01 * alike + 0.005 * SHAPES[shape](generator, size))


def share_shown(values: Draw) -> float:
    """In how many comparisons, of values (comparisons, settings, seeds), any difference is called one."""
    found = 0
    for settings in values:
        verdict = decide([population(f"{i}", one) for i, one in enumerate(settings)], LOSS)
        found += any(one.is_shown for one in verdict.comparisons)
    return found / len(values)


@pytest.mark.parametrize(("shape", "seeds"), [("normal", 4), ("real runs", 16), ("skewed", 16)])
def test_a_setting_does_not_differ_from_itself(shape: str, seeds: int) -> None:
    share = share_shown(losses(shape, (COMPARISONS, 2, seeds)))
    # The t test of a difference with long tails errs less often than it may.
    least = 0.01 if shape == "skewed" else 0.03
    assert least <= share <= 0.07


def test_four_equal_settings_seldom_differ() -> None:
    share = share_shown(losses("real runs", (COMPARISONS // 2, 4, 12)))
    assert 0.015 <= share <= 0.07


def test_a_difference_of_one_standard_deviation_is_found_with_sixteen_seeds() -> None:
    for shape in ("normal", "real runs"):
        values = losses(shape, (250, 2, 16))
        gains = values[:, 1] - values[:, 0]
        values[:, 1] += float(gains.std())
        assert share_shown(values) > 0.9


def share_shown_with_interim_tests(values: Draw, level: float) -> float:
    """Of values (comparisons, 2, seeds), tested at each size of the plan."""
    found = np.zeros(len(values), dtype=bool)
    for size in plan(values.shape[-1], 4):
        found |= stats.ttest_rel(values[:, 0, :size], values[:, 1, :size], axis=-1).pvalue <= level
    return float(found.mean())


@pytest.mark.parametrize("shape", ["normal", "real runs"])
def test_a_setting_does_not_differ_from_itself_while_seeds_are_added(shape: str) -> None:
    values, sizes = losses(shape, (4 * COMPARISONS, 2, 64)), plan(64, 4)
    assert 0.03 <= share_shown_with_interim_tests(values, nominal_level(sizes, ERROR)) <= 0.07
    assert share_shown_with_interim_tests(values, ERROR) > 0.1


def test_a_verdict_after_an_interim_test_is_that_of_its_level() -> None:
    sizes = plan(24, 4)
    level = nominal_level(sizes, ERROR)
    values = losses("normal", (80, 2, 8), seed=3)
    values[:, 1] += 0.008
    for settings in values:
        [comparison] = decide(
            [population("a", settings[0]), population("b", settings[1])], LOSS, interim=sizes
        ).comparisons
        assert comparison.pairs.p is not None
        assert comparison.is_shown == (comparison.pairs.p <= level)
        assert comparison.interval is not None
        low, _ = comparison.interval
        assert comparison.is_shown == (low > 0)  # the interval is as wide as the test is careful


@pytest.mark.parametrize("interim", [(), plan(16, 4)])
def test_intervals_have_the_true_difference_as_often_as_they_say(interim: tuple[int, ...]) -> None:
    values = losses("normal", (500, 2, 8), seed=4)
    values[:, 1] += 0.004
    within = 0
    for settings in values:
        [one] = decide([population("a", settings[0]), population("b", settings[1])], LOSS, interim=interim).comparisons
        assert one.interval is not None
        truth = 0.004 if one.pairs.better == "a" else -0.004
        within += one.interval[0] <= truth <= one.interval[1]
    share = within / len(values)
    assert 0.92 <= share <= 0.98 if not interim else share >= 0.97
    assert math.isfinite(share)
