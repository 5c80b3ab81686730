"""Schedules that are functions, of a person or of a model's plugin; a checkpoint never causes one to be imported."""

from __future__ import annotations

import importlib
import json
import math
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from conftest import Zoo
from dropping import install
from torch import Tensor, nn

import zoo
from zoo import Schedule
from zoo.options.run import RunOptions
from zoo.options.training import TrainingOptions
from zoo.plugin.manager import load_plugins
from zoo.runs.plan import RunPlan, make_plan

FUNCTIONS = """
import math, itertools
counter = itertools.count(1)

def cosine(step, steps):
    return (1 + math.cos(math.pi * step / steps)) / 2

def inverse(step):
    return 1 / (1 + step)

def keywords(*, steps, step, power=2.0):
    return (1 - step / steps) ** power

def numpys(step):
    import numpy
    return numpy.float64(0.5)

def whole(step): return 1
def nan(step): return float("nan")
def infinite(step): return float("inf")
def negative(step): return -0.5
def text(step): return "0.5"
def none(step): return None
def true(step): return True
def late(step): return 1.0 if step < 15 else math.nan
def raising(step): raise ZeroDivisionError("division by zero")
def exiting(step): raise SystemExit(0)
def counting(step): return next(counter)
def drawing(step):
    import torch
    return float(torch.rand(()))
def setting(step):
    import torch
    torch.set_default_dtype(torch.float64)
    return 1.0
def no_step(steps): return 1.0
def required(step, gamma): return 1.0
number = 3
class Warm:
    def __call__(self, step, steps): return 1.0
warm = Warm()
"""
MODULE = "people_schedules"


def ramp(step: int, steps: int) -> float:
    return (step + 1) / steps


class Net(nn.Module):
    context_length = 2

    def __init__(self, vocab_size: int, generator: torch.Generator | None = None) -> None:
        super().__init__()
        self.W = nn.Parameter(torch.randn(2, vocab_size, vocab_size, generator=generator))

    def forward(self, x: Tensor) -> Tensor:
        logits: Tensor = self.W[torch.arange(2), x].sum(1)
        return logits


def spec(name: str, **options: Any) -> zoo.ModelSpec:
    return zoo.ModelSpec(name, Net, optimizer="sgd", **{"lr": 0.1, "steps": 20, **options})


class Plugin:
    @zoo.hookimpl
    def zoo_models(self) -> list[zoo.ModelSpec]:
        return [
            spec("plain"),
            spec("by-path", schedule=f"{MODULE}:cosine"),
            spec("by-function", schedule=ramp),
            spec("in-a-schedule", schedule=Schedule(function=ramp, warmup=4)),
            spec("missing", schedule=f"{MODULE}:gone"),
            spec("failing", schedule=f"{MODULE}:nan"),
            spec("by-preset", presets={"a": zoo.Preset(schedule=f"{MODULE}:inverse"), "b": zoo.Preset()}),
        ]


