"""The plot worker: what it fails to draw, the run draws itself."""

from __future__ import annotations

import os
import signal
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from conftest import run_python

from zoo.plots.plot import Plot
from zoo.plots.worker import PlotWorker, plot_worker, save_plots

pytestmark = pytest.mark.skipif(os.name != "posix", reason="the worker needs fork")

TWO_CORES = "import sys, zoo.plots.worker\nfrom zoo.cli import main\nzoo.plots.worker.usable_cores = lambda: 2\n"
RUN = ["run", "mlp-char", "--dataset", "names-ssa-2018", "--device", "cpu", "--steps", "200", "--out", "new"]
LOSSES = [3 / (1 + step / 9) for step in range(60)]


def loss(path: Path) -> Plot:
    evaluations = [(20, 2.4), (40, float("inf"))]
    return Plot(
        path,
        "loss",
        {"losses": LOSSES, "title": "Loss", "final": {"train": 2.0, "val": 2.1}, "evaluations": evaluations},
    )


def embeddings(path: Path) -> Plot:
    table = [[0.1, 1 / 3], [-2.5, 1e-7], [0.7, 0.7]]
    return Plot(path, "embeddings", {"table": table, "labels": list(".aб"), "title": "Map", "dims": (1, 0)})


def two(folder: Path) -> list[Plot]:
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
def worker() -> Iterator[PlotWorker]:
    worker = PlotWorker()
    yield worker
    worker.close()


@pytest.fixture
def another_python(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], None]:
    """`another_python("exit 1")`: a shell script, which reads its input, in place of Python."""

    def install(script: str) -> None:
        path = tmp_path / "python"
        path.write_text(f"#!/bin/sh\ncat > /dev/null\n{script}\n")
        path.chmod(0o755)
        monkeypatch.setattr(sys, "executable", str(path))

    return install


def test_worker_and_run_write_the_same_bytes(worker: PlotWorker, tmp_path: Path) -> None:
    here, there = two(tmp_path / "here"), two(tmp_path / "there")
    for plot in here:
        plot.save()
    assert worker.save(there) == there
    assert files(tmp_path / "there") == files(tmp_path / "here")
    assert len(files(tmp_path / "here")) == 2


def test_plots_that_fail_do_not_affect_the_others(worker: PlotWorker, tmp_path: Path) -> None:
    plots = [
        loss(tmp_path / "nowhere" / "loss.png"),
        embeddings(tmp_path / "embeddings.png"),
        loss(tmp_path / "a.b"),
    ]
    assert worker.save(plots) == [plots[1]]
    assert (tmp_path / "embeddings.png").exists()


