"""The other process, which draws what a run has to draw, and whose end or silence costs a run nothing."""

from __future__ import annotations

import os
import signal
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from conftest import run_python

from zoo.plots.plot import Picture
from zoo.plots.worker import Painter, draw_all, painter

pytestmark = pytest.mark.skipif(os.name != "posix", reason="it is for systems that can fork")

TWO_CORES = "import sys, zoo.plots.worker\nfrom zoo.cli import main\nzoo.plots.worker.usable_cores = lambda: 2\n"
RUN = ["run", "mlp-char", "--dataset", "names-ssa-2018", "--device", "cpu", "--steps", "200", "--out", "new"]
LOSSES = [3 / (1 + step / 9) for step in range(60)]


def loss(path: Path) -> Picture:
    looks = [(20, 2.4), (40, float("inf"))]
    return Picture(
        path, "loss", {"losses": LOSSES, "title": "Loss", "final": {"train": 2.0, "val": 2.1}, "looks": looks}
    )


def embeddings(path: Path) -> Picture:
    table = [[0.1, 1 / 3], [-2.5, 1e-7], [0.7, 0.7]]
    return Picture(path, "embeddings", {"table": table, "labels": list(".aб"), "title": "Map", "dims": (1, 0)})


def two(folder: Path) -> list[Picture]:
    folder.mkdir(exist_ok=True)
    return [loss(folder / "loss.png"), embeddings(folder / "embeddings.png")]


def files(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in sorted(folder.iterdir())}


def ends(process: int) -> bool:
    """Whether a process that is not ours to wait for ends soon."""
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        try:
            os.kill(process, 0)
        except ProcessLookupError:
            return True
        time.sleep(0.05)
    return False


@pytest.fixture
def one() -> Iterator[Painter]:
    painter = Painter()
    yield painter
    painter.close()


@pytest.fixture
def another_python(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], None]:
    """`another_python("exit 1")`: in the place of Python a shell script that has read what it was asked."""

    def install(script: str) -> None:
        path = tmp_path / "python"
        path.write_text(f"#!/bin/sh\ncat > /dev/null\n{script}\n")
        path.chmod(0o755)
        monkeypatch.setattr(sys, "executable", str(path))

    return install


def test_it_draws_byte_for_byte_what_is_drawn_here(one: Painter, tmp_path: Path) -> None:
    here, there = two(tmp_path / "here"), two(tmp_path / "there")
    for picture in here:
        picture.draw()
    assert one.draw(there) == there
    assert files(tmp_path / "there") == files(tmp_path / "here")
    assert len(files(tmp_path / "here")) == 2


def test_what_it_cannot_draw_it_leaves_and_draws_the_rest(one: Painter, tmp_path: Path) -> None:
    pictures = [
        loss(tmp_path / "nowhere" / "loss.png"),
        embeddings(tmp_path / "embeddings.png"),
        loss(tmp_path / "a.b"),
    ]
    assert one.draw(pictures) == [pictures[1]]
    assert (tmp_path / "embeddings.png").exists()


