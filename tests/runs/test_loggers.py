"""Loggers are told of a run as it goes on, and neither change it nor end it, whatever they do or fail in."""

from __future__ import annotations

import asyncio
import random
import signal
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from conftest import Zoo
from dropping import install
from torch import Tensor, nn

import zoo
from zoo.options.declaration import declared
from zoo.options.run import CallOptions
from zoo.plugin.specs import LoggerSpec
from zoo.runs import loggers
from zoo.runs.result import Run
from zoo.storage.state import load as load_state

pytestmark = pytest.mark.usefixtures("typed")  # messages as at the command line


METHODS = [name for name in vars(loggers.Logger) if not name.startswith("_")]
PLACES = ["__init__", *METHODS]
STEPS = 40


class Net(nn.Module):
    """A small net that draws from the global generator and has buffers that each step changes."""

    def __init__(self, vocab_size: int, context_length: int = 2, generator: torch.Generator | None = None) -> None:
        super().__init__()
        self.context_length = context_length
        self.C = nn.Parameter(torch.randn(vocab_size, 3, generator=generator))
        self.norm = nn.BatchNorm1d(3 * context_length)
        self.dropout = nn.Dropout(0.25)
        self.W = nn.Parameter(torch.randn(3 * context_length, vocab_size, generator=generator))

    def forward(self, x: Tensor) -> Tensor:
        logits: Tensor = self.dropout(self.norm(self.C[x].flatten(1))) @ self.W
        return logits


class Recorder:
    """Notes all that it is told; `act` is done in each of its methods."""

    calls: list[tuple[Any, ...]]  # of the last one made
    inputs: dict[str, Any]
    act: Callable[..., object] = staticmethod(lambda place, model: None)

    def __init__(
        self, run_dir: Path, resumed_at: int, embedding: str | None, every: int = 3, note: str = "none"
    ) -> None:
        type(self).inputs = {"run_dir": run_dir, "resumed_at": resumed_at, "embedding": embedding, "every": every}
        type(self).calls = []
        self.act("__init__", None)

    def start(self, config: dict[str, Any]) -> None:
        self._note("start", config)

    def steps(self, step: int, losses: list[float], lr: float) -> None:
        self._note("steps", step, losses, lr)

    def evaluated(self, step: int, losses: Any, metrics: Any, model: nn.Module) -> None:
        self._note("evaluated", step, losses, metrics, model)

    def finish(self, metrics: dict[str, Any], model: nn.Module) -> None:
        self._note("finish", metrics, model)

    def close(self) -> None:
        self._note("close")

    def _note(self, method: str, *told: object) -> None:
        self.calls.append((method, *told))
        self.act(method, told[-1] if told and isinstance(told[-1], nn.Module) else None)


class Other:
    """A logger that has none of the methods, and a setting that the first one has, too."""

    settings: list[tuple[int, float]]

    def __init__(self, every: int = 7, rate: float = 0.5) -> None:
        type(self).settings = [(every, rate)]


class Plugin:
    @zoo.hookimpl
    def zoo_models(self) -> list[zoo.ModelSpec]:
        return [zoo.ModelSpec("net", Net, optimizer="sgd", lr=0.1, embedding="C")]

    @zoo.hookimpl
    def zoo_loggers(self) -> list[LoggerSpec]:
        return [LoggerSpec("recorder", Recorder), LoggerSpec("other", Other)]


@pytest.fixture(autouse=True)
def plugin(monkeypatch: pytest.MonkeyPatch) -> None:
    install(monkeypatch, Plugin(), "zoo-logs")
    monkeypatch.setattr(Recorder, "act", staticmethod(lambda place, model: None))


