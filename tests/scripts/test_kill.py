"""A share of `scripts/breaking/kill_test.py`: runs killed at random moments resume to an uninterrupted one's bytes."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

SCRIPT = Path(__file__).resolve().parents[2] / "scripts" / "breaking" / "kill_test.py"


@pytest.mark.skipif(os.name != "posix", reason="kill -9 is for POSIX systems")
def test_killed_runs_go_on_to_the_same_bytes() -> None:
    command = [sys.executable, "-P", str(SCRIPT), "--kills", "20"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert " 0 different, 0 failed" in done.stdout
