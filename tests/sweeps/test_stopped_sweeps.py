"""Sweeps that are killed or stopped: each ends, once it is resumed, with the bytes of an uninterrupted one."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from conftest import Zoo

import zoo
from zoo.cli import main
from zoo.sweeps.sheet import SHEET_FILE, read_sheet
from zoo.sweeps.workers import child

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="elsewhere a sweep has no workers")

OPTIONS = ("--device", "cpu", "--engine", "manual", "--lr", "0.05,0.1", "--checkpoint-every", "5", "--jobs", "2")
COMMAND = ("sweep", "mlp-char", "--dataset", "words.txt", "--seeds", "4", "--steps", "40", *OPTIONS)
FILES = ("model.safetensors", "losses.csv", "config.json", "README.md")


def write_words() -> None:
    Path("words.txt").write_text("\n".join(a + b + c for a in "abeln" for b in "abeln" for c in "abeln"))


@pytest.fixture(autouse=True)
def words() -> None:
    write_words()


def contents(folder: Path) -> dict[str, bytes]:
    files = [folder / "sweep.json", folder / SHEET_FILE]
    files += [member / name for member in sorted(folder.glob("[0-9]*")) for name in FILES]
    return {str(path.relative_to(folder)): path.read_bytes() for path in files}


def rows(folder: Path) -> list[int]:
    sheet = folder / SHEET_FILE
    return [row.member for row in read_sheet(sheet)] if sheet.exists() else []


def wait_until(holds: Callable[[], object]) -> None:
    deadline = time.monotonic() + 60
    while not holds():
        assert time.monotonic() < deadline
        time.sleep(0.002)


class Process:
    """`zoo ARGS` in a fork of this process, with a group of its own."""

    def __init__(self, *args: object) -> None:
        self.number = os.fork()
        if self.number == 0:
            os.setpgid(0, 0)
            output = os.open("output.txt", os.O_WRONLY | os.O_CREAT | os.O_APPEND)
            os.dup2(output, 1)
            os.dup2(output, 2)
            sys.stdout, sys.stderr = open(1, "w", closefd=False), open(2, "w", closefd=False)  # noqa: SIM115
            signal.signal(signal.SIGINT, signal.default_int_handler)
            try:
                main([*map(str, args), "--quiet"])
            except SystemExit as done:
                os._exit(done.code if isinstance(done.code, int) else 1)
            os._exit(70)

    def workers(self) -> list[int]:
        with contextlib.suppress(OSError):
            return [*map(int, Path(f"/proc/{self.number}/task/{self.number}/children").read_text().split())]
        return []

    def wait(self) -> int:
        return os.waitstatus_to_exitcode(os.waitpid(self.number, 0)[1])


def is_alive(process: int) -> bool:
    with contextlib.suppress(OSError):
        return Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0] not in "ZX"
    return False


@pytest.fixture
def slow(monkeypatch: pytest.MonkeyPatch) -> None:
    """Members that are done wait a moment, so that a sweep is under way when it is looked at."""
    real: Any = vars(child)["train_member"]

    def train(*args: object) -> object:
        row = real(*args)
        time.sleep(0.2)
        return row

    monkeypatch.setattr(child, "train_member", train)


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A sweep that nothing has stopped; tests must not change it."""
    folder = tmp_path_factory.mktemp("undisturbed")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        write_words()
        assert Process(*COMMAND, "--out", "whole").wait() == 0
    return folder / "whole"


@pytest.fixture
def whole(undisturbed: Path) -> dict[str, bytes]:
    return contents(undisturbed)


@pytest.fixture
def copy(undisturbed: Path) -> Path:
    """A copy of it whose end was not recorded, to spoil."""
    folder = Path(shutil.copytree(undisturbed, "copy"))
    text = (folder / "sweep.json").read_text()
    (folder / "sweep.json").write_text(text.replace('"finished": true', '"finished": false'))
    return folder


@pytest.fixture
def begun(slow: None) -> Iterator[tuple[Process, Path]]:
    """A sweep of which two members are done, and not all."""
    process, out = Process(*COMMAND, "--out", "sweep"), Path("sweep")
    wait_until(lambda: len(rows(out)) >= 2)
    yield process, out
    with contextlib.suppress(OSError):
        os.killpg(process.number, signal.SIGKILL)
        process.wait()


@pytest.mark.parametrize("group", [False, True], ids=["the sweep", "all"])
def test_a_killed_sweep_ends_with_the_same_bytes(
    whole: dict[str, bytes], begun: tuple[Process, Path], group: bool
) -> None:
    process, out = begun
    workers = process.workers()
    (os.killpg if group else os.kill)(process.number, signal.SIGKILL)
    assert process.wait() == -signal.SIGKILL
    wait_until(lambda: not any(map(is_alive, workers)))
    done = {path: path.stat().st_mtime_ns for number in rows(out) for path in (out / f"{number:04}").iterdir()}
    assert 2 <= len(rows(out)) < 8
    assert len(zoo.resume_sweep(out)) == 8
    assert contents(out) == whole
    assert {path: path.stat().st_mtime_ns for path in done} == done  # not done again