@pytest.fixture(autouse=True)
def functions(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A module of a person's schedules that can be imported, and is not imported yet."""
    install(monkeypatch, Plugin(), "zoo-rates")
    (tmp_path / "site").mkdir()
    (tmp_path / "site" / f"{MODULE}.py").write_text(FUNCTIONS)
    monkeypatch.syspath_prepend(str(tmp_path / "site"))
    importlib.invalidate_caches()
    yield
    sys.modules.pop(MODULE, None)


@pytest.fixture
def train(words_file: Path) -> Callable[..., Any]:
    def train(model: str = "plain", out: str = "run", **options: Any) -> Any:
        given = {"dataset": str(words_file), "device": "cpu", "plots": False, "out": out, **options}
        return zoo.run(model, **given)

    return train


def plan(model: str, **options: Any) -> RunPlan:
    return make_plan(load_plugins()[0], RunOptions(model, dataset="names-ssa-2018", **options))


def rates(planned: RunPlan) -> list[float]:
    return [planned.schedule.lr(planned.lr, step) for step in range(planned.steps)]


GOOD: dict[str, Callable[[int, int], float]] = {
    "cosine": lambda step, steps: (1 + math.cos(math.pi * step / steps)) / 2,
    "inverse": lambda step, steps: 1 / (1 + step),
    "keywords": lambda step, steps: (1 - step / steps) ** 2.0,
    "numpys": lambda step, steps: 0.5,
    "whole": lambda step, steps: 1.0,
    "warm": lambda step, steps: 1.0,
}


@pytest.mark.parametrize("name", GOOD)
def test_a_function_gives_the_factor_of_the_rate_at_each_step(name: str) -> None:
    planned = plan("plain", schedule=f"{MODULE}:{name}", lr=0.2)
    assert rates(planned) == [0.2 * GOOD[name](step, 20) for step in range(20)]


def test_a_warmup_rises_to_what_the_function_says() -> None:
    planned = plan("plain", schedule=f"{MODULE}:cosine", warmup=5)
    wanted = [0.1 * GOOD["cosine"](step, 20) for step in range(20)]
    assert rates(planned) == [rate * (step + 1) / 5 if step < 5 else rate for step, rate in enumerate(wanted)]


@pytest.mark.parametrize(
    ("model", "options", "path", "warmup"),
    [
        ("by-path", {}, f"{MODULE}:cosine", 0),
        ("by-function", {}, f"{__name__}:ramp", 0),
        ("in-a-schedule", {}, f"{__name__}:ramp", 4),
        ("in-a-schedule", {"warmup": 2}, f"{__name__}:ramp", 2),
        ("in-a-schedule", {"schedule": f"{MODULE}:cosine"}, f"{MODULE}:cosine", 4),
        ("in-a-schedule", {"schedule": "constant"}, None, 4),
        ("by-preset", {}, f"{MODULE}:inverse", 0),
        ("by-preset", {"preset": "b"}, None, 0),
        ("by-path", {"schedule": "cosine"}, None, 0),
    ],
)
def test_the_function_is_the_users_or_else_the_presets_or_the_specs(
    model: str, options: dict[str, Any], path: str | None, warmup: int
) -> None:
    planned = plan(model, **options)
    assert isinstance(planned.options.schedule, Schedule)
    recorded = planned.options.schedule
    assert (recorded.function, recorded.warmup, planned.schedule.warmup) == (path, warmup, warmup)
    assert callable(planned.schedule.function) is (path is not None)
    assert len(rates(planned)) == 20


RETURNS = "it must return the factor of the peak learning rate, a finite number of 0 or above"
ARGUMENTS = "it is called as function(step, steps), where 'steps' may be left out"
BAD = {
    "nan": f"returns nan for step 0: {RETURNS}",
    "infinite": f"returns inf for step 0: {RETURNS}",
    "negative": f"returns -0.5 for step 0: {RETURNS}",
    "text": f"returns '0.5' for step 0: {RETURNS}",
    "none": f"returns None for step 0: {RETURNS}",
    "true": f"returns True for step 0: {RETURNS}",
    "late": f"returns nan for step 19: {RETURNS}",
    "raising": "fails for step 0: ZeroDivisionError: division by zero",
    "exiting": "fails for step 0: SystemExit: 0",
    "counting": "returns 1 for step 0, and then 3",
    "drawing": "it must depend on the step alone",
    "no_step": f"has no argument 'step': {ARGUMENTS}",
    "required": f"has the argument 'gamma': {ARGUMENTS}",
    "number": "is not a function",
    "gone": "cannot be imported: AttributeError: ",
}


@pytest.mark.parametrize("name", BAD)
def test_a_function_that_is_none_is_told_in_one_line_before_the_run(zoo_here: Zoo, words_file: Path, name: str) -> None:
    path = f"{MODULE}:{name}"
    done = zoo_here("run", "plain", "--dataset", words_file, "--schedule", path, "--out", "run")
    assert done.code == (2 if name in ("no_step", "required", "number", "gone") else 1)
    [line] = done.err.splitlines()
    assert path in line
    assert BAD[name].replace("returns 1 for step 0, and then 3", "returns 1.0 for step 0, and then 3.0") in line
    assert not Path("run").exists()


@pytest.mark.parametrize(("model", "part"), [("missing", "cannot be imported"), ("failing", "returns nan for step 0")])
def test_a_models_own_function_that_fails_names_its_plugin(
    zoo_here: Zoo, words_file: Path, model: str, part: str
) -> None:
    done = zoo_here("run", model, "--dataset", words_file)
    assert done.code == 1
    [line] = done.err.splitlines()
    assert "plugin zoo-rates 1.0" in line
    assert part in line


@pytest.mark.parametrize(
    "path", ["nowhere_at_all:f", "people schedules:f", "a:b:c", ":f", "a:", "../x:y", "a/b:c", "cosin"]
)
def test_a_path_that_leads_nowhere_is_wrong_usage(zoo_here: Zoo, words_file: Path, path: str) -> None:
    done = zoo_here("run", "plain", "--dataset", words_file, "--schedule", path)
    assert done.code == 2
    assert len(done.err.splitlines()) == 1
    assert path in done.err


def test_what_a_function_sets_of_torch_is_undone() -> None:
    with pytest.warns(UserWarning, match=r"changes settings of torch for all, which was undone: the default dtype"):
        plan("plain", schedule=f"{MODULE}:setting")
    assert torch.get_default_dtype() == torch.float32


def test_a_function_that_fails_later_saves_what_was_trained(train: Callable[..., Any]) -> None:
    source = sys.path[0] + f"/{MODULE}.py"
    Path(source).write_text(FUNCTIONS + "\ndef middle(step): return math.nan if 5 <= step < 9 else 1.0\n")
    with pytest.raises(
        zoo.PluginError, match=r"middle' returns nan for step 5: .*; the checkpoint of step \d is in run"
    ):
        train(schedule=f"{MODULE}:middle")


def test_the_config_and_the_card_have_its_name(train: Callable[..., Any]) -> None:
    run = train(schedule=f"{MODULE}:cosine", warmup=3)
    recorded = json.loads((run.path / "config.json").read_text())["training"]["schedule"]
    assert recorded == {
        "milestones": [],
        "gamma": 0.1,
        "warmup": 3,
        "cosine": False,
        "final": 0.0,
        "ends": 20,
        "function": f"{MODULE}:cosine",
    }
    assert f"--schedule {MODULE}:cosine --warmup 3" in (run.path / "README.md").read_text()


# Resuming


def forget() -> None:
    sys.modules.pop(MODULE, None)


def stopped(train: Callable[..., Any], monkeypatch: pytest.MonkeyPatch, model: str, **options: Any) -> None:
    """A run that was stopped halfway, whose functions nobody has imported since."""
    steps = iter(range(8))
    with monkeypatch.context() as patch:
        patch.setattr("zoo.training.signals.StopRequests.__bool__", lambda self: next(steps, None) is None)
        patch.setattr("zoo.training.signals.StopRequests.raise_at_once", lambda self, error: _interrupt())
        with pytest.raises(zoo.InterruptedRunError):
            train(model, "run", **options)
    forget()


def _interrupt() -> None:
    raise zoo.InterruptedRunError("stopped", 15)


GIVEN = ["--schedule", f"{MODULE}:cosine"]


@pytest.mark.parametrize(
    ("model", "options", "given"),
    [
        ("plain", {"schedule": f"{MODULE}:cosine"}, GIVEN),
        ("by-path", {}, []),
        ("by-path", {}, GIVEN),
        ("by-function", {}, []),
        ("in-a-schedule", {}, []),
        ("by-preset", {}, []),
    ],
)
def test_a_resumed_run_ends_with_the_same_bytes(
    train: Callable[..., Any],
    monkeypatch: pytest.MonkeyPatch,
    zoo_here: Zoo,
    model: str,
    options: dict[str, Any],
    given: list[str],
) -> None:
    whole = train(model, "whole", **options)
    stopped(train, monkeypatch, model, **options)
    done = zoo_here("resume", "run", "--no-plots", *given)
    assert done.code == 0, done.err
    for name in ("model.safetensors", "losses.csv"):
        assert (Path("run") / name).read_bytes() == (whole.path / name).read_bytes()


def test_a_checkpoint_alone_never_causes_an_import(
    train: Callable[..., Any], monkeypatch: pytest.MonkeyPatch, zoo_here: Zoo
) -> None:
    """Though the function is there, and the same person has trained with it."""
    stopped(train, monkeypatch, "plain", schedule=f"{MODULE}:cosine")
    done = zoo_here("resume", "run")
    assert done.code == 1
    [line] = done.err.splitlines()
    assert "which is not imported because a checkpoint names it: give it with --schedule" in line
    assert zoo_here("resume", "run", "--allow-changes").code == 1
    for command in ("eval", "sample", "verify"):
        assert zoo_here(command, "run").code == 0
    zoo.load("run")
    assert MODULE not in sys.modules


@pytest.mark.parametrize("allowed", [False, True])
def test_an_edited_config_causes_no_import_either(
    train: Callable[..., Any], monkeypatch: pytest.MonkeyPatch, zoo_here: Zoo, allowed: bool
) -> None:
    stopped(train, monkeypatch, "plain")
    path = Path("run/config.json")
    config = json.loads(path.read_text())
    config["training"]["schedule"] |= {"function": f"{MODULE}:cosine", "ends": 20}
    path.write_text(json.dumps(config))
    assert zoo_here("resume", "run", *["--allow-changes"] * allowed).code == 1
    assert MODULE not in sys.modules
    done = zoo_here("resume", "run", "--no-plots", *GIVEN, *["--allow-changes"] * allowed)
    assert done.code == (0 if allowed else 1)


@pytest.mark.parametrize("function", [3, "cosine", "os.system", "a:b:c", "../a:b", ["a:b"], {"a": "b"}, True])
def test_what_is_no_path_is_a_damaged_config(train: Callable[..., Any], zoo_here: Zoo, function: object) -> None:
    train(steps=3)
    path = Path("run/config.json")
    config = json.loads(path.read_text())
    config["training"]["schedule"]["function"] = function
    path.write_text(json.dumps(config))
    done = zoo_here("resume", "run", "--steps", "5", "--allow-changes")
    assert done.code == 1
    assert "'training.schedule' is not a schedule" in done.err


def test_another_schedule_is_another_run_unless_that_is_allowed(
    train: Callable[..., Any], monkeypatch: pytest.MonkeyPatch, zoo_here: Zoo
) -> None:
    stopped(train, monkeypatch, "plain", schedule=f"{MODULE}:cosine")
    other = ["--schedule", f"{MODULE}:inverse", "--no-plots"]
    done = zoo_here("resume", "run", *other)
    assert done.code == 1
    assert f"training.schedule.function: {MODULE}:cosine then, {MODULE}:inverse now" in done.err
    assert zoo_here("resume", "run", *other, "--allow-changes").code == 0
    recorded = json.loads(Path("run/config.json").read_text())["training"]["schedule"]
    assert recorded["function"] == f"{MODULE}:inverse"


def test_a_run_that_is_extended_keeps_the_end_of_its_function(train: Callable[..., Any], zoo_here: Zoo) -> None:
    train("by-function")
    assert zoo_here("resume", "run", "--steps", "30", "--no-plots").code == 0
    assert json.loads(Path("run/config.json").read_text())["training"]["schedule"]["ends"] == 20


def test_from_python_a_function_is_for_specs_and_presets(train: Callable[..., Any]) -> None:
    with pytest.raises(zoo.UsageError, match="schedule must be a name; a Schedule or a function is for a model's spec"):
        train(schedule=ramp)
    assert issubclass(zoo.Preset, TrainingOptions)
