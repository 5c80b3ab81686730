"""A share of `scripts/breaking/sweep_kill_test.py`: killed sweeps resume to an uninterrupted one's bytes."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
from conftest import run_python

SCRIPT = Path(__file__).resolve().parents[2] / "scripts" / "breaking" / "sweep_kill_test.py"


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere a sweep has no workers")
def test_killed_sweeps_end_like_uninterrupted_ones() -> None:
    result = run_python(SCRIPT, "--kills", "2", timeout=300, env={"PYTHONPATH": str(SCRIPT.parent)})
    assert result.returncode == 0, result.stdout + result.stderr
    assert "0 different, 0 failed, 0 done again" in result.stdout
