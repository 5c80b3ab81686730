"""The three records by which plugins describe what they bring."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest
from conftest import run_python

from zoo import DatasetSpec, ModelSpec, OptimizerSpec, Preset, Schedule

KINDS: list[type[Any]] = [ModelSpec, DatasetSpec, OptimizerSpec]

each_kind = pytest.mark.parametrize("kind", KINDS)


@each_kind
@pytest.mark.parametrize("name", ["x", "mlp-char", "names-ssa-2018", "gpt2.small", "a_b", "3d"])
def test_a_name_has_lower_case_letters_digits_and_a_few_signs(kind: type[Any], name: str) -> None:
    assert kind(name, "package.module:attribute").name == name


@each_kind
@pytest.mark.parametrize(
    "name", ["", "MLP", "a b", "a/b", "-a", ".a", "_a", "a\n", "é", "a:b", "zoo-models/a", None, 3], ids=repr
)
def test_any_other_name_is_refused_by_value(kind: type[Any], name: object) -> None:
    with pytest.raises(ValueError, match="a name is made of lower-case letters") as caught:
        kind(name, "package.module:attribute")
    assert repr(name) in str(caught.value)


@each_kind
@pytest.mark.parametrize("factory", ["module:attribute", "package.module:Class.method", "_a._b:_c", dict, len])
def test_a_factory_is_a_path_or_a_callable(kind: type[Any], factory: object) -> None:
    assert kind("x", factory).factory is factory


@each_kind
@pytest.mark.parametrize(
    "factory", ["", "module", "module:", ":attribute", "a:b:c", "a b:c", "../a:b", "a/b:c", "1a:b", None, 3], ids=repr
)
def test_any_other_factory_is_refused_by_value(kind: type[Any], factory: object) -> None:
    with pytest.raises(ValueError, match=r"must be 'package\.module:attribute' or callable") as caught:
        kind("x", factory)
    assert repr(factory) in str(caught.value)


@pytest.mark.parametrize("field", ["steps", "batch_size", "lr"])
@pytest.mark.parametrize("value", [0, -1, -0.5, float("nan"), float("inf")])
@pytest.mark.parametrize("kind", [ModelSpec, Preset])
def test_numbers_of_a_run_must_be_positive(kind: type[Any], field: str, value: float) -> None:
    named = {"name": "x", "factory": "m:f"} if kind is ModelSpec else {}
    with pytest.raises(ValueError, match=f"{field} must be "):
        kind(**named, **{field: value})


@pytest.mark.parametrize("lr", [0, -1, float("nan"), float("inf")])
def test_an_optimizers_rate_must_be_positive(lr: float) -> None:
    with pytest.raises(ValueError, match="lr must be above 0"):
        OptimizerSpec("x", "m:f", lr=lr)


def test_rates_may_be_left_out() -> None:
    assert (ModelSpec("x", "m:f").lr, OptimizerSpec("x", "m:f").lr, Preset().lr) == (None, None, None)


def test_a_model_reads_windows_unless_it_says_otherwise() -> None:
    assert ModelSpec("x", "m:f").reads == "windows"


def test_a_third_way_of_reading_is_refused() -> None:
    with pytest.raises(ValueError, match="reads must be 'windows' or 'sequences', got 'letters'"):
        ModelSpec("x", "m:f", reads="letters")  # type: ignore[arg-type]


def test_shipped_weights_are_a_package_and_a_path() -> None:
    with pytest.raises(ValueError, match=r"weights must be 'package:path', got 'weights\.safetensors'"):
        ModelSpec("x", "m:f", weights="weights.safetensors")


@each_kind
def test_a_spec_cannot_be_changed(kind: type[Any]) -> None:
    spec = kind("x", "m:f")
    with pytest.raises(dataclasses.FrozenInstanceError):
        spec.name = "y"


@each_kind
def test_specs_with_the_same_fields_are_equal(kind: type[Any]) -> None:
    assert kind("x", "m:f", summary="s") == kind("x", "m:f", summary="s")


def test_the_example_of_the_contract_can_be_written_as_it_stands() -> None:
    spec = ModelSpec(
        "trigram",
        "zoo_trigram.model:Trigram",
        summary="Softmax table over two characters",
        dataset="names",
        optimizer="sgd",
        steps=2000,
        batch_size=64,
        lr=1.0,
    )
    assert (spec.schedule, spec.presets, spec.weights) == (Schedule(), {}, None)


def test_making_specs_imports_neither_torch_nor_what_they_name() -> None:
    script = (
        "import sys, zoo\n"
        "zoo.ModelSpec('x', 'nowhere.at_all:Model'); zoo.DatasetSpec('x', 'nowhere:data')\n"
        "zoo.OptimizerSpec('x', 'torch.optim:AdamW', lr=1e-3)\n"
        "assert not {'torch', 'numpy', 'matplotlib', 'requests'} & set(sys.modules), sorted(sys.modules)\n"
    )
    done = run_python("-c", script)
    assert (done.returncode, done.stderr) == (0, "")
