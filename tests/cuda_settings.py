"""Settings of `scripts/cuda_check.py` for its tests."""

from __future__ import annotations

from pathlib import Path

import cuda_check
from results import Setting


class OnCuda(Setting):
    """A setting that is taken for one on CUDA, while everything runs on the CPU."""

    on_cuda = True


def new_setting(folder: Path, words: Path) -> Setting:
    """A few words on the CPU, and as few steps as there can be; runs are in a new folder within `folder`."""
    runs = folder / "runs-of-parts"
    runs.mkdir()
    return Setting("cpu", runs, words, cuda_check.BUNDLED, quick=True)
