"""A signal at every stage of a run: what was trained is saved, the exit code tells of it, and nothing swallows it."""

from __future__ import annotations

import signal
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, suppress
from pathlib import Path
from types import FrameType
from typing import Any

import pytest
from conftest import before_call, run_python

import zoo
from zoo.runs import prepare, runner
from zoo.runs.observer import Observer
from zoo.storage.folder import RunFolder
from zoo.storage.open_folder import OpenFolder
from zoo.training.signals import stop_signals

Zoo = Callable[..., Any]

pytestmark = [
    pytest.mark.usefixtures("quick_plots"),
    pytest.mark.usefixtures("typed"),
]  # messages as at the command line

STEPS = 12
SIGNALS = [signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGXCPU]
STAGES: dict[str, tuple[Any, str, int]] = {  # where a signal comes: in the Nth call of this function
    "making the folder": (RunFolder, "write_first_checkpoint", 1),
    "the first file": (OpenFolder, "write", 1),
    "training": (Observer, "progress", 1),
    "a checkpoint": (RunFolder, "write_checkpoint", 2),
    "a file of a checkpoint": (OpenFolder, "write", 6),
    "the last checkpoint": (RunFolder, "write_checkpoint", 4),
    "the last file of the last checkpoint": (RunFolder, "write_weights", 4),
    "evaluating": (runner, "evaluate_splits", 1),
    "plotting": (runner, "loss_plot", 1),
    "the card": (RunFolder, "write_card", 1),
}


class Delivered(Exception):
    """What the handlers of these tests raise, in place of ending the process."""


@pytest.fixture(autouse=True)
def handlers() -> Iterator[None]:
    """The caller's own handlers, which must be there again after each run."""

    def handle(number: int, frame: FrameType | None) -> None:
        raise Delivered(number)

    before = {number: signal.signal(number, handle) for number in SIGNALS}
    yield
    assert all(signal.getsignal(number) is handle for number in SIGNALS)
    for number, handler in before.items():
        signal.signal(number, handler)


def send(number: int, owner: Any, name: str, nth: int) -> AbstractContextManager[None]:
    """`with send(number, owner, name, nth): …`: before the Nth call of a function a signal comes."""
    return before_call(owner, name, nth, lambda: signal.raise_signal(number))


def train(words: Path, out: str, **options: Any) -> Any:
    arguments: Any = {"steps": STEPS, "checkpoint_every": 5, "device": "cpu", **options}
    return zoo.run("bigram", dataset=str(words), out=out, **arguments)


def files(folder: Path) -> dict[str, bytes]:
    return {name: (folder / name).read_bytes() for name in ("model.safetensors", "losses.csv", "config.json")}


@pytest.fixture
def whole(words_file: Path) -> dict[str, bytes]:
    return files(train(words_file, "whole").path)


@pytest.mark.parametrize("number", SIGNALS, ids=lambda number: number.name)
@pytest.mark.parametrize("stage", STAGES)
def test_a_signal_at_any_stage_saves_and_tells_and_the_run_resumes(
    words_file: Path, whole: dict[str, bytes], number: int, stage: str
) -> None:
    with send(number, *STAGES[stage]), pytest.raises(zoo.InterruptedRunError, match="zoo resume run") as caught:
        train(words_file, "run")
    assert caught.value.exit_code == 128 + number
    assert not (Path("run") / "metrics.json").exists()
    zoo.resume("run")
    assert files(Path("run")) == whole
    assert (Path("run") / "metrics.json").exists()


@pytest.mark.parametrize("number", SIGNALS, ids=lambda number: number.name)
@pytest.mark.parametrize("stage", ["training", "evaluating"])
def test_a_signal_while_resuming_saves_and_tells_too(
    words_file: Path, whole: dict[str, bytes], number: int, stage: str
) -> None:
    train(words_file, "run", steps=5)
    with send(number, *STAGES[stage]), pytest.raises(zoo.InterruptedRunError):
        zoo.resume("run", steps=STEPS)
    zoo.resume("run", steps=STEPS)
    assert (files(Path("run")) | {"config.json": b""}) == (whole | {"config.json": b""})


@pytest.mark.parametrize("number", SIGNALS, ids=lambda number: number.name)
def test_a_signal_when_all_is_done_is_passed_on_to_the_caller(
    words_file: Path, whole: dict[str, bytes], number: int
) -> None:
    with send(number, RunFolder, "write_metrics", 1), pytest.raises(Delivered):
        train(words_file, "run")
    assert files(Path("run")) == whole
    assert (Path("run") / "metrics.json").exists()


