"""The format of a file that is given to --dataset: options, settings, what is recorded, and standard input."""

from __future__ import annotations

import itertools
import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from conftest import Zoo

import zoo
from zoo.data.files.settings import format_of, resolve_file_settings, with_file_options
from zoo.errors import UsageError
from zoo.options.run import FORMATS, FileOptions

pytestmark = pytest.mark.usefixtures("typed")  # messages as at the command line


WORDS = "\n".join(a + b for a in "abeln" for b in "abeln") + "\n"
TABLE = "word,size,kind\n" + "".join(
    f"{a}{b},{i}.5,{a}\n" for i, (a, b) in enumerate(itertools.product("abeln", "xyz"))
)
TRAIN = ("--steps", 3, "--no-plots", "--json")


@pytest.fixture(autouse=True)
def files() -> None:
    Path("w.txt").write_text(WORDS)
    Path("t.csv").write_text(TABLE)
    Path("t.tsv").write_text(TABLE.replace(",", "\t"))


@contextmanager
def standard_input(content: str) -> Iterator[None]:
    """That of this process, as a pipe."""
    end, start = os.pipe()
    before = os.dup(0)
    os.write(start, content.encode())
    os.close(start)
    os.dup2(end, 0)
    os.close(end)
    try:
        yield
    finally:
        os.dup2(before, 0)
        os.close(before)


@pytest.mark.parametrize(
    ("name", "found"),
    [("w.txt", "words"), ("w", "words"), ("a.csv", "csv"), ("a.CSV", "csv"), ("a.tsv", "tsv"), ("a.csv.txt", "words")],
)
def test_the_suffix_decides_where_nothing_is_said(name: str, found: str) -> None:
    assert format_of(Path(name)) == found


SETTINGS: dict[str, tuple[str, dict[str, object], dict[str, object]]] = {
    "words": ("w.txt", {}, {}),
    "words, said": ("w.txt", {"format": "words"}, {"format": "words"}),
    "words, whatever the suffix": ("a.csv", {"format": "words"}, {"format": "words"}),
    "words, arranged": ("w.txt", {"split": "0.5,0.7"}, {"split": (0.5, 0.7)}),
    "running text": ("w.txt", {"format": "text", "evaluate": "9"}, {"format": "text", "evaluate": 9}),
    "a column": ("a.csv", {"column": "x"}, {"format": "csv", "column": "x"}),
    "targets": ("a.tsv", {"target": "y"}, {"format": "tsv", "target": "y", "shuffle_seed": 0}),
    "targets in file order": (
        "w.txt",
        {"format": "csv", "target": "y", "shuffle_seed": "none"},
        {"format": "csv", "target": "y", "shuffle_seed": None},
    ),
    "targets, more": (
        "a.csv",
        {"target": "y", "drop": "a,b", "task": "numbers", "header": "false"},
        {"format": "csv", "target": "y", "drop": ("a", "b"), "task": "numbers", "header": False, "shuffle_seed": 0},
    ),
}


@pytest.mark.parametrize("case", SETTINGS)
def test_settings_are_those_of_the_format(case: str) -> None:
    name, given, settings = SETTINGS[case]
    resolved = resolve_file_settings(Path(name), given)
    assert resolved == settings
    # What is recorded gives the same again, from JSON and under whatever name the file has then.
    again = json.loads(json.dumps(resolved))
    assert resolve_file_settings(Path("other.csv"), again, recorded=True) == settings


WRONG: dict[str, tuple[str, dict[str, object], str]] = {
    "no such format": ("w.txt", {"format": "cvs"}, "'data.format' cannot be 'cvs'; did you mean 'csv'?"),
    "a column of words": (
        "w.txt",
        {"column": "x"},
        "--column names a column of a table, and this file is read as words",
    ),
    "a target of words": (
        "w.txt",
        {"target": "x"},
        "--target names a column of a table, and this file is read as words",
    ),
    "a column of text": (
        "w.txt",
        {"format": "text", "column": "x"},
        "--column names a column of a table, and this file",
    ),
    "both": ("a.csv", {"column": "x", "target": "y"}, "--column and --target do not go together"),
    "evaluate of words": ("w.txt", {"evaluate": 3}, "'data.evaluate' is for running text (--format text)"),
    "shuffled text": (
        "w.txt",
        {"format": "text", "shuffle_seed": 3},
        "'data.shuffle_seed': running text is split by position",
    ),
    "drop for a column": ("a.csv", {"column": "x", "drop": "y"}, "a table with --column has no setting 'data.drop'"),
    "no such task": ("a.csv", {"target": "x", "task": "class"}, "'data.task' takes classes or numbers or none, not"),
    "no such setting": ("a.csv", {"target": "x", "dorp": "y"}, "a table with --target has no setting 'data.dorp'; did"),
}


