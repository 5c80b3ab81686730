"""Completion in bash, zsh and fish: what is offered at the cursor, at once, and nothing else ever."""

from __future__ import annotations

import os
import select
import shutil
import subprocess
import sys
import time
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path

import click
import pytest
from conftest import ROOT, Zoo, run_python

import zoo
from zoo.cli import COMMANDS, cli
from zoo.cli.completion import ASKED, values
from zoo.cli.completion.shells import LINE, SHELLS, WORD, ShellWords, quoted
from zoo.cli.completion.signatures import arguments_of, returns_of
from zoo.plugin.registry import Registry
from zoo.plugin.settings import signature_of

Ask = Callable[..., list[str]]


@pytest.fixture
def ask(monkeypatch: pytest.MonkeyPatch) -> Iterator[Ask]:
    """`ask("zoo run mlp-char --pre")`: the completions, as zsh inserts them."""
    values.registry.cache_clear()

    def asked(line: str, shell: str = "zsh", word: str = "") -> list[str]:
        monkeypatch.setenv(LINE, line)
        monkeypatch.setenv(WORD, word)
        words = ShellWords.of_environment()
        made = SHELLS[shell](cli, {}, "zoo", ASKED)
        column = 0 if shell == "fish" else 1
        return [SHELLS[shell].row(words, item)[column] for item in made.get_completions(words.before, words.current)]

    yield asked
    values.registry.cache_clear()


def test_commands_and_options(ask: Ask) -> None:
    assert ask("zoo ") == list(COMMANDS)
    assert ask("zoo re") == [name for name in COMMANDS if name.startswith("re")]
    assert ask("zoo help pre") == ["predict"]
    assert {"--dataset", "--set", "--device", "--help"} <= set(ask("zoo run --"))
    assert "--teacher" not in ask("zoo run --")  # hidden
    assert ask("zoo completion ") == list(SHELLS)


def test_the_last_of_several_values(ask: Ask) -> None:
    assert ask("zoo sweep mlp-b,mlp-") == ["mlp-b,mlp-bn", "mlp-b,mlp-char", "mlp-b,mlp-table"]
    assert ask("zoo sweep mlp-bn,mlp-") == ["mlp-bn,mlp-char", "mlp-bn,mlp-table"]
    assert ask("zoo sweep gru,lstm --optimizer adam,adagrad,ada") == ["adam,adagrad,adamw"]
    assert "float32,bfloat16" in ask("zoo sweep gru --precision float32,")
    assert ask("zoo sweep mlp-char,gru --set model.hid") == ["model.hidden_size="]
    assert ask("zoo run mlp-bn,mlp-") == []


@pytest.mark.parametrize(
    ("line", "some"),
    [
        ("zoo run mlp-", ["mlp-bn", "mlp-char", "mlp-table"]),
        ("zoo info ad", ["adagrad", "adam", "adamw"]),
        ("zoo run mlp-char --preset ", ["notebook", "lecture", "tuned", "speedrun"]),
        ("zoo run transformer --preset sh", ["shakespeare", "shakespeare-tuned"]),
        ("zoo run --preset lecture mlp-char --engine ", ["auto", "autograd", "stacked", "fused", "manual"]),
        ("zoo run lstm --engine ", ["auto", "autograd", "stacked"]),
        ("zoo run mlp-char --optimizer adam", ["adam", "adamw"]),
        ("zoo run mlp-char --log ", ["tensorboard"]),
        ("zoo run mlp-char --device ", ["auto", "cpu", "cuda", "mps"]),
        ("zoo run mlp-char --device=c", ["--device=cpu", "--device=cuda"]),
        ("zoo run mlp-char --precision ", ["float32", "bfloat16"]),
        ("zoo run mlp-char --dataset names-", ["names-ssa-2018"]),
        ("zoo data names-", ["names-ssa-2018"]),
        ("zoo list --sort p", ["parameters"]),
        ("zoo list mo", ["models"]),
        ("zoo predict mlp-char --split ", ["train", "val", "test"]),
        ("zoo run mlp-char --set model.h", ["model.hidden_size="]),
        ("zoo run mlp-char --set model.scaled_init=", ["model.scaled_init=true", "model.scaled_init=false"]),
        ("zoo run mlp-char --set data.sh", ["data.shuffle_seed="]),
        ("zoo run mlp-char --optimizer adamw --set optimizer.w", ["optimizer.weight_decay="]),
        ("zoo run mlp-char --log tensorboard --set logger.", ["logger.every="]),
        ("zoo run mlp-char --steps ", []),
        ("zoo run nonsense --preset ", []),
        ("zoo nonsense ", []),
        ("zoo run 'mlp-char' --preset 'le", ["lecture"]),
    ],
)
def test_values(line: str, some: list[str], ask: Ask) -> None:
    assert ask(line) == some


