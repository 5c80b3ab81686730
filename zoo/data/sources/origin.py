"""What a dataset remembers of where `zoo.load_dataset` had it from."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

from zoo.plugin.registry import Entry
from zoo.plugin.specs import DatasetSpec


class Origin(NamedTuple):
    """What makes the same dataset again.

    Attributes:
        source: a registered dataset, or a file by its absolute path.
        settings: complete, as a config records them.
        state: what the dataset was then, as far as a caller can change it; see `zoo.data.sources.given.state_of`.
    """

    source: Entry[DatasetSpec] | Path
    settings: Mapping[str, Any]
    state: object
