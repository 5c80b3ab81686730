"""What all tests share. No test touches the user's home or cache, and none reaches beyond this machine."""

from __future__ import annotations

import json
import os
import re
import shutil
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import torch
from browsing import OpenPage, chromium, opening
from cuda_on_cpu import emulated as emulated
from cuda_on_cpu import kernel_libraries as kernel_libraries
from fake_cuda import FakeCuda, put_in_place
from forging import NET, Change, changer
from offering import Offer, offering
from reported_runs import digits as digits
from reported_runs import reported as reported
from swept import drawn as drawn
from swept import few_words as few_words
from swept import make_request as make_request
from swept import quick_sweep_plots as quick_sweep_plots
from warm import WarmProcess, takes

import zoo
from zoo.cli import main
from zoo.phrasing import command_line
from zoo.plots.plot import Plot
from zoo.plugin.manager import load_plugins
from zoo.plugin.registry import Registry

if TYPE_CHECKING:
    from playwright.sync_api import Browser

ROOT = Path(__file__).resolve().parent.parent
PROJECTS = ROOT / "tests" / "plugins"
SHARED_NAMES = ROOT.parent / "shared" / "data" / "names.txt"

THREADS = int(os.environ.get("ZOO_TEST_THREADS", "1"))  # tests run side by side: one thread each

torch.set_num_threads(THREADS)