def test_runs_and_files(ask: Ask, made: Path) -> None:
    for name in ("mlp-char-1", "mlp-char-2", "my run"):
        shutil.copytree(made, Path("runs", name))
    os.utime("runs/mlp-char-2", (2e9, 2e9))
    Path("data").mkdir()
    Path("data", "words.txt").touch()
    Path(".hidden.txt").touch()
    shutil.copy(made / "model.safetensors", "lone.safetensors")
    assert ask("zoo resume ")[0] == "runs/mlp-char-2"  # the newest
    assert set(ask("zoo resume ")) == {"runs/mlp-char-1", "runs/mlp-char-2", r"runs/my\ run"}
    assert {"runs/mlp-char-1", "mlp-char", "lone.safetensors"} <= set(ask("zoo eval "))
    assert ask("zoo eval ru") == ["runs/"]
    assert ask("zoo report runs/mlp-char-1 runs/my") == [r"runs/my\ run"]
    assert ask(r"zoo report runs/my\ ") == [r"runs/my\ run"]
    assert ask("zoo report 'runs/my ") == ["runs/my run"]
    assert ask("zoo run mlp-char --dataset ") == ["names", "names-ssa-2018", "data/", "lone.safetensors", "runs/"]
    assert ask("zoo run mlp-char --dataset data/") == ["data/words.txt"]
    assert ask("zoo run mlp-char --dataset .h") == [".hidden.txt"]
    assert ask("zoo run mlp-char --dataset nowhere/") == []


def test_columns_of_runs(ask: Ask, made: Path) -> None:
    shutil.copytree(made, "runs/mlp-char-1")
    shutil.copytree(made, "other/run")
    assert ask("zoo runs --sort ") == ask("zoo runs other --sort ")
    assert {"val", "steps", "batch_size", "model.hidden_size"} <= set(ask("zoo runs --sort "))
    assert ask("zoo runs --where model.h") == ["model.hidden_size"]
    assert ask("zoo compare runs/m") == ["runs/mlp-char-1"]


def test_a_path_in_the_home_keeps_its_tilde(ask: Ask) -> None:
    home = Path.home()
    home.mkdir()
    (home / "my words.txt").touch()
    assert ask("zoo data ~/my") == [r"~/my\ words.txt"]


def test_columns_of_runs_complete_sorting_and_conditions(ask: Ask) -> None:
    assert ask("zoo runs --sort st") == ["steps", "state"]
    assert ask("zoo runs --where pa") == ["parameters"]


def test_every_parameter_has_completions_or_is_listed_here() -> None:
    free = {"column", "target", "rows", "dims", "inputs", "prefix", "prompt", "checkpoint_every", "teacher"}
    free |= {"schedule"}  # of a resumed run: a function
    free |= {"share"}  # of a job array: its scheduler has the number
    free |= {"baseline"}  # settings as a verdict names them
    context = click.Context(cli, resilient_parsing=True)
    for name in COMMANDS:
        command = cli.get_command(context, name)
        assert command is not None
        for parameter in command.params:
            takes_value = not (isinstance(parameter, click.Option) and (parameter.is_flag or parameter.count))
            known = parameter.name in values.VALUES or isinstance(parameter.type, click.Choice)
            listed = "|" in (getattr(parameter, "metavar", None) or "")
            number = parameter.type.name in ("integer", "float")
            assert not takes_value or known or listed or number or parameter.name in free, f"{name}: {parameter.name}"


def test_keys_read_off_the_source_are_those_of_the_signature(registry: Registry) -> None:
    for kind in registry.kinds():
        for entry in kind:
            expected = signature_of(entry)
            found = (
                set(arguments_of(entry.spec.factory)) - set(entry.spec.inputs) - set(getattr(entry.spec, "fitted", ()))
            )
            assert found == set(expected.settings), entry.full_name


SOURCE = """
from __future__ import annotations
import dataclasses
from typing import Literal
from .base import Base as Parent
from zoo_sourced.base import made

class Own:
    def __init__(self, size: int = 3, *, kind: Literal["a", "b"] = "a", on: bool = True, **more): ...

class Child(Parent):
    pass

@dataclasses.dataclass
class Record(Parent):
    width: int = 3

try:
    class Guarded:
        def __init__(self, depth): ...
except ImportError:
    pass

def data(fetch, noise: float = 0.1) -> zoo.CorpusDataset: ...

lost = made(Own)
"""
BASE = "class Base:\n    def __init__(self, rate=0.5): ...\n\ndef made(cls, extra=1): ...\n"


