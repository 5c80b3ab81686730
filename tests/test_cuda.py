"""What only a GPU can show: the parts of `scripts/cuda_check.py`, on every device. Skipped where there is none.

In processes of its own, because one that has used CUDA cannot be forked.
"""

from __future__ import annotations

import json
from pathlib import Path

import cuda_check
import pytest
import torch
from conftest import ROOT, run_python
from results import FAILED

DEVICES = [f"cuda:{index}" for index in range(torch.cuda.device_count())] or ["cuda:0"]
CHECKED = [part for part in cuda_check.PARTS if part != "speed"]  # which is measured, and not tested


@pytest.mark.cuda
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("part", CHECKED)
def test_nothing_fails_on_cuda(part: str, device: str, tmp_path: Path) -> None:
    out = tmp_path / "cuda.json"
    done = run_python(ROOT / "scripts" / "cuda_check.py", "--device", device, "--out", out, part, timeout=400)
    assert out.exists(), done.stderr
    rows = json.loads(out.read_text())["results"]
    assert not [row for row in rows if row["result"] == FAILED]
    assert done.returncode == 0
