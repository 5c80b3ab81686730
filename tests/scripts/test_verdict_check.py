"""`scripts/verdict_check.py`: a row for each kind of comparison, and an exit code that says whether all are right."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import verdict_check
from forged_sweeps import forge_sweep

LOSSES = 2 + 0.01 * np.random.default_rng(8).standard_normal(160)


@pytest.fixture
def sweep() -> Path:
    return forge_sweep(Path("sweep"), {}, len(LOSSES), lambda _, seed: float(LOSSES[seed - 1]), configs=False)


def test_each_kind_of_comparison_has_a_row(sweep: Path, capsys: pytest.CaptureFixture[str]) -> None:
    verdict_check.main(["--sweep", str(sweep), "--comparisons", "6"])
    first, *rows = capsys.readouterr().out.split("\n\n", 1)[1].splitlines()
    assert len([first, *rows]) == 4
    assert first.endswith("s)")
    assert "a setting and itself, 16 seeds" in first
    assert rows[-1].split()[:2] == ["100.0", "%"]


def test_verdicts_that_err_too_often_are_found(
    sweep: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("zoo.verdicts.verdict.ERROR", 0.4)
    assert verdict_check.main(["--sweep", str(sweep), "--comparisons", "40"]) == 1
    assert "NOT as it must be   a setting and itself, 16 seeds" in capsys.readouterr().out


def test_too_few_runs_are_told(capsys: pytest.CaptureFixture[str]) -> None:
    path = forge_sweep(Path("few"), {}, 5, lambda _, seed: float(seed), configs=False)
    assert verdict_check.main(["--sweep", str(path)]) == 1
    assert "5 runs are finished, and at least 128 are needed" in capsys.readouterr().err