def test_sources_of_every_form(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    package = tmp_path / "zoo_sourced"
    package.mkdir()
    (package / "__init__.py").write_text(SOURCE)
    (package / "base.py").write_text(BASE)
    monkeypatch.syspath_prepend(tmp_path)
    found = {
        name: arguments_of(f"zoo_sourced:{name}") for name in ("Own", "Child", "Record", "Guarded", "data", "made")
    }
    assert {name: list(arguments) for name, arguments in found.items()} == {
        "Own": ["size", "kind", "on"],
        "Child": ["rate"],
        "Record": ["rate", "width"],
        "Guarded": ["depth"],
        "data": ["fetch", "noise"],
        "made": ["cls", "extra"],
    }
    assert found["Own"]["kind"].values == ["a", "b"]
    assert found["Own"]["on"].values == ["true", "false"]
    assert found["Own"]["size"].values == []
    assert returns_of("zoo_sourced:data") == "zoo.CorpusDataset"
    for nowhere in ("zoo_sourced:lost", "zoo_sourced:None", "zoo_sourced.none:x", "zoo_none:x", "zoo_sourced", "sys:x"):
        assert arguments_of(nowhere) == {}
    assert "zoo_sourced" not in sys.modules
    assert list(arguments_of(lambda x, y=1: None)) == ["x", "y"]


AWKWARD = ["a b", "a'b", 'a"b', "$(touch x)", "a;b", "a&b", "a*", "#a", "!a", "~a", "a\\b", "ä", "(a)", "a=b", "a:b"]


def in_bash(line: str, names: list[str] | None = None) -> subprocess.CompletedProcess[str]:
    """The completions of a line in a real bash, as the words that it then reads."""
    words = ["zoo", *line.split(" ")[1:]] if names is None else names
    script = f"""
source <(zoo completion bash)
COMP_LINE={quoted(line)} COMP_POINT={len(line)} COMP_WORDS=({" ".join(map(quoted, words))}) COMP_CWORD={len(words) - 1}
_zoo_completion zoo
for one in "${{COMPREPLY[@]}}"; do eval "printf '%s\\n' $one"; done
"""
    return subprocess.run(["bash", "--norc", "-c", script], capture_output=True, text=True, timeout=60, env=with_zoo())


def with_zoo() -> dict[str, str]:
    """An environment with a command `zoo`: that of this Python."""
    folder = Path("bin").absolute()
    if not folder.exists():
        folder.mkdir()
        (folder / "zoo").write_text(f'#!/bin/sh\nexec "{sys.executable}" -P -m zoo "$@"\n')
        (folder / "zoo").chmod(0o755)
    return {**os.environ, "PATH": f"{folder}{os.pathsep}{os.environ['PATH']}"}


needs_bash = pytest.mark.skipif(shutil.which("bash") is None, reason="there is no bash")


@needs_bash
def test_bash_gets_words_that_it_reads_as_the_names() -> None:
    Path("odd").mkdir()
    for name in [*AWKWARD, "a\nb", "a\x1b[31m"]:
        Path("odd", name).touch()
    done = in_bash("zoo data odd/")
    assert sorted(done.stdout.splitlines()) == sorted(f"odd/{name}" for name in AWKWARD)  # no control characters
    assert done.stderr == ""
    assert not Path("x").exists()


@needs_bash
@pytest.mark.parametrize(
    ("line", "words", "completion"),
    [
        ("zoo run mlp-char --device=cu", ["zoo", "run", "mlp-char", "--device", "=", "cu"], "cuda"),
        ("zoo run mlp-char --device=", ["zoo", "run", "mlp-char", "--device", "="], "auto\ncpu\ncuda\nmps"),
        (
            "zoo run mlp-char --set model.scaled_init=t",
            ["zoo", "run", "mlp-char", "--set", "model.scaled_init", "=", "t"],
            "true",
        ),
    ],
)
def test_bash_begins_a_new_word_at_an_equals_sign(line: str, words: list[str], completion: str, ask: Ask) -> None:
    assert ask(line, "bash", words[-1]) == completion.split("\n")


def zoo_answers(line: str, **env: str) -> subprocess.CompletedProcess[str]:
    return run_python("-m", "zoo", env={ASKED: "bash", LINE: line, **env})


def test_a_broken_plugin_costs_nothing_but_itself(tmp_path: Path) -> None:
    site = tmp_path / "site"
    (site / "zoo_bad-1.0.dist-info").mkdir(parents=True)
    (site / "zoo_bad-1.0.dist-info" / "METADATA").write_text("Metadata-Version: 2.1\nName: zoo-bad\nVersion: 1.0\n")
    (site / "zoo_bad-1.0.dist-info" / "entry_points.txt").write_text("[zoo]\nbad = zoo_bad\n")
    code = (
        "import os, warnings\nprint('plain\\tnoise\\t')\nos.write(1, b'noise')\nwarnings.warn('noise')\nraise OSError\n"
    )
    (site / "zoo_bad.py").write_text(code)
    for strict in ("0", "1"):
        done = zoo_answers("zoo run mlp-c", PYTHONPATH=str(site), ZOO_STRICT_PLUGINS=strict)
        assert (done.returncode, done.stdout.split("\t")[:2]) == (0, ["plain", "mlp-char"])
        assert "noise" not in done.stdout
    done = zoo_answers("zoo run mlp-c", ZOO_PLUGINS="nonsense")
    assert done.stdout.startswith("plain\tmlp-char\t")
    assert (zoo_answers("zoo run nonsense --set ", HOME="/nowhere").returncode, zoo_answers("").returncode) == (0, 0)
    assert run_python("-m", "zoo", env={ASKED: "nonsense", LINE: "zoo "}).stdout == ""


def test_nothing_heavy_is_imported() -> None:
    code = (
        "import sys\nfrom zoo.cli import cli\nfrom zoo.cli.completion import complete\ncomplete(cli, 'bash')\n"
        "heavy = {'torch', 'numpy', 'rich', 'requests', 'safetensors', 'importlib.metadata', 'subprocess'}\n"
        "assert not heavy & sys.modules.keys(), heavy & sys.modules.keys()"
    )
    for line, some in (
        ("zoo ", "eval"),
        ("zoo run ", "mlp-char"),
        ("zoo run mlp-char --set ", "model.hidden_size="),
        ("zoo eval ", "mlp-char"),
        ("zoo run --", "--dataset"),
    ):
        done = run_python("-c", code, env={LINE: line})
        assert done.returncode == 0, done.stderr
        assert some in done.stdout


def shells_here() -> list[str]:
    return [shell for shell in SHELLS if shutil.which(shell) is not None]


START = {
    "bash": (["bash", "--norc", "--noprofile", "-i"], "source <(zoo completion bash)"),
    "zsh": (["zsh", "-f", "-i"], "autoload -Uz compinit; compinit -u -D; source <(zoo completion zsh)"),
    "fish": (["fish", "-N", "-i"], "zoo completion fish | source"),
}


@pytest.mark.parametrize("shell", START)
def test_a_real_shell_completes_at_the_tab_key(shell: str, made: Path) -> None:
    pty = pytest.importorskip("pty")
    if shell not in shells_here():
        pytest.skip(f"there is no {shell}")
    shutil.copytree(made, "runs/mlp-char-1")
    command, setup = START[shell]
    env = {**with_zoo(), "TERM": "dumb", "PS1": "> "}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # of forks in a process with threads
        pid, terminal = pty.fork()
    if pid == 0:
        os.execvpe(command[0], command, env)  # noqa: S606  # the shell itself

    def until(text: str) -> str:
        shown, end = "", time.monotonic() + 60
        while text not in shown and time.monotonic() < end:
            if select.select([terminal], [], [], 0.1)[0]:
                shown += os.read(terminal, 1 << 16).decode(errors="replace")
        assert text in shown, shown
        return shown

    try:
        os.write(terminal, f"{setup}; echo re''ady\n".encode())
        until("ready")
        os.write(terminal, b"zoo eval runs/m\t")
        until("runs/mlp-char-1 ")
        os.write(terminal, b"\x15zoo run mlp-char --set model.h\t300")
        until("model.hidden_size=300")
    finally:
        os.close(terminal)
        os.waitpid(pid, 0)


@pytest.mark.parametrize("shell", SHELLS)
def test_the_script_says_how_to_install_it(shell: str, zoo_here: Zoo) -> None:
    out = zoo_here("completion", shell).out
    assert out.startswith(f"# Completion of zoo for {shell}.")
    assert f"zoo completion {shell}" in out
    assert "\t" not in out
    checker = shutil.which(shell)
    if checker is not None:
        assert subprocess.run([checker, "-n"], input=out, text=True, timeout=30, check=False).returncode == 0


def test_zoo_completion_of_no_shell_is_an_error(zoo_here: Zoo) -> None:
    assert "'bash', 'zsh', 'fish'" in zoo_here("completion", "tcsh").err
    assert zoo_here("completion").code == 2


def test_completion_is_documented_where_it_is_looked_for() -> None:
    assert "source <(zoo completion bash)" in (ROOT / "zoo" / "cli" / "README.md").read_text()
    assert zoo.__name__ == "zoo"
