"""After a run has ended, however it ended and whatever its plot worker was doing, no process of the worker is left."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

pytestmark = pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="it reads /proc")

# In place of matplotlib, so that each stage lasts as long as is needed: what the worker imports, and how it draws.
WORKER = """
import os, sys, time, types
stage = sys.argv.pop(1)
figures = types.ModuleType("zoo.plots.figures")
def draw(**arguments):
    open(f"{os.environ['REACHED']}", "a").write("drawing\\n")
    if stage == "drawing":
        time.sleep(600)
    return b"x" * (1 << 22 if stage == "answering" else 1)
figures.plot_loss = figures.plot_embeddings = draw
if stage == "importing":
    class Slow:
        def find_spec(self, name, path=None, target=None):
            if name == "zoo.plots.figures":
                open(f"{os.environ['REACHED']}", "a").write("importing\\n")
                time.sleep(600)
    sys.meta_path.insert(0, Slow())
else:
    sys.modules["zoo.plots.figures"] = figures
    import zoo.plots
    zoo.plots.figures = figures
sys.modules["matplotlib.figure"] = figures
import zoo.plots.worker
zoo.plots.worker.main()
"""

RUN = """
import os, signal, subprocess, sys, threading, time
import zoo.plots.worker as workers
from zoo.plots.plot import Plot
signal.signal(signal.SIGINT, signal.default_int_handler)  # where the tests themselves run with it ignored
stage, end, python = sys.argv[1:]
workers.usable_cores = lambda: 2
reached = os.environ["REACHED"]
plots = [Plot(f"{i}.png", "loss", {"losses": [1.0]}) for i in range(3)]
sys.executable = python
if stage == "held open":  # by a child of the run that inherits the pipe
    start = workers.PlotWorker.__init__
    def start_and_fork(self):
        start(self)
        if not os.fork():
            os.setsid()
            time.sleep(20)
            os._exit(0)
    workers.PlotWorker.__init__ = start_and_fork

def wait_for(word):
    while not os.path.exists(reached) or open(reached).read().count(word) < {"drawing": 3}.get(word, 1):
        time.sleep(0.01)

def stop():
    if stage in ("importing", "drawing"):
        wait_for(stage)
    elif stage == "answering":
        wait_for("drawing")
    else:
        time.sleep(0.3)
    if end == "killed":
        os.kill(os.getpid(), signal.SIGKILL)
    if end in ("SIGTERM", "SIGINT"):
        os.kill(os.getpid(), getattr(signal, end))

with workers.plot_worker() as worker:
    print(worker._process.pid, flush=True)
    if stage == "answering":  # nobody reads
        workers._answers = lambda *_: time.sleep(600)
    if stage in ("drawing", "answering"):
        if end in ("exception", "exit"):
            workers._TIMEOUT_S = 600
            def leave(*_):
                raise SystemExit if end == "exit" else ArithmeticError
            signal.signal(signal.SIGALRM, leave)
            def interrupt():
                wait_for("drawing")
                os.kill(os.getpid(), signal.SIGALRM)
            threading.Thread(target=interrupt, daemon=True).start()
        else:
            threading.Thread(target=stop, daemon=True).start()
        worker.render(plots)
    else:
        stop()
        if end == "exception":
            raise ArithmeticError
        if end == "exit":
            sys.exit()
    time.sleep(600)
"""

STAGES = ("importing", "idle", "held open", "drawing", "answering")
ENDS = ("killed", "SIGTERM", "SIGINT", "exception", "exit")


def processes(group: int) -> list[int]:
    """The processes of a group that are not mere entries in the table."""
    found = []
    for path in Path("/proc").glob("[0-9]*/stat"):
        try:
            number, _, rest = path.read_text().partition(" (")
        except OSError:
            continue
        state, _, its_group = rest.rpartition(") ")[2].split()[:3]
        if int(its_group) == group and state not in "ZX":
            found.append(int(number))
    return found


@pytest.mark.parametrize("end", ENDS)
@pytest.mark.parametrize("stage", STAGES)
def test_nothing_goes_on_after_the_run(stage: str, end: str, tmp_path: Path) -> None:
    stub, python = tmp_path / "worker.py", tmp_path / "python"
    stub.write_text(WORKER)
    python.write_text(f'#!/bin/sh\nexec {json.dumps(sys.executable)} -P {json.dumps(str(stub))} "{stage}" "$4"\n')
    python.chmod(0o755)
    env = {**os.environ, "REACHED": str(tmp_path / "reached")}
    command = [sys.executable, "-P", "-c", RUN, stage, end, str(python)]
    run = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, env=env, text=True)
    assert run.stdout is not None
    group = int(run.stdout.readline())
    try:
        run.wait(timeout=60)
        deadline = time.monotonic() + 10
        while (left := processes(group)) and time.monotonic() < deadline:
            time.sleep(0.02)
        assert not left
    finally:
        run.kill()
        run.wait()
        run.stdout.close()
        if processes(group):
            os.killpg(group, signal.SIGKILL)


def test_children_end_with_a_worker_that_is_killed(tmp_path: Path) -> None:
    """Where the run is alive, it closes the worker, but a child must not draw until then either."""
    stub, reached = tmp_path / "worker.py", tmp_path / "reached"
    stub.write_text(WORKER)
    code = (
        "import sys, zoo.plots.worker as w, json, os\n"
        "request = json.dumps([[f'{i}.png', 'loss', {'losses': [1.0]}] for i in range(3)]).encode()\n"
        "sys.stdout.buffer.write(w._LENGTH.pack(len(request)) + request)"
    )
    request = subprocess.check_output([sys.executable, "-P", "-c", code])
    worker = subprocess.Popen(
        [sys.executable, "-P", str(stub), "drawing", "60"],
        stdin=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        env={**os.environ, "REACHED": str(reached)},
        start_new_session=True,
    )
    assert worker.stdin is not None
    worker.stdin.write(request)
    worker.stdin.flush()
    deadline = time.monotonic() + 60
    while not reached.exists() or reached.read_text().count("drawing") < 3:
        assert time.monotonic() < deadline
        time.sleep(0.01)
    assert len(processes(worker.pid)) == 4
    worker.kill()
    worker.wait()
    while (left := processes(worker.pid)) and time.monotonic() < deadline:
        time.sleep(0.02)
    worker.stdin.close()
    assert not left
