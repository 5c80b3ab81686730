"""Reading a file that is given to `--dataset`, by its format."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from zoo.data.datasets import LECTURE_SPLIT, TextDataset
from zoo.data.files.settings import TABLES
from zoo.data.kinds import Dataset
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
        from zoo.data.corpus.dataset import CorpusDataset

        return CorpusDataset(
            path=path, split=settings.get("split", LECTURE_SPLIT), evaluate=settings.get("evaluate"), sha256=sha256
        )
    words = TextDataset.from_file(path, sha256=sha256, guess=sha256 is None and "format" not in settings)
    arranged = {key: settings[key] for key in ("split", "shuffle_seed") if key in settings}
    if not arranged:
        return words
    return words.arranged(
        split=arranged.get("split", words.split), shuffle_seed=arranged.get("shuffle_seed", words.shuffle_seed)
    )
