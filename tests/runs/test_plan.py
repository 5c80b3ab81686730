"""What a run is to be: options over a preset over the model's defaults."""

from __future__ import annotations

import dataclasses
import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from zoo import (
    AmbiguousNameError,
    DatasetSpec,
    ModelSpec,
    OptimizerSpec,
    Preset,
    Schedule,
    UnknownNameError,
    UsageError,
)
from zoo.data.loading import resolve_data_settings
from zoo.errors import ZooError
from zoo.options.run import SEED, RunOptions
from zoo.plugin.registry import Entry, Plugin, Registry
from zoo.runs.plan import RunPlan, make_plan

pytestmark = pytest.mark.usefixtures("typed")

LECTURE = Plugin("lecture", "zoo-models", "0.1.0")
OTHER = Plugin("other", "zoo-other", "1.0")
TENTH = Schedule((10,), 0.1)


def model(size: int = 200, act: str = "tanh", *, vocab_size: int = 27, generator: object = None) -> None: ...
def sgd(params: object, lr: float = 0.1) -> None: ...
def adam(params: object, lr: float = 0.1, beta: float = 0.9) -> None: ...
def names(fetch: object, year: int = 2018) -> None: ...
def planets() -> None: ...


SPECS = [
    ModelSpec(
        "mlp",
        model,
        dataset="names",
        optimizer="sgd",
        steps=5000,
        batch_size=32,
        lr=0.1,
        schedule=TENTH,
        presets={
            "notebook": Preset("as it is"),
            "lecture": Preset(steps=200_000, lr=0.2, settings={"data.shuffle_seed": 42, "model.size": 300}),
            "adam": Preset(
                dataset="planets", optimizer="adam", batch_size=64, lr=0.003, settings={"optimizer.beta": 0.5}
            ),
            "flat": Preset(schedule=Schedule()),
            "dated": Preset(settings={"data.year": 1990}),
            "text": Preset(settings={"data.format": "text", "data.split": (0.9, 1.0)}),
        },
    ),
    ModelSpec("plain", model, optimizer="adam", dataset="planets"),
    ModelSpec("bare", model, optimizer="rateless"),
    DatasetSpec("names", names, fallback="planets"),
    DatasetSpec("planets", planets),
    OptimizerSpec("sgd", sgd, lr=0.5),
    OptimizerSpec("adam", adam, lr=0.001),
    OptimizerSpec("rateless", sgd),
]


def add(registry: Registry, spec: Any, plugin: Plugin = LECTURE) -> None:
    kinds = {ModelSpec: registry.models, DatasetSpec: registry.datasets, OptimizerSpec: registry.optimizers}
    kind: Any = kinds[type(spec)]
    kind.add(Entry(spec, plugin))


@pytest.fixture
def registry() -> Registry:
    made = Registry()
    for spec in SPECS:
        add(made, spec)
    return made


Plan = Callable[..., RunPlan]


@pytest.fixture
def plan(registry: Registry) -> Plan:
    """`plan("mlp", steps=3)`."""

    def make(name: str = "mlp", **options: Any) -> RunPlan:
        return make_plan(registry, RunOptions(name, **options))

    return make


# Options over preset over model


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({}, {"steps": 5000, "batch_size": 32, "lr": 0.1, "schedule": TENTH, "preset": "notebook"}),
        ({"preset": "lecture"}, {"steps": 200_000, "batch_size": 32, "lr": 0.2, "schedule": TENTH}),
        ({"preset": "adam"}, {"steps": 5000, "batch_size": 64, "lr": 0.003}),
        ({"preset": "flat"}, {"schedule": Schedule()}),
        ({"preset": "lecture", "steps": 7, "batch_size": 5, "lr": 0.9}, {"steps": 7, "batch_size": 5, "lr": 0.9}),
        ({"steps": 7}, {"steps": 7, "batch_size": 32}),
        ({"seed": 1, "init_seed": 2, "device": "cuda:1"}, {"seed": 1, "init_seed": 2, "device": "cuda:1"}),
        ({"out": Path("x"), "plots": False, "offline": True}, {"out": Path("x"), "plots": False, "offline": True}),
        ({}, {"seed": SEED, "init_seed": SEED, "device": "auto", "out": None, "plots": True, "offline": False}),
    ],
)
def test_options_win_over_the_preset_and_that_over_the_model(
    plan: Plan, options: dict[str, Any], expected: dict[str, Any]
) -> None:
    made = plan(**options)
    assert {name: getattr(made.options, name) for name in expected} == expected


