"""Which engine trains a run, and that a run with any engine stops, goes on and diverges as it does with autograd."""

from __future__ import annotations

import importlib.util
import json
import os
import signal
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from conftest import run_python
from torch import nn

import zoo
from zoo.cli.state import State
from zoo.data.examples import TensorExamples
from zoo.engines import Optimizer
from zoo.plugin.manager import load_plugins
from zoo.plugin.registry import Entry, Plugin, Registry
from zoo.runs.observer import Observer
from zoo.runs.result import Run
from zoo.storage import checkpoint
from zoo.training.autograd import Autograd
from zoo.training.engines import choose_engine, population_engine
from zoo.training.loop import Training, train
from zoo.training.objective.loss import CROSS_ENTROPY, MEAN_SQUARED
from zoo.training.population.nets import Net
from zoo_lecture.fused_cpu import FusedCPU
from zoo_lecture.manual import Manual
from zoo_lecture.mlp_char import MLPChar
from zoo_lecture.sgd import SGD

Zoo = Callable[..., Any]

FAST = importlib.util.find_spec("numba") is not None
needs_numba = pytest.mark.skipif(not FAST, reason="numba is not installed")
each_engine = pytest.mark.parametrize("engine", ["autograd", "manual", pytest.param("fused", marks=needs_numba)])
own_engines = pytest.mark.parametrize("engine", ["manual", pytest.param("fused", marks=needs_numba)])

FILES = ("model.safetensors", "training_state.safetensors", "losses.csv", "config.json")
PLUGIN = Plugin("tables", "zoo-tables", "1.0")


class Fast(Autograd):
    """Stands for a faster engine."""

    def __init__(self, model: nn.Module, optimizer: Optimizer, batch_size: int) -> None:
        super().__init__(model, optimizer)
        self.batch_size = batch_size


class Late(Fast):
    worth_from = 100


def unavailable(model: nn.Module, optimizer: Optimizer, batch_size: int) -> Fast:
    raise zoo.EngineUnavailableError("it needs a flux capacitor")


def choose(name: str, engines: Mapping[str, Any], steps: int = 10) -> tuple[str, Any]:
    entry = Entry(zoo.ModelSpec("tiny", nn.Linear, engines=engines), PLUGIN)
    model = nn.Linear(2, 2)
    return choose_engine(name, entry, model, SGD(model.parameters()), batch_size=7, steps=steps)


@pytest.fixture(autouse=True)
def _draws() -> Any:
    """`nn.Linear` draws its weights from the global generator, which no test may change."""
    with torch.random.fork_rng(devices=[]):
        yield


# Choosing


def test_auto_is_autograd_where_a_model_has_no_engine() -> None:
    name, engine = choose("auto", {})
    assert (name, type(engine)) == ("autograd", Autograd)


def test_auto_takes_the_first() -> None:
    name, engine = choose("auto", {"b": Fast, "a": Late})
    assert (name, type(engine), engine.batch_size) == ("b", Fast, 7)


@pytest.mark.parametrize(("steps", "name"), [(1, "plain"), (99, "plain"), (100, "late"), (101, "late")])
def test_auto_takes_the_first_that_is_worth_starting(steps: int, name: str) -> None:
    assert choose("auto", {"late": Late, "plain": Fast}, steps)[0] == name


def test_auto_passes_over_what_cannot_train_this() -> None:
    assert choose("auto", {"x": unavailable, "y": unavailable, "z": Fast})[0] == "z"
    assert choose("auto", {"x": unavailable})[0] == "autograd"
    assert choose("auto", {"late": Late})[0] == "autograd"


def test_autograd_is_always_there() -> None:
    name, engine = choose("autograd", {"fast": Fast})
    assert (name, type(engine)) == ("autograd", Autograd)


def test_a_name_is_taken_at_its_word() -> None:
    assert choose("late", {"plain": Fast, "late": Late}, steps=1)[0] == "late"


