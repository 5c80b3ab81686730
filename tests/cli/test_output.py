"""stdout and stderr that cannot do what is asked of them: no command loses its work, and none ends in a traceback."""

from __future__ import annotations

import errno
import io
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from conftest import ZooCommand

import zoo
from zoo.cli import main, output

ENCODINGS = ("ascii", "cp437", "cp1252", "latin-1", "cp1251", "gbk", "shift_jis", "big5", "koi8-r", "utf-16", "utf-8")
WORDS = ("é", "日本", "🦁", "я", "ab", "ba", "abé", "яяя", "日日", "aя", "bé", "🦁a")
QUICK = ("--steps", "2", "--no-plots", "--device", "cpu")
COMMANDS: dict[str, tuple[str, ...]] = {
    "help": ("--help",),
    "help of run": ("run", "--help"),
    "version": ("--version",),
    "no command": (),
    "wrong usage": ("évaluer",),
    "list": ("list",),
    "info": ("info", "mlp-char"),
    "plugins": ("plugins",),
    "data": ("data", "日本.txt"),
    "sample": ("sample", "éa", "-n", "40"),
    "eval": ("eval", "éa"),
    "verify": ("verify", "éa"),
    "plot": ("plot", "éa", "loss"),
    "run": ("run", "mlp-char", "--dataset", "日本.txt", *QUICK, "--out", "out-я"),
    "resume": ("resume", "éa", "--steps", "5", "--no-plots"),
}
WITH_JSON = ("list", "info", "plugins", "data", "sample", "eval", "verify", "plot", "run", "resume")
CASES = {**COMMANDS, **{f"{name} as JSON": (*COMMANDS[name], "--json") for name in WITH_JSON}}
CASES["resume as JSON"] = ("resume", "éa", "--steps", "6", "--no-plots", "--json")  # the other has done all its steps
CODES = {"no command": 2, "wrong usage": 2}
FAULTS = {"full": errno.ENOSPC, "over quota": errno.EDQUOT, "reader left": errno.EPIPE, "terminal closed": errno.EIO}
STREAMS = ("stdout", "stderr", "both")


class Raw(io.RawIOBase):
    """What is below a stream: it fails with an error number, or keeps what is written."""

    def __init__(self, code: int | None = None) -> None:
        self.code, self.written = code, b""

    def writable(self) -> bool:
        return True

    def write(self, data: Any) -> int:
        if self.code is not None:
            raise OSError(self.code, os.strerror(self.code))
        self.written += bytes(data)
        return len(data)

    def close(self) -> None:
        self.code = None  # what is left in the buffer is discarded
        super().close()


@dataclass
class Stream:
    """A stream as Python makes them."""

    encoding: str = "utf-8"
    code: int | None = None
    raw: Raw = field(init=False)

    def __post_init__(self) -> None:
        self.raw = Raw(self.code)
        self.text = io.TextIOWrapper(io.BufferedWriter(self.raw), encoding=self.encoding, errors="strict")

    def read(self) -> str:
        return self.raw.written.decode(self.encoding)


