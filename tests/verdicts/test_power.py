"""How many seeds would settle a difference."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy import stats
from simulated import population

from zoo.verdicts.pairs import compare
from zoo.verdicts.populations import Measure
from zoo.verdicts.power import MOST, POWER, power_of_t_test, seeds_needed, seeds_of_sign_test, seeds_of_t_test


@pytest.mark.parametrize(
    ("effect", "level", "n"), [(0.5, 0.05, 34), (0.8, 0.05, 15), (0.2, 0.05, 199), (0.5, 0.01, 51)]
)
def test_numbers_of_pairs_are_those_of_the_tables(effect: float, level: float, n: int) -> None:
    """As G*Power has them for a power of 80 %, two-sided."""
    assert seeds_of_t_test(effect, level) == n


@pytest.mark.parametrize(("effect", "n", "level"), [(1.0, 16, 0.05), (0.5, 8, 0.05), (2.0, 4, 0.01), (22.0, 2, 0.05)])
def test_power_is_the_share_of_simulated_tests_that_find_the_difference(effect: float, n: int, level: float) -> None:
    gains = effect + np.random.default_rng(5).standard_normal((20_000, n))
    found = float(np.mean(stats.ttest_1samp(gains, 0, axis=1).pvalue <= level))
    assert power_of_t_test(effect, n, level) == pytest.approx(found, abs=0.015)


def test_of_no_difference_the_power_is_the_level() -> None:
    assert power_of_t_test(0.0, 8, 0.05) == pytest.approx(0.05)


@pytest.mark.parametrize("effect", [0.03, 0.3, 1.0, 5.0, 50.0])
def test_it_is_the_least_number_with_that_power(effect: float) -> None:
    n = seeds_of_t_test(effect, 0.05)
    assert n is not None
    assert power_of_t_test(effect, n, 0.05) >= POWER
    assert n == 2 or power_of_t_test(effect, n - 1, 0.05) < POWER


@pytest.mark.parametrize("share", [0.6, 0.8, 0.95, 1.0])
def test_pairs_of_the_sign_test_against_its_p_values(share: float) -> None:
    n = seeds_of_sign_test(share, 0.05)
    assert n is not None

    def power(pairs: int) -> float:
        wins = [k for k in range(pairs // 2, pairs + 1) if stats.binomtest(k, pairs).pvalue <= 0.05]
        return float(sum(stats.binom.pmf(k, pairs, share) for k in wins))

    assert power(n) >= POWER - 1e-9
    assert n == 1 or power(n - 1) < POWER


def test_no_number_is_given_where_it_would_be_absurd() -> None:
    assert seeds_of_t_test(0.0, 0.05) is None
    assert seeds_of_t_test(0.02, 0.05) is None
    assert (seeds_of_t_test(0.03, 0.05) or 0) <= MOST
    assert seeds_of_sign_test(0.501, 0.05) is None
    same = compare(population("a", [1.0, 2.0]), population("b", [1.0, 2.0]), Measure())
    assert seeds_needed(same, 0.05) is None


def test_it_grows_with_the_spread_of_the_differences_and_with_the_corrections() -> None:
    quiet = compare(population("a", [1.0, 1.0, 1.0]), population("b", [1.1, 1.2, 1.3]), Measure())
    loud = compare(population("a", [1.0, 1.0, 1.0]), population("b", [0.6, 1.2, 1.8]), Measure())
    assert (seeds_needed(quiet, 0.05) or math.inf) < (seeds_needed(loud, 0.05) or 0)
    assert (seeds_needed(loud, 0.05) or math.inf) < (seeds_needed(loud, 0.001) or 0)


def test_seeds_in_which_both_diverged_count_as_needed_too() -> None:
    one = population("a", [1.0] * 4 + [math.nan] * 4)
    other = population("b", [2.0, 2.0, 2.0, math.nan] + [math.nan] * 4)
    assert seeds_needed(compare(one, other, Measure()), 0.05) == 12  # six wins, of which every second seed gives one
