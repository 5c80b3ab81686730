"""DESIGN section 5, line by line, through the real command in a process of its own.

Each mistake or mishap happens in a folder with a finished run. It must end with one clear line on stderr, the
right exit code and no traceback; and the finished run must be there afterwards, byte for byte, and load.
"""

from __future__ import annotations

import hashlib
import os
import re
import resource
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import torch
from conftest import but_for_what_was_read
from servers import CONTENT, Server, misbehaving_server

import zoo
from zoo.storage import checkpoint

ZooCommand = Callable[..., subprocess.CompletedProcess[str]]
RUN = Path("runs/mlp-char-1")
TRAIN = ("run", "mlp-char", "--dataset", "names-ssa-2018", "--device", "cpu", "--steps", "5", "--no-plots")


@dataclass(frozen=True)
class Case:
    """A command, the exit code it must have, and what its one line must say."""

    args: tuple[str, ...]
    code: int
    says: tuple[str, ...]
    files: dict[str, bytes] = field(default_factory=dict)  # made before the command
    env: dict[str, str] = field(default_factory=dict)


def words(content: bytes, *says: str) -> Case:
    return Case(("run", "mlp-char", "--dataset", "words.txt"), 1, ("words.txt", *says), {"words.txt": content})


def usage(*args: str, says: tuple[str, ...]) -> Case:
    return Case(args, 2, says)


CASES = {
    "unknown model": usage("run", "mlp-chr", says=("'mlp-chr'", "did you mean 'mlp-char'?")),
    "unknown dataset": usage("run", "mlp-char", "--dataset", "nmaes", says=("'nmaes'", "'names'")),
    "unknown optimizer": usage("run", "mlp-char", "--optimizer", "sdg", says=("'sdg'", "'sgd'")),
    "unknown preset": usage("run", "mlp-char", "--preset", "lectur", says=("'lectur'", "'lecture'")),
    "unknown key": usage(*TRAIN, "--set", "model.hiddn_size=3", says=("model.hiddn_size", "'model.hidden_size'")),
    "wrong type": usage(*TRAIN, "--set", "model.hidden_size=x", says=("model.hidden_size", "int", "'x'")),
    "no steps": usage(*TRAIN, "--steps", "0", says=("--steps", "0")),
    "negative batch": usage(*TRAIN, "--batch-size=-3", says=("--batch-size", "-3")),
    "unknown run": usage("eval", "runs/mlp-char-7", says=("runs/mlp-char-7",)),
    "an existing folder": usage(*TRAIN, "--out", str(RUN), says=(str(RUN), "already exists")),
    "nothing to go on with": usage("resume", str(RUN), says=(str(RUN), "--steps")),
    "empty file": words(b"", "is empty"),
    "binary file": words(bytes(range(256)) * 8, "is not a text file"),
    "one word": words(b"emma\n", "1 word, too few"),
    "HTML as words": Case(
        ("run", "mlp-char", "--dataset", "words.txt"),
        1,
        ("words.txt", "an HTML page"),
        {"words.txt": b"<html>\n<p>a.b\n" * 9},
    ),
    "unknown character": Case(
        ("eval", str(RUN), "--dataset", "words.txt"), 1, ("'é'",), {"words.txt": "anna\nrenée\n".encode() * 5}
    ),
    "loss becomes nan": Case((*TRAIN, "--lr", "1e38", "--steps", "50"), 1, ("--lr", "the checkpoint of step 0")),
    "folder that cannot be made": Case((*TRAIN, "--out", "/proc/nowhere/run"), 1, ("/proc/nowhere",)),
    "offline and not in the cache": Case(
        ("run", "mlp-char", "--dataset", "names"),
        1,
        ("names.txt", "offline", "--dataset FILE"),
        env={"ZOO_OFFLINE": "1"},
    ),
    "broken ZOO_PLUGINS": Case(("list",), 2, ("ZOO_PLUGINS", "'nobody'"), env={"ZOO_PLUGINS": "nobody"}),
}


@pytest.fixture(autouse=True)
def finished(finished_run: Path) -> Iterator[None]:
    """A finished run in the working folder, which whatever happens must leave alone."""
    shutil.copytree(finished_run, RUN)
    before = contents(RUN)
    yield
    assert contents(RUN) == before
    assert zoo.load(RUN).step == 200


