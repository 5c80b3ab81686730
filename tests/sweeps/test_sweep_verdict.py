"""A sweep ends with a verdict: printed, in `sweep.json`, with `--json`, and the same that `zoo compare` finds."""

from __future__ import annotations

import json
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
