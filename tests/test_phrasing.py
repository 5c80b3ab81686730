"""Who is told what: the command line reads `--lr`, Python reads `lr`, and no message goes round the one place."""

from __future__ import annotations

import ast
import importlib
import re
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path
from typing import Any

import click
import pytest
from conftest import Zoo

import zoo
from zoo.cli import COMMANDS
from zoo.options.declaration import declared
from zoo.options.run import FileOptions, ResumeOptions, RunOptions
from zoo.phrasing import command, command_line, option, options, setting, settings_as_arguments

ROOT = Path(__file__).resolve().parent.parent
WORDS = [a + b + c for a in "abeln" for b in "abeln" for c in "abeln"][:60]
ONLY_TYPED = {"info", "data", "plugins", "verify", "compare", "runs"}  # commands that Python has no function for
FLAG = re.compile(r"(?<![\w-])--[a-z][a-z-]*")
COMMAND = re.compile(rf"\bzoo ({'|'.join(set(COMMANDS) - ONLY_TYPED)})\b")

MAY_NAME_THEM = {  # and why no caller in Python is told
    "zoo/cli": "the command line itself",
    "zoo/phrasing.py": "the one place",
    "zoo/storage/card.py": "the command on a model card is for a shell",
    "zoo/reports/sections": "commands on a page are for a shell",
    "zoo/options/declaration.py": "makes the flags",
    "plugins/zoo_lecture/nvrtc.py": "options of a compiler",
    "zoo/plots/importing.py": "a module of another process",
    "zoo/training/distributed/launch.py": "an option of torchrun",
}
FILES = sorted(
    path
    for folder in ("zoo", "plugins")
    for path in (ROOT / folder).rglob("*.py")
    if not any(path.relative_to(ROOT).as_posix().startswith(place) for place in MAY_NAME_THEM)
)


def name_of(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


def spoken(tree: ast.Module) -> Iterator[tuple[int, str]]:
    """The texts of a module that a person may be shown: neither docstrings, nor help, nor those for typed commands."""
    left_out: set[int] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant):
            left_out.add(id(node.value))
        elif isinstance(node, ast.Call) and ast.unparse(node.func) == "told":
            left_out |= {id(part) for word in node.keywords if word.arg == "typed" for part in ast.walk(word.value)}
        elif isinstance(node, ast.Call) and ast.unparse(node.func) == "Option":
            left_out |= {id(part) for part in ast.walk(node)}
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in left_out:
            yield node.lineno, node.value


@pytest.mark.parametrize("path", FILES, ids=name_of)
def test_no_message_names_an_option_or_a_command_by_itself(path: Path) -> None:
    for line, text in spoken(ast.parse(path.read_text())):
        found = FLAG.search(text) or COMMAND.search(text)
        assert found is None, f"line {line}: {found and found.group()}: say it with zoo.phrasing"


def test_a_message_that_does_is_found() -> None:
    wrong = ["raise UsageError('give --lr')", "x = f'{y}; zoo resume {path}'", "told(typed='', python='use --lr')"]
    right = ["told(typed='give --lr', python='lr')", "Option('as zoo run --json')", "'''As `--lr`.'''"]
    found = [any(FLAG.search(c) or COMMAND.search(c) for _, c in spoken(ast.parse(t))) for t in wrong + right]
    assert found == [True] * len(wrong) + [False] * len(right)


@cache
def named_options() -> dict[str, set[str]]:
    """The options that messages name, by the module that does."""
    found: dict[str, set[str]] = {}
    for path in FILES:
        for node in ast.walk(ast.parse(path.read_text())):
            if (
                isinstance(node, ast.Call)
                and ast.unparse(node.func) == "option"
                and isinstance(node.args[0], ast.Constant)
            ):
                found.setdefault(str(node.args[0].value), set()).add(name_of(path))
    return found


@pytest.mark.parametrize("name", sorted(named_options()))
def test_each_option_that_a_message_names_is_one_of_a_command(name: str) -> None:
    flags = set()
    for one in COMMANDS:
        parameters = importlib.import_module(f"zoo.cli.commands.{one}").command.params
        flags |= {flag for parameter in parameters if isinstance(parameter, click.Option) for flag in parameter.opts}
    with command_line():
        assert option(name) in flags, named_options()[name]


@pytest.mark.parametrize("record", [RunOptions, ResumeOptions, FileOptions])
def test_each_declared_option_is_named_by_its_flag_and_by_its_argument(record: type) -> None:
    for name, one in declared(record).items():
        assert option(name) == name
        with command_line():
            assert option(name) == one.flag


