"""The set-up of `scripts/run` and `scripts/test`, with a Python that installs nothing: what is installed, and when."""

from __future__ import annotations

import os
import platform
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).resolve().parents[2]
BASH = shutil.which("bash")
FAST, DEV = "installs .[fast]", "installs .[dev]"
PYTHON = """#!/bin/bash
case $* in
*"sys.version"*)
    version="${FAKE_VERSION:-3.11.7 main}"
    [ "$0" != .venv/bin/python ] || version=$(cat .venv/version)
    echo "$version"
    [ -z "$FAKE_OLD" ] ;;
*"import ensurepip"*) [ -z "$FAKE_NO_VENV" ] ;;
"-m venv .venv")
    echo "makes .venv" >>"$CALLS"
    mkdir .venv/bin
    cp "$0" .venv/bin/python
    cp "$ZOO" .venv/bin/zoo
    echo "${FAKE_VERSION:-3.11.7 main}" >.venv/version ;;
*"-m pip install"*)
    echo "installs ${@: -1}" >>"$CALLS"
    [ "$PIP_CONSTRAINT" = scripts/constraints.txt ] || exit 9
    case $FAKE_PIP in
    fails) echo "ERROR: no network" >&2; exit 1 ;;
    is-killed) kill -9 $PPID ;;  # the script, since `env` is replaced by this
    is-interrupted) trap "exit 1" INT; for i in {1..100}; do sleep 0.1; done ;;
    esac ;;
*compileall* | *"import matplotlib"*) ;;
*"import torch"*) [ -z "$FAKE_BROKEN" ] ;;
*) echo "checks ${*:2}" >>"$CALLS" ;;
esac
"""
ZOO = '#!/bin/bash\necho "$PWD: zoo $*"\n'
Call = Callable[..., subprocess.CompletedProcess[str]]

pytestmark = pytest.mark.skipif(BASH is None, reason="needs bash")


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """The scripts alone, in a folder with a space in its name, and beside it the Python and what it would install."""
    folder = tmp_path / "a project"
    (folder / "scripts").mkdir(parents=True)
    for name in ("run", "test", "_setup.sh", "constraints.txt"):
        shutil.copy(ROOT / "scripts" / name, folder / "scripts" / name)
    shutil.copy(ROOT / "pyproject.toml", folder)
    for name, text in (("python3", PYTHON), ("zoo", ZOO)):
        (tmp_path / name).write_text(text)
        (tmp_path / name).chmod(0o755)
    return folder


def environment(project: Path, **more: str) -> dict[str, str]:
    beside = project.parent
    path = f"{beside}{os.pathsep}{os.environ['PATH']}"
    own = {"PATH": path, "ZOO": str(beside / "zoo"), "CALLS": str(beside / "calls")}
    inherited = {name: value for name, value in os.environ.items() if name not in ("PYTHON", "PIP_CONSTRAINT")}
    return {**inherited, **own, **more}


@pytest.fixture
def call(project: Path) -> Call:
    """Calls a script of the project, from another folder; the variables are for it and the Python."""

    def call(script: str, *args: str, **variables: str) -> subprocess.CompletedProcess[str]:
        command = [str(project / "scripts" / script), *args]
        env = environment(project, **variables)
        return subprocess.run(command, env=env, capture_output=True, text=True, timeout=60, check=False)

    return call


@pytest.fixture
def calls(project: Path) -> Callable[[], list[str]]:
    """What the Python was called for since the last time."""

    def calls() -> list[str]:
        path = project.parent / "calls"
        lines = path.read_text().splitlines() if path.exists() else []
        path.unlink(missing_ok=True)
        return [line for line in lines if not line.startswith("checks")]

    return calls


Calls = Callable[[], list[str]]


def test_run_installs_no_development_tools_and_trains_where_it_was_called(call: Call, calls: Calls) -> None:
    done = call("run", "--steps", "5")
    assert (done.returncode, done.stdout) == (0, f"{Path.cwd()}: zoo run mlp-char --steps 5\n")
    assert calls() == ["makes .venv", FAST]
    assert re.fullmatch(r"Making \.venv\nInstalling zoo and \d\d packages: .*\nCompiling\n", done.stderr)


def test_nothing_is_installed_again_when_nothing_changed(call: Call, calls: Calls) -> None:
    call("run")
    calls()
    done = call("run")
    assert (done.returncode, done.stderr, calls()) == (0, "", [])


def test_test_adds_the_development_tools_and_run_leaves_them(call: Call, calls: Calls) -> None:
    call("run")
    calls()
    done = call("test", "tests")
    assert (done.returncode, calls()) == (0, [DEV])
    assert "Adding the development tools" in done.stderr
    assert [call(script).stderr for script in ("run", "test")] == ["", ""]
    assert calls() == []


def test_run_after_test_installs_nothing(call: Call, calls: Calls) -> None:
    call("test")
    assert calls() == ["makes .venv", DEV]
    assert (call("run").stderr, calls()) == ("", [])


def test_test_checks_everything(call: Call, project: Path) -> None:
    call("test", "tests/a b.py")
    checks = [line for line in (project.parent / "calls").read_text().splitlines() if line.startswith("checks")]
    assert checks == [
        "checks ruff check .",
        "checks ruff format --check .",
        "checks mypy",
        "checks pytest -n 2 tests/a b.py",
    ]


@pytest.mark.parametrize("name", ["pyproject.toml", "scripts/constraints.txt"])
def test_each_installs_again_when_what_it_installs_changed(call: Call, calls: Calls, project: Path, name: str) -> None:
    call("test")
    calls()
    with (project / name).open("a") as file:
        file.write("# changed\n")
    assert (call("run").returncode, calls()) == (0, [FAST])
    assert (call("test").returncode, calls()) == (0, [DEV])


