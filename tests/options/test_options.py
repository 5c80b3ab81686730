"""The records of options: what is checked, what is filled in, and that nothing is declared twice."""

from __future__ import annotations

import dataclasses
import inspect
import json
import re
import shlex
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from conftest import Zoo

import zoo
from zoo.cli.commands.resume import command as resume_command
from zoo.cli.commands.run import command as run_command
from zoo.cli.options import given
from zoo.errors import CheckpointError, UnknownNameError, UsageError
from zoo.options.declaration import declared, filled, problems
from zoo.options.run import ResumeOptions, RunOptions
from zoo.options.schedule import Schedule
from zoo.options.sweep import SweepOptions, options_of_members
from zoo.options.training import TrainingOptions
from zoo.options.values import convert_fields, fits
from zoo.plugin.manager import load_plugins
from zoo.plugin.registry import Registry
from zoo.runs.describe import recorded
from zoo.runs.plan import RunPlan, make_plan
from zoo.storage.card import command
from zoo.storage.config import RunConfig

OPTIONS = declared(RunOptions)
RECORDED = [name for name, one in OPTIONS.items() if one.option.recorded]


# One declaration, many places


def test_the_command_has_each_option_and_no_other() -> None:
    own = {"model", "as_json", "quiet", "debug"}
    assert {p.name for p in run_command.params} - own == set(OPTIONS)
    assert {p.name for p in resume_command.params} - {"run", "as_json", "quiet", "debug"} == set(
        declared(ResumeOptions)
    )
    shown = {one.flag for one in OPTIONS.values() if one.option.renamed is None}
    assert shown <= {name for p in run_command.params if not getattr(p, "hidden", False) for name in p.opts}


def test_python_has_each_option_with_its_type_and_no_old_name() -> None:
    parameters = inspect.signature(zoo.run).parameters
    assert set(parameters) == {"model", "observer", "keep"} | {
        n for n, one in OPTIONS.items() if one.option.renamed is None
    }
    assert parameters["steps"].annotation == (int | None)


def test_a_sweep_has_the_options_of_its_members_and_its_own() -> None:
    parameters = inspect.signature(zoo.sweep).parameters
    assert {"model", "observer", *options_of_members(), *declared(SweepOptions)} - {"share"} == set(parameters)
    assert not {"teacher", "run", "share"} & set(parameters)
    assert parameters["lr"].annotation == (float | Sequence[Any] | None)
    assert parameters["device"].annotation == (str | None)
    assert parameters["seeds"].kind is inspect.Parameter.KEYWORD_ONLY
    with pytest.raises(TypeError, match="'share'"):  # which is for the processes of a job array
        zoo.sweep("mlp-char", share="1/2")


def test_presets_and_specs_have_the_same_fields() -> None:
    training = {field.name for field in dataclasses.fields(TrainingOptions)}
    for record in (zoo.Preset, zoo.ModelSpec):
        assert training <= {field.name for field in dataclasses.fields(record)}


def test_a_config_has_each_recorded_option(finished_run: Path) -> None:
    config = json.loads((finished_run / "config.json").read_text())
    assert list(config["training"]) == RECORDED
    assert RunConfig.read(config, finished_run).options.steps == 200


def test_what_a_resumption_may_change_is_an_option_of_a_run() -> None:
    assert set(declared(ResumeOptions)) - set(OPTIONS) == {"allow_changes"}


def test_every_option_has_a_help_of_one_sentence() -> None:
    for record in (RunOptions, ResumeOptions):
        for one in declared(record).values():
            assert one.option.renamed is not None or re.fullmatch(r"[A-Z].*\.|.*\d0s\.", one.option.help), one.name


# Values

WRONG: list[tuple[dict[str, Any], str]] = [
    ({"steps": 0}, "steps must be above 0, got 0"),
    ({"steps": "3"}, "steps must be a whole number, got '3'"),
    ({"lr": True}, "lr must be a number, got True"),
    ({"seed": 2**64}, f"seed must be from 0 to 2**64 - 1, got {2**64}"),
    ({"plots": "no"}, "plots must be true or false, got 'no'"),
    ({"settings": 3}, "settings must be a mapping such as {'model.hidden_size': 300}, got 3"),
    ({"settings": {1: 2}}, "no setting 1: settings are model.KEY"),
    (
        {"dataset": 5},
        "dataset must be a dataset's name, a file, a list of words, or a dataset such as a zoo.TextDataset, got 5",
    ),
    ({"schedule": 3}, "schedule must be text or Schedule or a function, got 3"),
    ({"schedule": Schedule()}, "schedule must be a name; a Schedule or a function is for a model's spec or a preset"),
    (
        {"schedule": "cosin"},
        "schedule must be constant, step, cosine or package.module:function, got 'cosin'; did you mean 'cosine'?",
    ),
    ({"precision": "half"}, "precision must be float32 or bfloat16, got 'half'"),
    ({"checkpoint_every": "x"}, "checkpoint_every takes steps"),
]


@pytest.mark.parametrize(("options", "message"), WRONG, ids=lambda value: str(value)[:40])
def test_a_wrong_value_is_one_message(words_file: Path, options: dict[str, Any], message: str) -> None:
    with pytest.raises(UsageError) as caught:
        zoo.run("mlp-char", **{"dataset": words_file, "steps": 1, **options})
    assert str(caught.value).startswith(message)
    assert not Path("runs").exists()


