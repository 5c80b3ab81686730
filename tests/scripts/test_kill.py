"""A share of `scripts/breaking/kill_test.py`: runs killed at random moments resume to an uninterrupted one's bytes."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from conftest import run_python

SCRIPT = Path(__file__).resolve().parents[2] / "scripts" / "breaking" / "kill_test.py"


@pytest.mark.skipif(os.name != "posix", reason="kill -9 is for POSIX systems")
def test_killed_runs_go_on_to_the_same_bytes() -> None:
    done = run_python(SCRIPT, "--kills", "20", timeout=300, env={"PYTHONPATH": str(SCRIPT.parent)})
    assert done.returncode == 0, done.stdout + done.stderr
    assert " 0 different, 0 failed" in done.stdout