@pytest.fixture(scope="module")
def pristine(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with words that few encodings have, and a run trained on them."""
    folder = tmp_path_factory.mktemp("streams")
    words = folder / "日本.txt"
    words.write_text("\n".join(WORDS), encoding="utf-8")
    zoo.run("mlp-char", dataset=words, device="cpu", steps=4, out=folder / "éa", plots=False)
    return folder


@pytest.fixture
def here(pristine: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    shutil.copytree(pristine, Path(), dirs_exist_ok=True)  # the run finds its data in the folder that it was made in


def run_with(monkeypatch: pytest.MonkeyPatch, out: Any, err: Any, *args: str) -> int:
    with monkeypatch.context() as patch:
        patch.setattr(sys, "stdout", out)
        patch.setattr(sys, "stderr", err)
        with pytest.raises(SystemExit) as ended:
            main(args)
    assert isinstance(ended.value.code, int)
    return ended.value.code


@pytest.fixture(autouse=True)
def no_pictures(monkeypatch: pytest.MonkeyPatch) -> None:
    import matplotlib.figure

    monkeypatch.setattr(matplotlib.figure.Figure, "savefig", lambda self, file, **_: file.write(b"PNG"))


@pytest.mark.usefixtures("here")
@pytest.mark.parametrize("encoding", ENCODINGS)
def test_every_command_works_in_every_encoding(encoding: str, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, args in CASES.items():
        out, err = Stream(encoding), Stream(encoding)
        done = tuple(arg.replace("out-я", f"{name}-я") for arg in args)
        code = run_with(monkeypatch, out.text, err.text, *done)
        assert code == CODES.get(name, 0), (name, err.read())
        assert "Traceback" not in out.read() + err.read(), name
        assert (out.read() == "") == (code == 2), name
        if name.endswith("JSON"):
            assert_whole(name, json.loads(out.read()))


def assert_whole(name: str, result: Any) -> None:
    """The words and names in a result are those that they are."""
    if name.startswith("sample"):
        assert set("".join(sample["text"] for sample in result["samples"])) & set("é日本🦁я")
    if name.startswith("run"):
        assert result["run_dir"] == f"{name}-я"
    if name.startswith("verify"):
        assert result["path"] == "éa"


@pytest.mark.parametrize("errors", ["strict", "replace", "ignore", "xmlcharrefreplace", "surrogateescape"])
def test_how_a_stream_treats_what_it_lacks_is_kept(errors: str, monkeypatch: pytest.MonkeyPatch) -> None:
    stream = Stream("ascii")
    stream.text.reconfigure(errors=errors)
    monkeypatch.setattr(sys, "stdout", stream.text)
    output.lines("é")
    replaced = {"replace": "?", "ignore": "", "xmlcharrefreplace": "&#233;"}
    assert stream.read().rstrip() == replaced.get(errors, "\\xe9")


@pytest.mark.usefixtures("here")
@pytest.mark.parametrize("which", STREAMS)
@pytest.mark.parametrize("fault", [*FAULTS, "closed", "none"])
def test_every_command_survives_every_stream(fault: str, which: str, monkeypatch: pytest.MonkeyPatch) -> None:
    for number, (name, args) in enumerate(CASES.items()):
        streams = {"stdout": Stream(), "stderr": Stream()}
        used: dict[str, Any] = {kind: stream.text for kind, stream in streams.items()}
        for kind in ("stdout", "stderr") if which == "both" else (which,):
            if fault == "closed":
                used[kind] = io.StringIO()
                used[kind].close()
            else:
                used[kind] = None if fault == "none" else Stream(code=FAULTS[fault]).text
        done = tuple(arg.replace("out-я", f"out-{number}") for arg in args)
        code = run_with(monkeypatch, used["stdout"], used["stderr"], *done)
        told, expected = streams["stderr"].read(), CODES.get(name, 0)
        undelivered = which != "stderr" and fault in ("full", "over quota", "terminal closed") and expected == 0
        assert code == (1 if undelivered else expected), (name, told)
        assert "Traceback" not in told
        if which == "stdout" and undelivered:
            assert told.splitlines()[-1].startswith("zoo: error: cannot write the result to stdout: "), name
            assert told.count("zoo: error") == 1
            assert ("everything is in" in told) == name.startswith(("run", "resume")), name
        elif which == "stdout" and expected == 0:
            assert "error" not in told, name
        if name.startswith("run"):  # the work is done
            assert json.loads(Path(f"out-{number}/metrics.json").read_text())["steps"] == 2


class Terminal(io.TextIOWrapper):
    def isatty(self) -> bool:
        return True


@pytest.mark.usefixtures("here")
@pytest.mark.parametrize("code", [None, *FAULTS.values()])
def test_a_progress_bar_never_costs_a_run(code: int | None, monkeypatch: pytest.MonkeyPatch) -> None:
    raw = Raw(code)
    terminal = Terminal(io.BufferedWriter(raw), encoding="cp437")
    assert run_with(monkeypatch, Stream().text, terminal, *COMMANDS["run"]) == 0
    assert bool(raw.written) == (code is None)
    assert b"Traceback" not in raw.written


def test_a_warning_above_the_bar_is_escaped(monkeypatch: pytest.MonkeyPatch) -> None:
    from zoo.cli.progress import Progress

    raw = Raw()
    monkeypatch.setattr(sys, "stderr", Terminal(io.BufferedWriter(raw), encoding="utf-8"))
    with Progress(quiet=False) as progress:
        progress.warning("\x1b]0;x\a\u202e[red]")
    assert b"\\x1b]0;x\\x07\\u202e[red]" in raw.written
    assert b"\x1b]0" not in raw.written


def test_a_result_that_cannot_be_written_does_not_hide_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    err = Stream()
    assert run_with(monkeypatch, Stream(code=errno.ENOSPC).text, err.text, "eval", "nowhere") == 2
    assert "nowhere" in err.read()


def test_the_streams_are_the_callers_again(monkeypatch: pytest.MonkeyPatch) -> None:
    out, err = Stream().text, Stream().text
    monkeypatch.setattr(sys, "stdout", out)
    monkeypatch.setattr(sys, "stderr", err)
    end = os._exit
    with pytest.raises(SystemExit):
        main(["list"])
    assert (sys.stdout, sys.stderr, os._exit) == (out, err, end)


# Real processes: what Python does with the streams when it ends


SHELL = {  # what the shell does with `zoo list`, and the exit code
    "full stdout": ("zoo list >/dev/full", 1, True),
    "full stderr": ("zoo list 2>/dev/full >/dev/null", 0, False),
    "error on a full stderr": ("zoo lst 2>/dev/full", 2, False),
    "both full": ("zoo list >/dev/full 2>/dev/full", 1, False),
    "help on a full stdout": ("zoo --help >/dev/full", 1, True),
    "stdout closed": ("zoo list >&-", 0, False),
    "stderr closed": ("zoo lst 2>&-", 2, False),
    "all closed": ("zoo list <&- >&- 2>&-", 0, False),
    "reader left": ("zoo list | :; exit ${PIPESTATUS[0]}", 0, False),
    "reader of the help left": ("zoo --help | :; exit ${PIPESTATUS[0]}", 0, False),
    "reader of the JSON left": ("zoo list --json | :; exit ${PIPESTATUS[0]}", 0, False),
    "reader of the errors left": ("zoo lst 2>&1 >/dev/null | :; exit ${PIPESTATUS[0]}", 2, False),
    "ascii": ("PYTHONIOENCODING=ascii zoo list >/dev/null", 0, False),
    "cp1252": ("PYTHONIOENCODING=cp1252 zoo list >/dev/null", 0, False),
}


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="there is no /dev/full")
@pytest.mark.parametrize("case", SHELL)
def test_a_process_ends_as_it_should(case: str) -> None:
    command, code, told = SHELL[case]
    slow = 'zoo() { (sleep 0.1; exec "$PY" -P -m zoo "$@"); }; '  # the reader is gone by then
    env = {**os.environ, "PY": sys.executable, "PYTHONUNBUFFERED": ""}  # what a stream keeps is what Python tries again
    done = subprocess.run(["bash", "-c", slow + command], capture_output=True, text=True, env=env, timeout=60)
    assert done.returncode == code, done.stderr
    assert done.stderr.count("\n") == told, done.stderr
    assert "Exception ignored" not in done.stderr


def test_a_pipe_that_does_not_block_gets_everything(zoo_command: ZooCommand) -> None:
    reader, writer = os.pipe()
    os.set_blocking(writer, False)
    code = "import sys; from zoo.cli import output\nwith output.guarded(own_process=True): output.lines('x' * 10**6)"
    process = subprocess.Popen([sys.executable, "-P", "-c", code], stdout=writer)
    os.close(writer)
    with os.fdopen(reader, "rb") as file:
        assert len(file.read()) == 10**6 + 1
    assert process.wait(timeout=60) == 0


PLUGIN_CODE = {  # what a plugin does when it is imported
    "print": "print('NOISE')",
    "write": "import sys; sys.stdout.write('NOISE\\n')",
    "buffer": "import sys; sys.stdout.buffer.write(b'NOISE\\n'); sys.stdout.buffer.flush()",
    "original stdout": "import sys; sys.__stdout__.write('NOISE\\n'); sys.__stdout__.flush()",
    "descriptor": "import os; os.write(1, b'NOISE\\n')",
    "C library": "import ctypes; c = ctypes.CDLL(None); c.puts(b'NOISE'); c.fflush(None)",
    "C library at its end": "import ctypes; ctypes.CDLL(None).puts(b'NOISE')",
    "process": "import subprocess; subprocess.run(['echo', 'NOISE'])",
    "late": "import atexit; atexit.register(print, 'NOISE')",
}


@pytest.fixture
def with_plugin(tmp_path: Path, zoo_command: ZooCommand) -> Callable[..., subprocess.CompletedProcess[str]]:
    """Run a command with a plugin whose module has the given code."""

    def run(code: str, *args: str) -> subprocess.CompletedProcess[str]:
        site = tmp_path / "site"
        info = site / "zoo_noisy-1.0.dist-info"
        info.mkdir(parents=True)
        (info / "METADATA").write_text("Metadata-Version: 2.1\nName: zoo-noisy\nVersion: 1.0\n")
        (info / "entry_points.txt").write_text("[zoo]\nnoisy = zoo_noisy\n")
        (site / "zoo_noisy.py").write_text(f"{code}\nimport zoo\n@zoo.hookimpl\ndef zoo_models(): return []\n")
        path = os.pathsep.join([str(site), *filter(None, [os.environ.get("PYTHONPATH")])])
        return zoo_command(*args, env={"PYTHONPATH": path})

    return run


@pytest.mark.parametrize("way", PLUGIN_CODE)
def test_nothing_that_a_plugin_writes_gets_into_a_result(
    way: str, with_plugin: Callable[..., subprocess.CompletedProcess[str]]
) -> None:
    done = with_plugin(PLUGIN_CODE[way], "plugins", "--json")
    assert "zoo-noisy" in [plugin["distribution"] for plugin in json.loads(done.stdout)["plugins"]]
    assert "NOISE" in done.stderr
    assert done.returncode == 0


@pytest.mark.parametrize(("status", "code"), [(0, 1), (3, 3)])
def test_a_plugin_that_ends_the_process_is_no_success(
    status: int, code: int, with_plugin: Callable[..., subprocess.CompletedProcess[str]]
) -> None:
    done = with_plugin(f"import os\nos._exit({status})", "list")
    assert (done.returncode, done.stdout) == (code, "")
    assert "zoo_noisy.py, line 2, ended zoo with os._exit" in done.stderr
    assert done.stderr.count("\n") == 1


def test_a_child_process_of_a_plugin_ends_as_ever(
    with_plugin: Callable[..., subprocess.CompletedProcess[str]],
) -> None:
    fork = "import os\nchild = os.fork()\nif not child: os._exit(0)\nassert os.waitpid(child, 0)[1] == 0"
    done = with_plugin(fork, "list")
    assert (done.returncode, done.stderr) == (0, "")


def test_a_closed_stdout_is_not_the_next_file() -> None:
    """A C library that prints would otherwise print into the next file that is opened, such as a checkpoint."""
    code = (
        "import os, sys\nfrom zoo.cli import output\nwith output.guarded(own_process=True):\n"
        "    with open('file', 'w') as file: assert file.fileno() > 2\n"
    )
    subprocess.run(
        ["sh", "-c", f'"{sys.executable}" -P -c "$CODE" <&- >&- 2>&-'], env={**os.environ, "CODE": code}, check=True
    )