@pytest.mark.parametrize("case", WRONG)
def test_settings_that_do_not_go_together(case: str) -> None:
    name, given, line = WRONG[case]
    with pytest.raises(UsageError) as refused:
        resolve_file_settings(Path(name), given)
    assert str(refused.value).startswith(line)


def test_options_are_settings() -> None:
    options = FileOptions(format="csv", target="y")
    assert with_file_options(Path("f"), {"split": "0.5,0.7"}, options) == {
        "split": "0.5,0.7",
        "format": "csv",
        "target": "y",
    }
    assert with_file_options(Path("f"), {"format": "csv"}, options) == {"format": "csv", "target": "y"}
    with pytest.raises(UsageError, match=r"--format 'csv' and data\.format=tsv are two values for the same setting"):
        with_file_options(Path("f"), {"format": "tsv"}, options)


@pytest.mark.parametrize("option", ["format", "column", "target"])
def test_options_of_a_file_are_not_for_a_registered_dataset(zoo_here: Zoo, option: str) -> None:
    value = "csv" if option == "format" else "x"
    outcome = zoo_here("run", "bigram", "--dataset", "names-ssa-2018", f"--{option}", value)
    assert outcome.code == 2
    assert (
        outcome.err == f"zoo: error: --{option} says how a file is read, and this dataset is a plugin's: leave it out\n"
    )


def test_a_wrong_format_is_told_with_those_there_are(zoo_here: Zoo) -> None:
    outcome = zoo_here("run", "bigram", "--dataset", "w.txt", "--format", "csf")
    assert outcome.code == 2
    assert "--format must be words, text, csv or tsv, got 'csf'; did you mean 'csv'" in outcome.err
    assert FORMATS == ("words", "text", "csv", "tsv")


def test_a_table_without_an_option_lists_its_columns(zoo_here: Zoo) -> None:
    outcome = zoo_here("run", "bigram", "--dataset", "t.csv", *TRAIN)
    assert outcome.code == 2
    assert outcome.err == (
        "zoo: error: t.csv: its columns are 'word', 'size', 'kind': add --target NAME for the one that has the "
        "targets, or --column NAME for one that has words\n"
    )


# Runs

RUNS: dict[str, tuple[object, ...]] = {
    "words": ("bigram", "--dataset", "w.txt"),
    "a column": ("bigram", "--dataset", "t.csv", "--column", "word"),
    "a column of TSV, as settings": ("bigram", "--dataset", "t.tsv", "--set", "data.column=word"),
    "classes": ("linear-table", "--dataset", "t.csv", "--target", "kind", "--set", "data.drop=word"),
    "numbers": ("mlp-table", "--dataset", "t.csv", "--target", "size"),
}


def result(zoo_here: Zoo, *args: object) -> Any:
    outcome = zoo_here(*args)
    assert outcome.code == 0, outcome.err
    return outcome.result


@pytest.mark.parametrize("case", RUNS)
def test_a_run_is_resumed_evaluated_and_repeated_from_what_it_records(zoo_here: Zoo, case: str) -> None:
    whole = result(
        zoo_here, "run", *RUNS[case], "--steps", 6, "--no-plots", "--json", "--out", "whole", "--schedule", "constant"
    )
    result(zoo_here, "run", *RUNS[case], *TRAIN, "--out", "parts", "--schedule", "constant")
    for name in ("w.txt", "t.csv", "t.tsv"):  # found under its name there, whatever it is called then
        Path(name).rename(Path("parts") / name)
    result(zoo_here, "resume", "parts", "--steps", 6, "--no-plots", "--json")
    files = [Path(folder, "model.safetensors").read_bytes() for folder in ("whole", "parts")]
    assert files[0] == files[1]
    evaluated = result(zoo_here, "eval", "parts", "--json")
    assert evaluated["losses"] == whole["losses"]
    os.chdir("parts")
    card = Path("README.md").read_text()
    command = next(line for line in card.splitlines() if line.startswith("$ zoo run")).removeprefix("$ zoo ")
    result(zoo_here, *command.split(), "--out", "again", "--no-plots", "--json")
    assert Path("again/model.safetensors").read_bytes() == files[0]


def test_a_run_of_before_reads_words_whatever_the_suffix(zoo_here: Zoo) -> None:
    """A config that records no format is of a file of words, even if that is called .csv."""
    Path("words.csv").write_text(WORDS)
    run = zoo.run("bigram", dataset="words.csv", steps=3, plots=False, format="words", out="run")
    assert run.config["dataset"]["settings"] == {"format": "words"}
    assert resolve_file_settings(Path("words.csv"), {}, recorded=True) == {}


