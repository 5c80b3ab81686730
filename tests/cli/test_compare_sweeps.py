"""`zoo compare` with sweeps, and what it says of repetitions and of single runs."""

from __future__ import annotations

import json
import math
import re
import shutil
from pathlib import Path
from typing import Any

import pytest
from conftest import Zoo
from forged_runs import forge_run
from forged_sweeps import forge_sweep

import zoo.sweeps.judging.noise
from zoo.storage.shipped import OverSeeds, ShippedMetrics

NOISE = (0.0, 0.011, -0.007, 0.004, 0.013, -0.012, 0.006, -0.003, 0.009, -0.001)


def by_lr(setting: dict[str, Any], seed: int) -> float:
    """lr 0.1 is better than lr 0.2 in each seed, and hardly better than lr 0.3."""
    common, own = NOISE[seed % 10], NOISE[(3 * seed + round(10 * setting["lr"])) % 10]
    return 2.0 + common + own / 10 + {0.1: 0.0, 0.2: 0.1, 0.3: 0.0003}[setting["lr"]]


def verdict(zoo_here: Zoo, *arguments: object) -> Any:
    done = zoo_here("compare", *arguments, "--json")
    assert done.code == 0, done.err
    [found] = done.result["verdicts"]
    return found


def test_settings_of_a_sweep_are_rows_and_their_differences_are_judged(zoo_here: Zoo) -> None:
    forge_sweep(Path("sweeps", "mlp-char-1"), {"lr": [0.1, 0.2, 0.3]}, 10, by_lr)
    done = zoo_here("compare", "sweeps/mlp-char-1")
    assert done.code == 0, done.err
    assert "Repetitions with other seeds" in done.out
    assert "/0001" not in done.out
    rows = [line.split() for line in done.out.splitlines() if re.match(r"\s*0\.[123]\s", line)]
    assert sorted(row[:2] for row in rows) == [["0.1", "10"], ["0.2", "10"], ["0.3", "10"]]
    said = " ".join(done.out.split())
    assert re.search(
        r"lr 0\.[13] beats lr 0\.2 by 0\.\d+ nats \(95 % interval .*\), in 10 of 10 seeds: more than luck", said
    )
    assert re.search(r"lr 0\.[13] is ahead of lr 0\.[13] by .* may be luck .* more seeds? would settle", said)
    found = verdict(zoo_here, "sweeps/mlp-char-1")
    assert found["settings"][-1]["settings"] == {"lr": 0.2}
    assert found["corrected_for"] == {"comparisons": 3, "interim_tests": 0}
    assert [one["more_than_luck"] for one in found["comparisons"]] == [False, True]
    assert found["decided"] is False
    assert all(sentence in said for sentence in found["sentences"])


def test_other_numbers_of_steps_are_told_apart(zoo_here: Zoo) -> None:
    def loss(setting: Any, seed: int) -> float:
        return by_lr({"lr": 0.1}, seed) - float(setting["steps"]) / 1000

    forge_sweep(Path("sweeps", "mlp-char-1"), {"steps": [100, 200]}, 4, loss)
    done = zoo_here("compare", "sweeps/mlp-char-1")
    rows = [line.split() for line in done.out.splitlines() if re.match(r"\s*[12]00\s", line)]
    assert [row[:2] for row in rows] == [["200", "4"], ["100", "4"]], done.out
    forge_sweep(Path("sweeps", "mlp-char-2"), {"lr": [0.1, 0.2]}, 4, by_lr)
    assert "steps" not in zoo_here("compare", "sweeps/mlp-char-2").out


@pytest.mark.parametrize("configs", [True, False])
def test_a_sweep_is_judged_alike_whether_its_members_are_kept_or_not(configs: bool, zoo_here: Zoo) -> None:
    grid: dict[str, list[Any]] = {"lr": [0.1, 0.2], "model.hidden_size": [10, 20]}
    path = forge_sweep(Path("sweep"), grid, 6, by_lr, configs=configs, settings={"optimizer.momentum": 0.9})
    found = verdict(zoo_here, path)
    names = [one["setting"] for one in found["settings"]]
    assert sorted(names) == [f"lr {lr} with hidden_size {size}" for lr in (0.1, 0.2) for size in (10, 20)]
    assert {"lr": 0.1, "model.hidden_size": 10} in [one["settings"] for one in found["settings"]]
    assert found["corrected_for"]["comparisons"] == 6
    kept = zoo_here("compare", path, "--json").result
    assert len(kept["runs"]) == 24
    assert kept["runs"][0]["run"].startswith("sweep/00")