def test_what_it_would_take_long_to_be_told_it_leaves(
    one: Painter, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pictures = two(tmp_path / "two")
    assert [picture.numbers for picture in pictures] == [60, 6]
    monkeypatch.setattr("zoo.plots.worker._MOST_NUMBERS", 6)
    assert one.draw(pictures) == pictures[1:]


def test_what_cannot_be_told_it_leaves(one: Painter, tmp_path: Path) -> None:
    assert one.draw([Picture(tmp_path / "loss.png", "loss", {"losses": {2.0}, "title": "Loss"})]) == []


def test_there_may_be_nothing_to_draw(one: Painter) -> None:
    assert one.draw([]) == []


def test_it_draws_once(one: Painter, tmp_path: Path) -> None:
    assert len(one.draw(two(tmp_path / "once"))) == 2
    assert one.draw(two(tmp_path / "twice")) == []


def test_one_that_was_closed_draws_nothing_and_may_be_closed_again(one: Painter, tmp_path: Path) -> None:
    one.close()
    assert one.draw(two(tmp_path / "two")) == []
    one.close()


def test_one_that_was_killed_draws_nothing(one: Painter, tmp_path: Path) -> None:
    os.kill(one._process.pid, signal.SIGKILL)
    assert one.draw(two(tmp_path / "two")) == []


def test_it_does_not_wait_for_work_for_ever(tmp_path: Path) -> None:
    bored = Painter(idle_s=0.01)
    assert bored._process.wait(timeout=60) == 0
    assert bored.draw(two(tmp_path / "two")) == []
    bored.close()


def test_it_does_not_outlive_a_run_that_is_killed() -> None:
    code = (
        "import os\nfrom zoo.plots.worker import Painter\n"
        "print(Painter()._process.pid, flush=True)\nos.kill(os.getpid(), 9)"
    )
    assert ends(int(run_python("-c", code).stdout))


def test_ctrl_c_is_not_meant_for_it(one: Painter) -> None:
    assert os.getpgid(one._process.pid) != os.getpgid(0)


@pytest.mark.parametrize(
    "script",
    ["exit 1", "exit 0", "echo nonsense", "echo '[\"loss.png\"'", "echo 7", "echo '{\"loss.png\": 1}'", "kill -9 $$"],
)
def test_an_answer_that_is_none_counts_for_nothing(
    another_python: Callable[[str], None], tmp_path: Path, script: str
) -> None:
    another_python(script)
    other = Painter()
    assert other.draw(two(tmp_path / "two")) == []
    other.close()


def test_one_that_does_not_answer_in_time_is_not_waited_for(
    another_python: Callable[[str], None], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("zoo.plots.worker._LONGEST_S", 0.1)
    another_python("sleep 600")
    started = time.monotonic()
    silent = Painter()
    assert silent.draw(two(tmp_path / "two")) == []
    silent.close()
    assert time.monotonic() - started < 60


@pytest.mark.parametrize("executable", ["", None, "/nowhere/python"])
def test_there_is_none_without_a_python_to_run(monkeypatch: pytest.MonkeyPatch, executable: str | None) -> None:
    monkeypatch.setattr("zoo.plots.worker.usable_cores", lambda: 2)
    monkeypatch.setattr(sys, "executable", executable)
    with painter() as other:
        assert other is None


@pytest.mark.parametrize(("wanted", "cores", "there"), [(True, 2, True), (True, 1, False), (False, 2, False)])
def test_there_is_one_where_it_is_wanted_and_has_a_core_of_its_own(
    monkeypatch: pytest.MonkeyPatch, wanted: bool, cores: int, there: bool
) -> None:
    monkeypatch.setattr("zoo.plots.worker.usable_cores", lambda: cores)
    with painter(wanted=wanted) as other:
        assert (other is not None) == there
    assert other is None or other._process.returncode is not None


def test_a_matplotlib_in_the_working_folder_is_not_matplotlib(tmp_path: Path) -> None:
    Path("matplotlib.py").write_text("raise SystemExit('not this one')")
    careful = Painter()
    assert len(careful.draw(two(tmp_path / "two"))) == 2
    careful.close()


# With it or without it


def test_what_it_leaves_is_drawn_here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pictures, said = two(tmp_path / "two"), list[str]()
    half = Painter()
    monkeypatch.setattr(half, "draw", lambda asked: asked[:1])
    assert draw_all(pictures, half, said.append) == ["loss.png", "embeddings.png"]
    half.close()
    assert set(files(tmp_path / "two")) == {"embeddings.png"}  # the other was said to be there
    assert not said


def test_a_picture_that_fails_is_told_and_the_others_are_drawn(tmp_path: Path) -> None:
    said: list[str] = []
    wrong = Picture(tmp_path / "loss.png", "loss", {"losses": [], "title": "Loss"})
    assert draw_all([wrong, embeddings(tmp_path / "embeddings.png")], None, said.append) == ["embeddings.png"]
    assert said == ["loss.png was not drawn: there are no losses to draw"]


def test_a_disk_that_fails_is_not_passed_over(one: Painter, tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        draw_all([loss(tmp_path / "nowhere" / "loss.png")], one, print)


@pytest.mark.parametrize("command", ["run", "resume"])
def test_a_command_with_a_core_to_spare_never_imports_matplotlib(command: str, run_copy: Path) -> None:
    words = {
        "run": RUN,
        "resume": ["resume", str(run_copy), "--steps", "210"],
    }[command]
    code = (
        f"{TWO_CORES}try:\n    main()\nexcept SystemExit as done:\n    assert done.code == 0, done.code\n"
        "assert 'matplotlib' not in sys.modules"
    )
    done = run_python("-c", code, *words, "--quiet")
    assert done.returncode == 0, done.stderr
    folder = Path("new") if command == "run" else run_copy
    assert {"loss.png", "embeddings.png"} <= files(folder).keys()


def test_a_run_has_the_same_pictures_with_it_and_without_it(finished_run: Path) -> None:
    done = run_python("-c", f"{TWO_CORES}main()", *RUN)
    assert done.returncode == 0, done.stderr
    for name in ("loss.png", "embeddings.png"):
        assert Path("new", name).read_bytes() == (finished_run / name).read_bytes()


def test_wrong_usage_is_told_at_once_and_leaves_no_process_behind() -> None:
    code = (
        f"{TWO_CORES}start = zoo.plots.worker.Painter.__init__\n"
        "def told(self, *args):\n    start(self, *args)\n    print(self._process.pid, flush=True)\n"
        "zoo.plots.worker.Painter.__init__ = told\nmain()"
    )
    done = run_python("-c", code, "run", "nothing")
    assert (done.returncode, "no model 'nothing'" in done.stderr) == (2, True)
    assert ends(int(done.stdout))
