"""Validation on the way: the best weights are kept, training may stop early, and a run that is resumed knows it all."""

from __future__ import annotations

import csv
import importlib.util
import json
import math
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor, nn

import zoo
from zoo.cli.state import State
from zoo.data.examples import TensorExamples
from zoo.errors import CheckpointError
from zoo.options.schedule import CONSTANT
from zoo.plugin.manager import load_plugins
from zoo.plugin.registry import Entry, Plugin
from zoo.runs.result import Run
from zoo.storage import checkpoint, state
from zoo.storage.folder import RunFolder
from zoo.storage.losses import read_evaluations
from zoo.training.evaluation import evaluate
from zoo.training.loop import Training, train
from zoo.training.validation import Validation, evaluations_since_best

Zoo = Callable[..., Any]
needs_numba = pytest.mark.skipif(importlib.util.find_spec("numba") is None, reason="numba is not installed")
FILES = ("model.safetensors", "training_state.safetensors", "losses.csv", "validation.csv", "config.json", "README.md")


TURN, EVERY = 40, 7  # so that of all evaluations the one after 42 steps has the lowest loss
BEST = 42


class Parabola(nn.Module):
    """A model whose validation loss after each step is prescribed: it falls until `turn` steps are done, then rises.

    `Counting` makes `steps` the number of steps done. The logit of the end of a word is so large that the loss rises
    with it: after `turn` steps it is lowest, and any two evaluations are apart by far more than rounding.
    """

    context_length = 3

    def __init__(self, vocab_size: int, turn: int = TURN) -> None:
        super().__init__()
        self.steps = nn.Parameter(torch.zeros(1))
        self.turn = turn
        self.vocab_size = vocab_size

    def forward(self, x: Tensor) -> Tensor:
        logit = 4 + ((self.steps - self.turn) / 8) ** 2
        return torch.cat([logit, torch.zeros(self.vocab_size - 1)]).expand(len(x), -1)


class Counting(torch.optim.Optimizer):
    """Adds the learning rate to each parameter, whatever its gradient."""

    def __init__(self, params: Any, lr: float = 1.0) -> None:
        super().__init__(params, {"lr": lr})

    def step(self, closure: Any = None) -> Any:
        for group in self.param_groups:
            for parameter in group["params"]:
                parameter.data += group["lr"]


@pytest.fixture
def prescribed(words_file: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Run]:
    """`prescribed(60, "a")`: a run of `Parabola` of so many steps in folder `a`. The commands know the model, too."""
    plugin = Plugin("parabola", "zoo-parabola", "1.0")
    model = zoo.ModelSpec("parabola", Parabola, dataset="names", optimizer="counting", lr=1.0)

    def load(*args: Any, **kwargs: Any) -> Any:
        registry, statuses = load_plugins(*args, **kwargs)
        registry.models.add(Entry(model, plugin))
        registry.optimizers.add(Entry(zoo.OptimizerSpec("counting", Counting, lr=1.0), plugin))
        return registry, statuses

    monkeypatch.setattr("zoo.api.load_plugins", load)
    monkeypatch.setattr(State, "registry", property(lambda _: load()[0]))

    def run(steps: int, out: str, turn: int = TURN, **more: Any) -> Run:
        options: dict[str, Any] = {"validate_every": EVERY, "settings": {"model.turn": turn}, **more}
        return zoo.run("parabola", dataset=words_file, device="cpu", steps=steps, out=out, plots=False, **options)

    return run


@pytest.fixture
def trained(words_file: Path) -> Callable[..., Run]:
    """`trained(60, "a")`: a run of the lecture's net, so many steps in folder `a`."""

    def run(steps: int, out: str, **more: Any) -> Run:
        options = {"validate_every": EVERY, "lr": 0.5, **more}
        return zoo.run("mlp-char", dataset=words_file, device="cpu", steps=steps, out=out, plots=False, **options)

    return run


def linear(features: int) -> nn.Linear:
    """Weights of 0, and nothing drawn."""
    layer = nn.Linear(features, 2, device="meta").to_empty(device="cpu")
    with torch.no_grad():
        layer.weight.zero_()
        layer.bias.zero_()
    return layer


