"""A checkpoint may state a setting of any size: each model is then made, or refuses it, in no time."""

from __future__ import annotations

import contextlib
import time
from pathlib import Path

import pytest
from forging import changer, refusal

import zoo
from zoo import ZooError
from zoo.plugin.manager import load_plugins
from zoo.plugin.settings import resolve_settings, signature_of
from zoo.storage.bounds import building
from zoo.training.building import build_model

REGISTRY = load_plugins()[0]
OFFERED = {"vocab_size": 27, "max_length": 16}
SECONDS = 8.0  # of this process; the slowest takes one

NUMBERS = [
    (name, setting)
    for name in REGISTRY.models.names()
    for setting, of in signature_of(REGISTRY.models.get(name)).settings.items()
    if "int" in str(of.annotation) or "float" in str(of.annotation)
]


@pytest.mark.parametrize("value", [30_000_000])
@pytest.mark.parametrize(("model", "setting"), NUMBERS, ids=lambda value: str(value))
def test_a_setting_of_any_size_costs_no_time(model: str, setting: str, value: int) -> None:
    """Also where neither memory nor torch is asked for: a power of such a number is a number of millions of digits."""
    entry = REGISTRY.models.get(model)
    offered = {name: OFFERED[name] for name in signature_of(entry).inputs if name in OFFERED}
    before = time.process_time()
    with contextlib.suppress(ZooError), building(Path("x"), 10_000, 10):
        build_model(entry, {**resolve_settings(entry, {setting: value}), **offered}, 1)
    assert time.process_time() - before < SECONDS


@pytest.mark.parametrize("value", [2**63, 2**64 - 1])
def test_a_size_that_torch_cannot_count_is_damage(tmp_path: Path, words_file: Path, value: int) -> None:
    run = zoo.run("bow", dataset=words_file, steps=1, out=tmp_path / "bow", plots=False, device="cpu")
    assert "'model.inputs' does not fit" in refusal(changer(run.path)("model.inputs.max_length", value))
