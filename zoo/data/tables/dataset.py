"""From a table to a dataset."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from zoo.data.kinds import Dataset
from zoo.errors import UsageError


def read_table(path: Path, settings: Mapping[str, Any], *, sha256: str | None = None) -> Dataset:
    raise UsageError(f"{path}: tables cannot be read yet")
