"""The four records by which plugins describe what they bring."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest
from conftest import Zoo, run_python
from dropping import install

import zoo
from zoo import DatasetSpec, LoggerSpec, ModelSpec, OptimizerSpec, Preset, Schedule

KINDS: list[type[Any]] = [ModelSpec, DatasetSpec, OptimizerSpec, LoggerSpec]

each_kind = pytest.mark.parametrize("kind", KINDS)

VALUES: dict[str, Any] = {
    "None": None,
    "true": True,
    "0": 0,
    "3": 3,
    "-1": -1,
    "2.5": 2.5,
    "NaN": float("nan"),
    "infinity": float("inf"),
    "empty": "",
    "text": "text",
    "Two Words": "Two Words",
    "cosine": "cosine",
    "windows": "windows",
    "auto": "auto",
    "float32": "float32",
    "m:f": "m:f",
    "bytes": b"text",
    "list": ["text"],
    "tuple": ("text",),
    "words": ("Two Words",),
    "numbers": (3,),
    "mapping": {},
    "to text": {"text": "text"},
    "to a number": {"text": 3},
    "of numbers": {3: "m:f"},
    "to a path": {"text": "m:f"},
    "upper case": {"Text": "m:f"},
    "of auto": {"auto": "m:f"},
    "setting": {"model.size": 3},
    "old setting": {"model.size": "model.width"},
    "setting of data": {"data.size": "data.width"},
    "no setting": {"size": 3},
    "no section": {"net.size": 3},
    "no key": {"model.": 3},
    "to NaN": {"model.size": float("nan")},
    "to an object": {"model.size": object()},
    "to a mapping": {"preset": {"steps": 3}},
    "to a preset": {"preset": Preset()},
    "object": object(),
    "schedule": Schedule(),
    "function": min,
}
_TEXTS = ["empty", "text", "Two Words", "cosine", "windows", "auto", "float32", "m:f"]
_NAMES = ["None", "text", "cosine", "windows", "auto", "float32"]  # an option's text is looked up when it is used
ACCEPTED: dict[str, list[str]] = {  # of all values, by field: each other one must be refused
    "summary": _TEXTS,
    "description": _TEXTS,
    "references": ["tuple", "words"],
    "fallback": _NAMES,
    "reads": ["windows"],
    "embedding": ["None", *_TEXTS[1:]],
    "width": ["None", "text", "cosine", "windows", "auto", "float32"],
    "presets": ["mapping", "to a preset"],
    "engines": ["mapping", "to a path"],
    "populations": ["mapping"],
    "elementwise": ["true"],
    "fitted": ["tuple"],
    "weights": ["None", "m:f"],
    "renamed": ["mapping", "old setting"],
    "settings": ["mapping", "setting", "old setting", "setting of data"],
    "dataset": ["None", *_TEXTS],
    "optimizer": ["None", *_TEXTS],
    "synthetic": ["None", *_TEXTS],
    "teacher": ["None", *_TEXTS],
    "engine": ["None", *_TEXTS],
    "steps": ["None", "3"],
    "batch_size": ["None", "3"],
    "lr": ["None", "3", "2.5"],
    "schedule": ["None", "cosine", "schedule", "m:f", "function"],
    "warmup": ["None", "0", "3"],
    "clip_norm": ["None", "3", "2.5"],
    "validate_every": ["None", "3"],
    "patience": ["None", "3"],
    "synthetic_share": ["None", "0"],
    "teacher_share": ["None", "0"],
    "precision": ["None", "float32"],
    "compile": ["None", "true"],
    "monitor": ["None", *_TEXTS],
    "loss": ["None", "m:f", "function"],
    "generate": ["None", "m:f", "function"],
    "metrics": ["None", "mapping", "to a path", "upper case", "of auto"],
    "milestones": ["numbers"],
    "gamma": ["3", "2.5"],
    "cosine": ["true"],
    "final": ["0"],
    "ends": ["None", "3"],
    "function": ["None", "m:f", "function"],
}
NAMED: dict[type[Any], dict[str, str]] = {kind: {"name": "zz", "factory": "m:f"} for kind in KINDS}
FIELDS = [
    (kind, field.name)
    for kind in (*KINDS, Preset, Schedule)
    for field in dataclasses.fields(kind)
    if field.name not in ("name", "factory")
]


@pytest.mark.parametrize(("kind", "field"), FIELDS, ids=[f"{kind.__name__}.{field}" for kind, field in FIELDS])
def test_a_field_holds_what_it_may_and_every_other_value_is_refused_by_name(kind: type[Any], field: str) -> None:
    accepted = set(ACCEPTED[field]) - ({"None"} if kind is Schedule and field == "warmup" else set())
    for label, value in VALUES.items():
        if label in accepted:
            kind(**NAMED.get(kind, {}), **{field: value})
            continue
        with pytest.raises(ValueError, match=field.replace("teacher", "synthetic")) as caught:  # its name now
            kind(**NAMED.get(kind, {}), **{field: value})
        who = {Preset: "a preset: ", Schedule: ""}.get(kind, f"{getattr(kind, 'kind', '')} 'zz': ")
        assert str(caught.value).startswith(who), label
        assert len(str(caught.value).splitlines()) == 1, label


@pytest.mark.parametrize(
    ("field", "presets", "told"),
    [
        ({"renamed": {"old": "new"}}, {}, "renamed must have settings"),
        ({"renamed": {"old": "new"}}, {"new": Preset()}, None),
        ({}, {"Two Words": Preset()}, "a key of presets must be a name"),
    ],
)
def test_fields_of_a_model_fit_each_other(field: dict[str, Any], presets: dict[str, Preset], told: str | None) -> None:
    if told is None:
        ModelSpec("zz", "m:f", presets=presets, **field)
        return
    with pytest.raises(ValueError, match=f"model 'zz': .*{told}"):
        ModelSpec("zz", "m:f", presets=presets, **field)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("field", ["summary", "references"])
def test_a_wrong_field_fails_its_plugin_alone_in_one_line(
    kind: type[Any], field: str, zoo_here: Zoo, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Plugin:
        @zoo.hookimpl
        def zoo_models(self) -> list[ModelSpec]:
            return [ModelSpec("fine", "m:f"), kind("zz", "m:f", **{field: None})]

    install(monkeypatch, Plugin(), "zoo-wrong")
    outcome = zoo_here("list", "--json")
    [line] = outcome.err.splitlines()
    assert f"plugin zoo-wrong 1.0 was skipped: ValueError: {kind.kind} 'zz': {field} must be" in line
    names = [model["name"] for model in outcome.result["models"]]
    assert "mlp-char" in names
    assert "fine" not in names


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