@pytest.mark.parametrize(
    ("options", "size"),
    [
        ({}, 200),
        ({"preset": "lecture"}, 300),
        ({"settings": {"model.size": "400"}}, 400),
        ({"preset": "lecture", "settings": {"model.size": 400}}, 400),
    ],
)
def test_settings_are_laid_over_each_other_the_same_way(plan: Plan, options: dict[str, Any], size: int) -> None:
    assert plan(**options).model_settings == {"size": size, "act": "tanh"}


def test_the_first_preset_is_the_default(plan: Plan) -> None:
    assert plan().options.preset == "notebook"


def test_a_model_without_presets_is_run_without_one(plan: Plan) -> None:
    assert plan("plain").options.preset is None


def test_what_zoo_fills_in_is_no_setting(plan: Plan) -> None:
    with pytest.raises(UnknownNameError, match=r"no setting 'model\.vocab_size'"):
        plan(settings={"model.vocab_size": 3})


# Learning rates


@pytest.mark.parametrize(
    ("name", "options", "lr"),
    [
        ("mlp", {}, 0.1),
        ("mlp", {"optimizer": "sgd"}, 0.1),
        ("mlp", {"optimizer": "adam"}, 0.001),
        ("mlp", {"optimizer": "adam", "lr": 0.7}, 0.7),
        ("mlp", {"optimizer": "rateless"}, 0.1),
        ("mlp", {"preset": "adam"}, 0.003),
        ("mlp", {"preset": "lecture", "optimizer": "adam"}, 0.001),
        ("plain", {}, 0.001),
        ("plain", {"optimizer": "sgd"}, 0.5),
        ("bare", {"dataset": "planets", "lr": 0.2}, 0.2),
    ],
)
def test_a_learning_rate_belongs_to_its_own_optimizer(
    plan: Plan, name: str, options: dict[str, Any], lr: float
) -> None:
    assert plan(name, **options).lr == lr


def test_where_nobody_gives_a_learning_rate_it_must_be_given(plan: Plan) -> None:
    with pytest.raises(UsageError) as caught:
        plan("bare", dataset="planets")
    assert str(caught.value) == "neither 'bare' nor 'rateless' has a default learning rate: give --lr"


def test_the_learning_rate_is_no_setting(plan: Plan) -> None:
    with pytest.raises(UsageError, match=r"the learning rate is set with --lr, not with optimizer\.lr"):
        plan(settings={"optimizer.lr": "0.5"})


def test_settings_of_a_presets_optimizer_are_its_own(plan: Plan) -> None:
    assert plan(preset="adam").optimizer_settings == {"beta": 0.5}


def test_settings_of_a_presets_optimizer_are_left_out_with_another(plan: Plan) -> None:
    assert plan(preset="adam", optimizer="sgd").optimizer_settings == {}


def test_settings_of_a_presets_dataset_are_left_out_with_another(plan: Plan) -> None:
    assert plan(preset="dated", dataset="planets").data_settings == {}


def test_the_format_of_a_presets_file_is_for_any_file(plan: Plan, tmp_path: Path) -> None:
    (tmp_path / "play.txt").write_text("to be")
    file = tmp_path / "play.txt"
    assert plan(preset="text", dataset=file).data_settings == {"format": "text", "split": (0.9, 1.0)}
    assert plan(preset="text", dataset=file, settings={"data.format": "words"}).data_settings["format"] == "words"
    assert "format" not in plan(preset="text", dataset="planets").data_settings
    with pytest.raises(UsageError, match="this preset of 'mlp' is for a file of yours: name one with --dataset FILE"):
        plan(preset="text")


