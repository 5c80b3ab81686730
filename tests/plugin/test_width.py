"""The setting that makes a model larger."""

from __future__ import annotations

from typing import Any

import pytest

from zoo import ModelSpec, PluginError, UsageError
from zoo.plugin.registry import Entry, Plugin
from zoo.plugin.width import scaled, width_of

pytestmark = pytest.mark.usefixtures("typed")  # messages as at the command line

SETTINGS: dict[str, Any] = {"hidden_size": 200, "layers": (64, 32), "rate": 0.5, "flag": True, "none": ()}


def entry(width: str | None) -> Entry[ModelSpec]:
    return Entry(ModelSpec("net", "m:f", width=width), Plugin("net", "zoo-net", "1.0"))


def test_a_width_is_a_whole_number_or_several() -> None:
    assert width_of(entry("hidden_size"), SETTINGS) == 200
    assert width_of(entry("layers"), SETTINGS) == [64, 32]


def test_a_width_is_multiplied_and_never_below_one() -> None:
    assert [scaled(200, factor) for factor in (1 / 8, 1, 4)] == [25, 200, 800]
    assert scaled([64, 3], 0.1) == [6, 1]


def test_a_model_without_a_width_is_told_how_to_give_sizes() -> None:
    with pytest.raises(UsageError, match=r"^model 'net' does not say .*: give sizes with --set model.KEY=SIZE,SIZE"):
        width_of(entry(None), SETTINGS)


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("hiden_size", "no setting 'hiden_size', its spec's 'width'; did you mean 'hidden_size'"),
        ("rate", "whole numbers above 0, got 0.5"),
        ("flag", "whole numbers above 0, got True"),
        ("none", "whole numbers above 0, got ()"),
    ],
)
def test_a_width_that_is_none_is_the_plugins_fault(name: str, said: str) -> None:
    with pytest.raises(PluginError) as caught:
        width_of(entry(name), SETTINGS)
    assert said in str(caught.value)
