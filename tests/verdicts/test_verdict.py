"""The verdict on several settings: the best, the corrections, and what it says."""

from __future__ import annotations

import json
import math
import re
from dataclasses import replace

import numpy as np
import pytest
from scipy import stats
from simulated import population

from zoo.verdicts.naming import names_of
from zoo.verdicts.noise import Noise, pooled
from zoo.verdicts.populations import Measure, Population
from zoo.verdicts.sentences import as_json, sentences, single_runs
from zoo.verdicts.verdict import Verdict, decide

LOSS = Measure()
ACCURACY = Measure("validation accuracy", "", "higher", is_loss=False)
NAN = math.nan
_COMMON = np.random.default_rng(7).standard_normal(64) * 0.02


def setting(name: str, mean: float, seeds: int = 16, sd: float = 0.005) -> Population:
    """Values around a mean, with what a seed does to all settings alike."""
    own = np.random.default_rng(sum(map(ord, name))).standard_normal(64)
    return population(name, {seed: float(mean + _COMMON[seed] + sd * own[seed]) for seed in range(1, seeds + 1)})


def test_the_best_is_compared_with_each_other_setting_and_all_pairs_are_corrected_for() -> None:
    settings = [setting("c", 2.3), setting("a", 2.1), setting("d", 2.4), setting("b", 2.104)]
    verdict = decide(settings, LOSS)
    assert [one.name for one in verdict.settings] == ["a", "b", "c", "d"]
    assert (verdict.best, verdict.baseline, verdict.corrected_for) == ("a", None, 6)
    assert [(one.pairs.better, one.pairs.worse) for one in verdict.comparisons] == [("a", "b"), ("a", "c"), ("a", "d")]


def test_p_values_are_corrected_as_holm_does() -> None:
    settings = [setting("a", 2.1), setting("b", 2.102), setting("c", 2.1045), setting("d", 2.106)]
    verdict = decide(settings, LOSS)
    raw = {one.pairs.worse: one.pairs.p or 0.0 for one in verdict.comparisons}
    expected, largest = {}, 0.0
    for place, (name, p) in enumerate(sorted(raw.items(), key=lambda one: one[1])):
        largest = max(largest, min(1.0, p * (6 - place)))
        expected[name] = largest
    assert {one.pairs.worse: one.p for one in verdict.comparisons} == pytest.approx(expected)
    assert len({*expected.values()}) > 1
    for one in verdict.comparisons:
        by_hand = stats.ttest_rel(*(list(by.values.values()) for by in settings if by.name in ("a", one.pairs.worse)))
        assert one.pairs.p == pytest.approx(by_hand.pvalue)


def test_a_baseline_has_fewer_corrections_and_may_be_the_worse_one() -> None:
    settings = [setting("a", 2.1), setting("b", 2.2), setting("c", 2.3)]
    verdict = decide(settings, LOSS, baseline="b")
    assert (verdict.corrected_for, verdict.baseline, verdict.best) == (2, "b", "a")
    assert [(one.pairs.better, one.pairs.worse) for one in verdict.comparisons] == [("a", "b"), ("b", "c")]
    assert verdict.is_decided


@pytest.mark.parametrize("seeds", [4, 16])
def test_the_best_of_settings_with_other_seeds_is_the_best_in_those_that_they_share(seeds: int) -> None:
    """The mean of the setting with the lucky seeds alone is the lower one."""
    lucky = dict.fromkeys(range(1, 5), 1.0) | dict.fromkeys(range(5, 33), 3.0)
    many = population("many", {seed: base + 0.001 * (seed % 3) for seed, base in lucky.items()})
    few = population("few", {seed: 1.1 + 0.002 * (seed % 2) for seed in range(1, 5)})
    for settings in ([few, many], [many, few]):
        verdict = decide(settings, LOSS)
        assert verdict.best == "many"
        assert verdict.comparisons[0].unpaired == (28, 0)
        assert "28 seeds of many had no partner" in sentences(verdict)[0]
    assert seeds


def test_settings_with_diverged_runs_are_ranked_by_their_median() -> None:
    often = population("often", [1.0, NAN, 1.0, NAN, NAN])
    once = population("once", [1.5, 1.5, 1.6, NAN, 1.5])
    never = population("never", [2.0, 2.1, 2.0, 2.1, 2.2])
    assert [one.name for one in decide([often, never, once], LOSS).settings] == ["once", "never", "often"]
    told = " ".join(sentences(decide([often, never, once], LOSS)))
    assert "often diverged in 3" in told
    assert "once diverged in 1" in told


