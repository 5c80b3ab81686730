"""`--seconds`: a run that its time ends can be resumed, and made again exactly by the steps that it had."""

from __future__ import annotations

import csv
import json
import re
import shlex
import shutil
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from conftest import Zoo

import zoo
from zoo.options.run import ResumeOptions, RunOptions
from zoo.options.schedule import Schedule
from zoo.plugin.registry import Registry
from zoo.runs.clock import Clock
from zoo.runs.listing.comparing import repetitions
from zoo.runs.listing.record import read_run
from zoo.runs.observer import Observer
from zoo.runs.plan import make_plan
from zoo.runs.result import Run
from zoo.runs.runner import RunContext, execute, resume
from zoo.storage.folder import STATE_FILE, RunFolder
from zoo.storage.state import load as load_state
from zoo.testing.bench import Quiet

NET = {"model.hidden_size": 4, "model.embedding_dim": 2}
LIMIT_S = 4.0


class Ticking:
    """A clock that goes on by an eighth of a second whenever it is read, so that no test depends on the machine."""

    def __init__(self) -> None:
        self.time = 0.0

    def __call__(self) -> float:
        self.time += 0.125
        return self.time


@pytest.fixture(autouse=True)
def words() -> None:
    Path("words.txt").write_text("".join(f"{a}{b}{c}\n" for a in "abeln" for b in "abeln" for c in "ab"))


Train = Callable[..., Run]


@pytest.fixture
def train(registry: Registry) -> Train:
    """A run on a ticking clock: `train("out", seconds=4.0)`."""

    def run(out: str, observer: Observer | None = None, **options: Any) -> Run:
        common = {"dataset": "words.txt", "device": "cpu", "engine": "manual", "plots": False, "settings": NET}
        plan = make_plan(registry, RunOptions("mlp-char", out=out, **{**common, **options}))
        return execute(plan, observer or Quiet(), context=RunContext(clock=Clock(Ticking())))

    return run


@pytest.fixture
def go_on(registry: Registry) -> Train:
    """Resume a run on a ticking clock: `go_on("out", seconds=8.0)`."""

    def run(path: str, observer: Observer | None = None, **options: Any) -> Run:
        given = ResumeOptions(plots=False, **options)
        return resume(Path(path), registry, given, observer or Quiet(), context=RunContext(clock=Clock(Ticking())))

    return run


class Stop(Quiet):
    """Asks the run to stop after some reports."""

    def __init__(self, after: int) -> None:
        self._left = after

    def progress(self, step: int, steps: int, loss: float) -> None:
        self._left -= 1
        if self._left == 0:
            signal.raise_signal(signal.SIGINT)


ENDED: dict[str, dict[str, Any]] = {
    "by time alone": {},
    "before its steps": {"steps": 100_000},
    "a cosine over more steps": {"steps": 100_000, "schedule": "cosine"},
    "a cosine over steps of its own": {"schedule": "cosine", "schedule_steps": 30},
    "steps down over more steps": {"preset": "tuned", "steps": 100, "schedule": "step"},
    "warm-up": {"warmup": 5, "optimizer": "adam", "engine": "autograd"},
    "evaluations": {"validate_every": 3},
    "stopped early": {"validate_every": 2, "patience": 1, "lr": 1e-9},
}


@pytest.mark.parametrize("case", ENDED)
def test_the_command_of_its_card_makes_it_again(case: str, train: Train, zoo_here: Zoo) -> None:
    run = train("timed", seconds=LIMIT_S, **ENDED[case])
    config = run.config["training"]
    assert (config["steps"], config["seconds"]) == (run.metrics["steps"], LIMIT_S)
    assert run.metrics["seconds_limit"] == LIMIT_S
    assert len(run.step_losses) == run.metrics["steps"] > 3
    assert json.loads(Path("timed/config.json").read_text()) == json.loads(json.dumps(run.config))
    [command] = re.findall(r"^\$ zoo (run .*)$", Path("timed/README.md").read_text(), re.MULTILINE)
    assert f"--steps {run.metrics['steps']} " in command
    assert "--seconds" not in command
    outcome = zoo_here(*shlex.split(command), "--no-plots", "--out", "again", "--json")
    assert outcome.code == 0, outcome.err
    again = outcome.result
    for key in run.metrics.keys() - {"seconds", "seconds_limit", "run_dir", "sha256"}:
        assert again[key] == run.metrics[key], key
    assert again["seconds_limit"] is None
    assert Path("again/losses.csv").read_bytes() == Path("timed/losses.csv").read_bytes()
    assert zoo_here("verify", "timed").code == 0


