"""A plugin may raise anything anywhere: it is one message that names the plugin, and never the end of zoo.

Tried by enumeration: every kind of exception of `KINDS` at every place of `PLACES`.
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import signal
import types
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import safetensors.torch
import torch
from conftest import Zoo
from dropping import WORDS, install
from torch import Tensor, nn

import zoo
from zoo.errors import OutOfMemoryError, out_of_memory
from zoo.plugin.calling import plugin_call, plugin_errors, step_errors
from zoo.runs.observer import Guarded, Observer


class Panic(BaseException):
    """As a native module's panic: no Exception."""


class Unshowable(Exception):
    def __str__(self) -> str:
        raise Panic("even its message")


KINDS: dict[str, Callable[[], BaseException]] = {
    "Exception": lambda: RuntimeError("the disk is on fire"),
    "SystemExit": lambda: SystemExit(0),
    "CancelledError": lambda: asyncio.CancelledError("cancelled"),
    "GeneratorExit": GeneratorExit,
    "BaseException": lambda: BaseException("bare"),
    "panic": lambda: Panic("index out of bounds"),
    "group": lambda: BaseExceptionGroup("several", [Panic("one"), SystemExit(2)]),
    "unshowable": Unshowable,
}


class Bomb:
    """A plugin that works, until its code at one place raises something."""

    def __init__(self, place: str, kind: str) -> None:
        self._place, self._make = place, KINDS.get(kind, KeyboardInterrupt)

    def explode(self, place: str) -> None:
        if place == self._place:
            raise self._make()

    @zoo.hookimpl
    def zoo_models(self) -> list[zoo.ModelSpec]:
        self.explode("hook of models")
        path = "exploding:Model" if self._place == "model import" else None
        fitted = ("size",) if self._place == "fit" else ()
        return [
            zoo.ModelSpec(
                "bomb", path or self.model, optimizer="fuse", lr=0.1, engines={"burning": self.engine}, fitted=fitted
            )
        ]

    @zoo.hookimpl
    def zoo_datasets(self) -> list[zoo.DatasetSpec]:
        self.explode("hook of datasets")
        return [zoo.DatasetSpec("powder", self.dataset)]

    @zoo.hookimpl
    def zoo_optimizers(self) -> list[zoo.OptimizerSpec]:
        self.explode("hook of optimizers")
        return [zoo.OptimizerSpec("fuse", self.optimizer)]

    @zoo.hookimpl
    def zoo_loggers(self) -> list[zoo.LoggerSpec]:
        self.explode("hook of loggers")
        return []

    def dataset(self) -> zoo.TextDataset:
        self.explode("dataset")
        return zoo.TextDataset(WORDS.split("\n"))

    def model(self, vocab_size: int, size: int = 1) -> nn.Module:
        self.explode("model")
        return Net(self, vocab_size)

    def optimizer(self, params: Any, lr: float) -> torch.optim.Optimizer:
        self.explode("optimizer")
        return Fuse(self, params, lr)

    def engine(self, model: nn.Module, optimizer: Any, batch_size: int) -> Any:
        self.explode("engine")
        return Burning(self)


class Net(nn.Module):
    context_length = 3

    def __init__(self, bomb: Bomb, vocab_size: int) -> None:
        super().__init__()
        self._bomb, self._out = bomb, nn.Embedding(vocab_size, vocab_size)

    def forward(self, x: Tensor) -> Tensor:
        first = not hasattr(self, "tried")
        self.tried = True
        self._bomb.explode("first forward" if first else "forward in training" if self.training else "forward later")
        logits: Tensor = self._out(x[:, -1])
        return logits

    def fit(self, x: Tensor, y: Tensor) -> int:
        self._bomb.explode("fit")
        return 1


class Fuse(torch.optim.SGD):
    def __init__(self, bomb: Bomb, params: Any, lr: float) -> None:
        super().__init__(params, lr=lr)
        self._bomb = bomb

    def step(self, closure: Any = None) -> Any:
        self._bomb.explode("optimizer step")
        return super().step(closure)