# Datasets


def test_the_models_own_dataset_may_fall_back(plan: Plan) -> None:
    made = plan()
    assert isinstance(made.dataset, Entry)
    assert made.fallback is not None
    assert (made.dataset.spec.name, made.fallback.spec.name) == ("names", "planets")


@pytest.mark.parametrize("name", ["names", "zoo-models/names"])
def test_a_dataset_that_was_named_never_falls_back(plan: Plan, name: str) -> None:
    made = plan(dataset=name)
    assert isinstance(made.dataset, Entry)
    assert (made.dataset.spec.name, made.fallback) == ("names", None)


def test_a_presets_dataset_is_nobodys_choice_but_may_have_no_fallback(plan: Plan) -> None:
    assert plan(preset="adam").fallback is None


def test_a_model_without_a_dataset_needs_one(plan: Plan) -> None:
    with pytest.raises(UsageError, match="model 'bare' has no dataset of its own: name one with --dataset"):
        plan("bare", lr=0.1)


@pytest.mark.parametrize("name", ["words.txt", "./words.txt", "deep/words", "words"])
def test_a_path_to_a_file_is_a_dataset_without_fallback(plan: Plan, name: str) -> None:
    Path(name).parent.mkdir(exist_ok=True)
    Path(name).write_text("emma\n")
    made = plan(dataset=name)
    assert (made.dataset, made.fallback) == (Path(name), None)


def test_a_name_wins_over_a_file_that_is_called_the_same(plan: Plan) -> None:
    Path("names").write_text("emma\n")
    assert isinstance(plan(dataset="names").dataset, Entry)


@pytest.mark.parametrize("name", ["./names", Path("names")])
def test_a_file_that_is_called_like_a_dataset_is_reached_by_its_path(plan: Plan, name: str | Path) -> None:
    Path("names").write_text("emma\n")
    assert plan(dataset=name).dataset == Path("names")


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("nams", "no dataset 'nams'; did you mean 'names'?"),
        ("words.txt", "no file 'words.txt': name a file, or a dataset of 'zoo list datasets'"),
        ("deep/words", "no file 'deep/words': name a file"),
        ("folder", "dataset 'folder' is a folder: name a file in it"),
        ("", "the name of a file or folder is empty: give one"),
    ],
)
def test_a_dataset_that_is_neither_a_name_nor_a_file_is_explained(plan: Plan, name: str, message: str) -> None:
    Path("folder").mkdir()
    with pytest.raises(UsageError) as caught:
        plan(dataset=name)
    assert str(caught.value).startswith(message)


def test_text_from_a_file_can_be_arranged(plan: Plan) -> None:
    Path("words.txt").write_text("emma\n")
    made = plan(dataset="words.txt", settings={"data.shuffle_seed": "42", "data.split": "0.5,0.7"})
    assert made.data_settings == {"split": (0.5, 0.7), "shuffle_seed": 42}


@pytest.mark.parametrize(
    ("name", "given", "settings"),
    [
        ("names", {}, {"year": 2018}),
        ("names", {"year": "1990"}, {"year": 1990}),
        ("names", {"shuffle_seed": "none"}, {"year": 2018, "shuffle_seed": None}),
        ("planets", {}, {}),
        ("planets", {"split": [0.5, 0.6]}, {"split": (0.5, 0.6)}),
    ],
)
def test_settings_of_a_dataset_are_its_own_and_those_of_the_arrangement_that_were_given(
    registry: Registry, name: str, given: dict[str, Any], settings: dict[str, Any]
) -> None:
    assert resolve_data_settings(registry.datasets.get(name), given) == settings


# Names that clash


def test_a_model_is_trained_with_what_its_own_distribution_has(registry: Registry) -> None:
    for spec in (DatasetSpec("names", planets), OptimizerSpec("sgd", sgd), ModelSpec("theirs", model, dataset="names")):
        add(registry, spec, OTHER)
    made = make_plan(registry, RunOptions("theirs", lr=0.1))
    assert isinstance(made.dataset, Entry)
    assert (made.dataset.full_name, made.optimizer.full_name) == ("zoo-other/names", "zoo-other/sgd")


