"""Ranges of values that a search may try."""

from __future__ import annotations

import pytest

from zoo.options.interval import Interval


@pytest.mark.parametrize(
    ("text", "low", "high", "logarithmic", "whole"),
    [
        ("0.001..1", 0.001, 1, True, False),
        ("1e-4..1e-1", 1e-4, 0.1, True, False),
        ("50..400", 50, 400, False, True),
        ("50..500", 50, 500, True, True),
        ("0..0.5", 0, 0.5, False, False),
        ("-1..1", -1, 1, False, True),
        (" .5 .. 2. ", 0.5, 2.0, False, False),
        ("1_000..20_000", 1000, 20000, True, True),
    ],
)
def test_a_range_is_read_with_its_scale(text: str, low: float, high: float, logarithmic: bool, whole: bool) -> None:
    interval = Interval.parse(text)
    assert interval == (low, high)
    assert (interval.logarithmic, interval.whole) == (logarithmic, whole)
    assert Interval.parse(str(interval)) == interval


@pytest.mark.parametrize("text", ["", "1", "..", "1..", "../data", "a..b", "1..2..3", "1,2..3", "0x1..2", "nan..1"])
def test_what_is_no_range_is_none(text: str) -> None:
    assert Interval.parse(text) is None


@pytest.mark.parametrize("text", ["1..1", "2..1", "1..1e999", "-1e999..0"])
def test_ends_that_are_no_range_are_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"with LOW below HIGH, as in 0\.001\.\.1, not "):
        Interval.parse(text)