def contents(folder: Path) -> dict[str, str]:
    return {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in folder.iterdir()}


def assert_one_line(done: subprocess.CompletedProcess[str], code: int, *says: str) -> None:
    assert (done.returncode, done.stdout) == (code, ""), done.stderr
    [line] = but_for_what_was_read(done.stderr).splitlines()
    assert line.startswith("zoo: error: ")
    for text in says:
        assert text in line, line


@pytest.mark.parametrize("name", CASES)
def test_mistake_is_one_line_and_costs_nothing(zoo_command: ZooCommand, name: str) -> None:
    case = CASES[name]
    for file, content in case.files.items():
        Path(file).write_bytes(content)
    assert_one_line(zoo_command(*case.args, env=case.env), case.code, *case.says)


@pytest.mark.parametrize(
    ("args", "says"),
    [
        ((*TRAIN, "--out", b"r\xff"), r"--out 'r\udcff' is not valid UTF-8"),
        ((*TRAIN, "--dataset", b"words\xff.txt"), r"--dataset 'words\udcff.txt' is not valid UTF-8"),
        (("eval", str(RUN), "--dataset", b"words\xff.txt"), r"--dataset 'words\udcff.txt' is not valid UTF-8"),
        (("eval", b"r\xff"), r"called 'r\udcff'"),
        (("verify", b"r\xff"), r"called 'r\udcff'"),
    ],
    ids=lambda value: value[0] if isinstance(value, tuple) else "",
)
def test_a_name_that_is_not_utf_8_is_wrong_usage(args: tuple[str | bytes, ...], says: str) -> None:
    Path(os.fsdecode(b"words\xff.txt")).write_text("anna\nemma\nolivia\n" * 9)
    command = [os.fsencode(arg) for arg in (sys.executable, "-P", "-m", "zoo", *args)]
    before = sorted(Path().iterdir())
    done = subprocess.run(command, capture_output=True, text=True, stdin=subprocess.DEVNULL, timeout=120)
    assert_one_line(done, 2, says)
    assert sorted(Path().iterdir()) == before


@pytest.mark.skipif(torch.cuda.is_available(), reason="CUDA is here")
def test_cuda_that_is_absent_is_an_error(zoo_command: ZooCommand) -> None:
    assert_one_line(zoo_command(*TRAIN, "--device", "cuda"), 2, "'cuda' is not available", "--device cpu")


SPOILED: dict[str, tuple[Callable[[bytes], bytes], str]] = {
    "truncated": (lambda data: data[: len(data) * 2 // 3], "truncated"),
    "bit-flipped": (lambda data: data[:-7] + bytes([data[-7] ^ 16]) + data[-6:], "damaged"),
    "config bit-flipped": (lambda data: data.replace(b"2147483647", b"2147483646", 1), "damaged"),
    "HTML": (lambda data: b"<!doctype html><title>404</title>", "web page"),
    "foreign": (lambda data: (2).to_bytes(8, "little") + b"{}", "not written by zoo"),
    "pickle": (lambda data: b"\x80\x04\x95" + data, "never loads"),
}


@pytest.mark.parametrize("name", SPOILED)
def test_spoiled_checkpoint_is_refused(zoo_command: ZooCommand, name: str) -> None:
    spoil, says = SPOILED[name]
    Path("other.safetensors").write_bytes(spoil((RUN / "model.safetensors").read_bytes()))
    assert_one_line(zoo_command("sample", "other.safetensors"), 1, "other.safetensors", says)


def test_shapes_that_do_not_fit_the_config_are_refused(zoo_command: ZooCommand) -> None:
    stored = checkpoint.load(RUN / "model.safetensors")
    tensors = {**stored.tensors, "W2": stored.tensors["W2"].T}
    checkpoint.save(Path("other.safetensors"), tensors, {"config": stored.meta["config"]})
    says = "'W2' is float32[27, 200], the model has float32[200, 27]"
    assert_one_line(zoo_command("eval", "other.safetensors"), 1, "other.safetensors", says)


def test_full_disk_stops_with_one_line_and_leaves_no_half_file() -> None:
    def small_disk() -> None:
        """No file of this process may grow beyond 20 KB, which the weights need."""
        resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, 20_000))

    done = subprocess.run(
        [sys.executable, "-P", "-m", "zoo", *TRAIN, "--out", "full"],
        capture_output=True,
        text=True,
        preexec_fn=small_disk,
        check=False,
    )
    assert_one_line(done, 1, "File too large", "full/training_state.safetensors")
    assert not Path("full").exists()


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    with misbehaving_server() as running:
        yield running


