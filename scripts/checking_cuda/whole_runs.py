"""Runs as a person starts them: killed and resumed, without enough memory, and on a second device."""

from __future__ import annotations

import contextlib
import io
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import torch
from against_cpu import NET, engine_rows
from repeats import files_off, weights_off
from results import SKIPPED, UNAVAILABLE, Result, Setting, check, each, one_line
from steps import ENGINES
from trainings import new_training

import zoo
from zoo import cuda
from zoo.cli import main as zoo_main
from zoo.storage import checkpoint
from zoo.storage.folder import STATE_FILE

EVERY = 200  # steps between two checkpoints of a run that is killed
_WAIT_S = 120  # for its checkpoints
_HIDDEN = 4096  # of a net whose activations take 16 KiB an example
_HOLDING = ("autograd", "manual")  # engines that hold the activations of a whole batch; `fused` holds a part
_ROOM = 1 << 30  # bytes that a process may allocate in the test of memory on a CPU


def resume(setting: Setting) -> list[Result]:
    """Each engine: killed after some checkpoints, resumed, and compared with an uninterrupted run."""
    return each(list(ENGINES[1:2] if setting.quick else ENGINES), lambda engine: [killed_and_resumed(setting, engine)])


def killed_and_resumed(setting: Setting, engine: str) -> Result:
    """A run that would take long is killed (SIGKILL), and resumed to end some steps later."""
    what = f"{NET}, {engine}: killed and resumed"
    try:
        new_training(setting, NET, engine=engine)
    except zoo.UsageError as error:
        return Result(what, UNAVAILABLE, remark=one_line(str(error)))
    killed, whole = (setting.folder / f"{kind}-{engine}" for kind in ("killed", "whole"))
    step = killed_at(setting, engine, killed)
    steps = step + setting.steps(300, 100)
    zoo.resume(killed, steps=steps, plots=False)
    setting.run(NET, whole, engine=engine, steps=steps)
    return check(what, files_off(killed, whole), step, "steps before the kill")


def killed_at(setting: Setting, engine: str, out: Path) -> int:
    """Start `zoo run`, and kill it after its first checkpoints; the step of the last one."""
    options = ["--engine", engine, "--steps", "100000000", "--checkpoint-every", str(EVERY), "--quiet", "--no-plots"]
    command = [sys.executable, "-P", "-m", "zoo", "run", NET, "--device", setting.device, "--out", str(out), *options]
    log = out.with_suffix(".log")
    with log.open("wb") as file:
        process = subprocess.Popen([*command, "--dataset", str(setting.dataset)], stdout=file, stderr=file)
        try:
            _wait_for_step(process, out / STATE_FILE, 3 * EVERY)
        except TimeoutError as error:
            raise AssertionError(f"{error}; it says: {log.read_text().strip()[-200:] or 'nothing'}") from error
        finally:
            process.kill()
            process.wait()
    return _step(out / STATE_FILE)


def memory(setting: Setting) -> list[Result]:
    """A batch that cannot fit: one sentence, and the next run of the same process works."""
    if setting.on_cuda:
        free, _ = cuda.memory(torch.device(setting.device))
        return each(list(_HOLDING), lambda engine: [too_large(setting, engine, free)])
    if not Path("/proc/self/status").exists():
        return [Result("out of memory", SKIPPED, remark="on a CPU it needs Linux, which can limit a process's memory")]
    with limited(_ROOM):
        names = list(_HOLDING[:1] if setting.quick else _HOLDING)
        return each(names, lambda engine: [too_large(setting, engine, _ROOM)])


def too_large(setting: Setting, engine: str, free_bytes: int) -> Result:
    """A batch whose hidden units take twice the memory that is free, and then one of the usual size."""
    batch = 2 * free_bytes // (4 * _HIDDEN)
    options = ("--engine", engine, "--set", f"model.hidden_size={_HIDDEN}")
    code, error = command(setting, f"large-{engine}", "--batch-size", str(batch), *options)
    why = sentence_off(code, error)
    if why is None:
        code, after = command(setting, f"after-{engine}", "--engine", "autograd")
        why = None if code == 0 else f"the next run of the process ended with {code}: {after}"
    return check(f"{engine}, a batch of {batch:,}: out of memory", why, 2 * free_bytes / 2**30, "GiB", error)