@pytest.mark.usefixtures("typed")  # a message as at the command line
def test_a_named_engine_that_cannot_train_this_says_why() -> None:
    with pytest.raises(zoo.UsageError) as caught:
        choose("x", {"x": unavailable, "fast": Fast})
    assert str(caught.value) == (
        "engine 'x' cannot train this: it needs a flux capacitor; --engine auto takes one that can"
    )
    assert caught.value.exit_code == 2


@pytest.mark.parametrize("name", ["fsat", "", "Auto"])
def test_an_unknown_name_is_told_with_the_known_ones(name: str) -> None:
    with pytest.raises(zoo.UnknownNameError, match=f"model 'tiny' has no engine '{name}'"):
        choose(name, {"fast": Fast})


def test_engines_may_be_named_by_their_path() -> None:
    with pytest.raises(zoo.UsageError, match="engine 'm' cannot train this: it supports MLPChar, not Linear"):
        choose("m", {"m": "zoo_lecture.manual:Manual"})


def breaks(*_: object) -> Fast:
    raise RuntimeError("out of cheese")


@pytest.mark.parametrize("asked", ["auto", "broken"])
@pytest.mark.parametrize(
    ("factory", "cause"),
    [
        (
            breaks,
            "engine 'broken' of model 'tiny' of plugin zoo-tables 1.0 cannot be made: RuntimeError: out of cheese",
        ),
        (lambda: None, "cannot be made: TypeError: "),
        ("nowhere_at_all:Engine", "'tiny' of plugin zoo-tables 1.0 cannot be imported from 'nowhere_at_all:Engine'"),
        ("math:Engine", "cannot be imported from 'math:Engine': AttributeError"),
        ("math:pi", "'math:pi' of plugin zoo-tables 1.0 is not a class or a function"),
        (lambda *_: None, "engine 'broken' of model 'tiny' of plugin zoo-tables 1.0 is no engine: it needs a method"),
        (lambda *_: type("E", (), {"run": print})(), "is no engine: it needs a method 'run' and a number 'worth_from'"),
        (lambda *_: type("E", (), {"worth_from": 0})(), "is no engine"),
        (lambda *_: type("E", (), {"worth_from": 0, "run": 3})(), "is no engine"),
        (lambda *_: type("E", (), {"worth_from": "0", "run": print})(), "is no engine"),
    ],
)
def test_a_broken_engine_is_its_plugins_fault(asked: str, factory: Any, cause: str) -> None:
    with pytest.raises(zoo.PluginError) as caught:
        choose(asked, {"broken": factory, "fast": Fast})
    assert cause in str(caught.value)


def starting(error: Exception) -> type[Fast]:
    """An engine that fails when it is started."""

    class Failing(Fast):
        def start(self) -> None:
            raise error

    return Failing


def made(error: Exception) -> Callable[..., Fast]:
    """An engine that fails when it is made."""

    def make(*_: object) -> Fast:
        raise error

    return make


NO_MEMORY = [
    MemoryError("no more"),
    torch.OutOfMemoryError("CUDA out of memory"),
    RuntimeError("can't allocate memory"),
]


@pytest.mark.parametrize("fails", [made, starting])
@pytest.mark.parametrize("error", [zoo.EngineUnavailableError("no kernel runs here"), *NO_MEMORY], ids=repr)
def test_auto_steps_aside_for_the_next_engine(fails: Callable[[Exception], Any], error: Exception) -> None:
    engine = fails(error)
    assert choose("auto", {"x": engine, "y": engine, "z": Fast})[0] == "z"
    assert choose("auto", {"x": engine})[0] == "autograd"
    with pytest.raises(
        zoo.UsageError, match=r"^engine 'x' cannot train this: (no kernel runs|it needs more memory than)"
    ):
        choose("x", {"x": engine, "z": Fast})