@pytest.fixture
def acting(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """`acting(act, *places)`: the logger does this there, as `act(model)`."""

    def acting(act: Callable[[nn.Module | None], object], *places: str) -> None:
        monkeypatch.setattr(Recorder, "act", staticmethod(lambda place, model: act(model) if place in places else None))

    return acting


Train = Callable[..., Run]


@pytest.fixture
def train(words_file: Path) -> Train:
    def train(out: str, **options: Any) -> Any:
        given = {"steps": STEPS, "validate_every": 10, "device": "cpu", "plots": False, "threads": 1, **options}
        return zoo.run("net", dataset=str(words_file), out=out, **given)

    return train


def contents(path: Path) -> dict[str, bytes]:
    """The files of a run whose bytes are those of every run like it."""
    names = ("model.safetensors", "losses.csv", "validation.csv", "config.json")
    return {name: (path / name).read_bytes() for name in names}


def quietly(function: Callable[..., Any], *args: Any, **kwargs: Any) -> tuple[Any, list[str]]:
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        done = function(*args, **kwargs)
    return done, [str(one.message) for one in said]


def test_a_logger_is_told_of_the_whole_run(train: Train) -> None:
    run = train("run", log="recorder", settings={"logger.every": "5"}, schedule="step", steps=STEPS + 5)
    calls = Recorder.calls
    assert Recorder.inputs == {"run_dir": Path("run"), "resumed_at": 0, "embedding": "C", "every": 5}
    assert [call[0] for call in calls if call[0] != "steps"] == ["start", *["evaluated"] * 5, "finish", "close"]
    assert calls[0][1] == run.config
    losses: list[float] = []
    for _, step, new, lr in (call for call in calls if call[0] == "steps"):
        losses += new
        assert new
        assert step == len(losses)
        assert lr == pytest.approx(0.1 * 0.1 ** sum(step - 1 >= passed for passed in (22, 33)))
    assert losses == run.step_losses
    evaluated = [call[1:] for call in calls if call[0] == "evaluated"]
    assert [step for step, *_ in evaluated[:-1]] == [10, 20, 30, 40]
    assert [set(of) for _, of, *_ in evaluated] == [{"val"}] * 4 + [{"train", "val", "test"}]
    assert [set(metrics) for _, _, metrics, _ in evaluated] == [set(of) for _, of, *_ in evaluated]
    step, of, metrics, model = evaluated[-1]
    assert (step, of, metrics) == (run.metrics["best"]["step"], run.losses, run.metrics["metrics"])
    assert evaluated[step // 10 - 1][2]["val"] == metrics["val"]
    assert model is run.model
    assert calls[-2][1] == run.metrics


def test_steps_are_told_before_the_evaluation_of_their_weights(train: Train) -> None:
    train("run", log=["recorder"])
    for before, call in zip(Recorder.calls, Recorder.calls[1:], strict=False):
        if call[0] == "evaluated" and set(call[2]) == {"val"}:
            assert before[:2] == ("steps", call[1])


def test_the_model_is_told_in_evaluation_mode_and_then_trains_on(train: Train, acting: Callable[..., None]) -> None:
    modes: list[bool] = []
    acting(lambda model: modes.append(model.training), "evaluated", "finish")
    train("run", log="recorder")
    assert modes == [False] * 6


def test_a_run_is_the_same_with_a_logger_and_without(train: Train) -> None:
    assert contents(train("one").path) == contents(train("two", log="recorder").path)


class Panic(BaseException):
    """As a native module's panic: no Exception."""


class Unshowable(Exception):
    def __str__(self) -> str:
        raise Panic


FAILURES: dict[str, Callable[[], BaseException]] = {
    "Exception": lambda: RuntimeError("no connection"),
    "OSError": lambda: OSError(28, "No space left on device"),
    "SystemExit": lambda: SystemExit(0),
    "CancelledError": asyncio.CancelledError,
    "panic": Panic,
    "group": lambda: BaseExceptionGroup("several", [Panic(), SystemExit(2)]),
    "unshowable": Unshowable,
    "memory": lambda: torch.OutOfMemoryError("no memory left"),
    "zoo's own": lambda: zoo.DivergedError("the loss became NaN"),
}
REFUSALS = ["zoo's own"]  # by a constructor


@pytest.fixture(scope="module")
def wanted() -> dict[str, bytes]:
    """The files of a run without a logger, once one was made by `undisturbed`."""
    return {}


def undisturbed(wanted: dict[str, bytes], train: Train) -> dict[str, bytes]:
    if not wanted:
        wanted |= contents(train("whole").path)
    return wanted


@pytest.mark.parametrize("kind", FAILURES)
@pytest.mark.parametrize("place", PLACES)
def test_a_run_goes_on_without_a_logger_that_fails(
    train: Train, acting: Callable[..., None], wanted: dict[str, bytes], place: str, kind: str
) -> None:
    if place == "__init__" and kind in REFUSALS:
        pytest.skip("which refuses a setting")
    wanted = undisturbed(wanted, train)

    def fail(_: object) -> None:
        raise FAILURES[kind]()

    acting(fail, place)
    run, said = quietly(train, "run", log="recorder")
    assert contents(run.path) == wanted
    [line] = said
    where = "when it was made" if place == "__init__" else f"in its method '{place}'"
    assert line.startswith(f"logger 'recorder' of plugin zoo-logs 1.0 failed {where}, and is told nothing more: ")
    assert len(line.splitlines()) == 1
    assert place == "__init__" or Recorder.calls[-1][0] == place


def test_the_methods_that_may_fail_are_all_that_a_logger_has() -> None:
    assert METHODS == ["start", "steps", "evaluated", "finish", "close"]
    assert all(hasattr(Recorder, method) for method in METHODS)


@pytest.mark.parametrize("place", PLACES)
def test_ctrl_c_in_a_logger_is_passed_on(train: Train, acting: Callable[..., None], place: str) -> None:
    def interrupt(_: object) -> None:
        raise KeyboardInterrupt

    acting(interrupt, place)
    with pytest.raises(KeyboardInterrupt):
        train("run", log="recorder")


def replaced(model: nn.Module) -> None:
    model.C = nn.Parameter(torch.zeros(2, 2))


def trained(model: nn.Module) -> None:
    model.train()
    model(torch.zeros(5, 2, dtype=torch.long)).sum().backward()


CHANGES: dict[str, Callable[[Any], object]] = {
    "draws of torch": lambda _: torch.rand(100),
    "torch's seed": lambda _: torch.manual_seed(5),
    "draws of NumPy": lambda _: np.random.rand(3),
    "draws of Python": lambda _: random.random(),
    "default dtype": lambda _: torch.set_default_dtype(torch.float64),
    "gradients": lambda _: torch.set_grad_enabled(False),
    "deterministic": lambda _: torch.use_deterministic_algorithms(True),
    "threads": lambda _: torch.set_num_threads(2),
    "mode": lambda model: model.train(),
    "mode of a part": lambda model: model.dropout.train(),
    "weights": lambda model: [p.data.zero_() for p in model.parameters()],
    "other weights": replaced,
    "dtype": lambda model: model.double(),
    "buffers": lambda model: model.norm.reset_running_stats(),
    "no gradients": lambda model: model.requires_grad_(False),
    "backward": trained,
    "a part": lambda model: setattr(model, "dropout", nn.Identity()),
}


def generators() -> list[Any]:
    numpy: Any = np.random.get_state()
    return [random.getstate()[1], numpy[1].tolist(), torch.get_rng_state().tolist()]


@pytest.mark.parametrize("change", CHANGES)
def test_what_a_logger_changes_does_not_change_the_run(
    train: Train, acting: Callable[..., None], wanted: dict[str, bytes], change: str
) -> None:
    wanted = undisturbed(wanted, train)
    done = []

    def act(model: nn.Module | None) -> None:
        if model is not None or change in list(CHANGES)[:8]:
            CHANGES[change](model)
            done.append(change)

    acting(act, *PLACES)
    before = generators()
    run, said = quietly(train, "run", log="recorder")
    assert contents(run.path) == wanted
    assert len(done) >= 6
    assert generators() == before
    assert len(said) <= 1, "one warning, however often"
    assert all("logger 'recorder' of plugin zoo-logs 1.0 changes settings of torch for all" in line for line in said)
    assert "failed" not in " ".join(said)


def test_what_is_told_may_be_changed(train: Train, monkeypatch: pytest.MonkeyPatch) -> None:
    def spoil(self: Recorder, method: str, *told: Any) -> None:
        for one in told:
            if isinstance(one, dict | list):
                one.clear()

    monkeypatch.setattr(Recorder, "_note", spoil)
    assert contents(train("one", log="recorder").path) == contents(train("two").path)
    assert (Path("one") / "metrics.json").stat().st_size > 100


# How a run ends


def told() -> list[str]:
    return [call[0] for call in Recorder.calls]


def test_an_interrupted_run_closes_its_loggers_and_a_resumed_one_starts_them(
    train: Train, acting: Callable[..., None], zoo_here: Zoo
) -> None:
    whole = train("whole")

    def stop(_: object) -> None:
        if Recorder.calls[-1][1] >= 20:
            signal.raise_signal(signal.SIGTERM)

    acting(stop, "steps")
    with pytest.raises(zoo.InterruptedRunError):
        train("run", log="recorder")
    assert "finish" not in told()
    assert told()[-1] == "close"
    step = load_state(Path("run/training_state.safetensors")).step
    assert 20 <= step < STEPS
    acting(lambda _: None)
    zoo_here("resume", "run", "--no-plots", "--log", "recorder", "--set", "logger.every=9")
    assert (Recorder.inputs["resumed_at"], Recorder.inputs["every"]) == (step, 9)
    losses = [loss for call in Recorder.calls if call[0] == "steps" for loss in call[2]]
    assert losses == whole.step_losses[step:]
    assert (told()[0], told()[-2:]) == ("start", ["finish", "close"])
    assert contents(Path("run")) == contents(whole.path)


def test_a_resumed_run_is_told_to_no_logger_unless_that_is_asked_again(train: Train) -> None:
    train("run", log="recorder")
    del Recorder.calls
    zoo.resume("run", steps=STEPS + 5, plots=False)
    assert not hasattr(Recorder, "calls")


def test_a_run_that_diverges_closes_its_loggers(train: Train) -> None:
    with pytest.raises(zoo.DivergedError):
        train("run", log="recorder", lr=1e30)
    assert "finish" not in told()
    assert told()[-1] == "close"


def test_a_run_whose_first_step_fails_leaves_nothing_of_its_loggers(
    train: Train, acting: Callable[..., None], monkeypatch: pytest.MonkeyPatch
) -> None:
    closed = []

    def act(_: object) -> None:
        if told()[-1] == "close":
            closed.append(Path("run/logs").exists())
        else:
            Path("run/logs/deep").mkdir(parents=True)

    acting(act, "start", "close")
    forward = Net.forward

    def fail(self: Net, x: Tensor) -> Tensor:
        if self.training and Path("run/logs").exists():
            raise RuntimeError("not today")
        return forward(self, x)

    monkeypatch.setattr(Net, "forward", fail)
    with pytest.raises(zoo.PluginError, match="not today"):
        train("run", log="recorder")
    assert closed == [True], "closed before its folder is deleted"
    assert not Path("run").exists()


@pytest.mark.parametrize(
    ("error", "line"),
    [
        (ValueError("every must be odd"), "logger 'recorder': every must be odd"),
        (zoo.UsageError("it needs a package"), "it needs a package"),
    ],
)
def test_a_setting_that_a_logger_refuses_is_told_before_the_first_step(
    train: Train, acting: Callable[..., None], error: Exception, line: str
) -> None:
    def refuse(_: object) -> None:
        (Path("run") / "logs").mkdir()
        raise error

    acting(refuse, "__init__")
    with pytest.raises(zoo.UsageError, match=f"^{line}$"):
        train("run", log="recorder")
    assert not Path("run").exists()


# Names and settings


def test_each_of_two_loggers_takes_the_settings_that_it_has(train: Train) -> None:
    settings = {"logger.every": 4, "logger.rate": "0.25"}
    train("run", log=("recorder", "zoo-logs/other"), settings=settings)
    assert Recorder.inputs["every"] == 4
    assert Other.settings == [(4, 0.25)]


WRONG: list[tuple[dict[str, Any], str]] = [
    ({"log": "recordr"}, "no logger 'recordr'; did you mean 'recorder'?"),
    ({"log": ["other", 3]}, "log must be text or a list of texts, got ['other', 3]"),
    ({"log": 3}, "log must be text or a list of texts, got 3"),
    ({"log": ["other", "zoo-logs/other"]}, "--log names 'other' twice"),
    ({"settings": {"logger.every": 3}}, "'logger.every' is a setting of a logger: name one with --log, too"),
    (
        {"log": "other", "settings": {"logger.evry": 3}},
        "logger 'other' has no setting 'logger.evry'; did you mean 'logger.every'?",
    ),
    (
        {"log": ["other", "recorder"], "settings": {"logger.not": 3}},
        "no logger of this run has a setting 'logger.not'; did you mean 'logger.note'?",
    ),
    ({"log": "other", "settings": {"logger.every": "x"}}, "logger.every"),
]


@pytest.mark.parametrize(("options", "line"), WRONG)
def test_a_mistake_is_told_in_one_line(train: Train, options: dict[str, Any], line: str) -> None:
    with pytest.raises(zoo.UsageError) as caught:
        train("run", **options)
    assert line in str(caught.value)
    assert len(str(caught.value).splitlines()) == 1
    assert not Path("run").exists()


def test_a_resumed_run_keeps_all_other_settings(train: Train, zoo_here: Zoo) -> None:
    train("run")
    done = zoo_here("resume", "run", "--steps", "50", "--set", "model.context_length=3")
    assert done.code == 2
    assert "'model.context_length' is a setting of the run, which it keeps: set logger.KEY here" in done.err


def test_loggers_do_not_affect_the_result_so_no_config_has_them() -> None:
    assert not declared(CallOptions)["log"].option.recorded


def test_loggers_are_listed_and_described(zoo_here: Zoo) -> None:
    assert zoo.list_loggers() == ["other", "recorder", "tensorboard"]
    assert [one["name"] for one in zoo_here("list", "loggers", "--json").result["loggers"]] == zoo.list_loggers()
    [found] = zoo_here("info", "recorder", "--json").result["found"]
    assert [setting["key"] for setting in found["settings"]] == ["logger.every", "logger.note"]
    assert "loggers: other, recorder" in zoo_here("plugins").out