def sentence_off(code: int, error: str) -> str | None:
    """What is wrong with how a command ended that had not enough memory."""
    lines = error.strip().splitlines()
    if code not in (1, 2):
        return f"it ended with {code}, not 1 or 2: {error}"
    if len(lines) != 1 or not lines[0].startswith("zoo: error: "):
        return f"it says {len(lines)} lines, not one: {error}"
    if "unexpected" in error or "plugin" in error:
        return f"it takes it for a fault: {error}"
    return None


def command(setting: Setting, out: str, *options: str) -> tuple[int, str]:
    """`zoo run` of a few steps in this process: its exit code, and what it writes to stderr."""
    where = ["--device", setting.device, "--dataset", str(setting.dataset), "--out", str(setting.folder / out)]
    error = io.StringIO()
    with contextlib.redirect_stderr(error), contextlib.redirect_stdout(io.StringIO()):
        try:
            zoo_main(["run", NET, "--quiet", "--no-plots", "--steps", "3", *where, *options])
        except SystemExit as ended:
            return (ended.code if isinstance(ended.code, int) else 1), error.getvalue()


@contextlib.contextmanager
def limited(room_bytes: int) -> Iterator[None]:
    """Let this process allocate so many bytes more, so that what is too large is refused before any memory is used."""
    import resource

    status = Path("/proc/self/status").read_text()
    used = int(status.partition("VmSize:")[2].split()[0]) * 1024
    before = resource.getrlimit(resource.RLIMIT_AS)
    resource.setrlimit(resource.RLIMIT_AS, (used + room_bytes, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_AS, before)


def second(setting: Setting) -> list[Result]:
    """Another device trains as the first one does, to the bit where both are of one kind."""
    if not setting.on_cuda or cuda.count() < 2:
        there = f"there is only {cuda.name(torch.device(setting.device))}" if setting.on_cuda else "there is only a CPU"
        return [Result("a second device", SKIPPED, remark=there)]
    index = cuda.index(torch.device(setting.device))
    first, other = f"cuda:{index}", f"cuda:{(index + 1) % cuda.count()}"
    return each(list(ENGINES), lambda engine: on_another(setting, engine, first, other))


def on_another(setting: Setting, engine: str, first: str, other: str) -> list[Result]:
    """The checks of an engine on the other device, and whether a run has the same weights on both."""
    steps = setting.steps(255, 20)
    rows = engine_rows(setting, engine, steps, other)
    if any(row.result == UNAVAILABLE for row in rows):
        return rows
    what = f"{NET}, {engine}: {other} has the bits of {first}"
    names = [cuda.name(torch.device(device)) for device in (first, other)]
    if names[0] != names[1]:
        return [*rows, Result(what, SKIPPED, remark=f"they are different cards: {names[0]}, {names[1]}")]
    paths = [setting.folder / f"{engine}-{place}" for place in ("first", "other")]
    for path, device in zip(paths, (first, other), strict=True):
        replace(setting, device=device).run(NET, path, engine=engine, steps=steps)
    return [*rows, check(what, files_off(paths[0], paths[1], ["losses.csv"]) or weights_off(paths[0], paths[1]))]


def _wait_for_step(process: subprocess.Popen[bytes], state: Path, step: int) -> None:
    deadline = time.monotonic() + _WAIT_S
    while not state.exists() or _step(state) < step:
        if process.poll() is not None:
            raise TimeoutError(f"zoo run ended with {process.returncode} before it was killed")
        if time.monotonic() > deadline:
            raise TimeoutError(f"zoo run had no checkpoint of step {step} after {_WAIT_S} s")
        time.sleep(0.02)


def _step(state: Path) -> int:
    return int(checkpoint.load_meta(state)["step"])