@pytest.mark.parametrize("asked", ["auto", "broken"])
def test_an_engine_that_cannot_say_from_when_it_is_worth_starting_is_broken(asked: str) -> None:
    class Broken(Fast):
        @property
        def worth_from(self) -> int:  # type: ignore[override]
            raise KeyError("steps")

    with pytest.raises(zoo.PluginError, match=r"engine 'broken' of model 'tiny' of plugin .* cannot be made: KeyError"):
        choose(asked, {"broken": Broken, "fast": Fast})


# An engine that a preset or a model names is a preference

WHY: dict[str, tuple[Any, dict[str, Any], str]] = {  # why an engine cannot be had, and what is told of it
    "no library": (unavailable, {}, "engine 'x' cannot train this: it needs a flux capacitor"),
    "no start": (starting(zoo.EngineUnavailableError("no kernel")), {}, "engine 'x' cannot train this: no kernel"),
    "no memory": (starting(MemoryError("x")), {}, "engine 'x' cannot train this: it needs more memory than there is"),
    "gradient clipping": (Fast, {"clip_norm": 1.0}, "engine 'x' does not clip gradients"),
}


@pytest.fixture
def preferring(monkeypatch: pytest.MonkeyPatch, words_file: Path) -> Callable[..., Run]:
    """Run a model of which a preset, or its spec, names the engine `x`."""

    def run(place: str, made: Any, **options: Any) -> Run:
        def change(registry: Registry) -> None:
            entry = registry.models.get("mlp-char")
            preset = zoo.Preset(engine="x" if place == "preset" else None)
            spec = replace(
                entry.spec, name="other", presets={"p": preset}, engines={"x": made, "y": Fast}, populations={}
            )
            spec = replace(spec, engine="x") if place == "spec" else spec
            registry.models.add(Entry(spec, entry.plugin))

        with_plugin(monkeypatch, change)
        return zoo.run("other", dataset=words_file, device="cpu", steps=2, plots=False, **options)

    return run


@pytest.mark.parametrize("place", ["preset", "spec"])
@pytest.mark.parametrize("why", WHY)
def test_an_engine_that_a_preset_names_gives_way_with_a_warning(
    preferring: Callable[..., Run], place: str, why: str
) -> None:
    engine, options, told = WHY[why]
    other = "autograd" if options else "y"
    with pytest.warns(UserWarning, match=f"^{told}.*; using '{other}' instead$"):
        run = preferring(place, engine, **options)
    assert recorded(run.path) == (other, other)


@pytest.mark.parametrize("why", WHY)
def test_an_engine_that_the_user_names_does_not_give_way(preferring: Callable[..., Run], why: str) -> None:
    engine, options, told = WHY[why]
    with pytest.raises(zoo.UsageError, match=f'^{told}.*; engine="auto" takes one that (can|does)$'):
        preferring("preset", engine, engine="x", **options)


def test_an_engine_that_a_preset_names_is_used_where_it_can_be_had(preferring: Callable[..., Run]) -> None:
    class Preferred(Late):
        """It would not be chosen for so few steps."""

    assert preferring("preset", Preferred).metrics["engine"] == "x"