def test_no_worker_outlives_a_killed_sweep(monkeypatch: pytest.MonkeyPatch) -> None:
    """Not even one that is in the middle of a long step."""
    monkeypatch.setattr(child, "train_member", lambda *_: time.sleep(120))
    process = Process(*COMMAND, "--out", "sweep")
    wait_until(lambda: len(process.workers()) == 2)
    workers = process.workers()
    time.sleep(0.5)  # until they train
    os.kill(process.number, signal.SIGKILL)
    process.wait()
    wait_until(lambda: not any(map(is_alive, workers)))


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP], ids=lambda number: number.name)
@pytest.mark.parametrize("group", [False, True], ids=["the sweep", "all"])
def test_a_signal_stops_all_once(begun: tuple[Process, Path], group: bool, number: int) -> None:
    process, out = begun
    workers = process.workers()
    if group and number == signal.SIGTERM:
        pytest.skip("nothing sends it to a group: a terminal sends the other two")
    (os.killpg if group else os.kill)(process.number, number)
    assert process.wait() == 128 + number
    assert len(workers) == 2
    assert not any(map(is_alive, workers))
    lines = Path("output.txt").read_text().splitlines()
    errors = [line for line in lines if "error" in line]
    assert errors == [f"zoo: error: stopped with {len(rows(out))} of 8 members done; to resume: zoo resume {out}"]


def test_one_that_was_stopped_ends_with_the_same_bytes(whole: dict[str, bytes], begun: tuple[Process, Path]) -> None:
    process, out = begun
    os.kill(process.number, signal.SIGINT)
    assert process.wait() == 130
    assert Process("resume", out).wait() == 0
    assert contents(out) == whole


def test_a_worker_that_is_killed_is_replaced(whole: dict[str, bytes], begun: tuple[Process, Path]) -> None:
    process, out = begun
    os.kill(process.workers()[0], signal.SIGKILL)
    assert process.wait() == 0
    assert contents(out) == whole


def test_files_that_a_power_failure_has_cost(whole: dict[str, bytes], copy: Path) -> None:
    (copy / "0003" / "model.safetensors").write_bytes(b"")
    (copy / "0005" / "model.safetensors").unlink()
    zoo.resume_sweep(copy)
    assert contents(copy) == whole


def test_a_row_that_was_not_written_any_more(
    whole: dict[str, bytes], copy: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A member is finished when its result is written: of that its row can be made."""
    sheet = (copy / SHEET_FILE).read_text().splitlines(keepends=True)
    (copy / SHEET_FILE).write_text("".join(sheet[:5]) + sheet[5][:20])  # the last line was cut
    monkeypatch.setattr("zoo.sweeps.training._trained", None)  # nothing is trained
    zoo.resume_sweep(copy)
    assert contents(copy) == whole


def test_a_finished_sweep_is_its_result(whole: dict[str, bytes], undisturbed: Path) -> None:
    sweep = zoo.resume_sweep(undisturbed)
    assert [row.member for row in sweep] == [*range(1, 9)]
    assert {type(row.settings["lr"]) for row in sweep} == {float}
    assert contents(undisturbed) == whole


@pytest.mark.parametrize("way", ["moved", "deleted"])
def test_a_folder_that_is_moved_or_deleted_meanwhile(
    whole: dict[str, bytes], begun: tuple[Process, Path], way: str
) -> None:
    process, out = begun
    if way == "moved":
        out.rename("elsewhere")
        out = Path("elsewhere")
    else:
        place = out.stat().st_ino
        while out.exists() and out.stat().st_ino == place:  # workers make files meanwhile
            shutil.rmtree(out, ignore_errors=True)
    assert process.wait() == 0
    said = [
        line for line in Path("output.txt").read_text().splitlines() if f"the sweep's folder sweep was {way}" in line
    ]
    assert len(said) == 1
    found = contents(out)
    assert found[SHEET_FILE] == whole[SHEET_FILE]
    assert found["sweep.json"] == whole["sweep.json"]
    assert found["0008/model.safetensors"] == whole["0008/model.safetensors"]


def test_what_verify_finds(undisturbed: Path, copy: Path, zoo_here: Zoo) -> None:
    outcome = zoo_here("verify", undisturbed, "--json")
    assert outcome.code == 0, outcome.err
    assert [one["file"] for one in outcome.result["files"]] == [SHEET_FILE, *(f"{n:04}" for n in range(1, 9))]
    shutil.copy(copy / "0001" / "model.safetensors", copy / "0002" / "model.safetensors")
    shutil.rmtree(copy / "0003")
    damaged = zoo_here("verify", copy)
    assert damaged.code == 1
    assert damaged.err.endswith("is damaged: 0002, 0003\n")


def test_members_are_runs_for_every_command(undisturbed: Path, zoo_here: Zoo) -> None:
    listed = zoo_here("runs", undisturbed, "--json").result["runs"]
    assert len(listed) == 8
    assert {run["state"] for run in listed} == {"finished"}
    for command in ("eval", "sample", "predict"):
        assert zoo_here(command, undisturbed / "0001").code == 0
    assert zoo_here("plot", undisturbed / "0001", "--out", "plots").code == 0
    assert zoo_here("compare", undisturbed / "0001", undisturbed / "0002").code == 0
    assert zoo_here("report", undisturbed / "0001", "--out", "report.html").code in (0, 1)  # 1 without its extra


@pytest.mark.parametrize(
    ("part", "name", "value"),
    [("options", "jobs", "9"), ("options", "search", "zzz"), ("options", "keep", ".."), ("given", "zzz", 1)],
)
def test_a_state_with_what_no_version_has_is_damaged(part: str, name: str, value: object, copy: Path) -> None:
    file = copy / "sweep_state.json"
    state = json.loads(file.read_text())
    state[part][name] = value
    file.write_text(json.dumps(state))
    with pytest.raises(zoo.CheckpointError, match="it is not the state of a sweep"):
        zoo.resume_sweep(copy)