@pytest.mark.parametrize("options", [{"schedule": "cosin"}, {"precision": "half"}])
def test_an_unknown_choice_is_an_unknown_name(options: dict[str, Any]) -> None:
    with pytest.raises(UnknownNameError):
        zoo.run("mlp-char", **options)


def test_an_unknown_argument_is_pythons_own_error_with_the_functions_name() -> None:
    with pytest.raises(TypeError, match=r"^run\(\) got an unexpected keyword argument 'step'"):
        zoo.run("mlp-char", step=5)  # type: ignore[call-arg]
    with pytest.raises(TypeError, match=r"^resume\(\) got an unexpected keyword argument 'lr'"):
        zoo.resume("x", lr=5)  # type: ignore[call-arg]
    with pytest.raises(UsageError, match="model must be a name, got 5"):
        zoo.run(5)  # type: ignore[arg-type]


def test_steps_between_checkpoints_may_be_a_number(words_file: Path) -> None:
    run = zoo.run("mlp-char", dataset=words_file, device="cpu", steps=2, plots=False, checkpoint_every=1)
    assert len(zoo.resume(run.path, steps=4, plots=False, checkpoint_every=1).step_losses) == 4


def test_a_whole_number_for_a_rate_is_recorded_as_on_the_command_line(words_file: Path, zoo_here: Zoo) -> None:
    run = zoo.run("mlp-char", dataset=words_file, device="cpu", steps=1, lr=1, plots=False, out="a")
    zoo_here("run", "mlp-char", "--dataset", words_file, "--device", "cpu", "--steps", 1, "--lr", 1, "--out", "b")
    assert repr(run.config["training"]["lr"]) == "1.0"
    assert Path("a/config.json").read_bytes() == Path("b/config.json").read_bytes()


def test_what_is_not_given_comes_from_the_next_record_that_has_it() -> None:
    mine, preset = RunOptions("x", steps=5), zoo.Preset(steps=7, lr=0.5, settings={"model.size": 1})
    made = filled(mine, preset, zoo.ModelSpec("x", "m:f", batch_size=3))
    assert (made.steps, made.lr, made.batch_size, made.precision) == (5, 0.5, 3, "float32")
    assert made.settings is None  # a preset's settings are no option


@pytest.mark.parametrize(
    ("value", "kind", "expected"),
    [("a", str, True), ("a", str | None, True), ("1", int, False), ("abc", tuple[str, ...], False), (1, float, True)],
)
def test_text_is_not_parsed_where_a_value_is_checked(value: object, kind: Any, expected: bool) -> None:
    assert fits(value, kind) is expected


def test_a_field_of_another_type_is_refused() -> None:
    with pytest.raises(ValueError, match=r"gamma must be float, got '0\.1'"):
        convert_fields(Schedule, {"gamma": "0.1"})


def test_no_default_is_a_wrong_value() -> None:
    assert not list(problems(RunOptions("x")))
    assert not list(problems(ResumeOptions()))


# A config from anyone


@pytest.mark.parametrize("name", [name for name in RECORDED if name not in ("schedule", "synthetic")])
def test_no_option_may_be_an_object(finished_run: Path, name: str) -> None:
    """An object names what a plugin provides, and only one option takes that."""
    config = json.loads((finished_run / "config.json").read_text())
    config["training"][name] = {"name": "b", "plugin": {"distribution": "a", "version": "1"}}
    with pytest.raises(CheckpointError, match=rf"damaged config: 'training\.{name}' must be"):
        RunConfig.read(config, finished_run)


# The card's command

PRESETS = [
    (entry.spec.name, preset)
    for entry in load_plugins()[0].models
    if entry.plugin.builtin
    for preset in entry.spec.presets
]


@pytest.mark.parametrize(("model", "preset"), PRESETS)
@pytest.mark.parametrize("more", [[], ["--synthetic-share", "0"], ["--warmup", "0"]], ids=" ".join)
def test_the_cards_command_plans_the_same_run(
    finished_run: Path, words_file: Path, registry: Registry, model: str, preset: str, more: list[str]
) -> None:
    def plan_of(line: list[str]) -> RunPlan:
        parameters = run_command.make_context("run", line).params
        return make_plan(registry, given(RunOptions, parameters, model=parameters["model"]))

    plan = plan_of([model, "--dataset", str(words_file), "--preset", preset, *more])
    config = json.loads((finished_run / "config.json").read_text())
    config["model"] |= {"name": model, "plugin": _origin(plan.model), "hyperparameters": plan.model_settings}
    config["dataset"] |= {"name": str(words_file), "plugin": None, "settings": plan.data_settings}
    config["optimizer"] = {
        "name": plan.optimizer.spec.name,
        "plugin": _origin(plan.optimizer),
        "hyperparameters": plan.optimizer_settings,
    }
    config["training"] = recorded(plan.options)
    if plan.synthetic is not None:
        config["training"]["synthetic"] = {"name": plan.synthetic.spec.name, "plugin": _origin(plan.synthetic)}
    again = plan_of(shlex.split(command(config))[2:])
    assert recorded(again.options) == recorded(plan.options)
    assert again.model_settings == plan.model_settings
    assert again.optimizer_settings == plan.optimizer_settings


def _origin(entry: Any) -> dict[str, str]:
    return {"distribution": entry.plugin.distribution, "version": entry.plugin.version}