class Burning:
    def __init__(self, bomb: Bomb) -> None:
        self._bomb = bomb
        self.worth_from = 0 if bomb._place.startswith("engine") else 10**9

    def start(self) -> None:
        self._bomb.explode("engine start")

    def run(self, x: Tensor, y: Tensor, lrs: Any, stop: Any) -> Tensor:
        self._bomb.explode("engine run")
        return torch.zeros(len(lrs))


HOOKS = ("hook of models", "hook of datasets", "hook of optimizers", "hook of loggers")
PLACES = (
    "entry point",
    *HOOKS,
    "model import",
    "dataset",
    "model",
    "first forward",
    "fit",
    "optimizer",
    "engine",
    "engine start",
    "engine run",
    "forward in training",
    "optimizer step",
    "forward later",
)
NAMES = {"dataset": "dataset 'powder'", "optimizer": "optimizer 'fuse'", "optimizer step": "optimizer 'fuse'"}


@pytest.fixture
def plant(monkeypatch: pytest.MonkeyPatch) -> Callable[[str, str], None]:
    """`plant(place, kind)`: zoo finds a plugin that raises this there."""

    def plant(place: str, kind: str) -> None:
        bomb = Bomb(place, kind)
        install(monkeypatch, bomb, "zoo-bomb")
        if place == "entry point":
            monkeypatch.setattr("dropping.Point.load", lambda self: self._plugin.explode(place))
        if place == "model import":
            monkeypatch.setattr("zoo.plugin.registry.import_object", lambda path: bomb.explode(place))

    return plant


@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize("kind", KINDS)
def test_whatever_is_raised_is_one_line_that_names_the_plugin(
    zoo_here: Zoo, plant: Callable[[str, str], None], place: str, kind: str
) -> None:
    plant(place, kind)
    outcome = zoo_here("run", "bomb", "--dataset", "powder", "--steps", 3, "--no-plots", "--device", "cpu")
    lines = outcome.err.strip().split("\n")
    raised = type(KINDS[kind]()).__name__
    if place == "entry point" or place in HOOKS:  # the plugin is skipped: there is no such model, and all others are
        assert lines[0].startswith(f"zoo: warning: plugin zoo-bomb 1.0 was skipped: {raised}")
        assert outcome.code == 2
        assert zoo_here("run", "bigram", "--dataset", "names-ssa-2018", "--help").code == 0
    else:
        assert outcome.code == 1, outcome.err
        assert len(lines) == 1
        assert NAMES.get(place, "'bomb'") in lines[0]
        assert "plugin zoo-bomb 1.0" in lines[0]
        assert raised in lines[0]
    assert zoo_here("list", "models").code == 0


@pytest.mark.parametrize("place", PLACES)
def test_ctrl_c_passes_everywhere(plant: Callable[[str, str], None], place: str) -> None:
    plant(place, "Ctrl-C")
    with pytest.raises(KeyboardInterrupt):
        zoo.run("bomb", dataset="powder", steps=3, plots=False, device="cpu")


@pytest.mark.parametrize("kind", KINDS)
def test_loading_and_sampling_name_the_plugin_too(
    monkeypatch: pytest.MonkeyPatch, plant: Callable[[str, str], None], kind: str
) -> None:
    plant("nowhere", kind)
    path = zoo.run("bomb", dataset="powder", steps=3, plots=False, device="cpu").path
    loaded = zoo.load(path)
    examples = loaded.examples(zoo.TextDataset(WORDS.split()))
    monkeypatch.setattr(Net, "forward", _raising(KINDS[kind]))
    for use in (loaded.sample, lambda: loaded.evaluate(examples, torch.device("cpu"))):
        with pytest.raises(zoo.PluginError, match=r"model 'bomb' of plugin zoo-bomb 1\.0"):
            use()


def _raising(make: Callable[[], BaseException]) -> Callable[..., Any]:
    def forward(self: object, x: object) -> object:
        raise make()

    return forward