def test_another_python_gets_another_venv(call: Call, calls: Calls) -> None:
    call("run")
    calls()
    done = call("run", FAKE_VERSION="3.12.1 main")
    assert (done.returncode, calls()) == (0, ["makes .venv", FAST])
    assert "Removing .venv: it is for another Python" in done.stderr


def test_a_failed_installation_tells_why_and_is_tried_again(call: Call, calls: Calls) -> None:
    done = call("run", FAKE_PIP="fails")
    assert done.returncode == 1
    assert done.stderr.endswith("ERROR: no network\nerror: pip could not install zoo; the next call tries again\n")
    calls()
    assert (call("run").returncode, calls()) == (0, [FAST])


def test_where_the_tools_cannot_be_added_run_still_works(call: Call, calls: Calls) -> None:
    call("run")
    assert call("test", FAKE_PIP="fails").returncode == 1
    calls()
    assert (call("run").returncode, calls()) == (0, [])


def test_a_killed_installation_is_done_anew(call: Call, calls: Calls) -> None:
    assert call("run", FAKE_PIP="is-killed").returncode == -signal.SIGKILL
    calls()
    done = call("run")
    assert (done.returncode, calls()) == (0, ["makes .venv", FAST])
    assert "Removing .venv: its installation was interrupted" in done.stderr


def test_an_installation_stopped_with_ctrl_c_is_done_anew(call: Call, calls: Calls, project: Path) -> None:
    env = environment(project, FAKE_PIP="is-interrupted")
    # tests may run in the background of a script, where Ctrl-C is ignored from the start
    code = "import os, signal, sys; signal.signal(signal.SIGINT, signal.SIG_DFL); os.execv(sys.argv[1], sys.argv[1:])"
    command = [sys.executable, "-c", code, str(project / "scripts" / "run")]
    process = subprocess.Popen(command, env=env, start_new_session=True, stderr=subprocess.PIPE)
    deadline = time.monotonic() + 30
    while FAST not in calls():
        assert time.monotonic() < deadline
        time.sleep(0.05)
    time.sleep(0.3)  # until pip waits
    os.killpg(process.pid, signal.SIGINT)
    process.communicate(timeout=30)
    assert process.returncode == 130
    assert (call("run").returncode, calls()) == (0, ["makes .venv", FAST])


def test_what_cannot_be_imported_is_installed_anew(call: Call, calls: Calls) -> None:
    done = call("run", FAKE_BROKEN="1")
    assert (done.returncode, done.stderr.splitlines()[-1]) == (1, "error: what was installed cannot be imported")
    calls()
    assert (call("run").returncode, calls()) == (0, ["makes .venv", FAST])


def test_two_do_not_install_at_a_time(call: Call, calls: Calls, project: Path) -> None:
    (project / ".venv").mkdir()
    (project / ".venv" / ".installing").write_text(f"{os.getpid()}\n")
    done = call("run")
    assert (done.returncode, done.stderr.count("\n"), calls()) == (1, 1, [])
    assert f"error: process {os.getpid()} is installing into .venv" in done.stderr


@pytest.mark.parametrize(
    ("variables", "message"),
    [
        ({"FAKE_OLD": "1", "FAKE_VERSION": "3.9.2 main"}, "zoo needs Python 3.11 or later, and python3 is 3.9.2: set"),
        ({"PYTHON": "/no/python"}, "zoo needs Python 3.11 or later, and /no/python is missing: set PYTHON="),
        (
            {"FAKE_NO_VENV": "1"},
            "python3 cannot make a virtual environment: on Debian and Ubuntu, install",
        ),
    ],
    ids=["old", "missing", "no venv"],
)
def test_a_python_that_will_not_do_is_told_in_one_line(
    call: Call, calls: Calls, project: Path, variables: dict[str, str], message: str
) -> None:
    done = call("run", **variables)
    assert (done.returncode, done.stderr.count("\n"), calls()) == (1, 1, [])
    assert done.stderr.startswith(f"error: {message}")
    assert not (project / ".venv").exists()


# What the constraints pin


def needed(requirement: str) -> set[str]:
    """The names of all distributions that a requirement brings where these tests run, without zoo's own."""
    names, todo = set[str](), [Requirement(requirement)]
    while todo:
        one = todo.pop()
        for text in distribution(one.name).requires or []:
            other = Requirement(text)
            wanted = other.marker is None or any(other.marker.evaluate({"extra": extra}) for extra in one.extras | {""})
            name = canonicalize_name(other.name)
            if wanted and (name not in names or other.extras):
                names.add(name)
                todo.append(other)
    return names - {"zoo-models"}


@pytest.mark.skipif(
    (sys.platform, platform.machine()) != ("linux", "x86_64"), reason="elsewhere other packages are needed"
)
def test_constraints_pin_what_each_script_installs() -> None:
    parts = (ROOT / "scripts" / "constraints.txt").read_text(encoding="utf-8").split("\n\n")
    run, test = [{canonicalize_name(name) for name in re.findall(r"^(\S+)==", part, re.MULTILINE)} for part in parts]
    try:
        fast, dev = needed("zoo-models[fast]"), needed("zoo-models[dev]")
    except PackageNotFoundError as error:
        pytest.skip(f"not everything is installed here: {error}")
    cuda = {name for name in fast if name.startswith(("nvidia-", "cuda-"))}  # pinned by torch
    assert (run | test) - cuda == dev - cuda
    assert run <= fast
    assert not test & fast - {"nvidia-cuda-nvrtc"}  # which torch for CUDA needs, too