def test_other_data_is_read_as_that_of_the_run_unless_it_is_said(zoo_here: Zoo) -> None:
    result(zoo_here, "run", "bigram", "--dataset", "t.csv", "--column", "word", *TRAIN, "--out", "run")
    Path("more.txt").write_text(TABLE)
    same = result(zoo_here, "eval", "run", "--dataset", "more.txt", "--json")
    assert same["dataset"]["examples"] == result(zoo_here, "eval", "run", "--json")["dataset"]["examples"]
    Path("list").write_text("\n".join(line.partition(",")[0] for line in TABLE.splitlines()[1:]) + "\n")
    said = result(zoo_here, "eval", "run", "--dataset", "list", "--format", "words", "--json")
    assert said["losses"] == same["losses"]
    outcome = zoo_here("eval", "run", "--format", "words")
    assert (outcome.code, outcome.out) == (2, "")
    assert outcome.err == "zoo: error: --format is for a file that is given with --dataset: add that\n"
    found = result(zoo_here, "sample", "run", "--dataset", "t.tsv", "--format", "tsv", "--column", "word", "--json")
    assert found["counts"] is not None


@pytest.mark.parametrize("command", ["eval", "resume"])
def test_a_table_that_lacks_the_columns_of_the_run(zoo_here: Zoo, command: str) -> None:
    result(zoo_here, "run", "mlp-table", "--dataset", "t.csv", "--target", "size", *TRAIN, "--out", "run")
    Path("other.csv").write_text(TABLE.replace("kind", "sort"))
    more = ("--allow-changes", "--steps", 4) if command == "resume" else ()
    outcome = zoo_here(command, "run", "--dataset", "other.csv", *more)
    assert outcome.code == 1
    assert outcome.err.startswith(
        "zoo: error: other.csv: lacks columns that the model was trained on: 'kind'; there are"
    )
    assert outcome.err.count("\n") == 1


def test_a_run_is_resumed_on_more_rows_with_the_features_that_it_has(zoo_here: Zoo) -> None:
    args = ("--dataset", "t.csv", "--target", "kind", "--set", "data.drop=word")
    result(zoo_here, "run", "linear-table", *args, *TRAIN, "--out", "run")
    Path("more.csv").write_text(TABLE + "zz,100,a\n" * 10)
    resumed = result(
        zoo_here, "resume", "run", "--dataset", "more.csv", "--allow-changes", "--steps", 5, "--no-plots", "--json"
    )
    assert sum(resumed["dataset"]["examples"].values()) == 25
    config = json.loads(Path("run/config.json").read_text())
    assert config["model"]["inputs"]["feature_means"] == config["dataset"]["provides"]["feature_means"]
    assert max(config["dataset"]["provides"]["feature_means"]) < 15  # of the rows that it was begun with


@pytest.mark.parametrize(
    ("content", "args"),
    [
        (WORDS, ("bigram",)),
        (TABLE, ("bigram", "--format", "csv", "--column", "word")),
        (TABLE, ("linear-table", "--format", "csv", "--target", "kind")),
    ],
)
def test_standard_input(zoo_here: Zoo, content: str, args: tuple[object, ...]) -> None:
    model, *options = args
    with standard_input(content):
        found = result(zoo_here, "run", model, "--dataset", "-", *options, *TRAIN, "--out", "run")
    assert found["dataset"]["name"] == "stdin"
    file = Path("t.csv" if content == TABLE else "w.txt")
    same = result(zoo_here, "run", model, "--dataset", file, *options, *TRAIN)
    assert found["losses"] == same["losses"]
    assert found["dataset"]["sha256"] == same["dataset"]["sha256"]
    outcome = zoo_here("resume", "run", "--steps", 5)
    assert outcome.code == 1
    assert "cannot find the data of this run, 'stdin'" in outcome.err
    assert "it was read from a pipe, and nothing is at" in outcome.err
    assert "give it with --dataset FILE" in outcome.err
    with standard_input(content):
        result(zoo_here, "resume", "run", "--steps", 5, "--dataset", "-", "--no-plots", "--json")


def test_a_redirected_file_is_found_again(zoo_here: Zoo) -> None:
    with Path("w.txt").open("rb") as file:
        before = os.dup(0)
        os.dup2(file.fileno(), 0)
        try:
            result(zoo_here, "run", "bigram", "--dataset", "-", *TRAIN, "--out", "run")
        finally:
            os.dup2(before, 0)
            os.close(before)
    assert result(zoo_here, "resume", "run", "--steps", 5, "--no-plots", "--json")["steps"] == 5