def test_sweeps_and_runs_are_grouped_together(zoo_here: Zoo) -> None:
    forge_sweep(Path("sweep"), {"lr": [0.1, 0.2]}, 4, by_lr)
    for seed in range(5, 9):
        changes = {"training.lr": 0.2, "training.seed": seed, "training.init_seed": seed}
        forge_run(
            Path("runs", f"a{seed}"), changes, losses={"train": 1.0, "val": by_lr({"lr": 0.2}, seed), "test": 1.0}
        )
    found = verdict(zoo_here, "sweep", "runs")
    assert {one["settings"]["lr"]: one["n"] for one in found["settings"]} == {0.1: 4, 0.2: 8}
    [comparison] = found["comparisons"]
    assert (comparison["better"], comparison["seeds"], comparison["unpaired"]) == (
        "lr 0.1",
        4,
        {"better": 0, "worse": 4},
    )
    out = zoo_here("compare", "sweep", "runs").out
    assert "4 seeds of lr 0.2 had no partner" in " ".join(out.split())
    assert "a5" in out  # single runs are listed, members are not
    assert "/0001" not in out


def test_a_folder_of_sweeps_and_a_member_alone(zoo_here: Zoo) -> None:
    forge_sweep(Path("sweeps", "a-1"), {"lr": [0.1]}, 3, by_lr)
    forge_sweep(Path("sweeps", "b-1"), {"lr": [0.2]}, 3, by_lr)
    found = verdict(zoo_here, "sweeps")
    assert [one["n"] for one in found["settings"]] == [3, 3]
    assert [run["run"] for run in zoo_here("compare", "sweeps/a-1/0001", "--json").result["runs"]] == ["0001"]


def test_runs_that_diverged_or_failed_are_counted_and_lose(zoo_here: Zoo) -> None:
    def value(setting: dict[str, Any], seed: int) -> float | None:
        return None if setting["lr"] == 3.0 and seed % 2 else 2.0 - setting["lr"] / 10 + NOISE[seed]

    path = forge_sweep(Path("sweep"), {"lr": [0.1, 3.0]}, 8, value, failed=[3])
    out = zoo_here("compare", path).out
    header, rows = out.splitlines()[2].split(), [line.split() for line in out.splitlines()[3:5]]
    assert header[:4] == ["lr", "seeds", "diverged", "failed"]
    assert sorted(row[:4] for row in rows) == [["0.1", "7", "0", "1"], ["3.0", "4", "4", "0"]]
    found = verdict(zoo_here, path)
    [comparison] = found["comparisons"]
    assert comparison["test"] == "sign test"
    assert comparison["diverged"] in ({"better": 0, "worse": 4}, {"better": 0, "worse": 3})
    assert "lr 3.0 diverged in " in found["sentences"][0]
    assert {one["setting"]: one["failed"] for one in found["settings"]} == {"lr 0.1": 1, "lr 3.0": 0}


def test_losses_that_do_not_compare_are_never_tested(zoo_here: Zoo) -> None:
    forge_sweep(Path("sweep"), {"data.shuffle_seed": [1, 2], "lr": [0.1, 0.2]}, 3, by_lr)
    done = zoo_here("compare", "sweep", "--json").result
    assert len(done["verdicts"]) == 2  # one for each split, of the rates alone
    for found in done["verdicts"]:
        assert [one["settings"] for one in found["settings"]] == [{"lr": 0.1}, {"lr": 0.2}]
    forge_sweep(Path("other"), {"loss.delta": [0.1, 0.2]}, 3, lambda setting, seed: 1.0 + NOISE[seed])
    assert zoo_here("compare", "other", "--json").result["verdicts"] == []


def test_what_all_runs_monitor_decides(zoo_here: Zoo) -> None:
    path = forge_sweep(Path("sweep"), {"lr": [0.1, 0.2]}, 5, by_lr, changes={"training.monitor": "accuracy:max"})
    found = verdict(zoo_here, path)
    assert found["measure"] == {"name": "validation accuracy", "unit": None, "better": "higher"}
    assert (found["best"], found["decided"]) == ("lr 0.1", True)
    assert " nats" not in found["sentences"][0]


