"""A share of `scripts/breaking/fuzz.py` on every change, and proof that it would notice if a guard were gone."""

from __future__ import annotations

import contextlib
import importlib.util
import json
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from zoo.storage import bounds, checkpoint

SCRIPTS = Path(__file__).resolve().parents[2] / "scripts" / "breaking"
CHECKPOINTS = 6000
TEXTS = 2500


@pytest.fixture(scope="module")
def script() -> ModuleType:
    """`scripts/breaking/fuzz.py` as a module."""
    for name in ("mutants", "fuzz"):  # the second imports the first
        spec = importlib.util.spec_from_file_location(name, SCRIPTS / f"{name}.py")
        assert spec is not None
        assert spec.loader is not None
        module = importlib.util.module_from_spec(spec)
        sys.modules[name] = module
        spec.loader.exec_module(module)
    return module


@pytest.fixture
def fuzzer(script: ModuleType) -> Any:
    return script.Fuzzer(1)


def told(tally: Any) -> str:
    """What failed, each with an input or two."""
    return "\n".join(f"{what}: {', '.join(labels[:3])}" for what, labels in tally.failures.items())


# The share


def test_checkpoints_load_as_what_they_state_or_are_refused(script: ModuleType, fuzzer: Any) -> None:
    tally = script.fuzz(fuzzer, [f"c{number}" for number in range(CHECKPOINTS)])
    assert not tally.failures, told(tally)
    assert tally.outcomes.total() == CHECKPOINTS


def test_texts_are_read_rightly_or_are_refused(script: ModuleType, fuzzer: Any) -> None:
    tally = script.fuzz(fuzzer, [f"t{number}" for number in range(TEXTS)])
    assert not tally.failures, told(tally)
    assert tally.outcomes.total() == TEXTS


def test_inputs_reach_all_that_they_should(script: ModuleType, fuzzer: Any) -> None:
    outcomes = script.fuzz(fuzzer, [f"{kind}{number}" for kind in "ct" for number in range(600)]).outcomes
    assert min(outcomes["loaded"], outcomes["CheckpointError"], outcomes["DataError"]) > 50


def test_the_command_tells_what_became_of_its_inputs() -> None:
    command = [sys.executable, str(SCRIPTS / "fuzz.py"), "--checkpoints", "30", "--texts", "20", "--processes", "1"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.startswith("50 inputs in ")
    assert list(Path().iterdir()) == []


# That it would notice


class Agreeable(str):
    """A digest that equals any other."""

    __slots__ = ()
    __hash__ = str.__hash__

    def __eq__(self, other: object) -> bool:
        return True

    def __ne__(self, other: object) -> bool:
        return False


def no_digest(patch: pytest.MonkeyPatch, script: ModuleType) -> None:
    real = checkpoint.digest
    patch.setattr(checkpoint, "digest", lambda tensors: Agreeable(real(tensors)))


def no_memory_limit(patch: pytest.MonkeyPatch, script: ModuleType) -> None:
    patch.setattr(bounds, "AllocationLimit", lambda *args, **kwargs: contextlib.nullcontext())

    def giant(rng: object, meta: Any) -> Any:
        if meta["config"]:
            meta["config"]["model"]["hyperparameters"]["hidden_size"] = 4_000_000
        return meta

    patch.setattr(script, "edited", giant)  # else it takes a while until one is made that memory can just hold


def no_strict_json(patch: pytest.MonkeyPatch, script: ModuleType) -> None:
    patch.setattr(checkpoint, "parse_json", json.loads)


def no_fit(patch: pytest.MonkeyPatch, script: ModuleType) -> None:
    patch.setattr(checkpoint, "fill", lambda model, tensors, source: None)


def no_end(patch: pytest.MonkeyPatch, script: ModuleType) -> None:
    patch.setattr(script, "LIMIT_S", 0.1)
    patch.setattr(checkpoint, "load", lambda path: time.sleep(10 * signal.getitimer(signal.ITIMER_REAL)[0]))


@pytest.mark.parametrize(
    ("remove", "what"),
    [
        (no_digest, "WrongError: the tensor"),
        (no_memory_limit, "WrongError: it took more memory than it may"),
        (no_strict_json, "RecursionError"),
        (no_fit, "WrongError: the tensor"),
        (no_end, "HangError"),
    ],
)
def test_a_guard_that_is_gone_is_noticed(
    script: ModuleType,
    fuzzer: Any,
    monkeypatch: pytest.MonkeyPatch,
    remove: Callable[[pytest.MonkeyPatch, ModuleType], None],
    what: str,
) -> None:
    remove(monkeypatch, script)
    found = script.Tally()
    for start in range(0, CHECKPOINTS, 20):
        found.add(script.fuzz(fuzzer, [f"c{number}" for number in range(start, start + 20)]))
        if any(failure.startswith(what) for failure in found.failures):
            return
    pytest.fail(f"only this was noticed: {told(found)}")


def test_a_word_that_is_made_up_is_noticed(script: ModuleType, fuzzer: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    real = script.encode
    monkeypatch.setattr(script, "encode", lambda data, reads, size: real(data, reads, size + 1))
    tally = script.fuzz(fuzzer, [f"t{number}" for number in range(100)])
    assert any("was encoded wrongly" in failure for failure in tally.failures)


# What is told of it


def test_an_input_is_the_same_each_time(script: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    def contents(folder: str) -> list[bytes]:
        Path(folder).mkdir()
        with monkeypatch.context() as patch:
            patch.chdir(folder)
            fuzzer, made = script.Fuzzer(1), []
            for number in range(200):
                with contextlib.suppress(Exception):
                    fuzzer.check(f"{'ct'[number % 2]}{number}")
                made.append(fuzzer.content)
        return made

    first = contents("one")
    assert contents("two") == first
    assert len(set(first)) > 180


def test_a_failure_is_told_with_its_input_and_its_bytes_are_kept(
    script: ModuleType, capsys: pytest.CaptureFixture[str]
) -> None:
    tally = script.Tally()
    for number in (7, 9):
        tally.fail(f"c{number}", ValueError(f"{number} is wrong"), b"bytes")
    script.print_result(tally, 2.0, 1, Path())
    out = capsys.readouterr().out
    assert "ValueError: # is wrong" in out
    assert "2 inputs, the first: --seed 1 --only c7" in out
    assert "2 inputs in 2 s, 1 a second: 2 failed" in out
    assert Path("fuzz-c7.bin").read_bytes() == b"bytes"