def test_values_are_typed_or_written() -> None:
    def all_of() -> list[str]:
        return [
            option("lr", 0.1),
            option("allow_changes", True),
            option("column", "first name"),
            options(option("format", "csv"), option("column", "name")),
            setting("data.header", False),
            setting("data.drop", ["a", "b"], "a,b"),
            setting("model.size", "VALUE"),
            command("resume", Path("runs/a b"), device="cpu", allow_changes=True),
        ]

    python = all_of()
    with settings_as_arguments("data"):
        as_arguments = all_of()
    with command_line():
        typed = all_of()
        with settings_as_arguments("data"):
            assert all_of() == typed
    assert all_of() == python
    assert typed == [
        "--lr 0.1",
        "--allow-changes",
        "--column 'first name'",
        "--format csv --column name",
        "--set data.header=false",
        "--set data.drop=a,b",
        "--set model.size=VALUE",
        "zoo resume 'runs/a b' --device cpu --allow-changes",
    ]
    assert python == [
        "lr=0.1",
        "allow_changes=True",
        'column="first name"',
        'format="csv", column="name"',
        'settings={"data.header": False}',
        'settings={"data.drop": ["a", "b"]}',
        'settings={"model.size": VALUE}',
        'zoo.resume("runs/a b", device="cpu", allow_changes=True)',
    ]
    assert as_arguments[4:6] == ["header=False", 'drop=["a", "b"]']


def run(**more: Any) -> Any:
    return zoo.run("mlp-char", **{"dataset": WORDS, "device": "cpu", "steps": 2, "plots": False, **more})


TABLE = "name,size\n" + "".join(f"{word},{i}\n" for i, word in enumerate(WORDS))

BOTH: dict[str, tuple[Callable[[], Any], str, tuple[object, ...], str]] = {  # a mistake in Python, and as it is typed
    "lr": (
        lambda: run(lr=0.0),
        "lr must be above 0, got 0.0",
        ("run", "mlp-char", "--lr", 0.0),
        "--lr must be above 0",
    ),
    "diverged": (
        lambda: run(lr=1e38),
        "try a smaller lr",
        ("run", "mlp-char", "--dataset", "words.txt", "--steps", 2, "--lr", 1e38),
        "try a smaller --lr",
    ),
    "patience": (
        lambda: run(patience=2),
        "patience counts evaluations of the validation split: give validate_every, too",
        ("run", "mlp-char", "--patience", 2),
        "--patience counts evaluations of the validation split: give --validate-every, too",
    ),
    "warmup": (
        lambda: run(warmup=9),
        "warmup=9 is longer than the run of steps=2: give fewer, or more",
        ("run", "mlp-char", "--warmup", 9, "--steps", 2),
        "--warmup 9 is longer than the run of --steps 2: give fewer, or more",
    ),
    "lr as a setting": (
        lambda: run(settings={"optimizer.lr": 1}),
        "the learning rate is set with lr, not with optimizer.lr",
        ("run", "mlp-char", "--set", "optimizer.lr=1"),
        "the learning rate is set with --lr, not with optimizer.lr",
    ),
    "a folder that is there": (
        lambda: run(out=Path("there")),
        "choose another out",
        ("run", "mlp-char", "--out", "there", "--dataset", "words.txt", "--steps", 2),
        "choose another --out",
    ),
    "a table": (
        lambda: zoo.run("mlp-char", dataset="table.csv"),
        'add target="NAME" for the one that has the targets, or column="NAME" for one that has words',
        ("run", "mlp-char", "--dataset", "table.csv"),
        "add --target NAME for the one that has the targets, or --column NAME for one that has words",
    ),
    "a table as words": (
        lambda: zoo.load_dataset("table.txt"),
        'format="csv", column="name" reads the words of one; format="words" reads each line as a word',
        ("run", "mlp-char", "--dataset", "table.txt"),
        "--format csv --column name reads the words of one; --format words reads each line as a word",
    ),
    "no such file": (
        lambda: zoo.load_dataset("nothing.txt"),
        "name a file, or a dataset of zoo.list_datasets()",
        ("run", "mlp-char", "--dataset", "nothing.txt"),
        "name a file, or a dataset of 'zoo list datasets'",
    ),
    "no such model": (
        lambda: zoo.load("linear-table"),
        "train it with zoo.run('linear-table'), and name the run's folder",
        ("eval", "linear-table"),
        "train it with 'zoo run linear-table', and name the run's folder",
    ),
    "a finished run": (
        lambda: zoo.resume("finished"),
        "give a larger steps to continue",
        ("resume", "finished"),
        "give a larger --steps to continue",
    ),
    "an edited run": (
        lambda: zoo.resume("edited", steps=9),
        "(allow_changes=True resumes it all the same)",
        ("resume", "edited", "--steps", 9),
        "(--allow-changes resumes it all the same)",
    ),
    "an engine": (
        lambda: run(engine="fused", precision="bfloat16"),
        'engine="auto" takes one that',
        (
            "run",
            "mlp-char",
            "--dataset",
            "words.txt",
            "--engine",
            "fused",
            "--precision",
            "bfloat16",
            "--device",
            "cpu",
        ),
        "--engine auto takes one that",
    ),
    "a batch": (
        lambda: run(batch_size=10**12),
        "batch_size=1000000000000 needs",
        ("run", "mlp-char", "--dataset", "words.txt", "--batch-size", 10**12),
        "--batch-size 1000000000000 needs",
    ),
    "a logger": (
        lambda: run(settings={"logger.every": 3}),
        "name one with log, too",
        ("run", "mlp-char", "--set", "logger.every=3"),
        "name one with --log, too",
    ),
    "data that is gone": (
        lambda: zoo.resume("moved", steps=9),
        'give it with dataset="FILE" (allow_changes=True takes other data',
        ("resume", "moved", "--steps", 9),
        "give it with --dataset FILE (--allow-changes takes other data",
    ),
}


