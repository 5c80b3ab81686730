"""Testing while seeds are added."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from scipy import stats

from zoo.options.sweep import FIRST_TEST, MOST_SEEDS
from zoo.verdicts.interim import nominal_level, plan, total_error


@pytest.mark.parametrize("tests", [2, 3, 4, 5, 10])
def test_the_levels_are_those_that_pocock_published(tests: int) -> None:
    """Of equally spaced tests with a known variance, which t tests of ten thousand pairs come close to."""
    published = {2: 0.0294, 3: 0.0221, 4: 0.0182, 5: 0.0158, 10: 0.0106}[tests]
    assert nominal_level([10_000 * (k + 1) for k in range(tests)], 0.05) == pytest.approx(published, rel=0.02)


@pytest.mark.parametrize(("most", "fewest", "sizes"), [
    (64, 4, (4, 6, 8, 12, 16, 24, 32, 48, 64)), (20, 4, (4, 6, 8, 12, 16, 20)),
    (100, 16, (16, 24, 32, 48, 64, 96, 100)),
    (5, 5, (5,)), (3, 4, (3,)), (8, 2, (2, 3, 4, 6, 8)),
])  # fmt: skip
def test_the_plan_ends_at_the_most_seeds(most: int, fewest: int, sizes: tuple[int, ...]) -> None:
    assert plan(most, fewest) == sizes


@pytest.mark.parametrize("error", [0.05, 0.05 / 6])
def test_all_tests_together_err_as_often_as_is_said(error: float) -> None:
    """Of differences drawn one by one, by another generator."""
    sizes = plan(MOST_SEEDS, FIRST_TEST)
    level = nominal_level(sizes, error)
    gains = np.random.default_rng(99).standard_normal((40_000, MOST_SEEDS))
    found = np.zeros(len(gains), dtype=bool)
    for size in sizes:
        found |= stats.ttest_1samp(gains[:, :size], 0, axis=1).pvalue <= level
    assert float(found.mean()) == pytest.approx(error, abs=4 * (error / len(gains)) ** 0.5)
    naive = np.zeros(len(gains), dtype=bool)
    for size in sizes:
        naive |= stats.ttest_1samp(gains[:, :size], 0, axis=1).pvalue <= error
    assert naive.mean() > 2.5 * error  # what it is for


def test_a_p_value_is_corrected_to_the_error_exactly_at_the_level() -> None:
    sizes = plan(MOST_SEEDS, FIRST_TEST)
    for error in (0.05, 0.01, 0.05 / 45):
        level = nominal_level(sizes, error)
        assert total_error(sizes, level) <= error
        assert total_error(sizes, level * 1.02) > error


def test_corrections_are_between_none_and_that_of_bonferroni() -> None:
    sizes = plan(24, 4)
    p_values = [1e-12, 1e-6, 1e-4, 0.001, 0.01, 0.05, 0.3, 1.0]
    corrected = [total_error(sizes, p) for p in p_values]
    assert all(a < b for a, b in itertools.pairwise(corrected))
    assert all(p <= found <= min(1, len(sizes) * p) for p, found in zip(p_values, corrected, strict=True))
    for error in (1e-9, 1e-4, 0.05, 0.5):
        assert error / len(sizes) <= nominal_level(sizes, error) <= error


def test_a_single_test_is_not_corrected() -> None:
    assert nominal_level([16], 0.05) == 0.05
    assert total_error([16], 0.03) == 0.03