def looks(path: Path) -> list[tuple[int, float]]:
    with (path / "validation.csv").open() as file:
        rows = list(csv.reader(file))
    assert rows[0] == ["step", "loss"]
    return [(int(step), float(loss)) for step, loss in rows[1:]]


def assert_same(first: Path, second: Path) -> None:
    assert not [name for name in FILES if (first / name).read_bytes() != (second / name).read_bytes()]


# What is seen, and what is kept


def test_each_look_is_the_loss_of_that_step(trained: Callable[..., Run]) -> None:
    path = trained(30, "a").path
    seen = looks(path)
    assert [step for step, _ in seen] == [7, 14, 21, 28]
    for step, loss in seen[:2]:
        alone = trained(step, f"alone-{step}", validate_every=None)
        assert alone.losses["val"] == loss


def test_the_best_weights_are_kept_and_what_is_reported_is_theirs(prescribed: Callable[..., Run]) -> None:
    run = prescribed(300, "a")
    seen = dict(looks(run.path))
    assert run.metrics["best"] == {"step": BEST, "loss": seen[BEST]}
    assert run.losses["val"] == seen[BEST] == min(seen.values())
    assert run.metrics["steps"] == 300
    assert load_file(run.path / "model.safetensors")["steps"].tolist() == [BEST]
    assert run.model.state_dict()["steps"].tolist() == [BEST]
    assert zoo.load(run.path).step == BEST
    assert f"trained for 300 steps (the best weights are those after {BEST})" in (run.path / "README.md").read_text()


def test_the_weights_kept_are_those_of_a_run_that_ends_there(trained: Callable[..., Run]) -> None:
    run = trained(60, "a")
    best = run.metrics["best"]["step"]
    alone = trained(best, "alone", validate_every=None)
    wanted, kept = load_file(alone.path / "model.safetensors"), load_file(run.path / "model.safetensors")
    assert all(torch.equal(kept[name], wanted[name]) for name in wanted)
    assert all(torch.equal(tensor, run.model.state_dict()[name]) for name, tensor in kept.items())


@pytest.mark.parametrize(("turn", "best"), [(1000, 20), (14, 14)])
def test_the_last_weights_get_a_chance_too(prescribed: Callable[..., Run], turn: int, best: int) -> None:
    run = prescribed(20, "a", turn)
    assert [step for step, _ in looks(run.path)] == [7, 14]
    assert run.metrics["best"]["step"] == best
    assert zoo.load(run.path).step == best


def test_validation_changes_nothing_in_training(trained: Callable[..., Run]) -> None:
    assert trained(50, "a").step_losses == trained(50, "b", validate_every=None).step_losses


def test_dropout_sees_the_same_numbers(words_file: Path) -> None:
    runs = [
        zoo.run(
            "lstm",
            dataset=words_file,
            device="cpu",
            steps=12,
            out=f"run-{every}",
            plots=False,
            validate_every=every,
            settings={"model.n_embd2": 8, "model.dropout": 0.3},
        )
        for every in (None, 5)
    ]
    assert runs[0].step_losses == runs[1].step_losses


@pytest.mark.parametrize("engine", ["manual", pytest.param("fused", marks=needs_numba)])
def test_faster_engines_validate_at_the_same_steps(engine: str, trained: Callable[..., Run]) -> None:
    assert [step for step, _ in looks(trained(30, "a", engine=engine).path)] == [7, 14, 21, 28]


def test_the_picture_has_each_look(trained: Callable[..., Run], zoo_here: Zoo) -> None:
    run = trained(30, "a")
    assert read_evaluations(run.path / "validation.csv") == looks(run.path)
    assert zoo_here("plot", run.path, "loss", "--format", "svg").code == 0
    with_looks = (run.path / "loss.svg").read_bytes()
    (run.path / "validation.csv").unlink()
    assert read_evaluations(run.path / "validation.csv") == []
    assert zoo_here("plot", run.path, "loss", "--format", "svg").code == 0
    assert (run.path / "loss.svg").read_bytes() != with_looks
    (run.path / "validation.csv").write_text("step,loss\n7,?\n")
    done = zoo_here("plot", run.path, "loss")
    assert done.code == 1
    assert "a/validation.csv is damaged: line 2 is not a step and a loss" in done.err