def test_the_tests_of_a_sweep_that_added_seeds_are_corrected_for(zoo_here: Zoo) -> None:
    once = forge_sweep(Path("once"), {"lr": [0.1, 0.3]}, 8, by_lr)
    again = forge_sweep(Path("again"), {"lr": [0.1, 0.3]}, 8, by_lr, tests_after=[4, 6, 8, 12])
    first, second = verdict(zoo_here, once), verdict(zoo_here, again)
    assert second["tests_after"] == [4, 6, 8, 12]
    assert second["comparisons"][0]["p_uncorrected"] == first["comparisons"][0]["p"]
    assert second["comparisons"][0]["p"] > first["comparisons"][0]["p"]
    assert "corrected for 4 interim tests" in second["sentences"][0]


def test_a_baseline_is_compared_with_each_other_setting(zoo_here: Zoo) -> None:
    forge_sweep(Path("sweep"), {"lr": [0.1, 0.2, 0.3]}, 10, by_lr)
    found = verdict(zoo_here, "sweep", "--baseline", "lr=0.2")
    assert (found["baseline"], found["corrected_for"]["comparisons"]) == ("lr 0.2", 2)
    assert {one["worse"] for one in found["comparisons"]} == {"lr 0.2"}
    for condition, message in (("lr=0.9", "no setting has that"), ("lr<0.25", "2 settings have that")):
        done = zoo_here("compare", "sweep", "--baseline", condition)
        assert (done.code, message in done.err, done.err.count("\n")) == (2, True, 1)


def test_a_difference_of_single_runs_is_no_evidence(zoo_here: Zoo) -> None:
    forge_run(Path("runs", "a"), {"training.lr": 0.2}, losses={"train": 0.6, "val": 0.9, "test": 0.9})
    forge_run(Path("runs", "b"), losses={"train": 0.7, "val": 0.85, "test": 0.8})
    done = zoo_here("compare", "runs")
    said = " ".join(done.out.split())
    assert "Single runs: a difference of 0.05 nats between b and a is no evidence." in said
    assert "more than luck" not in said
    assert "standard deviation of" not in said  # nothing is known of it here
    [found] = zoo_here("compare", "runs", "--json").result["verdicts"]
    assert (found["best"], found["comparisons"]) == (None, [])
    assert found["single_runs"][0] in said


def test_a_single_run_beside_repetitions(zoo_here: Zoo) -> None:
    forge_sweep(Path("sweep"), {"lr": [0.2, 0.1]}, 6, by_lr)
    forge_run(Path("run"), {"training.lr": 0.5, "training.seed": 1}, losses={"train": 1.0, "val": 1.2, "test": 1.0})
    said = " ".join(zoo_here("compare", "sweep", "run").out.split())
    assert "lr 0.1 beats lr 0.2" in said
    assert re.search(
        r"A difference of 0.8\d* nats between lr 0.5 and lr 0.1 is no evidence: lr 0.5 is a single run\.", said
    )
    known = r"Over seeds, the validation loss of mlp-char on names has a standard deviation of 0\.0\d+ nats "
    assert re.search(known + r"\(from 12 runs of 2 settings compared here\)", said)