def test_a_name_that_a_person_gives_is_not_settled_by_the_models_distribution(registry: Registry) -> None:
    third = Plugin("third", "zoo-third", "1.0")
    add(registry, ModelSpec("theirs", model), OTHER)
    for plugin in (OTHER, third):
        add(registry, OptimizerSpec("own", sgd), plugin)
    with pytest.raises(AmbiguousNameError, match="optimizer called 'own': use 'zoo-other/own' or 'zoo-third/own"):
        make_plan(registry, RunOptions("theirs", optimizer="own", dataset="names"))


def test_a_built_in_name_that_a_person_gives_means_the_built_in_one(registry: Registry) -> None:
    for spec in (OptimizerSpec("sgd", sgd), ModelSpec("theirs", model)):
        add(registry, spec, OTHER)
    assert make_plan(registry, RunOptions("theirs", optimizer="sgd", lr=0.1, dataset="names")).optimizer.plugin.builtin


@pytest.mark.parametrize("optimizer", ["gone", "adam"])
def test_an_optimizer_that_a_person_names_makes_the_models_own_unnecessary(registry: Registry, optimizer: str) -> None:
    add(registry, OptimizerSpec("adam", adam), OTHER)
    third = Plugin("third", "zoo-third", "1.0")
    add(registry, ModelSpec("orphan", model, dataset="planets", optimizer=optimizer), third)
    made = make_plan(registry, RunOptions("orphan", optimizer="zoo-models/adam"))
    assert made.optimizer.full_name == "zoo-models/adam"


# Mistakes


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"preset": "notebok"}, "model 'mlp' has no preset 'notebok'; did you mean 'notebook'?"),
        ({"engine": "fast"}, "has no engine 'fast'; there are: auto, autograd"),
        ({"optimizer": "adm"}, "no optimizer 'adm'; did you mean 'adam'?"),
        ({"settings": {"training.steps": 3}}, "no setting 'training.steps': settings are model.KEY, loss.KEY, data"),
        (
            {"settings": {"size": 3}},
            "no setting 'size': settings are model.KEY, loss.KEY, data.KEY, optimizer.KEY, logger.KEY",
        ),
        ({"settings": {"model.sise": 3}}, "no setting 'model.sise'; did you mean "),
        ({"settings": {"data.yaer": 3}}, "no setting 'data.yaer'; did you mean "),
        ({"settings": {"optimizer.beta": 3}}, "no setting 'optimizer.beta'; there are none"),
        ({"settings": {"model.size": "big"}}, "'model.size' takes int, not 'big'"),
        ({"settings": {"data.fetch": 3}}, "no setting 'data.fetch'"),
        ({"settings": {"optimizer.params": 3}}, "no setting 'optimizer.params'"),
    ],
)
def test_a_mistake_is_one_sentence_that_names_the_thing(plan: Plan, options: dict[str, Any], message: str) -> None:
    with pytest.raises(UsageError) as caught:
        plan(**options)
    assert message in str(caught.value)


def test_an_unknown_model_gets_the_nearest_one(plan: Plan) -> None:
    with pytest.raises(UnknownNameError, match="no model 'mlb'; did you mean 'mlp'"):
        plan("mlb")


def test_a_preset_of_a_model_that_has_none_is_refused(plan: Plan) -> None:
    with pytest.raises(UnknownNameError, match="model 'plain' has no preset 'lecture'; there are none"):
        plan("plain", preset="lecture")


@pytest.mark.parametrize(("option", "flag"), [("steps", "--steps"), ("batch_size", "--batch-size"), ("lr", "--lr")])
@pytest.mark.parametrize("value", [0, -1, float("nan"), float("inf"), -float("inf")])
def test_steps_batch_size_and_rate_must_be_above_0(plan: Plan, option: str, flag: str, value: float) -> None:
    with pytest.raises(UsageError) as caught:
        plan(**{option: value})
    assert str(caught.value) == f"{flag} must be above 0, got {value}"