@pytest.fixture(autouse=True)
def isolated(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An empty home, cache and working directory; no network, no plugins but the built-in one."""
    for name in ("HOME", "XDG_CACHE_HOME", "ZOO_CACHE"):
        monkeypatch.setenv(name, str(tmp_path / name.lower()))
    for name in [name for name in os.environ if name.startswith("ZOO_") and name != "ZOO_CACHE"]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("ZOO_OFFLINE", "1")
    monkeypatch.setenv("OMP_NUM_THREADS", str(THREADS))
    monkeypatch.setenv("MPLCONFIGDIR", str(tmp_path / "matplotlib"))
    monkeypatch.setenv("COLUMNS", "100")
    work = tmp_path / "work"
    work.mkdir()
    monkeypatch.chdir(work)


@pytest.fixture(autouse=True)
def no_network(monkeypatch: pytest.MonkeyPatch) -> None:
    """Refuse every connection of this process but those to this machine."""
    connect = socket.socket.connect

    def guarded(self: socket.socket, address: Any) -> None:
        if isinstance(address, tuple) and address[0] not in ("127.0.0.1", "::1", "localhost"):
            raise OSError(f"a test tried to connect to {address}")
        connect(self, address)

    monkeypatch.setattr(socket.socket, "connect", guarded)


def run_python(
    *args: str | Path, env: Mapping[str, str] | None = None, cwd: Path | None = None, timeout: float = 120
) -> subprocess.CompletedProcess[str]:
    """Run `python ARGS` in a process of its own, which finds zoo installed and not in the working folder."""
    return subprocess.run(
        [sys.executable, "-P", *map(str, args)],
        capture_output=True,
        text=True,
        stdin=subprocess.DEVNULL,
        env={**os.environ, **(env or {})},
        cwd=cwd,
        timeout=timeout,
    )


@contextmanager
def before_call(owner: Any, name: str, nth: int, act: Callable[[], object]) -> Iterator[None]:
    """Within the block, do something before the Nth call of a function; the block must get that far."""
    calls, real = 0, getattr(owner, name)

    def called(*args: Any, **kwargs: Any) -> Any:
        nonlocal calls
        calls += 1
        if calls == nth:
            act()
        return real(*args, **kwargs)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(owner, name, called)
        yield
    assert calls >= nth, f"{name} was called {calls} times only"


@pytest.fixture
def typed() -> Iterator[None]:
    """What is called is told of mistakes as a person is who typed a command: `--lr`, and not `lr`."""
    with command_line():
        yield


@pytest.fixture
def quick_plots(monkeypatch: pytest.MonkeyPatch) -> None:
    """For tests in which it does not matter what is in a plot: drawing takes longer than all the rest."""
    monkeypatch.setattr(Plot, "render", lambda plot, _scratch: plot.name.encode())


@pytest.fixture
def fake_cuda(monkeypatch: pytest.MonkeyPatch) -> Callable[..., FakeCuda]:
    """Make a machine with GPUs, which are fakes: `fake_cuda(devices=2, tensors_on=1)`; see `fake_cuda.py`."""
    return partial(put_in_place, monkeypatch)


ZooCommand = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture(scope="session")
def warm_process() -> Iterator[WarmProcess]:
    """Runs commands of zoo, each in a process of its own that has imported torch already."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("OMP_NUM_THREADS", str(THREADS))
        process = WarmProcess()
    with process:
        yield process


@pytest.fixture
def zoo_command(request: pytest.FixtureRequest) -> ZooCommand:
    """Run `zoo ARGS` in a process of its own: `zoo_command("list", "--json", env={"ZOO_PLUGINS": ""})`."""

    def run(*args: str | Path, **options: Any) -> subprocess.CompletedProcess[str]:
        if takes(options.get("env") or {}):
            warm: WarmProcess = request.getfixturevalue("warm_process")
            done = warm.run(*args, **options)
        else:
            done = run_python("-m", "zoo", *args, **options)
        done.stderr = but_for_slow_stages(done.stderr)
        return done

    return run


def but_for_slow_stages(err: str) -> str:
    """What was written to stderr, without the lines that say what takes long: on a busy machine, anything may."""
    return re.sub(r"^[A-Z][^\n]*, \d+ s so far(, about [^\n]*)?\n", "", err, flags=re.MULTILINE)


def but_for_what_was_read(err: str) -> str:
    """What was written to stderr, without the line in which a run says what it has read, and those of slow stages."""
    read = r"^[^\n]+: [\d,]+ (words, |examples of shape )[^\n]*\n"
    return re.sub(read, "", but_for_slow_stages(err), count=1, flags=re.MULTILINE)


@dataclass(frozen=True)
class Outcome:
    """What a command did: `err` is without the line in which a run says what it has read, which is `read`."""

    code: int
    out: str
    err: str
    read: str = ""

    @property
    def result(self) -> Any:
        return json.loads(self.out)


Zoo = Callable[..., Outcome]


@pytest.fixture
def zoo_here(capsys: pytest.CaptureFixture[str]) -> Zoo:
    """Run `zoo ARGS` in this process, which spares the import of torch: `zoo_here("list", "--json").result`."""

    def run(*args: object) -> Outcome:
        capsys.readouterr()
        with pytest.raises(SystemExit) as exit_info:
            main([str(arg) for arg in args])
        captured = capsys.readouterr()
        assert isinstance(exit_info.value.code, int)
        err = but_for_what_was_read(captured.err)
        others = [line for line in captured.err.splitlines() if line not in err]
        read = next((line for line in others if " s so far" not in line), "")
        return Outcome(exit_info.value.code, captured.out, err, read)

    return run


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    """The system's Chromium; tests that want it are skipped where there is none."""
    with chromium(tmp_path_factory.mktemp("browser")) as browser:
        yield browser


@pytest.fixture
def open_page(browser: Browser) -> Iterator[OpenPage]:
    """Open a page in the browser: `open_page(path, width=400, dark=True)`; see `browsing.opening`."""
    with opening(browser) as open_page:
        yield open_page


@pytest.fixture(scope="session")
def finished_run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A short run of the built-in model on the bundled names, with plots; tests must not change it."""
    path = tmp_path_factory.mktemp("finished") / "run"
    zoo.run("mlp-char", dataset="names-ssa-2018", device="cpu", steps=200, out=path)
    return path


@pytest.fixture
def run_copy(finished_run: Path, tmp_path: Path) -> Path:
    """A copy of that run, to spoil."""
    return Path(shutil.copytree(finished_run, tmp_path / "copy"))


@pytest.fixture(scope="session")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run folder as small as they come; tests must not change it."""
    folder = tmp_path_factory.mktemp("made")
    words = folder / "words.txt"
    words.write_text("\n".join(a + b for a in "abeln" for b in "abeln"))
    zoo.run("mlp-char", dataset=words, device="cpu", steps=4, out=folder / "run", plots=False, settings=NET)
    return folder / "run"


@pytest.fixture
def run(made: Path) -> Path:
    """A copy of it in the working folder, to spoil."""
    return Path(shutil.copytree(made, "run"))


@pytest.fixture
def weights(run: Path) -> Path:
    return run / "model.safetensors"


@pytest.fixture
def change(run: Path) -> Change:
    """`change("model.inputs.vocab_size", 7)`: the weights with another config, and the right digests; the file.

    With `name` it is another file, and with `tensors` other ones.
    """
    return changer(run)


@pytest.fixture(scope="module")
def registry() -> Registry:
    return load_plugins()[0]


Installed = Callable[[Sequence[str]], str]


@pytest.fixture(scope="session")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Installed:
    """The PYTHONPATH under which the given projects are installed. Each is installed once, into its own folder."""
    base = tmp_path_factory.mktemp("third-party")

    def folder(project: str) -> Path:
        target = base / project
        if not target.exists():
            source = base / "sources" / project
            shutil.copytree(PROJECTS / project, source)  # building must leave nothing in the tree
            options = ["--no-index", "--no-deps", "--no-build-isolation", "--no-compile", "--isolated", "--quiet"]
            options += ["--disable-pip-version-check", "--target", str(target)]
            pip = [sys.executable, "-m", "pip", "install", *options, str(source)]
            result = subprocess.run(pip, capture_output=True, text=True, timeout=120)
            assert result.returncode == 0, result.stderr
        return target

    return lambda projects: os.pathsep.join(str(folder(project)) for project in projects)


@pytest.fixture
def offer(monkeypatch: pytest.MonkeyPatch) -> Offer:
    """`offer(zoo.ModelSpec(...), ...)`: what a plugin `zoo-wrong` brings, for the checks of `zoo.testing`."""
    return offering(monkeypatch)


@pytest.fixture
def words_file(tmp_path: Path) -> Path:
    """A small text dataset: 60 different words over five letters."""
    letters = "abeln"
    words = [a + b + c for a in letters for b in letters for c in letters][:60]
    path = tmp_path / "words.txt"
    path.write_text("\n".join(words) + "\n")
    return path


@pytest.fixture
def names_txt() -> Path:
    """The lecture's names, if available; they are not part of the project."""
    if not SHARED_NAMES.is_file():
        pytest.skip("the lecture's names.txt is not beside the project")
    return SHARED_NAMES


@pytest.fixture(autouse=True)
def _global_generator() -> Iterator[None]:
    """Nothing in zoo may leave torch's global generator changed."""
    before = torch.get_rng_state()
    yield
    assert torch.equal(before, torch.get_rng_state()), "the global generator was used"