@pytest.mark.parametrize("raised", [RuntimeError, SystemExit, Panic])
def test_what_the_handler_of_a_signal_raises_is_not_the_plugins(raised: type[BaseException]) -> None:
    def handler(number: int, frame: types.FrameType | None) -> None:
        raise raised("time is over")

    before = signal.signal(signal.SIGTERM, handler)
    try:
        with pytest.raises(raised, match="time is over"), plugin_errors("model 'x'", "fails"):
            signal.raise_signal(signal.SIGTERM)
    finally:
        signal.signal(signal.SIGTERM, before)


class TimeIsOver(Exception):
    """What a caller's timer raises, at any moment."""


def _alarm(number: int, frame: object) -> None:
    raise TimeIsOver("time is over")


@pytest.fixture
def alarm() -> Iterator[None]:
    """SIGTERM raises `TimeIsOver`."""
    before = signal.signal(signal.SIGTERM, _alarm)
    yield
    signal.signal(signal.SIGTERM, before)


def _from_cause() -> None:
    try:
        signal.raise_signal(signal.SIGTERM)
    except Exception as error:
        raise ImportError("a library cannot be used") from error


def _from_nothing() -> None:
    try:
        signal.raise_signal(signal.SIGTERM)
    except Exception:
        raise zoo.EngineUnavailableError("a library cannot be used") from None


def _within_a_handler() -> None:
    try:
        _from_cause()
    except ImportError:
        [].pop()


def _from_ctrl_c() -> None:
    try:
        raise KeyboardInterrupt
    except BaseException:
        raise RuntimeError("a panic") from None


MADE_OF_IT = [_from_cause, _from_nothing, _within_a_handler, _from_ctrl_c]
GUARDS: list[Callable[[], contextlib.AbstractContextManager[object]]] = [
    lambda: plugin_errors("model 'x'", "fails"),
    lambda: plugin_errors("model 'x'", "fails", refused="model 'x'"),
    lambda: plugin_call("model 'x'", "fails"),
    lambda: step_errors(nn.Identity()),
    lambda: Guarded(Observer())._guard(),
]


@pytest.mark.parametrize("guard", range(len(GUARDS)))
@pytest.mark.parametrize("fails", MADE_OF_IT)
@pytest.mark.usefixtures("alarm")
def test_a_signal_is_obeyed_whatever_a_plugin_makes_of_its_exception(fails: Callable[[], None], guard: int) -> None:
    with pytest.raises(TimeIsOver if fails is not _from_ctrl_c else KeyboardInterrupt), GUARDS[guard]():
        fails()


@pytest.mark.usefixtures("alarm")
def test_a_signal_that_was_handled_before_has_nothing_to_do_with_it() -> None:
    for earlier in (_from_ctrl_c, _from_cause):
        try:
            earlier()
        except BaseException:
            with pytest.raises(zoo.PluginError, match="ZeroDivisionError"), plugin_errors("model 'x'", "fails"):
                1 / 0  # noqa: B018


@pytest.mark.usefixtures("alarm")
def test_a_signal_while_an_engine_starts_ends_the_run(monkeypatch: pytest.MonkeyPatch, words_file: Path) -> None:
    """It is not another reason to take another engine: numba takes a second to import."""

    class Engine:
        worth_from = 0

        def start(self) -> None:
            _from_nothing()

        def run(self) -> None: ...

    monkeypatch.setattr("zoo_lecture.manual.Manual", lambda *_: Engine())
    monkeypatch.setattr("zoo_lecture.fused.Fused", lambda *_: Engine(), raising=False)
    for engine in ("auto", "manual"):
        with pytest.raises(TimeIsOver):
            zoo.run("mlp-char", dataset=words_file, steps=3, plots=False, device="cpu", engine=engine)


@pytest.mark.usefixtures("alarm")
def test_a_signal_while_a_file_is_decoded_is_no_damage(monkeypatch: pytest.MonkeyPatch, made: Path) -> None:
    monkeypatch.setattr("safetensors.torch.load", lambda _: signal.raise_signal(signal.SIGTERM))
    with pytest.raises(TimeIsOver):
        zoo.load(made)