# Patience


@pytest.mark.parametrize(
    ("losses", "since"),
    [([], 0), ([1.0], 0), ([1.0, 2.0], 1), ([2.0, 1.0, 1.0, 3.0], 2), ([math.nan, math.inf], 2), ([math.nan, 5.0], 0)],
)
def test_evaluations_since_best(losses: list[float], since: int) -> None:
    assert evaluations_since_best(losses) == since


def test_training_stops_when_the_patience_ends(prescribed: Callable[..., Run]) -> None:
    run = prescribed(10_000, "a", patience=3)
    assert [step for step, _ in looks(run.path)] == [*range(EVERY, BEST + 1, EVERY), 49, 56, 63]
    assert run.metrics["steps"] == len(run.step_losses) == 63
    assert run.metrics["best"]["step"] == BEST


def test_a_run_that_stopped_early_has_ended(prescribed: Callable[..., Run], zoo_here: Zoo) -> None:
    run = prescribed(10_000, "a", patience=2)
    done = zoo_here("resume", run.path, "--steps", 20_000)
    assert done.code == 2
    assert "ended the run in a at step 56" in done.err
    assert done.err.count("\n") == 1


def test_a_run_killed_as_it_stopped_early_is_evaluated(prescribed: Callable[..., Run]) -> None:
    run = prescribed(10_000, "a", patience=2)
    before = (run.path / "metrics.json").read_text()
    (run.path / "metrics.json").unlink()
    resumed = zoo.resume(run.path, plots=False)
    assert resumed.step_losses == run.step_losses
    assert json.loads(before)["losses"] == resumed.losses


# Going on


@pytest.mark.parametrize("first", [3, 7, 20, BEST, 45, 150])
def test_stop_and_resume_gives_the_bytes_of_one_go(prescribed: Callable[..., Run], first: int) -> None:
    whole = prescribed(300, "whole")
    prescribed(first, "parts")
    resumed = zoo.resume("parts", steps=300, plots=False)
    assert resumed.metrics["best"] == whole.metrics["best"]
    assert_same(resumed.path, whole.path)


def test_stop_and_resume_gives_the_bytes_of_one_go_for_a_net(trained: Callable[..., Run]) -> None:
    whole = trained(60, "whole")
    trained(20, "parts")
    assert_same(zoo.resume("parts", steps=60, plots=False).path, whole.path)


def test_patience_goes_on_where_it_was(prescribed: Callable[..., Run]) -> None:
    whole = prescribed(10_000, "whole", patience=3)
    folder = Path("parts")
    shutil.copytree(prescribed(53, "short", patience=3).path, folder)  # one evaluation since the best
    resumed = zoo.resume(folder, steps=10_000, plots=False)
    assert_same(resumed.path, whole.path)


@pytest.mark.parametrize("change", ["steps", "losses", "best", "missing", "best_step"])
def test_a_damaged_log_is_refused(trained: Callable[..., Run], change: str) -> None:
    path = trained(30, "a").path / "training_state.safetensors"
    stored = checkpoint.load(path)
    if change == "steps":
        stored.tensors["validation_steps"][1] += 1
    elif change == "losses":
        stored.tensors["validation_losses"] = torch.zeros(2)
    elif change == "best":
        stored.tensors["best.W1"] = torch.zeros(2)
    elif change == "missing":
        del stored.tensors["best.C"]
    else:
        stored.meta["validation"]["best_step"] = 8
    meta = {key: value for key, value in stored.meta.items() if key not in ("format", "sha256", "meta_sha256")}
    checkpoint.save(path, stored.tensors, meta)
    with pytest.raises(CheckpointError, match=r"a/training_state.safetensors (is damaged|does not fit)"):
        zoo.resume("a", steps=40, plots=False)


