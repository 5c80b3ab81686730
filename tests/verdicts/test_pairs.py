"""Two settings, paired by seed."""

from __future__ import annotations

import itertools
import math

import pytest
from simulated import population

from zoo.verdicts.pairs import compare, unpaired
from zoo.verdicts.populations import Measure, Population

LOSS = Measure()
ACCURACY = Measure("accuracy", "", "higher", is_loss=False)
NAN, INF = math.nan, math.inf


def test_the_paired_t_test_is_that_of_a_textbook() -> None:
    """Student's own data (Biometrika 6, 1908): hours of sleep gained with two drugs, by ten patients."""
    first = population("dextro", [0.7, -1.6, -0.2, -1.2, -0.1, 3.4, 3.7, 0.8, 0.0, 2.0])
    second = population("laevo", [1.9, 0.8, 1.1, 0.1, -0.1, 4.4, 5.5, 1.6, 4.6, 3.4])
    pairs = compare(first, second, Measure("sleep", "hours", "higher"))
    assert (pairs.better, pairs.worse, pairs.n, pairs.wins, pairs.ties) == ("laevo", "dextro", 10, 9, 1)
    assert pairs.test == "paired t test"
    assert pairs.difference == pytest.approx(1.58)
    assert pairs.p == pytest.approx(0.002833, abs=1e-6)  # as R's t.test prints it
    assert pairs.interval(0.95) == pytest.approx((0.7001, 2.4599), abs=1e-4)


@pytest.mark.parametrize("measure", [LOSS, ACCURACY])
def test_the_order_of_the_two_does_not_matter(measure: Measure) -> None:
    one, other = population("a", [1.0, 2.0, 4.0]), population("b", [1.5, 2.2, 4.1])
    assert compare(one, other, measure) == compare(other, one, measure)
    assert compare(one, other, measure).better == ("a" if measure is LOSS else "b")


def test_seeds_pair_runs_and_not_their_order() -> None:
    one, other = Population("a", {3: 1.0, 1: 5.0, 9: 0.0}), Population("b", {1: 5.5, 2: 0.1, 3: 1.1})
    pairs = compare(one, other, LOSS)
    assert (pairs.n, pairs.wins) == (2, 2)
    assert sorted(pairs.gains) == pytest.approx([0.1, 0.5])
    assert unpaired(one, other) == ([9], [2])


@pytest.mark.parametrize("diverged", [NAN, INF, -INF])
@pytest.mark.parametrize("measure", [LOSS, ACCURACY])
def test_a_run_that_diverged_loses_to_any_that_did_not(diverged: float, measure: Measure) -> None:
    good = [2.0] * 8 if measure is LOSS else [0.1] * 8
    bad = [*[good[0] + 1e-3] * 7, diverged] if measure is LOSS else [*[good[0] - 1e-3] * 7, diverged]
    pairs = compare(population("unstable", bad), population("stable", good), measure)
    assert (pairs.better, pairs.wins, pairs.diverged) == ("stable", 8, (0, 1))
    assert pairs.test == "sign test"
    assert pairs.p == pytest.approx(2 * 0.5**8)
    assert len(pairs.gains) == 7


def test_more_wins_count_where_runs_diverged_and_a_run_that_diverged_in_both_is_a_tie() -> None:
    one = population("a", [1.0, NAN, 1.0, 1.0, NAN, 9.0])
    other = population("b", [2.0, 1.0, 2.0, 2.0, NAN, 1.0])
    pairs = compare(one, other, LOSS)
    assert (pairs.better, pairs.wins, pairs.ties, pairs.n, pairs.diverged) == ("a", 3, 1, 6, (2, 1))
    assert pairs.p == pytest.approx(1.0)
    assert pairs.difference == pytest.approx((1 + 1 + 1 - 8) / 4)


def test_exact_sign_test_against_counting_all_outcomes() -> None:
    for wins in range(9):
        one = population("a", [1.0] * wins + [NAN] * (8 - wins))
        p = compare(one, population("b", [2.0] * 8), LOSS).p
        outcomes = [sum(signs) for signs in itertools.product((0, 1), repeat=8)]
        as_remarkable = sum(abs(count - 4) >= abs(wins - 4) for count in outcomes)
        # 0 wins: no pair without divergence, and all 8 are losses
        assert p == pytest.approx(as_remarkable / 2**8) or wins == 8
    assert compare(population("a", [1.0] * 8), population("b", [NAN] * 8), LOSS).p == pytest.approx(2 * 0.5**8)


DEGENERATE = {
    "no seed in common": ({1: 1.0, 2: 2.0}, {3: 1.0, 4: 2.0}, LOSS, "none", None),
    "one seed in common": ({1: 1.0, 2: 2.0}, {2: 1.0, 3: 2.0}, LOSS, "none", None),
    "equal in each seed": ({1: 1.0, 2: 2.0}, {1: 1.0, 2: 2.0}, LOSS, "equal in every seed", 1.0),
    "all diverged": ({1: NAN, 2: NAN}, {1: NAN, 2: INF}, LOSS, "none", None),
    "the seed changes nothing": ({1: 1.0, 2: 1.0}, {1: 2.0, 2: 2.0}, LOSS, "the seed changes nothing", 0.0),
    "a coarse metric": ({1: 0.8, 2: 0.8}, {1: 0.9, 2: 0.9}, ACCURACY, "sign test", 0.5),
    "one constant difference": ({1: 1.0, 2: 2.0, 3: 3.0}, {1: 1.5, 2: 2.5, 3: 3.5}, LOSS, "sign test", 0.25),
    "equal but for rounding": ({1: 0.1 + 0.2, 2: 0.3}, {1: 0.4, 2: 0.4}, LOSS, "sign test", 0.5),
}


@pytest.mark.parametrize("case", DEGENERATE)
def test_what_no_t_test_can_judge(case: str) -> None:
    one, other, measure, test, p = DEGENERATE[case]
    pairs = compare(Population("a", one), Population("b", other), measure)
    assert (pairs.test, pairs.p) == (test, p)
    interval = pairs.interval(0.95)
    assert interval is None or all(map(math.isfinite, interval))


def test_a_difference_far_below_the_losses_is_tested() -> None:
    gains = [1e-9, 2e-9, 1.5e-9, 3e-9, 2.5e-9, 1.2e-9]
    pairs = compare(population("a", [2.0] * 6), population("b", [2.0 + gain for gain in gains]), LOSS)
    assert pairs.test == "paired t test"
    assert pairs.p is not None
    assert pairs.p < 0.01