def test_what_failed_is_left_open_to_nobody() -> None:
    verdict = decide([setting("a", 1.0), setting("b", 2.0), Population("c", {}, failed=16)], LOSS)
    assert verdict.is_decided
    assert verdict.as_json()["settings"][2]["failed"] == 16


SAID = {
    "more than luck": (
        [setting("lr 0.1", 2.1), setting("lr 0.3", 2.12)],
        r"lr 0\.1 beats lr 0\.3 by 0\.0\d+ nats \(95 % interval 0\.0\d+ to 0\.0\d+\), in 1\d of 16 seeds: more than "
        r"luck \(p (=|<) 0\.\d+\)\.",
    ),
    "no difference": (
        [setting("lr 0.1", 2.1, 4), setting("lr 0.3", 2.1001, 4)],
        r"lr 0\.[13] is ahead of lr 0\.[13] by 0\.\d+ nats "
        r"\(95 % interval -0\.\d+ to 0\.\d+\), in \d of 4 seeds, but this may be luck \(p = 0\.\d+\): "
        r"about \d+ more seeds would settle a difference of this size\.",
    ),
    "hopeless": (
        [population("a", [1.0, 2.0, 3.0, 4.0]), population("b", [1.1, 1.9, 3.1, 3.9000001])],
        r".* may be luck .*: to settle a difference of this size would take more than 10,000 seeds\.",
    ),
    "a seed that changes nothing": (
        [population("n", [1.0, 1.0]), population("m", [1.25, 1.25])],
        r"n beats m by 0\.25 nats, in 2 of 2 seeds, which change nothing in either: this is no matter of luck\.",
    ),
    "equal": (
        [population("a", [1.0, 2.0]), population("b", [1.0, 2.0])],
        r"a and b have an equal validation loss in .*",
    ),
    "diverged": (
        [population("a", [1.0] * 8), population("b", [1.5, NAN] * 4)],
        r"a beats b \(by 0\.5 nats where neither diverged\), in 8 of 8 seeds, of which b diverged in 4: more than luck "
        r"\(p = 0\.008\)\.",
    ),
    "all diverged": ([population("a", [NAN, NAN]), population("b", [NAN, NAN])], r"a and b diverged in all 2 seeds .*"),
    "no pairs": ([population("a", {1: 1.0, 2: 1.1}), population("b", {3: 1.0, 4: 1.1})], r"a and b share no seed: .*"),
    "one pair": (
        [population("a", {1: 1.0, 2: 1.1}), population("b", {2: 1.2, 4: 1.3})],
        r"a and b share one seed only: .*; 1 seed of a and 1 seed of b had no partner\.",
    ),
}


@pytest.mark.parametrize("case", SAID)
def test_sentences(case: str) -> None:
    settings, pattern = SAID[case]
    for order in (settings, settings[::-1]):
        [said] = sentences(decide(order, LOSS))
        if case not in ("equal", "all diverged", "no pairs", "one pair") or order is settings:
            assert re.fullmatch(pattern, said), said


def test_of_many_settings_those_that_are_told_apart_are_counted() -> None:
    settings = [setting(f"lr {i}", 2.1 + (0.0001 if i < 3 else 0.3) * i) for i in range(12)]
    said = sentences(decide(settings, LOSS))
    assert len(said) == 2
    assert re.fullmatch(r"lr \d is told apart from 9 of the 11 other settings, and not from lr \d; lr \d\.", said[1])
    assert "corrected for 66 comparisons" in said[0]


def test_a_metric_has_no_unit_and_more_of_it_may_be_better() -> None:
    one, other = population("a", [0.9, 0.91, 0.93, 0.9]), population("b", [0.7, 0.72, 0.71, 0.72])
    verdict = decide([one, other], ACCURACY)
    assert verdict.best == "a"
    assert re.match(r"a beats b by 0\.\d+ \(95 %", sentences(verdict)[0])


