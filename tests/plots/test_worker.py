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


def loss(name: str = "loss.png") -> Plot:
    evaluations = [(20, 2.4), (40, float("inf"))]
    return Plot(
        name,
        "loss",
        {"losses": LOSSES, "title": "Loss", "final": {"train": 2.0, "val": 2.1}, "evaluations": evaluations},
    )


def embeddings() -> Plot:
    table = [[0.1, 1 / 3], [-2.5, 1e-7], [0.7, 0.7]]
    arguments = {"table": table, "labels": list(".aб"), "title": "Map", "dims": (1, 0)}
    return Plot("embeddings.png", "embeddings", arguments)


TWO = [loss(), embeddings()]


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
    """`another_python("exit 1")`: a shell script, which reads the start of its input, in place of Python."""

    def install(script: str) -> None:
        path = tmp_path / "python"
        path.write_text(f"#!/bin/sh\nhead -c 8 > /dev/null\n{script}\n")
        path.chmod(0o755)
        monkeypatch.setattr(sys, "executable", str(path))

    return install


def test_worker_and_run_make_the_same_bytes(worker: PlotWorker) -> None:
    assert worker.render(TWO) == {plot.name: plot.render() for plot in TWO}


def test_plots_that_fail_do_not_affect_the_others(worker: PlotWorker) -> None:
    wrong = Plot("wrong.png", "loss", {"losses": [], "title": "Loss"})
    assert worker.render([wrong, embeddings(), loss("a.b")]).keys() == {"embeddings.png"}


def test_large_plots_are_not_sent_to_the_worker(worker: PlotWorker, monkeypatch: pytest.MonkeyPatch) -> None:
    assert [plot.size for plot in TWO] == [60, 6]
    monkeypatch.setattr("zoo.plots.worker._MAX_SIZE", 6)
    assert worker.render(TWO).keys() == {"embeddings.png"}


def test_a_request_larger_than_a_pipe_holds_is_answered(worker: PlotWorker) -> None:
    plot = Plot("loss.png", "loss", {"losses": [1 + 1 / (3 + step) for step in range(50_000)], "title": "Loss"})
    assert worker.render([plot]) == {"loss.png": plot.render()}


def test_arguments_that_are_not_json_are_not_sent_to_the_worker(worker: PlotWorker) -> None:
    assert worker.render([Plot("loss.png", "loss", {"losses": {2.0}, "title": "Loss"})]) == {}


def test_no_plots(worker: PlotWorker) -> None:
    assert worker.render([]) == {}


def test_a_worker_can_be_used_once(worker: PlotWorker) -> None:
    assert len(worker.render(TWO)) == 2
    assert worker.render(TWO) == {}


def test_a_closed_worker_draws_nothing_and_can_be_closed_again(worker: PlotWorker) -> None:
    worker.close()
    assert worker.render(TWO) == {}
    worker.close()


def test_a_killed_worker_draws_nothing(worker: PlotWorker) -> None:
    os.kill(worker._process.pid, signal.SIGKILL)
    assert worker.render(TWO) == {}


def test_the_worker_writes_no_file(worker: PlotWorker, tmp_path: Path) -> None:
    before = sorted(tmp_path.rglob("*"))
    assert len(worker.render(TWO)) == 2
    assert [path for path in sorted(tmp_path.rglob("*")) if "matplotlib" not in path.parts] == before


def test_an_idle_worker_exits() -> None:
    worker = PlotWorker(idle_s=0.01)
    assert worker._process.wait(timeout=60) == 0
    assert worker.render(TWO) == {}
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
    [
        "exit 1",
        "exit 0",
        "kill -9 $$",
        "echo nonsense",
        "echo nonsense nonsense nonsense",
        r"printf '\0\0\0\0\0\0\0\1\0\0\0\0\0\0\0\2x'",  # cut off
        r"printf '\0\0\0\0\0\0\0\7\0\0\0\0\0\0\0\1x'",  # a plot that was not asked for
    ],
)
def test_an_invalid_answer_is_ignored(another_python: Callable[[str], None], script: str) -> None:
    another_python(script)
    worker = PlotWorker()
    assert worker.render(TWO) == {}
    worker.close()


def test_a_worker_that_does_not_answer_times_out(
    another_python: Callable[[str], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("zoo.plots.worker._TIMEOUT_S", 0.1)
    another_python("sleep 600")
    started = time.monotonic()
    worker = PlotWorker()
    assert worker.render(TWO) == {}
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


def test_a_matplotlib_in_the_working_folder_is_not_imported() -> None:
    Path("matplotlib.py").write_text("raise SystemExit('not this one')")
    worker = PlotWorker()
    assert len(worker.render(TWO)) == 2
    worker.close()


# Runs with and without a worker


def test_plots_that_the_worker_does_not_draw_are_drawn_by_the_run(monkeypatch: pytest.MonkeyPatch) -> None:
    warnings, written = list[str](), dict[str, bytes]()
    worker = PlotWorker()
    monkeypatch.setattr(worker, "render", lambda plots: {"loss.png": b"from the worker"})
    assert save_plots(TWO, worker, warnings.append, written.__setitem__) == ["loss.png", "embeddings.png"]
    worker.close()
    assert written == {"loss.png": b"from the worker", "embeddings.png": embeddings().render()}
    assert not warnings


FAILURES = [
    ValueError("x"),
    RuntimeError("x"),
    KeyError("x"),
    MemoryError("x"),
    *(OSError(code, "x") for code in (1, 13, 28, 30)),
]


@pytest.mark.parametrize("error", FAILURES, ids=repr)
def test_a_plot_that_fails_is_a_warning_and_the_others_are_written(
    error: Exception, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An error of the system is one of the run's disk only where a file of the run is written."""

    def fail(**_: object) -> bytes:
        raise error

    monkeypatch.setattr("zoo.plots.figures.plot_loss", fail)
    warnings, written = list[str](), dict[str, bytes]()
    assert save_plots(TWO, None, warnings.append, written.__setitem__) == ["embeddings.png"]
    assert warnings == [f"cannot plot loss.png: {error}"]
    assert written.keys() == {"embeddings.png"}


def test_a_file_that_cannot_be_written_is_an_error(worker: PlotWorker) -> None:
    def write(name: str, content: bytes) -> None:
        raise FileNotFoundError(name)

    with pytest.raises(FileNotFoundError):
        save_plots([loss()], worker, print, write)


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
