"""`scripts/weights/leaderboard.py`: what is trained, what is kept of it, and the table that it comes to."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import leaderboard
import parallel_runs
import pytest
from leaderboard import Contest, Task

from zoo import UsageError
from zoo.storage.shipped import bits

FIRST, SECOND = Contest("mlp-bn", "tuned", "aa", 100), Contest("ngram", "lecture", "bb", 200)


def result(contest: Contest, seed: int, val: float, **more: Any) -> dict[str, Any]:
    """A line of the results."""
    return {
        "model": contest.model,
        "preset": contest.preset,
        "plan": contest.plan,
        "seed": seed,
        "parameters": 12345,
        "steps": 10,
        "losses": {"train": 1.0, "val": val, "test": val + 0.1},
        "novel": {"val": val + 0.2, "test": val + 0.3},
        "seconds": 10.0 * seed,
        "engine": "autograd",
        "versions": {"zoo": "0.1.0", "torch": "2.13.0", "python": "3.11.7"},
        "processor": "a processor",
        **more,
    }


def test_a_contest_is_known_by_all_that_training_it_means() -> None:
    registry = parallel_runs.built_in()
    contest = leaderboard.contest(registry, ("ngram", "lecture"))
    assert contest == leaderboard.contest(parallel_runs.built_in(), ("ngram", "lecture"))
    others = [
        leaderboard.contest(registry, ("ngram", "tuned")),
        leaderboard.contest(registry, ("mlp-bn", "lecture")),
        leaderboard.contest(registry, ("ngram", "lecture"), steps=7),
    ]
    assert len({one.plan for one in [contest, *others]}) == 4
    assert others[2].examples == 7 * 32


def test_every_tuned_preset_and_what_is_compared_with_them_is_trained() -> None:
    registry = parallel_runs.built_in()
    pairs = leaderboard.usual_pairs(registry)
    tuned = {entry.spec.name for entry in registry.models if "tuned" in entry.spec.presets}
    assert {model for model, preset in pairs if preset == "tuned"} == tuned
    assert {("mlp-char", "lecture"), ("ngram", "lecture")} <= set(pairs)
    assert len(set(pairs)) == len(pairs)


def test_what_was_done_is_not_done_again_and_the_longest_begins() -> None:
    done = [result(FIRST, 1, 2.0), result(SECOND, 2, 2.0), result(FIRST, 2, 2.0, plan="before the preset changed")]
    assert leaderboard.to_do([FIRST, SECOND], 2, done) == [Task(SECOND, 1), Task(FIRST, 2)]


def test_results_survive_a_line_that_was_cut(tmp_path: Path) -> None:
    path = tmp_path / "results.jsonl"
    assert leaderboard.read_results(path) == []
    first, second = result(FIRST, 1, 2.0), result(FIRST, 2, 2.5)
    leaderboard.append(path, first)
    with path.open("ab") as file:
        file.write(b'{"model": "mlp-bn", "proc\xc3')
    leaderboard.append(path, second)
    assert leaderboard.read_results(path) == [first, second]


def test_table_has_means_and_spreads_with_the_lowest_loss_first() -> None:
    results = [result(FIRST, 1, 2.0), result(FIRST, 2, 2.1), result(SECOND, 1, 1.9), result(SECOND, 1, 9.9, plan="old")]
    lines = leaderboard.table([FIRST, SECOND, Contest("gru", "tuned", "cc", 1)], results).splitlines()
    assert lines[0].count("|") == lines[1].count("|") == len(leaderboard.COLUMNS) + 1
    assert lines[2:4] == [
        f"| `ngram` | `lecture` | 12,345 | 10.0 | 1.9000 | 2.0000 | 2.1000 | {bits(1.9):.4f} |  |",
        f"| `mlp-bn` | `tuned` | 12,345 | 15.0 | 2.0500 ± 0.0707 | 2.1500 | 2.2500 | {bits(2.05):.4f} | 2.105 |",
    ]
    about = " ".join(lines[5:])
    assert "Paired by seed" not in about
    assert "means over 1 to 2 seeds" in about
    assert "one core of a processor, with torch 2.13.0" in about
    assert all(len(line) <= 120 for line in lines[5:])


def test_neighbours_in_the_table_are_told_apart_or_not() -> None:
    third = Contest("gru", "tuned", "cc", 1)
    near, far = [2.0, 2.01, 2.02, 2.03, 2.04], [3.0, 3.02, 3.01, 3.05, 3.03]
    losses = {FIRST: near, SECOND: [loss + 0.0001 * (-1) ** i for i, loss in enumerate(near)], third: far}
    results = [result(one, seed, loss) for one, found in losses.items() for seed, loss in enumerate(found, 1)]
    said = " ".join(leaderboard.table([FIRST, SECOND, third], results).split("\n\n")[-1].split())
    assert "corrected for all 3 pairs of rows, the validation losses of 1 of 2 rows differ" in said
    assert re.search(
        r"Not told apart are `.*` \(tuned\) and `.*` \(lecture\) \(about \d+ more seeds would\)\.$", said
    ) or (re.search(r"Not told apart are `ngram` \(lecture\) and `mlp-bn` \(tuned\)", said))
    assert leaderboard.verdict({FIRST: [result(FIRST, 1, 2.0)], SECOND: [result(SECOND, 1, 2.0)]}) is None


def test_table_takes_the_place_between_the_marks_and_nothing_else() -> None:
    document = "before\n\n<!-- leaderboard -->\n\n| old |\n\n<!-- /leaderboard -->\n\nafter\n"
    once = leaderboard.with_table(document, "| new |")
    assert once == "before\n\n<!-- leaderboard -->\n\n| new |\n\n<!-- /leaderboard -->\n\nafter\n"
    assert leaderboard.with_table(once, "| new |") == once
    with pytest.raises(UsageError, match="needs the lines"):
        leaderboard.with_table("no marks", "| new |")


def test_readme_has_the_marks() -> None:
    assert "| new |" in leaderboard.with_table(leaderboard.README.read_text(encoding="utf-8"), "| new |")


@pytest.mark.parametrize(
    ("arguments", "error"),
    [
        (["mlp-char"], "MODEL:PRESET"),
        (["mlp-char:tunde"], "no preset 'tunde'"),
        (["nothing:tuned"], "no model 'nothing'"),
        (["--write", "--steps", "3"], "no runs of fewer steps"),
        (["--words", "nowhere.txt"], "no file nowhere.txt"),
    ],
)
def test_mistakes_are_told_before_anything_is_trained(
    words_file: Path, arguments: list[str], error: str, capsys: pytest.CaptureFixture[str]
) -> None:
    try:
        code: Any = leaderboard.main(["--words", str(words_file), *arguments])
    except SystemExit as stopped:
        code = stopped.code
    assert code == 2
    assert error in capsys.readouterr().err


def test_runs_that_fail_are_told_and_leave_no_result(words_file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The words are not the lecture's, which the dataset notices."""
    assert leaderboard.main(["--words", str(words_file), "ngram:lecture", "--seeds", "1", "--results", "r.jsonl"]) == 1
    error = capsys.readouterr().err
    assert error.startswith("ngram:lecture, seed 1: 'zoo run ngram")
    assert leaderboard.read_results(Path("r.jsonl")) == []


def test_a_run_is_added_to_the_results_once(names_txt: Path, capsys: pytest.CaptureFixture[str]) -> None:
    command = ["--words", str(names_txt), "ngram:lecture", "--seeds", "1", "--results", "r.jsonl"]
    assert leaderboard.main(command) == 0
    assert "| `ngram` | `lecture` |" in capsys.readouterr().out
    [line] = Path("r.jsonl").read_text().splitlines()
    run = json.loads(line)
    assert run["losses"]["val"] == pytest.approx(2.0572, abs=1e-4)
    assert run["novel"]["val"] == pytest.approx(2.0769, abs=1e-4)
    assert leaderboard.main(command) == 0
    assert Path("r.jsonl").read_text().splitlines() == [line]