@pytest.fixture
def scene() -> None:
    """Files and runs that something is wrong with."""
    Path("words.txt").write_text("\n".join(WORDS))
    Path("gone.txt").write_text("\n".join(WORDS))
    Path("table.csv").write_text(TABLE)
    Path("table.txt").write_text(TABLE)
    Path("there").mkdir()
    Path("there/file").touch()
    for out in ("finished", "edited"):
        zoo.run("mlp-char", dataset="words.txt", device="cpu", steps=2, plots=False, out=out)
    zoo.run("mlp-char", dataset="gone.txt", device="cpu", steps=2, plots=False, out="moved")
    Path("gone.txt").unlink()
    config = Path("edited/config.json")
    config.write_text(config.read_text().replace('"batch_size": 32', '"batch_size": 16'))


@pytest.mark.parametrize("case", BOTH)
def test_a_mistake_is_told_in_the_words_of_whoever_made_it(case: str, scene: None, zoo_here: Zoo) -> None:
    call, in_python, typed, at_the_command_line = BOTH[case]
    with pytest.raises(zoo.ZooError) as error:
        call()
    assert in_python in str(error.value)
    assert not FLAG.search(str(error.value))
    assert not COMMAND.search(str(error.value))
    outcome = zoo_here(*typed)
    assert at_the_command_line in outcome.err
    with pytest.raises(zoo.ZooError) as again:  # and the next call in Python is told as before
        call()
    assert in_python in str(again.value)


def test_a_stopped_run_says_how_to_resume_it_in_python(scene: None) -> None:
    import os
    import signal

    class Stopping(zoo.Observer):
        def progress(self, step: int, steps: int, loss: float) -> None:
            os.kill(os.getpid(), signal.SIGINT)

    with pytest.raises(zoo.InterruptedRunError, match=r'to resume: zoo\.resume\("here"\)$'):
        run(steps=9_000_000, out="here", observer=Stopping())


def test_settings_of_load_dataset_are_its_arguments(scene: None) -> None:
    Path("two.csv").write_text("a,a\n" + "x,y\n" * 20)
    with pytest.raises(zoo.DataError, match=r"if the first row is no header, add header=False$"):
        zoo.load_dataset("two.csv", column="a")
    with pytest.raises(zoo.DataError, match=r'add settings=\{"data.header": False\}$'):
        zoo.run("mlp-char", dataset="two.csv", column="a")
    with pytest.raises(zoo.UsageError, match=r"has no setting 'shufle_seed'; did you mean 'shuffle_seed'\?$"):
        zoo.load_dataset("words.txt", shufle_seed=1)
    with pytest.raises(zoo.UsageError, match=r"has no setting 'hidden'; "):
        zoo.create_model("mlp-char", vocab_size=27, hidden=3)
    with pytest.raises(zoo.UsageError, match=r"has no setting 'data.shufle_seed'; did you mean 'data.shuffle_seed'\?$"):
        run(settings={"data.shufle_seed": 1})