@pytest.mark.parametrize("measure", [LOSS, ACCURACY])
def test_single_runs_are_no_evidence(measure: Measure) -> None:
    settings = [population("a", [0.5]), population("b", [0.7]), population("c", [0.9])]
    verdict = decide(settings, measure)
    assert (verdict.best, verdict.comparisons, sentences(verdict)) == (None, [], [])
    best = "a and b" if measure is LOSS else "c and b"
    noise = {"net on data": Noise(0.1, 4, measure, "5 runs")}
    said = single_runs(verdict, noise)
    unit = " nats" if measure is LOSS else ""
    assert said[0] == f"Single runs: a difference of 0.2{unit} between {best} is no evidence."
    assert f"two runs of one setting differ by up to 0.39{unit} in 95 % of cases" in said[1]  # 2.776 √2 0.1
    large = single_runs(verdict, {"net on data": Noise(123.0, 4, measure, "5 runs")})[1]
    assert f"standard deviation of 120{unit} (5 runs): two runs of one setting differ by up to 480{unit}" in large
    for other in (replace(measure, name="another"), replace(measure, unit="mse_loss")):
        assert single_runs(verdict, {"net on data": Noise(0.1, 4, other, "5 runs")}) == said[:1]
    assert single_runs(decide([setting("a", 1.0), setting("b", 2.0)], LOSS), noise) == []


def test_the_noise_of_settings_is_pooled_around_the_mean_of_each() -> None:
    settings = [population("a", [1.0, 1.2]), population("b", [5.0, 5.2, 5.4]), population("c", [9.0])]
    noise = pooled(settings, LOSS, "here")
    assert noise is not None
    assert noise.degrees == 3
    assert noise.sd == pytest.approx(((0.02 + 0.08) / 3) ** 0.5)
    assert pooled(settings[2:], LOSS, "here") is None


def test_noise_says_how_far_two_runs_differ() -> None:
    values = np.random.default_rng(3).standard_normal((20_000, 5))
    new = np.random.default_rng(4).standard_normal((20_000, 2))
    usual = np.array([Noise(1.0, 4, Measure(), "").usual_difference()]) * values.std(axis=1, ddof=1)
    assert float(np.mean(np.abs(new[:, 0] - new[:, 1]) <= usual)) == pytest.approx(0.95, abs=0.01)


NAMES = {
    "one": ([{"lr": "0.1"}, {"lr": "0.2"}], ["lr 0.1", "lr 0.2"]),
    "two": ([{"lr": "0.1", "model.hidden_size": "9"}] * 1, ["lr 0.1 with hidden_size 9"]),
    "three": ([{"a": "1", "b": "2", "c": "3"}], ["a 1 with b 2 and c 3"]),
    "models": ([{"model": "gru", "lr": "1"}, {"model": "mlp", "lr": "1"}], ["gru with lr 1", "mlp with lr 1"]),
    "not set": ([{"lr": "1", "clip_norm": None}, {"lr": "1", "clip_norm": "2"}], ["lr 1", "lr 1 with clip_norm 2"]),
    "alike but for what is not set": (
        [{"a": "1", "b": None}, {"a": None, "b": "1"}, {"a": "1"}],
        ["a 1 with b none", "a none with b 1", "a 1 with b none"],
    ),
    "the same last part": ([{"model.size": "1", "data.size": "2"}], ["model.size 1 with data.size 2"]),
    "nothing": ([{}], ["the only setting"]),
}


@pytest.mark.parametrize("case", NAMES)
def test_names_of_settings(case: str) -> None:
    settings, names = NAMES[case]
    assert names_of(settings) == names  # type: ignore[arg-type]


@pytest.mark.parametrize("scale", [1e-300, 1e-160, 1e160, 1e300, 2.0**1020])
@pytest.mark.parametrize("interim", [(), (4, 6, 8)])
def test_huge_and_tiny_values_are_judged_as_any(scale: float, interim: tuple[int, ...]) -> None:
    """Their squares are infinite, or 0."""

    def judged(factor: float) -> Verdict:
        values = {"a": [1.0, 2.0, 4.0, 3.0], "b": [1.5, 2.2, 4.1, 3.6], "c": [1.1, 2.4, 3.9, 3.3]}
        settings = [population(name, [value * factor for value in of]) for name, of in values.items()]
        return decide(settings, Measure(), interim=interim)

    scaled, plain = judged(scale), judged(1.0)
    for one, other in zip(scaled.comparisons, plain.comparisons, strict=True):
        assert (one.pairs.better, one.more_seeds) == (other.pairs.better, other.more_seeds)
        assert one.p == pytest.approx(other.p)
        assert one.interval == pytest.approx([scale * end for end in other.interval or ()], rel=1e-9, abs=0)
    noise, usual = pooled(scaled.settings, Measure(), ""), pooled(plain.settings, Measure(), "")
    assert noise is not None
    assert usual is not None
    assert noise.sd == pytest.approx(scale * usual.sd, rel=1e-9, abs=0)
    json.dumps(as_json(scaled), allow_nan=False)
