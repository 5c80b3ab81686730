"""Reading a file that is given to `--dataset`, by its format."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from zoo.data.datasets import TextDataset
from zoo.data.files.settings import TABLES
from zoo.data.kinds import Dataset
from zoo.errors import UsageError
from zoo.options.run import TEXT, WORDS


def read_file(
    path: Path, settings: Mapping[str, Any], *, sha256: str | None = None, like: Mapping[str, Any] | None = None
) -> Dataset:
    """Read a file with the settings of its format.

    Args:
        path: the file. It may be a pipe, which is read to its end.
        settings: complete, as `resolve_file_settings` gives them.
        sha256: the digest that the file must have, where a checkpoint states its path.
        like: what the data of a trained model provides, and its classes: a table then has the same features.

    Raises:
        ChangedDataError: it has another digest.
        DataError: it cannot be read or used.
        UsageError: the settings do not fit what it has.
    """
    name = settings.get("format", WORDS)
    if name in TABLES:
        from zoo.data.tables.dataset import read_table

        return read_table(path, settings, sha256=sha256, like=like)
    if name == TEXT:
        return _read_text(path, {key: value for key, value in settings.items() if key != "format"})
    words = TextDataset.from_file(path, sha256=sha256)
    arranged = {key: settings[key] for key in ("split", "shuffle_seed") if key in settings}
    if not arranged:
        return words
    return words.arranged(
        split=arranged.get("split", words.split), shuffle_seed=arranged.get("shuffle_seed", words.shuffle_seed)
    )


def _read_text(path: Path, settings: Mapping[str, Any]) -> Dataset:
    raise UsageError(f"{path}: running text cannot be read yet")