def test_large_plots_are_not_sent_to_the_worker(
    worker: PlotWorker, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    plots = two(tmp_path / "two")
    assert [plot.size for plot in plots] == [60, 6]
    monkeypatch.setattr("zoo.plots.worker._MAX_SIZE", 6)
    assert worker.save(plots) == plots[1:]


def test_arguments_that_are_not_json_are_not_sent_to_the_worker(worker: PlotWorker, tmp_path: Path) -> None:
    assert worker.save([Plot(tmp_path / "loss.png", "loss", {"losses": {2.0}, "title": "Loss"})]) == []


def test_no_plots(worker: PlotWorker) -> None:
    assert worker.save([]) == []


def test_a_worker_can_be_used_once(worker: PlotWorker, tmp_path: Path) -> None:
    assert len(worker.save(two(tmp_path / "once"))) == 2
    assert worker.save(two(tmp_path / "twice")) == []


def test_a_closed_worker_saves_nothing_and_can_be_closed_again(worker: PlotWorker, tmp_path: Path) -> None:
    worker.close()
    assert worker.save(two(tmp_path / "two")) == []
    worker.close()


def test_a_killed_worker_saves_nothing(worker: PlotWorker, tmp_path: Path) -> None:
    os.kill(worker._process.pid, signal.SIGKILL)
    assert worker.save(two(tmp_path / "two")) == []


def test_an_idle_worker_exits(tmp_path: Path) -> None:
    worker = PlotWorker(idle_s=0.01)
    assert worker._process.wait(timeout=60) == 0
    assert worker.save(two(tmp_path / "two")) == []
    worker.close()


def test_the_worker_exits_with_a_killed_run() -> None:
    code = (
        "import os\nfrom zoo.plots.worker import PlotWorker\n"
        "print(PlotWorker()._process.pid, flush=True)\nos.kill(os.getpid(), 9)"
    )
    assert ends(int(run_python("-c", code).stdout))


def test_ctrl_c_does_not_reach_the_worker(worker: PlotWorker) -> None:
    assert os.getpgid(worker._process.pid) != os.getpgid(0)


@pytest.mark.parametrize(
    "script",
    ["exit 1", "exit 0", "echo nonsense", "echo '[\"loss.png\"'", "echo 7", "echo '{\"loss.png\": 1}'", "kill -9 $$"],
)
def test_an_invalid_answer_is_ignored(another_python: Callable[[str], None], tmp_path: Path, script: str) -> None:
    another_python(script)
    worker = PlotWorker()
    assert worker.save(two(tmp_path / "two")) == []
    worker.close()


def test_a_worker_that_does_not_answer_times_out(
    another_python: Callable[[str], None], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("zoo.plots.worker._TIMEOUT_S", 0.1)
    another_python("sleep 600")
    started = time.monotonic()
    worker = PlotWorker()
    assert worker.save(two(tmp_path / "two")) == []
    worker.close()
    assert time.monotonic() - started < 60


@pytest.mark.parametrize("executable", ["", None, "/nowhere/python"])
def test_no_worker_without_a_python_executable(monkeypatch: pytest.MonkeyPatch, executable: str | None) -> None:
    monkeypatch.setattr("zoo.plots.worker.usable_cores", lambda: 2)
    monkeypatch.setattr(sys, "executable", executable)
    with plot_worker() as worker:
        assert worker is None


@pytest.mark.parametrize(("enabled", "cores", "exists"), [(True, 2, True), (True, 1, False), (False, 2, False)])
def test_the_worker_needs_to_be_enabled_and_a_second_core(
    monkeypatch: pytest.MonkeyPatch, enabled: bool, cores: int, exists: bool
) -> None:
    monkeypatch.setattr("zoo.plots.worker.usable_cores", lambda: cores)
    with plot_worker(enabled=enabled) as worker:
        assert (worker is not None) == exists
    assert worker is None or worker._process.returncode is not None


def test_a_matplotlib_in_the_working_folder_is_not_imported(tmp_path: Path) -> None:
    Path("matplotlib.py").write_text("raise SystemExit('not this one')")
    worker = PlotWorker()
    assert len(worker.save(two(tmp_path / "two"))) == 2
    worker.close()


# Runs with and without a worker


def test_plots_that_the_worker_does_not_save_are_saved_by_the_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    plots, warnings = two(tmp_path / "two"), list[str]()
    worker = PlotWorker()
    monkeypatch.setattr(worker, "save", lambda plots: plots[:1])
    assert save_plots(plots, worker, warnings.append) == ["loss.png", "embeddings.png"]
    worker.close()
    assert set(files(tmp_path / "two")) == {"embeddings.png"}  # the worker claims to have saved the other
    assert not warnings


def test_a_plot_that_fails_is_a_warning_and_the_others_are_saved(tmp_path: Path) -> None:
    warnings: list[str] = []
    wrong = Plot(tmp_path / "loss.png", "loss", {"losses": [], "title": "Loss"})
    assert save_plots([wrong, embeddings(tmp_path / "embeddings.png")], None, warnings.append) == ["embeddings.png"]
    assert warnings == ["cannot plot loss.png: there are no losses to plot"]


def test_a_file_that_cannot_be_written_is_an_error(worker: PlotWorker, tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        save_plots([loss(tmp_path / "nowhere" / "loss.png")], worker, print)


@pytest.mark.parametrize("command", ["run", "resume"])
def test_a_command_with_a_second_core_never_imports_matplotlib(command: str, run_copy: Path) -> None:
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


def test_a_run_has_the_same_plots_with_and_without_a_worker(finished_run: Path) -> None:
    done = run_python("-c", f"{TWO_CORES}main()", *RUN)
    assert done.returncode == 0, done.stderr
    for name in ("loss.png", "embeddings.png"):
        assert Path("new", name).read_bytes() == (finished_run / name).read_bytes()


def test_a_usage_error_leaves_no_process_behind() -> None:
    code = (
        f"{TWO_CORES}start = zoo.plots.worker.PlotWorker.__init__\n"
        "def report(self, *args):\n    start(self, *args)\n    print(self._process.pid, flush=True)\n"
        "zoo.plots.worker.PlotWorker.__init__ = report\nmain()"
    )
    done = run_python("-c", code, "run", "nothing")
    assert (done.returncode, "no model 'nothing'" in done.stderr) == (2, True)
    assert ends(int(done.stdout))