DOWNLOADS = {
    "cut": ("the transfer was interrupted",),
    "longer_than_said": ("another file",),
    "wrong": ("another file",),
    "html": ("a web page",),
    "missing": ("404",),
    "bomb": ("another file",),
    "packed": ("another file",),
    "circle": ("redirected more than 5 times",),
    "to_a_file": ("not https",),
    "silent": ("no answer within 5 s",),
    "stalled": ("no data for 5 s",),
    "dripping": ("took longer than 8 s",),
    "endless": ("longer than",),
}


@pytest.mark.parametrize("kind", DOWNLOADS)
def test_download_that_goes_wrong_is_one_line(
    zoo_command: ZooCommand, server: Server, tmp_path: Path, kind: str
) -> None:
    cache = tmp_path / "zoo_cache"
    env = {"ZOO_OFFLINE": "", "ZOO_MIRROR": server.url(kind), "ZOO_TIMEOUT": "8", "ZOO_CACHE": str(cache)}
    started = time.monotonic()
    done = zoo_command("run", "mlp-char", "--dataset", "names", "--steps", "5", env=env)
    assert_one_line(done, 1, server.url(kind), "--dataset FILE", *DOWNLOADS[kind])
    assert time.monotonic() - started < 30
    assert not list(cache.iterdir())


def test_refused_download_leaves_a_damaged_cache_entry_for_the_next_try(
    zoo_command: ZooCommand, server: Server, tmp_path: Path
) -> None:
    cache = tmp_path / "zoo_cache"
    cache.mkdir()
    (cache / "names.txt").write_text("half of")
    env = {"ZOO_OFFLINE": "", "ZOO_MIRROR": server.url("wrong"), "ZOO_CACHE": str(cache)}
    assert_one_line(zoo_command("run", "mlp-char", "--dataset", "names", env=env), 1, "another file")
    assert (cache / "names.txt").read_text() == "half of"


def test_parallel_downloads_all_get_the_intact_file(server: Server, tmp_path: Path) -> None:
    code = (
        "import sys; from zoo.data.download import fetcher; "
        f"print(fetcher()('names.txt', 'https://unused', sha256={hashlib.sha256(CONTENT).hexdigest()!r}).read_bytes())"
    )
    env = {"ZOO_MIRROR": server.url("good"), "ZOO_CACHE": str(tmp_path / "new"), "PATH": "", "HOME": str(tmp_path)}
    processes = [
        subprocess.Popen([sys.executable, "-P", "-c", code], env=env, stdout=subprocess.PIPE, text=True)
        for _ in range(6)
    ]
    assert {process.communicate()[0] for process in processes} == {f"{CONTENT!r}\n"}
    assert [path.name for path in (tmp_path / "new").iterdir()] == ["names.txt"]


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_stopped_run_says_how_to_resume_and_does(zoo_command: ZooCommand, number: signal.Signals, code: int) -> None:
    args = [*TRAIN, "--steps", "10000000", "--out", "stopped"]
    process: Any = subprocess.Popen(
        [sys.executable, "-P", "-m", "zoo", *args], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    while not Path("stopped/model.safetensors").exists():
        assert process.poll() is None, process.communicate()
        time.sleep(0.05)
    time.sleep(0.3)
    process.send_signal(number)
    out, err = process.communicate(timeout=60)
    err = re.sub(r"^step [\d,]+ of .*\n", "", err, flags=re.MULTILINE)  # progress, where the machine is slow
    done = subprocess.CompletedProcess(args, process.returncode, out, err)
    assert_one_line(done, code, "stopped at step", "to resume: zoo resume stopped")
    step = zoo.load("stopped").step
    assert step is not None
    assert zoo_command("resume", "stopped", "--steps", str(step + 3), "--no-plots").returncode == 0
