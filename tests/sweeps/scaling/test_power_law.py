"""A power law is found where there is one, and refused where the losses do not support it."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from zoo.sweeps.scaling.power_law import PowerLaw, fit_power_law

SIZES = [1_000, 2_000, 4_000, 8_000, 16_000, 32_000]


def losses(
    law: Callable[[float], float], sd: float, seeds: int = 3, seed: int = 0, sizes: list[int] = SIZES
) -> list[list[float]]:
    generator = np.random.default_rng(seed)
    return [[law(size) + sd * generator.normal() for _ in range(seeds)] for size in sizes]


@pytest.mark.parametrize("exponent", [0.1, 0.3, 0.5, 1.0, 2.0])
@pytest.mark.parametrize("offset", [0.0, 0.5, 2.0])
def test_an_exact_law_is_found(exponent: float, offset: float) -> None:
    law = fit_power_law(SIZES, losses(PowerLaw(exponent, None, offset, 300.0), sd=0.0, seeds=1))
    assert isinstance(law, PowerLaw)
    assert law.exponent == pytest.approx(exponent, rel=1e-3)
    assert law.offset == pytest.approx(offset, abs=2e-3)
    assert law.scale == pytest.approx(300, rel=1e-2)
    assert law.interval is None
    assert law(4_000) == pytest.approx(offset + (4_000 / 300) ** -exponent, abs=1e-5)


@pytest.mark.parametrize(("seeds", "least"), [(3, 0.82), (8, 0.88)])
def test_the_interval_has_the_exponent_about_as_often_as_it_says(seeds: int, least: float) -> None:
    """95 % in the long run; with few seeds, a few less: a bootstrap of three seeds knows little of their spread."""
    found = [
        fit_power_law(SIZES, losses(PowerLaw(0.5, None, 2.0, 500.0), sd=0.01, seeds=seeds, seed=number))
        for number in range(100)
    ]
    laws = [law for law in found if isinstance(law, PowerLaw)]
    assert len(laws) > 95
    within = [law.interval is not None and law.interval[0] <= 0.5 <= law.interval[1] for law in laws]
    assert least <= sum(within) / len(within) <= 0.99


def test_the_same_losses_give_the_same_interval() -> None:
    values = losses(PowerLaw(0.5, None, 2.0, 500.0), sd=0.01)
    assert fit_power_law(SIZES, values) == fit_power_law(SIZES, values)


@pytest.mark.parametrize(
    ("law", "sd", "sizes", "said"),
    [
        (lambda p: 2 + (p / 300) ** -0.5, 0.0, SIZES[:3], "needs 4 sizes with a result, and there are 3"),
        (lambda p: 2.0, 0.01, SIZES, "the loss does not fall with the size"),
        (lambda p: 2 + p / 1e5, 0.001, SIZES, "the loss does not fall with the size"),
        (lambda p: 2 + abs(np.log10(p) - 3.9), 0.001, SIZES, "the loss rises again beyond 8,000 parameters"),
        (lambda p: 2 + (p < 3_000), 0.001, SIZES, "the losses do not follow a power law: it leaves 21% of"),
        (lambda p: 5 - np.log10(p), 0.001, SIZES, "the losses do not follow a power law"),
        (lambda p: 2 + (p / 300) ** -0.5, 0.2, SIZES, "the exponent is not determined: its 95 % interval"),
        (
            lambda p: 3 - (p // 9_000) - 0.0001 * p / 9_000,
            0.0001,
            SIZES,
            "the exponent is not determined: the loss falls",
        ),
    ],
)
def test_what_is_no_power_law_is_refused_with_the_reason(
    law: Callable[[float], float], sd: float, sizes: list[int], said: str
) -> None:
    found = fit_power_law(sizes, losses(law, sd, sizes=sizes))
    assert isinstance(found, str), found
    assert said in found
