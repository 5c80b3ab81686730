"""`scripts/cuda_check.py` as a whole, on the CPU, and what it asks of CUDA; its comparisons are in another file."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from dataclasses import replace
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import cuda_check
import pytest
import speed
import torch
import whole_runs
from conftest import ROOT, run_python
from cuda_settings import OnCuda, new_setting
from results import FAILED, MISSED, PASSED, SKIPPED, UNAVAILABLE, Part, Result, Setting, guarded, isolated

import zoo
from zoo import cuda

SCRIPT = ROOT / "scripts" / "cuda_check.py"


@pytest.fixture
def setting(tmp_path: Path, words_file: Path) -> Setting:
    return new_setting(tmp_path, words_file)


# The whole script


def test_all_parts_pass_on_a_cpu(tmp_path: Path, registry: Any) -> None:
    out = tmp_path / "cpu.json"
    done = run_python(SCRIPT, "--device", "cpu", "--quick", "--out", out, timeout=300)
    assert done.returncode == 0, done.stdout + done.stderr
    content = json.loads(out.read_text())
    assert content["about"].keys() >= {"device", "torch", "python", "zoo"}
    rows = content["results"]
    assert {row["part"] for row in rows} == set(cuda_check.PARTS)
    assert {row["result"] for row in rows} <= {PASSED, SKIPPED, UNAVAILABLE}
    assert all(row["remark"] for row in rows if row["result"] != PASSED)
    passed = {row["what"] for row in rows if row["result"] == PASSED}
    for engine in ("autograd", "manual"):
        assert f"mlp-char, {engine}: each step is the CPU's" in passed
        assert f"mlp-char, {engine}: a block has the bits of single steps" in passed
        assert f"a step of {engine}" in passed
    for entry in (entry for entry in registry.models if entry.spec.dataset is not None):
        assert f"{entry.spec.name}, float32: each step is the CPU's" in passed
        assert any(what.startswith(f"{entry.spec.name}, engine autograd") for what in passed)
    assert "mlp-char, manual: killed and resumed" in passed
    assert all(" ".join(row["what"].split()[:2]) in " ".join(done.stdout.split()) for row in rows)
    assert not list(Path().iterdir())  # runs are in a temporary folder


@pytest.fixture
def in_process(monkeypatch: pytest.MonkeyPatch) -> None:
    """Parts in this process, so that they can be patched wherever processes are not forked."""
    monkeypatch.setattr(cuda_check, "isolated", lambda name, part, setting, limit_s: guarded(name, part, setting))


def one_row(what: str, setting: Setting) -> list[Result]:
    return [Result(what, PASSED)]


@pytest.mark.usefixtures("in_process")
@pytest.mark.parametrize("failing", list(cuda_check.PARTS))
@pytest.mark.parametrize(
    "error", [RuntimeError("CUDA error: an illegal\nmemory access"), SystemExit(3), zoo.DataError("no data")]
)
def test_a_part_that_fails_is_a_row_and_the_others_go_on(
    failing: str, error: BaseException, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def fails(setting: Setting) -> list[Result]:
        raise error

    for part in cuda_check.PARTS:
        good = partial(one_row, f"{part} is fine")
        monkeypatch.setitem(cuda_check.PARTS, part, fails if part == failing else good)
    assert cuda_check.main(["--device", "cpu", "--quick"]) == 1
    rows = json.loads(Path("cuda.json").read_text())["results"]
    assert [row["part"] for row in rows] == list(cuda_check.PARTS)
    assert [row["part"] for row in rows if row["result"] == FAILED] == [failing]
    [row] = [row for row in rows if row["part"] == failing]
    assert row["remark"] == " ".join(f"{type(error).__name__}: {error}".split())
    table = capsys.readouterr().out
    assert all(f"{part} is fine" in table for part in cuda_check.PARTS if part != failing)


@pytest.mark.usefixtures("in_process")
def test_what_was_done_before_ctrl_c_is_kept(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def stopped(setting: Setting) -> list[Result]:
        raise KeyboardInterrupt

    monkeypatch.setitem(cuda_check.PARTS, "engines", partial(one_row, "done"))
    monkeypatch.setitem(cuda_check.PARTS, "speed", stopped)
    assert cuda_check.main(["--device", "cpu", "engines", "speed", "engines"]) == 130
    assert [row["what"] for row in json.loads(Path("cuda.json").read_text())["results"]] == ["done"]
    assert "done" in capsys.readouterr().out


@pytest.mark.usefixtures("in_process")
def test_results_that_cannot_be_written_are_shown_first(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def takes_the_place(setting: Setting) -> list[Result]:
        Path("cuda.json").mkdir()
        return [Result("done", PASSED)]

    monkeypatch.setitem(cuda_check.PARTS, "speed", takes_the_place)
    assert cuda_check.main(["--device", "cpu", "speed"]) == 1
    printed = capsys.readouterr()
    assert "done" in printed.out
    assert "error: cannot write cuda.json" in printed.err


@pytest.mark.usefixtures("in_process")
def test_one_part_alone_and_a_goal_that_is_missed_is_no_failure(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(cuda_check.PARTS, "speed", lambda setting: [Result("slow", MISSED, 1.0, "µs")])
    assert cuda_check.main(["--device", "cpu", "speed"]) == 0
    [row] = json.loads(Path("cuda.json").read_text())["results"]
    assert (row["part"], row["result"], row["figure"], row["unit"]) == ("speed", MISSED, 1.0, "µs")


@pytest.mark.usefixtures("in_process")
@pytest.mark.parametrize(
    ("arguments", "error"),
    [
        (["--device", "cuda:99"], "cuda:99"),
        (["--device", "gpu"], "no device 'gpu'"),
        (["nothing"], "no part nothing"),
        (["--device", "auto"], "no device 'auto'"),
        (["--device", "mps"], "no device 'mps'"),
        (["--words", "nowhere.txt"], "cannot read nowhere.txt"),
        (["--words", os.devnull], "null"),
        (["--out", "nowhere/cuda.json"], "cannot write nowhere/cuda.json"),
        (["--out", "."], "cannot write ."),
    ],
)
def test_wrong_usage_is_one_line(arguments: list[str], error: str, capsys: pytest.CaptureFixture[str]) -> None:
    try:
        code: Any = cuda_check.main(arguments)
    except SystemExit as stopped:
        code = stopped.code
    assert code == 2
    assert error in capsys.readouterr().err.splitlines()[-1]


def ends(setting: Setting) -> list[Result]:
    os._exit(7)


def is_killed(setting: Setting) -> list[Result]:
    os.kill(os.getpid(), signal.SIGKILL)
    return []


def hangs(setting: Setting) -> list[Result]:
    child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
    (setting.folder / "child").write_text(str(child.pid))
    time.sleep(600)
    return []


def passes(setting: Setting) -> list[Result]:
    return [Result("fine", PASSED, float(os.getpid()))]


needs_fork = pytest.mark.skipif(sys.platform != "linux", reason="processes are forked on Linux only")


@needs_fork
@pytest.mark.parametrize(("part", "remark"), [(ends, "exit code 7"), (is_killed, "exit code -9")])
def test_a_process_that_ends_is_a_row(setting: Setting, part: Part, remark: str) -> None:
    [row] = isolated("it", part, setting, 60)
    assert row.result == FAILED
    assert remark in row.remark


@needs_fork
def test_a_part_that_hangs_is_ended_with_all_that_it_started(setting: Setting) -> None:
    [row] = isolated("it", hangs, setting, 1)
    assert row == Result("it", FAILED, remark="it was not done after 1 s")
    child = Path("/proc") / (setting.folder / "child").read_text() / "stat"
    deadline = time.monotonic() + 10
    while child.exists() and child.read_text().rpartition(")")[2].split()[0] not in "ZX":
        assert time.monotonic() < deadline
        time.sleep(0.01)


@needs_fork
def test_each_part_has_its_own_process(setting: Setting) -> None:
    [first], [second] = (isolated("it", passes, setting, 60) for _ in range(2))
    assert len({first.figure, second.figure, float(os.getpid())}) == 3


def test_a_part_without_rows_has_checked_nothing(setting: Setting) -> None:
    assert guarded("it", lambda setting: [], setting) == [Result("it", FAILED, remark="it checked nothing")]


# What is asked of CUDA, of a fake one


@pytest.fixture
def card(monkeypatch: pytest.MonkeyPatch) -> SimpleNamespace:
    """A machine with one card, whose memory is 80 GiB with 79 free."""
    fake = SimpleNamespace(
        is_available=lambda: True,
        device_count=lambda: 1,
        current_device=lambda: 0,
        get_device_name=lambda device: "a card",
        get_device_capability=lambda device: (9, 0),
        mem_get_info=lambda device: (79 << 30, 80 << 30),
    )
    monkeypatch.setattr(cuda, "api", fake)
    monkeypatch.setattr(speed, "choose_device", torch.device)
    monkeypatch.setattr(speed, "describe_device", lambda device: "cuda:0")
    return fake


@pytest.mark.usefixtures("card")
@pytest.mark.parametrize(
    ("program", "driver"), [("echo 580.1", "580.1"), ("exit 9", "unknown"), (None, "unknown: there is no nvidia-smi")]
)
def test_the_card_is_told(program: str | None, driver: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = None if program is None else tmp_path / "nvidia-smi"
    if path is not None:
        path.write_text(f"#!/bin/sh\n{program}\n")
        path.chmod(0o700)
    monkeypatch.setattr("shutil.which", lambda name: path)
    about = speed.about("cuda")
    assert (about["name"], about["capability"], about["driver"]) == ("a card", "9.0", driver)
    assert (about["free memory"], about["devices"]) == ("79.0 of 80.0 GiB", "1")


def test_a_card_alone_has_no_second(setting: Setting, card: SimpleNamespace, monkeypatch: pytest.MonkeyPatch) -> None:
    there = replace(OnCuda(**vars(setting)), device="cuda")
    assert whole_runs.second(there) == [Result("a second device", SKIPPED, remark="there is only a card")]
    asked: list[tuple[str, ...]] = []

    def on_another(setting: Setting, engine: str, *devices: str) -> list[Result]:
        asked.append(devices)
        return []

    monkeypatch.setattr(whole_runs, "on_another", on_another)
    card.device_count = lambda: 3
    for device in ("cuda", "cuda:2"):
        whole_runs.second(replace(there, device=device))
    assert asked == [("cuda:0", "cuda:1")] * 3 + [("cuda:2", "cuda:0")] * 3


@pytest.mark.usefixtures("card")
def test_the_batch_that_cannot_fit_is_twice_what_is_free(setting: Setting, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[tuple[str, ...]] = []

    def command(setting: Setting, out: str, *options: str) -> tuple[int, str]:
        if out.startswith("after"):
            return 0, ""
        asked.append(options)
        return 1, "zoo: error: there is not enough memory for this"

    monkeypatch.setattr(whole_runs, "command", command)
    rows = whole_runs.memory(OnCuda(**vars(setting)))
    assert {(row.result, row.figure, row.unit) for row in rows} == {(PASSED, 158.0, "GiB")}
    assert [options[:4] for options in asked] == [
        ("--batch-size", str((158 << 30) // (4 * 4096)), "--engine", engine) for engine in ("autograd", "manual")
    ]


def test_the_speed_on_cuda_has_goals_and_the_cpus_engine(setting: Setting, monkeypatch: pytest.MonkeyPatch) -> None:
    seconds = {"notebook": 300e-6, "autograd": 250e-6, "manual": 61e-6, "fused": 20e-6, speed.THERE: 33e-6}
    monkeypatch.setattr(speed, "lecture_loops", lambda words, device, share: {})
    monkeypatch.setattr(speed, "add_the_cpus", lambda setting, loops: loops.update({speed.THERE: (1, print)}))
    monkeypatch.setattr(speed, "seconds_a_step", lambda loops, rounds, device: seconds if loops else {})
    rows = speed.speed(OnCuda(**vars(setting)))
    assert [(row.result, row.figure) for row in rows] == [
        (PASSED, 300.0), (PASSED, 250.0), (MISSED, 61.0), (PASSED, 20.0), (PASSED, 33.0), (SKIPPED, None)
    ]  # fmt: skip