def test_no_preset_fails_where_its_engine_cannot_be_had(words_file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every preset of every model whose engine is another than auto and autograd."""
    found = [
        (model.spec.name, name)
        for model in load_plugins()[0].models
        for name, preset in model.spec.presets.items()
        if (preset.engine or model.spec.engine) not in ("auto", "autograd")
    ]
    assert found == [("mlp-char", "speedrun")]

    def without(registry: Registry) -> None:
        entries = list(registry.models)
        for entry in entries:
            registry.models.remove_plugin(entry.plugin)
        for entry in entries:
            engines = dict.fromkeys(entry.spec.engines, unavailable)
            registry.models.add(Entry(replace(entry.spec, engines=engines, populations={}), entry.plugin))

    with_plugin(monkeypatch, without)
    for model, preset in found:
        with pytest.warns(UserWarning, match="it needs a flux capacitor; using 'autograd' instead"):
            run = zoo.run(model, preset=preset, dataset=words_file, device="cpu", steps=2, plots=False)
        assert run.metrics["engine"] == "autograd"


def test_the_command_warns_of_a_preset_whose_engine_cannot_be_had(
    no_numba: None, zoo_here: Zoo, words_file: Path
) -> None:
    speedrun = (
        "run",
        "mlp-char",
        "--preset",
        "speedrun",
        "--dataset",
        words_file,
        "--steps",
        5,
        "--no-plots",
        "--json",
    )
    done = zoo_here(*speedrun, "--device", "cpu", "--quiet")
    assert (done.code, done.result["engine"]) == (0, "manual")
    assert done.err == (
        "zoo: warning: engine 'fused' cannot train this: it needs numba: pip install 'zoo-models[fast]'; "
        "using 'manual' instead\n"
    )
    assert zoo_here(*speedrun, "--engine", "fused", "--device", "cpu", "--quiet").code == 2


@needs_numba
@pytest.mark.parametrize("preset", ["tuned", "speedrun"])
def test_the_presets_for_speed_take_fused_on_the_cpu(preset: str) -> None:
    registry, _ = load_plugins()
    entry = registry.models.get("mlp-char")
    of = entry.spec.presets[preset]
    net = MLPChar(generator=torch.Generator())
    optimizer = SGD(net.parameters())
    assert of.engine is not None
    assert of.steps is not None
    assert choose_engine(of.engine, entry, net, optimizer, batch_size=32, steps=of.steps)[0] == "fused"


# Specs


@pytest.mark.parametrize("name", ["auto", "autograd", "stacked"])
def test_an_engine_cannot_have_the_name_of_one_that_every_model_has(name: str) -> None:
    with pytest.raises(ValueError, match=f"a key of engines cannot be '{name}': every model"):
        zoo.ModelSpec("tiny", nn.Linear, engines={name: Fast})


@pytest.mark.parametrize("name", ["", "Fast", "a b", "a/b", None])
def test_an_engine_is_called_as_everything_is(name: Any) -> None:
    with pytest.raises(ValueError, match="a key of engines must be a name of lower-case letters"):
        zoo.ModelSpec("tiny", nn.Linear, engines={name: Fast})


@pytest.mark.parametrize("factory", ["", "module", "a b:c", None, 3])
def test_an_engines_factory_is_a_path_or_a_callable(factory: Any) -> None:
    with pytest.raises(ValueError, match="engines\\['fast'\\] must be"):
        zoo.ModelSpec("tiny", nn.Linear, engines={"fast": factory})


def test_an_engine_for_populations_has_the_name_of_one_for_a_net() -> None:
    with pytest.raises(ValueError, match=r"a key of populations must be one of engines, .*; got 'fsat'"):
        zoo.ModelSpec("tiny", nn.Linear, engines={"fast": Fast}, populations={"fsat": Fast})
    with pytest.raises(ValueError, match=r"populations\['fast'\] must be 'package\.module:attribute' or callable"):
        zoo.ModelSpec("tiny", nn.Linear, engines={"fast": Fast}, populations={"fast": 3})  # type: ignore[dict-item]


# For many nets at once


def many(population: Any, loss: Any = CROSS_ENTROPY) -> Any:
    """The engine `fast` for two nets."""
    spec = zoo.ModelSpec("tiny", nn.Linear, engines={"fast": Fast}, populations={"fast": population})
    nets = [Net(model, SGD(model.parameters()), lambda other: SGD(other.parameters())) for model in (net(), net())]
    return population_engine("fast", Entry(spec, PLUGIN), nets, batch_size=7, loss=loss)


def net() -> nn.Module:
    with torch.random.fork_rng(devices=[]):
        return nn.Linear(3, 4)


class Many:
    def __init__(self, nets: Any, batch_size: int) -> None:
        self.nets, self.batch_size, self.started = nets, batch_size, False

    def start(self) -> None:
        self.started = True

    def run(self, *_: Any) -> None:
        """Nothing."""


class ManyByLoss(Many):
    def __init__(self, nets: Any, batch_size: int, loss: Any) -> None:
        super().__init__(nets, batch_size)
        self.loss = loss


def test_an_engine_for_populations_is_made_of_models_and_optimizers_and_started() -> None:
    engine = many(Many)
    assert ([type(part) for part in engine.nets[1]], engine.batch_size, engine.started) == ([nn.Linear, SGD], 7, True)
    assert many(ManyByLoss, MEAN_SQUARED).loss is MEAN_SQUARED
    with pytest.raises(zoo.EngineUnavailableError, match="it computes cross-entropy, and the loss is mse_loss"):
        many(Many, MEAN_SQUARED)


def test_a_plugin_need_not_have_one() -> None:
    entry = Entry(zoo.ModelSpec("tiny", nn.Linear, engines={"fast": Fast}), PLUGIN)
    with pytest.raises(zoo.EngineUnavailableError, match="engine 'fast' of model 'tiny' trains one net at a time"):
        population_engine("fast", entry, [], batch_size=7)


def test_a_broken_engine_for_populations_is_its_plugins_fault() -> None:
    who = "engine 'fast' for populations of model 'tiny' of plugin zoo-tables 1.0"
    with pytest.raises(zoo.PluginError, match=f"{who} cannot be made: RuntimeError: out of cheese"):
        many(breaks)
    with pytest.raises(zoo.PluginError, match=f"{who} is no engine for populations: it needs a method 'run'"):
        many(lambda *_: None)
    for error in NO_MEMORY:
        with pytest.raises(zoo.EngineUnavailableError, match="it needs more memory than there is"):
            many(made(error))


# In a run


@pytest.fixture
def lecture(words_file: Path) -> Callable[..., Run]:
    """A short run of the lecture's net."""

    def run(steps: int = 20, **options: Any) -> Run:
        return zoo.run("mlp-char", dataset=words_file, device="cpu", steps=steps, plots=False, **options)

    return run


@pytest.fixture
def no_numba(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "numba", None)


def recorded(path: Path) -> tuple[str, str]:
    """The engine that config and result name."""
    config, metrics = (json.loads((path / name).read_text()) for name in ("config.json", "metrics.json"))
    return config["training"]["engine"], metrics["engine"]


@each_engine
def test_a_run_names_the_engine_it_was_told_to_use(lecture: Callable[..., Run], engine: str) -> None:
    run = lecture(engine=engine)
    assert run.metrics["engine"] == engine
    assert recorded(run.path) == (engine, engine)


def test_a_run_names_the_engine_that_auto_chose(lecture: Callable[..., Run], monkeypatch: pytest.MonkeyPatch) -> None:
    assert recorded(lecture().path) == ("manual", "manual")
    monkeypatch.setattr(FusedCPU, "worth_from", 20)
    assert lecture(steps=19).metrics["engine"] == "manual"
    assert lecture(steps=20).metrics["engine"] == ("fused" if FAST else "manual")
    monkeypatch.setattr(Manual, "worth_from", 20)
    assert lecture(steps=19).metrics["engine"] == "autograd"


def test_auto_is_autograd_for_an_optimizer_that_no_engine_knows(
    words_file: Path, lecture: Callable[..., Run], monkeypatch: pytest.MonkeyPatch
) -> None:
    with_plugin(monkeypatch, lambda registry: registry.optimizers.add(PLAIN_ADAM))
    assert lecture(optimizer="plain-adam").metrics["engine"] == "autograd"
    with pytest.raises(zoo.UsageError, match='it supports the update of zoo-models/sgd, not of Adam; engine="auto"'):
        lecture(optimizer="plain-adam", engine="manual")


PLAIN_ADAM = Entry(zoo.OptimizerSpec("plain-adam", "torch.optim:Adam", lr=1e-3), PLUGIN)


def with_plugin(monkeypatch: pytest.MonkeyPatch, change: Callable[[Registry], None]) -> None:
    """Let the API and the command find another registry."""

    def load(*args: Any, **kwargs: Any) -> Any:
        registry, statuses = load_plugins(*args, **kwargs)
        change(registry)
        return registry, statuses

    monkeypatch.setattr("zoo.api.load_plugins", load)
    monkeypatch.setattr(State, "registry", property(lambda _: load()[0]))


def test_the_command_says_which_engine_it_used(zoo_here: Zoo, words_file: Path) -> None:
    command = ("run", "mlp-char", "--dataset", words_file, "--steps", 5, "--no-plots", "--device", "cpu")
    assert "on cpu (manual)" in zoo_here(*command).out
    assert "on cpu (autograd)" in zoo_here(*command, "--engine", "autograd").out
    assert zoo_here(*command, "--engine", "manual", "--json").result["engine"] == "manual"


def test_without_numba_auto_takes_manual(
    no_numba: None, lecture: Callable[..., Run], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(FusedCPU, "worth_from", 0)
    assert lecture().metrics["engine"] == "manual"


def test_without_numba_fused_says_what_to_install(no_numba: None, zoo_here: Zoo, words_file: Path) -> None:
    done = zoo_here("run", "mlp-char", "--dataset", words_file, "--engine", "fused", "--out", "run")
    assert (done.code, done.out) == (2, "")
    assert done.err == (
        "zoo: error: engine 'fused' cannot train this: it needs numba: pip install 'zoo-models[fast]'; "
        "--engine auto takes one that can\n"
    )
    assert not Path("run").exists()


# Going on


@each_engine
def test_a_run_goes_on_with_the_engine_it_had(lecture: Callable[..., Run], engine: str) -> None:
    whole = lecture(steps=50, engine=engine, out="whole")
    lecture(steps=20, engine=engine, out="parts")
    resumed = zoo.resume("parts", steps=50, plots=False)
    assert recorded(resumed.path) == (engine, engine)
    assert [(resumed.path / name).read_bytes() == (whole.path / name).read_bytes() for name in FILES] == [True] * 4


def test_a_run_keeps_its_engine_where_auto_would_now_choose_another(
    lecture: Callable[..., Run], monkeypatch: pytest.MonkeyPatch
) -> None:
    path = lecture().path
    monkeypatch.setattr(Manual, "worth_from", 10**9)
    assert zoo.resume(path, steps=30, plots=False).metrics["engine"] == "manual"


def test_another_engine_goes_on_with_a_warning(lecture: Callable[..., Run]) -> None:
    path = lecture(engine="autograd").path
    with pytest.warns(UserWarning, match="the last digits may not be .*: training.engine: autograd then, manual now"):
        resumed = zoo.resume(path, steps=50, engine="manual", plots=False)
    assert recorded(path) == ("manual", "manual")
    assert resumed.step_losses[:20] == lecture(steps=20, engine="autograd").step_losses
    assert resumed.step_losses == pytest.approx(lecture(steps=50, engine="autograd").step_losses, rel=1e-2)


def test_the_command_goes_on_with_another_engine_and_warns(zoo_here: Zoo, lecture: Callable[..., Run]) -> None:
    path = lecture(engine="autograd").path
    done = zoo_here("resume", path, "--steps", 30, "--engine", "manual", "--no-plots", "--json", "--quiet")
    assert (done.code, done.result["engine"]) == (0, "manual")
    [line] = done.err.splitlines()
    assert line.startswith("zoo: warning: ")
    assert "training.engine: autograd then, manual now" in line
    done = zoo_here("resume", path, "--steps", 40, "--engine", "warp", "--no-plots")
    assert done.code != 0
    assert "model 'mlp-char' has no engine 'warp'" in done.err


@needs_numba
def test_an_engine_that_is_gone_at_resume_is_told_and_auto_goes_on(
    lecture: Callable[..., Run], zoo_here: Zoo, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = lecture(engine="fused").path
    monkeypatch.setitem(sys.modules, "numba", None)
    before = {name: (path / name).read_bytes() for name in FILES}
    done = zoo_here("resume", path, "--steps", 30, "--no-plots")
    assert done.code == 2
    assert "engine 'fused' cannot train this: it needs numba: pip install 'zoo-models[fast]'" in done.err
    assert before == {name: (path / name).read_bytes() for name in FILES}
    done = zoo_here("resume", path, "--steps", 30, "--engine", "auto", "--no-plots", "--json", "--quiet")
    assert (done.code, done.result["engine"]) == (0, "manual")
    assert "training.engine: fused then, manual now" in done.err


def test_an_engine_that_the_plugin_no_longer_has_is_told_at_resume(
    lecture: Callable[..., Run], monkeypatch: pytest.MonkeyPatch
) -> None:
    path = lecture(engine="manual").path

    def without_engines(registry: Registry) -> None:
        entry = registry.models.get("mlp-char")
        registry.models.remove_plugin(entry.plugin)
        registry.models.add(Entry(replace(entry.spec, engines={}, populations={}), entry.plugin))

    with_plugin(monkeypatch, without_engines)
    with pytest.raises(zoo.CheckpointError, match="cannot be resumed: model 'mlp-char' has no engine 'manual'"):
        zoo.resume(path, steps=30, plots=False)
    with pytest.warns(UserWarning, match="training.engine: manual then, autograd now"):
        assert zoo.resume(path, steps=30, engine="auto", plots=False).metrics["engine"] == "autograd"


# Stopping


class Presses(Observer):
    """Presses Ctrl-C once so many steps are done."""

    def __init__(self, step: int) -> None:
        self.at = step

    def progress(self, step: int, steps: int, loss: float) -> None:
        if self.at <= step < steps:
            self.at = steps
            os.kill(os.getpid(), signal.SIGINT)


@pytest.mark.usefixtures("typed")  # a message as at the command line
@pytest.mark.skipif(os.name != "posix", reason="signals are for POSIX systems")
@each_engine
def test_a_run_that_is_stopped_goes_on_to_the_same_bytes(lecture: Callable[..., Run], engine: str) -> None:
    with pytest.raises(
        zoo.InterruptedRunError, match=r"stopped at step \d+ of 3000; to resume: zoo resume parts"
    ) as stop:
        lecture(steps=3000, engine=engine, out="parts", observer=Presses(5))
    assert stop.value.exit_code == 130
    step = checkpoint.load(Path("parts/training_state.safetensors")).meta["step"]
    assert 5 <= step < 3000
    resumed = zoo.resume("parts", plots=False)
    whole = lecture(steps=3000, engine=engine, out="whole")
    assert [(resumed.path / name).read_bytes() == (whole.path / name).read_bytes() for name in FILES] == [True] * 4


@own_engines
@pytest.mark.parametrize("every", [3, 7])
def test_checkpoints_on_the_way_change_nothing(lecture: Callable[..., Run], engine: str, every: int) -> None:
    whole, saved = lecture(steps=100, engine=engine), lecture(steps=100, engine=engine, checkpoint_every=str(every))
    assert whole.step_losses == saved.step_losses
    assert (whole.path / FILES[0]).read_bytes() == (saved.path / FILES[0]).read_bytes()


# Diverging


@each_engine
@pytest.mark.parametrize("lr", [1e35, 1e38])
def test_a_run_that_diverges_keeps_weights_whose_loss_is_finite(
    lecture: Callable[..., Run], engine: str, lr: float
) -> None:
    with pytest.raises(zoo.DivergedError, match=r"the loss became \S+ at step \d+, at learning rate 1e\+") as caught:
        lecture(steps=1000, engine=engine, lr=lr, out="run")
    assert "; the checkpoint of step" in str(caught.value)
    state = checkpoint.load(Path("run/training_state.safetensors"))
    assert f"the checkpoint of step {state.meta['step']} " in str(caught.value)
    losses = Path("run/losses.csv").read_text().splitlines()[1:]
    assert len(losses) == state.meta["step"] < 1000
    model = zoo.load("run/model.safetensors").model
    assert all(p.isfinite().all() for p in model.parameters())


@own_engines
@pytest.mark.parametrize("failed", [0, 1, 2, 5, 7, 8])
def test_a_loss_that_is_not_finite_takes_training_back(
    engine: str, failed: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Blocks are steps 0, 1-2, 3-6, 7-14; the step before the one that fails spoils the weights."""
    monkeypatch.setattr("zoo.training.loop._BLOCK_SECONDS", 1e9)
    with pytest.raises(zoo.DivergedError, match=rf"the loss became \S+ at step {failed}$"):
        train(diverging := training(engine, failed), 100)
    kept = {0: 0, 1: 0, 2: 1, 5: 3, 7: 3, 8: 7}[failed]
    undisturbed = training(engine, None)
    train(undisturbed, kept)
    assert (diverging.step, diverging.losses) == (kept, undisturbed.losses)
    if failed:
        for one, two in zip(diverging.model.parameters(), undisturbed.model.parameters(), strict=True):
            assert torch.equal(one, two)


class Spoiling:
    """A rate that is the same for all steps but one, after which no weight is a number."""

    def __init__(self, spoilt: int | None) -> None:
        self._spoilt = spoilt

    def lr(self, base_lr: float, step: int) -> float:
        return float("nan") if step == self._spoilt else base_lr

    def lrs(self, base_lr: float, first: int, count: int) -> list[float]:
        return [self.lr(base_lr, first + k) for k in range(count)]


def training(engine: str, failed: int | None) -> Training:
    """Of the lecture's net; the loss of step `failed` is not finite."""
    g = torch.Generator().manual_seed(1)
    net = MLPChar(generator=g)
    if failed == 0:
        with torch.no_grad():
            net.W1[3, 5] = float("nan")
    optimizer = SGD(net.parameters())
    make: Any = {"manual": Manual, "fused": FusedCPU}[engine]
    data = TensorExamples(torch.randint(27, (99, 3), generator=g), torch.randint(27, (99,), generator=g), torch.int64)
    schedule: Any = Spoiling(None if failed is None else failed - 1)
    return Training(net, optimizer, data, 32, 0.1, schedule, g, engine=make(net, optimizer, 32))


# What the command says of them


def test_info_lists_the_engines_of_a_model(zoo_here: Zoo) -> None:
    [found] = zoo_here("info", "mlp-char", "--json").result["found"]
    assert found["engines"] == ["fused", "manual", "autograd"]
    assert "Engines, the fastest first: fused, manual, autograd\n" in zoo_here("info", "mlp-char").out


def test_info_says_nothing_of_engines_where_there_is_no_choice(
    zoo_here: Zoo, installed: Callable[[Sequence[str]], str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.syspath_prepend(installed(["zoo-trigram"]))
    [found] = zoo_here("info", "trigram", "--json").result["found"]
    assert found["engines"] == ["autograd"]
    assert "ngine" not in zoo_here("info", "trigram").out
    assert "engines" not in zoo_here("info", "sgd").out


def test_info_imports_nothing_of_the_engines() -> None:
    """An engine's library may take seconds to import."""
    code = (
        "import sys\nfrom zoo.cli import main\n"
        "try:\n    main(['info', 'mlp-char'])\nexcept SystemExit:\n    pass\n"
        "print({'numba', 'zoo_lecture.manual', 'zoo_lecture.fused', 'zoo_lecture.nvrtc'} & set(sys.modules))"
    )
    done = run_python("-c", code)
    assert done.returncode == 0, done.stderr
    assert done.stdout.endswith("\nset()\n"), done.stdout
