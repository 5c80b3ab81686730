"""A home of its own for a program that a test starts, in which it finds no settings and leaves nothing elsewhere."""

from __future__ import annotations

import os
from pathlib import Path

NAMES = (
    *("HOME", "XDG_CACHE_HOME", "XDG_CONFIG_HOME", "XDG_DATA_HOME", "XDG_STATE_HOME", "XDG_RUNTIME_DIR"),
    *("ZOO_CACHE", "MPLCONFIGDIR"),
    *("IPYTHONDIR", "JUPYTER_CONFIG_DIR", "JUPYTER_DATA_DIR", "JUPYTER_RUNTIME_DIR"),
)
OFF = {"ZOO_OFFLINE": "1", "OMP_NUM_THREADS": "1", "PYDEVD_DISABLE_FILE_VALIDATION": "1"}


def own_home(folder: Path) -> dict[str, str]:
    """The environment: this one's, with every place below `folder`, and no network for zoo."""
    return {**os.environ, **OFF, **{name: str(folder / name.lower()) for name in NAMES}}