# Memory that runs out, in any form, at any place


class AcceleratorError(RuntimeError):
    """As torch's, which cannot be made without CUDA."""


class OfTorch(RuntimeError):
    """As `torch.OutOfMemoryError`."""


OfTorch.__name__ = "OutOfMemoryError"
_BYTES = "Tried to allocate 2.00 GiB. GPU 0 has a total capacity of 79.10 GiB of which 1.06 GiB is free."

FORMS: dict[str, Callable[[], BaseException]] = {  # of memory that runs out: of the machine, of a GPU
    "Python's": MemoryError,
    "torch's, on the CPU": lambda: RuntimeError(
        "[enforce fail at alloc_cpu.cpp:124] err == 0. DefaultCPUAllocator: can't allocate memory: you tried to "
        "allocate 40000000000 bytes. Error code 12 (Cannot allocate memory)"
    ),
    "torch's, on Windows": lambda: RuntimeError("alloc_cpu.cpp:118] data. DefaultCPUAllocator: not enough memory: ..."),
    "the system's": lambda: OSError(errno.ENOMEM, "Cannot allocate memory"),
    "GPU: torch's allocator": lambda: OfTorch(f"CUDA out of memory. {_BYTES}"),
    "GPU: torch's allocator, ROCm": lambda: OfTorch(f"HIP out of memory. {_BYTES}"),
    "GPU: a call of CUDA": lambda: AcceleratorError(
        "CUDA error: out of memory\nSearch for `cudaErrorMemoryAllocation' in the documentation for more information."
    ),
    "GPU: a call of CUDA, older torch": lambda: RuntimeError("CUDA error: out of memory\nCUDA kernel errors might"),
    "GPU: the driver": lambda: RuntimeError("CUDA driver error: CUDA_ERROR_OUT_OF_MEMORY"),
    "GPU: Triton": lambda: RuntimeError("Triton Error [CUDA]: out of memory"),
    "GPU: cuBLAS": lambda: RuntimeError("CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`"),
    "GPU: cuDNN": lambda: RuntimeError("cuDNN error: CUDNN_STATUS_ALLOC_FAILED"),
    "GPU: torch's allocator, MPS": lambda: RuntimeError("MPS backend out of memory (MPS allocated: 5.05 GB)."),
}
BEFORE_ENGINE = ("engine", "engine start")
NEED_MEMORY = tuple(place for place in PLACES if place not in ("entry point", *HOOKS, "model import", *BEFORE_ENGINE))
IN_A_STEP = ("engine run", "forward in training", "optimizer step")


@pytest.mark.parametrize("place", NEED_MEMORY)
@pytest.mark.parametrize("form", FORMS)
def test_memory_that_runs_out_is_nobodys_fault(
    zoo_here: Zoo, monkeypatch: pytest.MonkeyPatch, form: str, place: str
) -> None:
    monkeypatch.setitem(KINDS, "memory", FORMS[form])
    install(monkeypatch, Bomb(place, "memory"), "zoo-bomb")
    outcome = zoo_here("run", "bomb", "--dataset", "powder", "--steps", 3, "--no-plots", "--device", "cpu")
    kind = "GPU memory" if form.startswith("GPU") else "memory"
    if place == "forward later":
        said = f"zoo: error: not enough {kind} after step 3 of 3; the last checkpoint is in runs/bomb-1; to resume: "
    else:
        said = f"zoo: error: there is not enough {kind} for this: try a smaller --batch-size or a smaller model"
    assert outcome.err.startswith(said)
    assert outcome.err.count("\n") == 1
    assert outcome.code == 1
    assert "plugin" not in outcome.err
    assert ("--device cpu" in outcome.err) == form.startswith("GPU")
    assert ("the checkpoint of step 0 is in runs/bomb-1" in outcome.err) == (place in IN_A_STEP)