def test_noise_is_known_from_sweeps_and_from_shipped_weights(zoo_here: Zoo, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, lr in (("a", 0.1), ("b", 0.2)):
        forge_run(Path("runs", name), {"training.lr": lr}, losses={"train": 0.6, "val": lr, "test": 0.9})
    shipped = ShippedMetrics("names", "tuned", 1, 1, 1.0, {"train": 1.0, "val": 1.0, "test": 1.0}, {})
    sha256 = json.loads(Path("runs", "a", "config.json").read_text())["dataset"]["sha256"]
    others = [("b" * 64, "notebook", False), (sha256, "tuned", False)]
    for digest, preset, known in [(sha256, "notebook", True), *others]:
        spread = OverSeeds(10, 0.0056, preset, "names", digest)
        monkeypatch.setattr(
            zoo.sweeps.judging.noise, "shipped_metrics", lambda _, s=spread: shipped._replace(over_seeds=s)
        )
        said = " ".join(zoo_here("compare", "runs").out.split())
        from_shipped = (
            "standard deviation of 0.0056 nats (from 10 runs with preset notebook, as the model's plugin has it)"
        )
        assert (from_shipped in said) is known
    assert "two runs of one setting differ by up to" not in said
    forge_sweep(
        Path("sweeps", "other"), {"lr": [7.0]}, 5, lambda _, seed: NOISE[seed], changes={"dataset.sha256": "c" * 64}
    )
    other_steps = {"training.steps": 7}
    forge_sweep(Path("sweeps", "short"), {"lr": [7.0]}, 5, lambda _, seed: 9 * NOISE[seed], changes=other_steps)
    assert zoo_here("compare", "runs", "--json").result["noise"] == {}
    forge_sweep(Path("sweeps", "mlp-char-1"), {"lr": [7.0]}, 5, lambda _, seed: 3 + NOISE[seed])
    noise = zoo_here("compare", "runs", "--json").result["noise"]["mlp-char on names"]
    assert noise["source"] == "from 5 runs in sweeps/mlp-char-1"
    assert noise["usual_difference"] == pytest.approx(2.7764 * 2**0.5 * noise["sd"], rel=1e-4)


DAMAGE = {
    "sheet": ("sweep.csv", "member,seed\n1,x\n"),
    "state of a member": ("sweep.csv", None),
    "description": ("sweep.json", "{"),
    "no object": ("sweep.json", "[]"),
}


@pytest.mark.parametrize("kind", DAMAGE)
def test_a_damaged_sweep_is_told_and_the_others_are_compared(kind: str, zoo_here: Zoo) -> None:
    forge_sweep(Path("good"), {"lr": [0.1, 0.2]}, 3, by_lr)
    bad = forge_sweep(Path("bad"), {"lr": [0.1, 0.2]}, 3, by_lr)
    name, text = DAMAGE[kind]
    file = bad / name
    file.write_text(file.read_text().replace("finished", "finnished") if text is None else text)
    done = zoo_here("compare", "good", "bad")
    assert done.code == 0, done.err
    assert "bad is damaged: " in done.out
    assert "lr 0.1 beats lr 0.2" in " ".join(done.out.split())


def test_a_sweep_that_has_no_member_yet(zoo_here: Zoo) -> None:
    path = forge_sweep(Path("sweep"), {"lr": [0.1]}, 1, by_lr)
    (path / "sweep.csv").unlink()
    shutil.rmtree(path / "0001")
    done = zoo_here("compare", "sweep")
    assert (done.code, done.err.count("\n")) == (2, 1)
    assert "there is no run in 'sweep'" in done.err


@pytest.mark.parametrize("text", ["a|b", "<b>x</b>", "\x1b[2J", "*x*", "=1+1"])
def test_settings_that_are_any_text(text: str, zoo_here: Zoo) -> None:
    forge_sweep(
        Path("sweep"), {"model.kind": [text, "plain"]}, 4, lambda one, seed: len(one["model.kind"]) + NOISE[seed]
    )
    for options in ([], ["--markdown"]):
        done = zoo_here("compare", "sweep", *options)
        assert done.code == 0
        assert "\x1b" not in done.out
        if options:
            assert "<b>" not in done.out


@pytest.mark.parametrize("lost", [math.nan, math.inf])
def test_a_finished_run_with_a_loss_that_is_no_number(lost: float, zoo_here: Zoo) -> None:
    """It has no spread, and is not the best of anything."""
    forge_sweep(
        Path("s"), {"lr": [0.1, 0.2]}, 3, lambda one, seed: lost if one["lr"] == 0.1 and seed == 1 else 3 + NOISE[seed]
    )
    done = zoo_here("compare", "s", "--markdown")
    assert done.code == 0, done.err
    assert "lr 0.1 diverged in 1" in " ".join(done.out.split())
    rows = [line for line in done.out.splitlines() if line.startswith(("| 0.1 |", "| 0.2 |"))]
    assert ["**" in row for row in rows] == [False, True]
    assert zoo_here("compare", "s/0001", "s/0002").code == 0


def test_a_plan_of_tests_that_no_sweep_has_costs_nothing(zoo_here: Zoo) -> None:
    forge_sweep(Path("s"), {"lr": [0.1, 0.2]}, 3, by_lr, tests_after=list(range(2, 100_000)))
    done = zoo_here("compare", "s")
    assert done.code == 0, done.err
    assert "interim tests" not in done.out