@pytest.mark.parametrize("number", SIGNALS, ids=lambda number: number.name)
def test_a_signal_before_there_is_anything_to_save_is_the_callers(words_file: Path, number: int) -> None:
    with send(number, prepare, "build_model", 1), pytest.raises(Delivered):
        train(words_file, "run")
    assert not Path("run").exists()


@pytest.mark.parametrize("number", SIGNALS, ids=lambda number: number.name)
@pytest.mark.parametrize("stage", STAGES)
def test_a_signal_that_is_ignored_stays_ignored(
    words_file: Path, whole: dict[str, bytes], number: int, stage: str
) -> None:
    before = signal.signal(number, signal.SIG_IGN)
    try:
        with send(number, *STAGES[stage]):
            train(words_file, "run")
        assert signal.getsignal(number) is signal.SIG_IGN
    finally:
        signal.signal(number, before)
    assert files(Path("run")) == whole


@pytest.mark.parametrize("number", SIGNALS, ids=lambda number: number.name)
def test_a_handler_that_was_not_set_from_python_is_left_alone(monkeypatch: pytest.MonkeyPatch, number: int) -> None:
    real, changed = signal.signal, []
    monkeypatch.setattr(signal, "getsignal", lambda n: None if n == number else signal.default_int_handler)

    def spy(n: int, handler: Any) -> Any:
        changed.append(n)
        return real(n, lambda *_: None)

    before = {n: real(n, signal.SIG_DFL) for n in SIGNALS}
    with monkeypatch.context() as patch:
        patch.setattr(signal, "signal", spy)
        with stop_signals():
            pass
    for n, handler in before.items():
        real(n, handler)
    monkeypatch.undo()
    assert set(changed) == set(SIGNALS) - {number}


@pytest.mark.parametrize("number", SIGNALS, ids=lambda number: number.name)
def test_the_command_exits_with_128_and_the_signal(zoo_here: Zoo, words_file: Path, number: int) -> None:
    with send(number, RunFolder, "write_checkpoint", 2):
        done = zoo_here(
            "run", "bigram", "--dataset", words_file, "--steps", 99, "--out", "run", "--quiet", "--no-plots"
        )
    assert (done.code, done.out) == (128 + number, "")
    assert done.err.endswith("to resume: zoo resume run\n")
    assert done.err.count("\n") == 1


def test_a_loop_over_runs_that_catches_exceptions_ends_with_ctrl_c(words_file: Path) -> None:
    begun = []

    def loop() -> None:
        for number in range(3):
            begun.append(number)
            with suppress(Exception):
                train(words_file, f"run-{number}")

    with send(signal.SIGINT, *STAGES["training"]), pytest.raises(KeyboardInterrupt):
        loop()
    assert begun == [0]


def test_only_a_second_ctrl_c_a_second_later_stops_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """A wrapper passes the first one on; a terminal that is closed sends SIGHUP more than once."""
    now = 100.0
    monkeypatch.setattr("zoo.training.signals.time.monotonic", lambda: now)

    def insist() -> None:
        nonlocal now
        with stop_signals() as signals:
            signal.raise_signal(signal.SIGINT)
            signal.raise_signal(signal.SIGINT)
            now += 5
            for number in (signal.SIGHUP, signal.SIGHUP, signal.SIGTERM):
                signal.raise_signal(number)
            assert signals
            signal.raise_signal(signal.SIGINT)
            pytest.fail("the second Ctrl-C was not heard")

    with pytest.raises(KeyboardInterrupt):
        insist()


def test_a_closed_terminal_and_nohup_in_real_processes(words_file: Path) -> None:
    """SIGHUP and a dead stderr together: saved, and 129; ignored, as `nohup` does: the run goes on to its end."""
    code = f"""
import os, signal, sys
from zoo.storage.folder import RunFolder
write = RunFolder.write_checkpoint
def writing(*args):
    os.dup2(os.open("/dev/full", os.O_WRONLY), 2)
    signal.raise_signal(signal.SIGHUP)
    write(*args)
RunFolder.write_checkpoint = writing
if sys.argv[1] == "nohup":
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
from zoo.cli import main
main(["run", "bigram", "--dataset", {str(words_file)!r}, "--steps", "5", "--out", sys.argv[1], "--no-plots"])
"""
    for how, exit_code in (("terminal", 129), ("nohup", 0)):
        done = run_python("-c", code, how)
        assert done.returncode == exit_code, done.stderr
        assert Path(how, "training_state.safetensors").exists()
    assert not Path("terminal/metrics.json").exists()
    assert Path("nohup/metrics.json").exists()
