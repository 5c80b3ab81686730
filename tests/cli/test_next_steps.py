"""What one may do next with a finished run: commands that work, on a terminal only."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import Any

import pytest
from conftest import Zoo
from dropping import install
from trained_plugin import Plugin

from zoo.cli import next_steps, output

TABLE = "a,b,price\n" + "".join(f"{i % 7},{i % 5},{2 * (i % 7) - (i % 5)}.5\n" for i in range(40))
TEXT = "To be, or not to be, that is the question.\n" * 20
TINY = ["--steps", 2, "--device", "cpu", "--no-plots", "--set"]
RUNS: dict[str, tuple[list[Any], list[str]]] = {
    "words": (["mlp-char", "--dataset", "words.txt", *TINY, "model.hidden_size=4"], ["sample", "report"]),
    "running text": (
        ["mlp-char", "--dataset", "text.txt", "--format", "text", *TINY, "model.hidden_size=4"],
        ["sample", "report"],
    ),
    "table": (
        ["mlp-table", "--dataset", "t.csv", "--target", "price", *TINY, "data.shuffle_seed=1"],
        ["predict", "report"],
    ),
    "classes": (["classifier"], ["predict", "report"]),
    "numbers": (["regression"], ["predict", "report"]),
    "pictures": (["pictures"], ["sample", "report"]),
}


@pytest.fixture
def terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    """stdout is a terminal; stderr is none."""
    monkeypatch.setattr(output, "on_terminal", lambda name="stdout": name == "stdout")


def commands_of(out: str) -> list[list[str]]:
    lines = out.partition("Everything is in ")[2].splitlines()[1:]
    assert lines[:1] == [""]
    return [shlex.split(line.partition("   ")[0]) for line in lines[1:]]


@pytest.mark.usefixtures("terminal")
@pytest.mark.parametrize("kind", RUNS)
def test_each_command_works_as_it_is_shown(
    kind: str, zoo_here: Zoo, words_file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    install(monkeypatch, Plugin(), "zoo-trained")
    for name, content in {"words.txt": words_file.read_text(), "text.txt": TEXT, "t.csv": TABLE}.items():
        Path(name).write_text(content)
    args, expected = RUNS[kind]
    done = zoo_here("run", *args, "--out", "it's a run")
    assert done.code == 0, done.err
    shown = commands_of(done.out)
    assert [command[1] for command in shown] == expected
    for program, *command in shown:
        if command[0] == "report":  # tested in tests/reports; that it is there is enough
            continue
        then = zoo_here(*(word.replace("FILE.csv", "t.csv") for word in command))
        assert (program, then.code) == ("zoo", 0), then.err


@pytest.mark.usefixtures("terminal")
def test_they_are_shown_of_a_resumed_run_too(zoo_here: Zoo, run: Path) -> None:
    done = zoo_here("resume", run, "--steps", 5, "--no-plots")
    assert commands_of(done.out)[0] == ["zoo", "sample", "run"]


@pytest.mark.usefixtures("terminal")
@pytest.mark.parametrize("option", ["--json", "--quiet"])
def test_they_are_not_for_programs(option: str, zoo_here: Zoo, run: Path) -> None:
    assert "zoo sample" not in zoo_here("resume", run, "--steps", 5, "--no-plots", option).out


def test_they_are_for_a_terminal_only(zoo_here: Zoo, run: Path) -> None:
    assert zoo_here("resume", run, "--steps", 5, "--no-plots").out.endswith("Everything is in run\n")


@pytest.mark.usefixtures("terminal")
def test_a_report_is_proposed_where_it_can_be_written(
    zoo_here: Zoo, run: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(next_steps, "_OF_REPORT", ("bokeh", "zoo_none"))
    assert "zoo report" not in zoo_here("resume", run, "--steps", 5, "--no-plots").out