def test_without_a_limit_nothing_is_recorded(train: Train) -> None:
    run = train("plain", steps=3)
    assert (run.config["training"]["seconds"], run.metrics["seconds_limit"]) == (None, None)
    assert load_state(Path("plain") / STATE_FILE).seconds == 0.0


def test_steps_that_are_done_before_end_it(train: Train) -> None:
    run = train("steps", seconds=1000.0, steps=7)
    assert run.metrics["steps"] == run.config["training"]["steps"] == 7


def test_the_default_number_of_steps_does_not_end_it(registry: Registry) -> None:
    for preset in ("notebook", "lecture"):
        options = RunOptions("mlp-char", dataset="words.txt", seconds=5, preset=preset)
        plan = make_plan(registry, options)
        assert (plan.most_steps, plan.options.seconds) == (None, 5.0)
        assert isinstance(plan.options.seconds, float)


REFUSED: dict[str, tuple[str, dict[str, Any], str]] = {
    "none": ("mlp-char", {"seconds": 0}, "must be above 0"),
    "negative": ("mlp-char", {"seconds": -1.5}, "must be above 0"),
    "endless": ("mlp-char", {"seconds": float("inf")}, "must be above 0"),
    "text": ("mlp-char", {"seconds": "60"}, "must be a number"),
    "a cosine": ("mlp-char", {"seconds": 5, "schedule": "cosine"}, "'cosine' depends .*: give steps, too"),
    "a preset's cosine": (
        "mlp-char",
        {"seconds": 5, "preset": "tuned"},
        "'cosine' depends .*, or schedule=\"constant\"",
    ),
    "a function": ("mlp-char", {"seconds": 5, "schedule": "math:fmod"}, "'math:fmod' depends .*: give steps, too"),
    "snapshots": ("mlp-char", {"seconds": 5, "snapshots": 3}, "snapshots are spread over the steps .*: give steps"),
    "a fitted model": ("ngram", {"seconds": 5}, "fitted to its data, and not trained: leave out seconds"),
    "steps of no schedule": ("mlp-char", {"schedule": "constant", "schedule_steps": 9}, "same for any number of steps"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_cannot_be_is_refused_with_what_to_give(case: str, registry: Registry) -> None:
    model, options, message = REFUSED[case]
    with pytest.raises(zoo.UsageError, match=message):
        make_plan(registry, RunOptions(model, dataset="words.txt", **options))


def test_a_cosine_may_fall_over_other_steps_than_the_runs(registry: Registry) -> None:
    options = RunOptions("mlp-char", dataset="words.txt", steps=50, schedule="cosine", schedule_steps=80)
    assert make_plan(registry, options).schedule == Schedule(cosine=True, ends=80)


def test_an_extended_cosine_is_made_again_by_its_card(train: Train, go_on: Train, zoo_here: Zoo) -> None:
    train("longer", steps=10, schedule="cosine")
    go_on("longer", steps=15)
    [command] = re.findall(r"^\$ zoo (run .*)$", Path("longer/README.md").read_text(), re.MULTILINE)
    assert zoo_here(*shlex.split(command), "--no-plots", "--out", "again").code == 0
    assert Path("longer/losses.csv").read_bytes() == Path("again/losses.csv").read_bytes()


def assert_used_the_rest(run: Run, before: float) -> None:
    """It was trained for what was left of its time after `before` seconds, and not for all of it once more."""
    assert 1.0 < before < LIMIT_S
    assert LIMIT_S - before <= run.metrics["seconds"]["train"] < LIMIT_S - before + 0.9
    assert LIMIT_S <= load_state(run.path / STATE_FILE).seconds < LIMIT_S + 0.9


@pytest.mark.parametrize("options", [{}, {"steps": 100_000}])
def test_an_interrupted_run_goes_on_with_what_is_left(options: dict[str, int], train: Train, go_on: Train) -> None:
    with pytest.raises(zoo.InterruptedRunError, match=r"at step \d+( of 100000)? \(\d\.\d of 4 seconds\); .*resume"):
        train("part", Stop(3), seconds=LIMIT_S, **options)
    state = load_state(Path("part") / STATE_FILE)
    assert json.loads(Path("part/config.json").read_text())["training"]["steps"] == options.get("steps")
    assert read_run("part", Path("part")).state == "stopped"
    run = go_on("part")
    assert run.resumed_at == state.step < run.metrics["steps"] == run.config["training"]["steps"]
    assert_used_the_rest(run, state.seconds)
    alone = train("alone", steps=run.metrics["steps"])
    assert run.step_losses == alone.step_losses
    assert run.metrics["weights_sha256"] == alone.metrics["weights_sha256"]


def test_a_killed_run_goes_on_with_what_its_last_checkpoint_left(train: Train, go_on: Train) -> None:
    write, count = RunFolder.write_checkpoint, 0

    def copied(folder: RunFolder, *args: Any) -> None:
        nonlocal count
        write(folder, *args)
        count += 1
        if count == 3:  # as a kill at this moment would leave it
            shutil.copytree(folder.path, "killed")

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(RunFolder, "write_checkpoint", copied)
        train("whole", seconds=LIMIT_S, checkpoint_every=2)
    left = load_state(Path("killed") / STATE_FILE)
    assert left.step == 4
    run = go_on("killed")
    assert_used_the_rest(run, left.seconds)
    assert run.config["training"]["steps"] == run.metrics["steps"] > 4


def test_a_signal_after_the_last_step_leaves_the_evaluation_to_do(train: Train, go_on: Train) -> None:
    class AtTheEnd(Quiet):
        def progress(self, step: int, steps: int, loss: float) -> None:
            if step == steps:
                signal.raise_signal(signal.SIGINT)

    with pytest.raises(zoo.InterruptedRunError, match="before its evaluation"):
        train("part", AtTheEnd(), seconds=LIMIT_S)
    step = load_state(Path("part") / STATE_FILE).step
    run = go_on("part")
    assert (run.resumed_at, run.metrics["steps"], run.config["training"]["steps"]) == (step, step, step)


def test_a_finished_run_goes_on_with_more_seconds_or_more_steps(train: Train, go_on: Train) -> None:
    first = train("run", seconds=LIMIT_S, schedule="constant").metrics["steps"]
    for options, message in (
        ({}, r"has been trained for 4\.\d seconds: give a larger seconds, or steps, to continue"),
        ({"seconds": 3.5}, "seconds=3.5 is not more"),
        ({"steps": first}, f"steps={first} is not more"),
    ):
        with pytest.raises(zoo.UsageError, match=message):
            go_on("run", **options)
    second = go_on("run", seconds=8.0)
    assert first < second.metrics["steps"] == second.config["training"]["steps"]
    assert second.metrics["seconds_limit"] == 8.0
    steps = second.metrics["steps"] + 500  # more than its time would allow
    third = go_on("run", steps=steps)
    assert (third.metrics["steps"], third.metrics["seconds_limit"]) == (steps, None)
    assert third.step_losses == train("alone", steps=steps, schedule="constant").step_losses


def test_a_run_of_steps_goes_on_for_some_seconds(train: Train, go_on: Train) -> None:
    train("run", steps=10)
    run = go_on("run", seconds=2.0)
    assert run.metrics["steps"] == run.config["training"]["steps"] > 10
    with pytest.raises(zoo.InterruptedRunError):
        train("part", Stop(2), steps=100_000)
    run = go_on("part", seconds=2.0, steps=100_000)
    assert 1 < run.metrics["steps"] < 100_000


def test_a_cosine_that_has_ended_says_so_of_further_seconds(train: Train, go_on: Train) -> None:
    class Heard(Quiet):
        def warning(self, text: str) -> None:
            said.append(text)

    said: list[str] = []
    train("run", steps=10, schedule="cosine")
    go_on("run", Heard(), seconds=1.0)
    assert [text for text in said if "for a cosine over more steps, train anew" in text]


def test_how_many_steps_followed_from_the_time_is_no_setting(train: Train, zoo_here: Zoo) -> None:
    train("a", seconds=LIMIT_S, seed=1)
    train("b", seconds=LIMIT_S, seed=2)
    changed = json.loads(Path("b/config.json").read_text())
    changed["training"]["steps"] += 7  # as on a faster machine
    Path("b/config.json").write_text(json.dumps(changed))
    runs = [read_run(name, Path(name)) for name in "ab"]
    assert [run.state for run in runs] == ["finished", "finished"]
    assert all("steps" not in run.settings and run.settings["seconds"] == LIMIT_S for run in runs)
    assert [len(group.runs) for group in repetitions(runs)] == [2]
    found = zoo_here("compare", "a", "b", "--json").result
    assert [one["setting"] for one in found["differences"]] == ["seed"]
    header = next(csv.reader(zoo_here("runs", ".", "--csv").out.splitlines()))
    assert len(header) == len(set(header))
    assert {"seconds", "seconds_limit"} <= set(header)


@pytest.mark.parametrize("wrong", [-1.0, True, "4", [4.0], None])
def test_a_time_that_cannot_be_is_damage(wrong: object, train: Train, zoo_here: Zoo) -> None:
    from forging import forge

    from zoo.storage import checkpoint

    train("run", seconds=LIMIT_S)
    stored = checkpoint.load(Path("run") / STATE_FILE)
    meta = {key: stored.meta[key] for key in stored.meta if key not in ("format", "sha256", "meta_sha256")}
    assert meta["seconds"] >= LIMIT_S
    forge(Path("run") / STATE_FILE, dict(stored.tensors), {**meta, "seconds": wrong})
    outcome = zoo_here("resume", "run", "--seconds", 9)
    assert (outcome.code, outcome.err.count("\n")) == (1, 1)
    assert "seconds of training" in outcome.err


def test_keep_false_ends_by_time_too(registry: Registry) -> None:
    options = RunOptions("mlp-char", dataset="words.txt", device="cpu", seconds=LIMIT_S, settings=NET)
    run = execute(make_plan(registry, options), Quiet(), keep=False, context=RunContext(clock=Clock(Ticking())))
    assert run.config["training"]["steps"] == run.metrics["steps"] > 4


def test_a_tiny_real_one(zoo_here: Zoo) -> None:
    common = ["--dataset", "words.txt", "--device", "cpu", "--no-plots", "--json"]
    done = zoo_here("run", "mlp-char", "--seconds", "0.2", *common)
    assert done.code == 0, done.err
    assert done.result["steps"] > 0
    assert done.result["seconds"]["train"] >= 0.2
    assert done.result["seconds_limit"] == 0.2
    run = zoo.run("mlp-char", dataset="words.txt", device="cpu", keep=False, seconds=0.1)
    assert torch.isfinite(torch.tensor(run.step_losses)).all()


def test_members_of_a_sweep_end_by_time_and_are_made_again_by_their_steps() -> None:
    common: dict[str, Any] = {"dataset": "words.txt", "device": "cpu", "engine": "manual", "settings": NET}
    zoo.sweep("mlp-char", seeds=2, seconds=0.05, out="sweep", **common)
    for seed in (1, 2):
        member = zoo.load(Path("sweep") / f"000{seed}")
        steps = member.metrics["steps"]
        assert (member.config["training"]["steps"], member.config["training"]["seconds"]) == (steps, 0.05)
        alone = zoo.run("mlp-char", steps=steps, seed=seed, init_seed=seed, threads=1, keep=False, **common)
        assert alone.metrics["weights_sha256"] == member.metrics["weights_sha256"]