def test_a_loss_that_is_no_number_takes_back_what_was_seen_since(tmp_path: Path) -> None:
    """The weights of a step that training goes back from must not be the best ones."""
    model = linear(2)
    x = torch.randn(16, 2, generator=torch.Generator().manual_seed(1))
    examples = TensorExamples(x, (x[:, 0] > 0).long(), torch.float32)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    validation = Validation(examples, 1)
    training = Training(
        model, optimizer, examples, 4, 0.1, CONSTANT, torch.Generator().manual_seed(1), validation=validation
    )
    train(training, 3)
    with torch.no_grad():
        model.weight.fill_(math.nan)
    with pytest.raises(zoo.DivergedError):
        train(training, 6)
    assert training.validation is not None
    assert training.validation.steps == [1, 2, 3]
    folder = RunFolder.create("linear", tmp_path / "run")
    folder.write_checkpoint(training, {})
    assert state.load(folder.path / "training_state.safetensors").step == 3
    kept = checkpoint.load(folder.path / "model.safetensors")
    assert kept.meta["step"] == training.validation.steps[looks_best(training.validation)]
    assert all(tensor.isfinite().all() for tensor in kept.tensors.values())
    folder.close()


def looks_best(validation: Validation) -> int:
    return validation.losses.index(min(validation.losses))


def test_a_validation_loss_that_is_no_number_is_never_the_best() -> None:
    examples = TensorExamples(torch.zeros(2, 1), torch.zeros(2, dtype=torch.int64), torch.float32)
    model = linear(1)
    validation = Validation(examples, 1, patience=2)
    with torch.no_grad():
        model.bias.fill_(math.nan)
    for step in (1, 2):
        validation.evaluate_if_due(model, step)
    assert validation.best is None
    assert validation.exhausted
    with torch.no_grad():
        model.bias.zero_()
    validation.evaluate_at_the_end(model, 3)
    assert validation.kept is not None
    assert validation.kept.loss == evaluate(model, examples).loss
    assert validation.best is None


# What is asked for


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--patience", 3], "--patience counts evaluations of the validation split: give --validate-every, too"),
        (["--validate-every", 0], "--validate-every must be above 0, got 0"),
        (["--validate-every", 5, "--patience", -1], "--patience must be above 0, got -1"),
    ],
)
def test_wrong_options_are_one_line(options: list[object], said: str, words_file: Path, zoo_here: Zoo) -> None:
    done = zoo_here("run", "mlp-char", "--dataset", words_file, *options)
    assert (done.code, done.err) == (2, f"zoo: error: {said}\n")
    assert not Path("runs").exists()


def test_the_command_says_whose_weights_they_are(
    prescribed: Callable[..., Run], words_file: Path, zoo_here: Zoo
) -> None:
    options = ["--device", "cpu", "--no-plots", "--steps", 300, "--validate-every", 10]
    done = zoo_here("run", "parabola", "--dataset", words_file, *options)
    assert f"The weights are those after {TURN}" in done.out
    metrics = json.loads(Path("runs/parabola-1/metrics.json").read_text())
    assert metrics["best"]["step"] == TURN
    assert zoo_here("verify", "runs/parabola-1").code == 0
    again = zoo_here("eval", "runs/parabola-1", "--json").result["losses"]
    assert again["val"] == pytest.approx(metrics["best"]["loss"], rel=1e-6)


def test_a_models_own_preset_may_ask_for_it(words_file: Path) -> None:
    from zoo.options.run import RunOptions
    from zoo.runs.plan import make_plan

    registry, _ = load_plugins()
    entry = registry.models.get("mlp-char")
    preset = zoo.Preset(validate_every=5, patience=2, engine="manual")
    spec = zoo.ModelSpec("other", entry.spec.factory, dataset="names", presets={"own": preset},
                         engines=entry.spec.engines)  # fmt: skip
    registry.models.add(type(entry)(spec, entry.plugin))
    plan = make_plan(registry, RunOptions("other", dataset=words_file))
    assert (plan.options.validate_every, plan.options.patience, plan.options.engine) == (5, 2, "manual")
    plan = make_plan(registry, RunOptions("other", dataset=words_file, engine="auto", patience=7))
    assert (plan.options.patience, plan.options.engine) == (7, "auto")
    assert make_plan(registry, RunOptions("other", dataset=words_file, optimizer="adamw")).options.engine == "auto"