@pytest.mark.parametrize("place", BEFORE_ENGINE)
@pytest.mark.parametrize("form", FORMS)
def test_an_engine_that_has_no_memory_gives_way_unless_it_was_named(
    zoo_here: Zoo, monkeypatch: pytest.MonkeyPatch, form: str, place: str
) -> None:
    monkeypatch.setitem(KINDS, "memory", FORMS[form])
    install(monkeypatch, Bomb(place, "memory"), "zoo-bomb")
    run = ("run", "bomb", "--dataset", "powder", "--steps", 3, "--no-plots", "--device", "cpu")
    outcome = zoo_here(*run, "--json")
    assert (outcome.code, outcome.result["engine"], outcome.err) == (0, "autograd", "")
    outcome = zoo_here(*run, "--engine", "burning")
    assert outcome.code == 2
    assert outcome.err.startswith(
        "zoo: error: engine 'burning' cannot train this: it needs more memory than there is: "
    )
    assert outcome.err.endswith("; --engine auto takes one that can\n")
    assert outcome.err.count("\n") == 1


@pytest.mark.parametrize("form", FORMS)
def test_memory_that_runs_out_after_loading_is_one_sentence_too(
    monkeypatch: pytest.MonkeyPatch, plant: Callable[[str, str], None], form: str
) -> None:
    plant("nowhere", "memory")
    path = zoo.run("bomb", dataset="powder", steps=3, plots=False, device="cpu").path
    loaded = zoo.load(path)
    examples = loaded.examples(zoo.TextDataset(WORDS.split()))
    fails = _raising(FORMS[form])
    uses: list[tuple[object, str, Callable[[], object]]] = [
        (Net, "forward", loaded.sample),
        (Net, "forward", lambda: loaded.evaluate(examples, torch.device("cpu"))),
        (Net, "__init__", lambda: zoo.load(path)),
        (safetensors.torch, "load", lambda: zoo.load(path)),
        (Fuse, "step", lambda: zoo.resume(path, steps=5, plots=False)),
        (torch, "set_rng_state", lambda: zoo.resume(path, steps=5, plots=False)),
    ]
    for owner, name, use in uses:
        with monkeypatch.context() as patch:
            patch.setattr(owner, name, lambda *_, **__: fails(None, None))
            with pytest.raises(OutOfMemoryError, match="there is not enough"):
                use()
    assert zoo.resume(path, steps=5, plots=False).metrics["steps"] == 5


@pytest.mark.parametrize(
    "error", [RuntimeError("CUDA error: an illegal memory access was encountered"), OSError(28, "x")]
)
def test_other_errors_are_not_taken_for_it(error: Exception) -> None:
    assert not out_of_memory(error)


def test_every_place_that_catches_whatever_is_raised_lets_ctrl_c_pass() -> None:
    """No `except Exception` where a plugin's code may raise: those that are left are about other things.

    They let pass what the handler of a signal raises, which may come at any moment.
    """
    root = Path(zoo.__file__).parent
    found = {
        path.relative_to(root).as_posix()
        for path in root.rglob("*.py")
        if "except Exception" in path.read_text() or "except (Exception" in path.read_text()
    }
    assert found == {
        "cli/__init__.py",  # the boundary
        "cli/completion/values.py",  # plugins, where a shell completes a word
        "data/download.py",  # requests, urllib3 and what they call
        "plots/importing.py",  # matplotlib
        "plots/worker.py",  # matplotlib and fonts
        "runs/observer.py",  # the caller's observer
        "storage/allocation.py",  # torch's meta device
        "text.py",  # the text of an exception
        "storage/checkpoint.py",  # safetensors
        "sweeps/sweeping.py",  # matplotlib, and what the disk makes of a plot
        "sweeps/training.py",  # whatever ends a member is in its row
        "sweeps/workers/choosing.py",  # the same, where it is prepared once before
        "sweeps/workers/together.py",  # the same, of many at once
        "training/population/stacked.py",  # torch.func
    }
