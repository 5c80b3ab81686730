"""A sweep ends with a verdict: printed, in `sweep.json`, with `--json`, and the same that `zoo compare` finds."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
from conftest import Zoo


@pytest.fixture
def words() -> Path:
    path = Path("words.txt")
    path.write_text("\n".join(a + b + c for a in "abeln" for b in "abeln" for c in "aeln"))
    return path


def test_a_sweep_over_settings_has_a_verdict(words: Path, zoo_here: Zoo) -> None:
    sweep = ["sweep", "mlp-char", "--dataset", words, "--steps", 300, "--lr", "0.3,0.0001", "--quiet"]
    done = zoo_here(*sweep, "--seeds", 5, "--set", "model.hidden_size=8")
    assert done.code == 0, done.err
    recorded = json.loads(Path("sweeps", "mlp-char-1", "sweep.json").read_text())["verdict"]
    assert (recorded["best"], recorded["decided"]) == ("lr 0.3", True)
    assert recorded["sentences"][0] in " ".join(done.out.split())
    compared = zoo_here("compare", "sweeps/mlp-char-1", "--json").result["verdicts"]
    assert [{name: one[name] for name in recorded} for one in compared] == [recorded]
    again = zoo_here(
        *sweep, "--seeds", 8, "--until-decided", "--json", "--set", "model.hidden_size=8", "--keep", "best"
    )
    assert again.result["verdict"]["decided"] is True
    assert again.result["verdict"]["tests_after"] == [8, 12, 16, 24, 32, 48, 64]
    compared = zoo_here("compare", again.result["sweep_dir"], "--json").result["verdicts"]
    assert compared[0]["sentences"] == again.result["verdict"]["sentences"]


def test_a_sweep_of_one_setting_has_none(words: Path, zoo_here: Zoo) -> None:
    done = zoo_here("sweep", "mlp-char", "--dataset", words, "--steps", 2, "--seeds", 2, "--quiet", "--json")
    assert done.result["verdict"] is None
    assert json.loads(Path("sweeps", "mlp-char-1", "sweep.json").read_text())["verdict"] is None


def test_the_best_member_is_named_where_it_is_kept(words: Path, zoo_here: Zoo) -> None:
    sweep = ["sweep", "mlp-char", "--dataset", words, "--steps", 20, "--seeds", 2, "--lr", "0.001,0.3", "--quiet"]
    done = zoo_here(*sweep, "--keep", "best")
    named = re.search(
        r"\nThe best member is (\S+), with validation loss \d\.\d{4}\nEverything is in (\S+)\n$", done.out
    )
    assert named is not None
    assert [path.name for path in Path(named[2]).iterdir() if path.is_dir()] == [Path(named[1]).name]
    assert zoo_here("sample", named[1], "-n", 1).code == 0
    assert "best member" not in zoo_here(*sweep, "--keep", "none").out


def test_of_a_search_the_best_settings_are_shown_first(words: Path, zoo_here: Zoo) -> None:
    search = ["sweep", "mlp-char", "--dataset", words, "--steps", 9, "--lr", "0.001..0.1", "--quiet"]
    done = zoo_here(*search, "--search", "random", "--trials", 23)
    lines = done.out.splitlines()
    losses = [float(line.split()[1]) for line in lines[3:23]]
    assert losses == sorted(losses)
    assert lines[24] == "and 3 more settings, which sweep.csv has"
    halving = zoo_here(*search, "--search", "halving", "--trials", 9).out.splitlines()
    assert halving[2].split()[-1] == "steps"
    assert halving[3].split()[-1] == "9"
    assert {line.split()[-1] for line in halving[4:12]} == {"1", "3"}


def test_why_members_have_no_result_is_said_once(words: Path, zoo_here: Zoo) -> None:
    sweep = ["sweep", "mlp-char", "--dataset", words, "--steps", 2, "--seeds", 2, "--quiet"]
    done = zoo_here(*sweep, "--set", "model.hidden_size=2,-2")
    assert done.out.splitlines()[2].split()[0] == "model.hidden_size"
    assert re.search(r"\n\n2 members, the first 2: [^\n]*hidden_size[^\n]*\n\nThe best member is ", done.out), done.out