@pytest.mark.parametrize("option", ["steps", "batch_size", "seed", "init_seed", "threads", "patience"])
@pytest.mark.parametrize("value", [2.5, True, "3"])
def test_what_is_counted_must_be_a_whole_number(plan: Plan, option: str, value: object) -> None:
    with pytest.raises(UsageError) as caught:
        plan(**{option: value})
    name = (
        f"--{option.replace('_', '-')}" if value == 2.5 else option
    )  # as Python has it, where only Python can give it
    assert str(caught.value) == f"{name} must be a whole number, got {value!r}"


@pytest.mark.parametrize("value", [True, "0.1", [0.1]])
def test_a_rate_must_be_a_number(plan: Plan, value: object) -> None:
    with pytest.raises(UsageError) as caught:
        plan(lr=value)
    assert str(caught.value) == f"lr must be a number, got {value!r}"


@pytest.mark.parametrize("value", [-1, 2**64, -(2**63)])
@pytest.mark.parametrize(("option", "flag"), [("seed", "--seed"), ("init_seed", "--init-seed")])
def test_a_seed_must_be_one_that_a_generator_takes(plan: Plan, option: str, flag: str, value: int) -> None:
    with pytest.raises(UsageError) as caught:
        plan(**{option: value})
    assert str(caught.value) == f"{flag} must be from 0 to 2**64 - 1, got {value}"


@pytest.mark.parametrize("seed", [0, 2**64 - 1])
def test_the_first_and_the_last_seed_are_taken(plan: Plan, seed: int) -> None:
    assert (plan(seed=seed).options.seed, plan(init_seed=seed).options.init_seed) == (seed, seed)


@pytest.mark.parametrize("engine", ["auto", "autograd"])
def test_the_reference_engine_is_always_there(plan: Plan, engine: str) -> None:
    assert plan(engine=engine).options.engine == engine


def with_class(activation: type = dict) -> None: ...
def with_infinity(clip: float = float("inf")) -> None: ...


@pytest.mark.parametrize("factory", [with_class, with_infinity])
def test_a_default_that_no_config_can_hold_is_found_before_work_starts(
    registry: Registry, factory: Callable[..., None]
) -> None:
    add(registry, ModelSpec("odd", factory, dataset="planets", lr=0.1))
    try:
        settings = make_plan(registry, RunOptions("odd")).model_settings
    except ZooError:
        return
    json.dumps(settings, allow_nan=False)


# Schedule and clipping


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ({}, TENTH),
        ({"schedule": "constant"}, Schedule()),
        ({"schedule": "cosine", "steps": 50}, Schedule(cosine=True, ends=50)),
        ({"schedule": "cosine", "steps": 50, "warmup": 5}, Schedule(cosine=True, warmup=5, ends=50)),
        ({"schedule": "step"}, TENTH),
        ({"preset": "flat", "schedule": "step", "steps": 100}, Schedule((50, 75), ends=100)),
        ({"warmup": 7}, dataclasses.replace(TENTH, warmup=7)),
    ],
)
def test_the_schedule_is_the_users_over_the_presets(plan: Plan, given: dict[str, Any], expected: Schedule) -> None:
    assert plan(**given).schedule == expected


def test_gradients_are_clipped_where_somebody_says_so(plan: Plan) -> None:
    assert plan().options.clip_norm is None
    assert plan(clip_norm=0.5).options.clip_norm == 0.5


@pytest.mark.parametrize(
    ("options", "part"),
    [
        (
            {"schedule": "cosin"},
            "--schedule must be constant, step, cosine or package.module:function, got 'cosin'; did you mean 'cosine'?",
        ),
        ({"warmup": -1}, "--warmup must be 0 or above, got -1"),
        ({"clip_norm": 0.0}, "--clip-norm must be above 0, got 0.0"),
    ],
)
def test_a_schedule_that_makes_no_sense_is_told(plan: Plan, options: dict[str, Any], part: str) -> None:
    with pytest.raises(UsageError, match=re.escape(part)):
        plan(**options)
