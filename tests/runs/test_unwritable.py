"""Only the run's own folder can be written: it ends with its metrics, card and plots, and every other command works.

Permissions do not bind root, so a folder is made unwritable by a file in its place; and a hook refuses every file that
Python opens for writing, and every folder that it makes, outside the run's.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from conftest import run_python

pytestmark = pytest.mark.skipif(os.name != "posix", reason="it needs fork")

# By name: environment variables (FILE is a file in the place of a folder, None is unset), and what else is wrong.
PLACES: dict[str, tuple[Mapping[str, str | None], tuple[str, ...]]] = {
    "nothing": ({}, ()),
    "no HOME, and no passwd entry": ({"HOME": None, "MPLCONFIGDIR": None}, ("passwd",)),
    "HOME is a file": ({"HOME": "FILE", "MPLCONFIGDIR": None}, ()),
    "HOME cannot be made": ({"HOME": "/proc/nowhere", "MPLCONFIGDIR": None}, ()),
    "XDG_CACHE_HOME and XDG_CONFIG_HOME": (
        {"XDG_CACHE_HOME": "FILE", "XDG_CONFIG_HOME": "FILE", "MPLCONFIGDIR": None},
        (),
    ),
    "MPLCONFIGDIR": ({"MPLCONFIGDIR": "FILE"}, ()),
    "the temporary folder": ({"TMPDIR": "FILE"}, ("temporary",)),
    "MPLCONFIGDIR and the temporary folder": ({"MPLCONFIGDIR": "FILE", "TMPDIR": "FILE"}, ("temporary",)),
    "ZOO_CACHE": ({"ZOO_CACHE": "FILE"}, ()),
    "the caches of torch, numba and Triton": (
        {
            "TORCHINDUCTOR_CACHE_DIR": "FILE",
            "TORCH_HOME": "FILE",
            "NUMBA_CACHE_DIR": "FILE",
            "TRITON_CACHE_DIR": "FILE",
        },
        (),
    ),
    "everything": ({"MPLCONFIGDIR": None}, ("read-only",)),
    "everything, without a home": ({"HOME": None, "MPLCONFIGDIR": None}, ("read-only", "passwd", "temporary")),
}
COMMANDS = {
    "run": ("run", "mlp-char", "--dataset", "WORDS", "--device", "cpu", "--steps", "3", "--out", "OUT", "--quiet"),
    "resume": ("resume", "OUT", "--steps", "4", "--quiet"),
    "eval": ("eval", "OUT"),
    "sample": ("sample", "OUT", "-n", "3", "--seed", "1"),
    "plot": ("plot", "OUT"),
    "verify": ("verify", "OUT"),
    "list": ("list",),
}
FILES = {"README.md", "metrics.json", "model.safetensors", "loss.png", "embeddings.png"}

SCRIPT = """
import contextlib, errno, io, json, os, pwd, sys, tempfile
import torch
import zoo.runs.runner, zoo.storage.loading, zoo.storage.verify
import zoo.plots.worker
from zoo.cli import main
torch.set_num_threads(1)
places, commands, folder = json.loads(sys.argv[1])
work = os.getcwd()

def prepare(name, variables, also):
    for key, value in variables.items():
        if value is None:
            os.environ.pop(key, None)
        else:
            os.environ[key] = value.replace("FILE", os.path.join(folder, "file"))
    if "passwd" in also:
        def none(*_):
            raise KeyError("no entry")
        pwd.getpwuid = none
    if "temporary" in also:
        tempfile._candidate_tempdir_list = lambda: [os.path.join(folder, "file")]
    if "read-only" in also:
        sys.addaudithook(refuse)

WRITING = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC
def refuse(event, arguments):
    writes = event in ("os.mkdir", "os.rename", "os.remove", "os.rmdir", "os.link", "os.symlink") or (
        event == "open" and arguments[2] is not None and arguments[2] & WRITING)
    bare = os.sep not in str(arguments[0])  # a name in an open folder, which the hook does not see: see below
    if writes and not bare and not isinstance(arguments[0], int):
        path = os.path.abspath(os.fsdecode(arguments[0]))
        out = os.path.join(os.getcwd(), "out")
        if not path.startswith(out) and path != "/dev/null":
            raise OSError(errno.EROFS, os.strerror(errno.EROFS), path)

for name, (variables, also) in places.items():
    if not os.fork():
        outcomes = {}
        try:
            os.mkdir(os.path.join(folder, name))
            os.chdir(os.path.join(folder, name))
            prepare(name, variables, also)
            for command, words in commands.items():
                words = [w.replace("OUT", "out").replace("WORDS", os.path.join(folder, "words.txt")) for w in words]
                out, err = io.StringIO(), io.StringIO()
                with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
                    try:
                        main(words)
                    except SystemExit as done:
                        code = done.code
                files = sorted(os.listdir("out")) if os.path.isdir("out") else []
                outcomes[command] = [code, out.getvalue(), err.getvalue(), files, os.listdir()]
        finally:
            os.write(1, (json.dumps([name, outcomes]) + "\\n").encode())
            os._exit(0)
    os.wait()
"""


@pytest.fixture(scope="module")
def outcomes(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """By place and command: exit code, stdout, stderr, and the files of the run. All are tried in forks of one."""
    folder = tmp_path_factory.mktemp("unwritable")
    (folder / "file").touch()
    (folder / "words.txt").write_text("\n".join(a + b + c for a in "abeln" for b in "abeln" for c in "abeln"))
    arguments = json.dumps([PLACES, COMMANDS, str(folder)])
    done = run_python("-c", SCRIPT, arguments, cwd=folder, env={"ZOO_OFFLINE": "1", "OMP_NUM_THREADS": "1"})
    assert not done.stderr, done.stderr
    return dict(map(json.loads, done.stdout.splitlines()))


@pytest.mark.parametrize("command", COMMANDS)
@pytest.mark.parametrize("place", PLACES)
def test_a_command_works_where_only_the_runs_folder_can_be_written(
    place: str, command: str, outcomes: dict[str, Any]
) -> None:
    code, out, err, files, beside = outcomes[place][command]
    assert (code, err) == (0, ""), err
    assert out
    assert beside == ["out"]
    if command != "list":
        assert set(files) >= FILES
        assert not [name for name in files if name.startswith(".")]


def test_the_hook_refuses_what_it_should(tmp_path: Path) -> None:
    script = SCRIPT.replace("places, commands, folder = json.loads(sys.argv[1])", "places, folder = {}, ''")
    script += "\nsys.addaudithook(refuse)\nos.mkdir('./out')\nopen('out/x', 'w').close()\nopen('./elsewhere', 'w')\n"
    done = run_python("-c", script, cwd=tmp_path)
    assert "Read-only file system" in done.stderr
    assert (tmp_path / "out" / "x").exists()
    assert not (tmp_path / "elsewhere").exists()
