"""From a table to a dataset: the words of a column; or targets in one column, and features in all others.

Axes: N rows, F features. numpy is imported only where arrays are made.
"""

from __future__ import annotations

import hashlib
import random
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from zoo.data.datasets import LECTURE_SPLIT, MIN_WORDS, TextDataset, check_shuffle_seed, check_split
from zoo.data.examples import SPLITS
from zoo.data.files.content import content_of, reading
from zoo.data.kinds import Dataset
from zoo.data.tables.columns import Column, read_cells, read_columns
from zoo.data.tables.features import Features, Target
from zoo.data.tables.parsing import Table, is_number
from zoo.data.tensors import TensorDataset
from zoo.errors import DataError, UsageError
from zoo.options.run import TSV
from zoo.options.values import as_text
from zoo.phrasing import option, setting
from zoo.text import shown

_TOLD = 5  # rows that a message lists


def read_table(
    path: Path, settings: Mapping[str, Any], *, sha256: str | None = None, like: Mapping[str, Any] | None = None
) -> Dataset:
    """Read a table with the settings of `zoo.data.files.settings`.

    Args:
        path: the file. It may be a pipe, which is read to its end.
        settings: its format, the column of the words or of the targets, and how its rows are split.
        sha256: the digest that the file must have, where a checkpoint states its path.
        like: what the dataset of a trained model `provides`, whose features, in their order, and classes are wanted.

    Raises:
        ChangedDataError: the file has another digest.
        DataError: it cannot be read, or its rows cannot be used.
        UsageError: it has no column of that name.
    """
    content = read_content(path, sha256)
    digest = hashlib.sha256(content).hexdigest()
    try:
        table = table_of(content, settings["format"], settings.get("header"))
        if "column" in settings:
            return _words(table, settings, digest)
        if not settings.get("target"):
            raise UsageError(
                f"its columns are {table.listed()}: add {option('target', 'NAME')} for the one that has the targets, "
                f"or {option('column', 'NAME')} for one that has words"
            )
        return _examples(table, settings, digest, like)
    except (DataError, UsageError) as error:
        raise type(error)(f"{path}: {error}") from error


def table_of(content: bytes, file_format: str, header: bool | None = None) -> Table:
    """The table in the content of a file. Raises DataError where it is none."""
    return Table(content, "\t" if file_format == TSV else None, header=header)


def read_content(path: Path, sha256: str | None = None) -> bytes:
    """The content of a file, with the digest that it must have, if any. Raises DataError or ChangedDataError."""
    with reading(path, sha256):
        return content_of(path, sha256)


def _words(table: Table, settings: Mapping[str, Any], digest: str) -> TextDataset:
    index = table.index(settings["column"], option("column"))
    words = list(read_cells(table, index))
    name = shown(table.names[index])
    empty = [i for i, word in enumerate(words) if not word]
    if empty:
        raise DataError(f"column {name} is empty in {_rows(table, empty)}: put words in, or leave these rows out")
    split = next((i for i, word in enumerate(words) if "\n" in word or "\r" in word), None)
    if split is not None:
        raise DataError(f"column {name} has several lines in row {table.row(split):,}: a word is one line")
    arranged = {key: settings[key] for key in ("split", "shuffle_seed") if key in settings}
    dataset = TextDataset(words, sha256=digest, **arranged)
    layout = f" ({table.layout})" if table.layout else ""
    dataset.read_as = f"{len(words):,} words in column {name} of a table{layout}"
    return dataset


def _examples(
    table: Table, settings: Mapping[str, Any], digest: str, like: Mapping[str, Any] | None = None
) -> TensorDataset:

    target = table.index(settings["target"], option("target"))
    if like is not None:
        return _examples_like(table, target, settings, digest, like)
    dropped = {table.index(name, "data.drop") for name in settings.get("drop", ())}
    if target in dropped:
        raise UsageError(f"data.drop leaves out {shown(table.names[target])}, which {option('target')} names")
    texts = {table.index(name, "data.categories") for name in settings.get("categories", ())}
    wanted = [index for index in range(len(table.names)) if index not in dropped and index != target]
    if not wanted:
        raise DataError(f"has no features: there is no column but {table.listed()}")
    columns, count = read_columns(table, [*wanted, target], texts)
    if count < MIN_WORDS:
        raise DataError(f"has {count} rows of values, too few for training, validation and test ({MIN_WORDS})")
    _refuse_missing(table, columns)
    features = Features.of(columns[:-1])
    x = features.encode(table, columns[:-1])
    goal = Target.of(table, columns[-1], settings.get("task"))
    parts = _split(count, settings)
    means, scales = features.moments(x[parts[0]])
    provides = {
        "columns": features.as_json(),
        "features": features.feature_names,
        "feature_means": means,
        "feature_scales": scales,
    }
    dataset = _dataset(x, goal, parts, provides | goal.provides(parts[0]), digest)
    layout = f", {table.layout}" if table.layout else ""
    comma = ", decimal commas" if any(column.decimal_comma for column in columns) else ""
    order = "in file order" if settings.get("shuffle_seed") is None else "shuffled"
    dataset.read_as = f"{count:,} rows {order}{layout}{comma}; {goal}; {features}"
    return dataset


def _examples_like(
    table: Table, target: int, settings: Mapping[str, Any], digest: str, like: Mapping[str, Any]
) -> TensorDataset:
    """The examples of other rows for a model that was trained: its features, in their order, and its classes."""
    features, classes = Features.from_json(like.get("columns")), like.get("classes")
    has_texts = classes is not None and not all(map(is_number, classes))
    x, columns = _encoded(table, features, [target], texts=[target] if has_texts else [])
    goal = Target.like(table, columns[-1], classes)
    provides = {name: value for name, value in like.items() if name != "classes"}
    return _dataset(x, goal, _split(len(x), settings), provides, digest)


def read_features(path: Path, file_format: str, columns: object) -> Any:
    """The features of the rows of a table for a model that was trained, (N, F), in float32.

    Args:
        path: the file. It may be a pipe, which is read to its end. Other columns than the model's are left alone.
        file_format: `csv` or `tsv`.
        columns: as the dataset of the model `provides` them, from its config.

    Raises:
        DataError: it cannot be read, lacks a column, has missing values, or one that is none of the model's.
    """
    content = read_content(path)
    try:
        x, _ = _encoded(table_of(content, file_format), Features.from_json(columns))
    except DataError as error:
        raise DataError(f"{path}: {error}") from error
    return x


def _encoded(
    table: Table, features: Features, more: Sequence[int] = (), texts: Sequence[int] = ()
) -> tuple[Any, list[Column]]:
    """Features (N, F), and their columns and `more`, of which `texts` are read as such."""
    wanted = features.indices(table)
    one_hot = [index for index, values in zip(wanted, features.values, strict=True) if values is not None]
    columns, count = read_columns(table, [*wanted, *more], [*one_hot, *texts])
    if not count:
        raise DataError("has no rows of values")
    _refuse_missing(table, columns, can_drop=False)
    return features.encode(table, columns[: len(wanted)]), columns


def _dataset(x: Any, goal: Target, parts: Sequence[Any], provides: Mapping[str, Any], digest: str) -> TensorDataset:
    """Examples of the rows of each split, with the digest of their file."""
    pairs = [(x[part], goal.y[part]) for part in parts]
    dataset = TensorDataset(*pairs, provides=provides, classes=goal.classes)
    vars(dataset)["sha256"] = digest
    return dataset


def _split(count: int, settings: Mapping[str, Any]) -> list[Any]:
    """The indices of the rows of each split, arranged as those of words are."""
    import numpy as np

    split, shuffle_seed = settings.get("split", LECTURE_SPLIT), settings.get("shuffle_seed")
    check_split(split)
    check_shuffle_seed(shuffle_seed)
    order = list(range(count))
    if shuffle_seed is not None:
        random.Random(shuffle_seed).shuffle(order)
    first, second = int(count * split[0]), int(count * split[1])
    parts = (order[:first], order[first:second], order[second:])
    for name, part in zip(SPLITS, parts, strict=True):
        if not part:
            raise DataError(f"{count} rows split at {tuple(split)} leave the {name} split empty")
    return [np.array(part) for part in parts]


def _refuse_missing(table: Table, columns: Sequence[Column], *, can_drop: bool = True) -> None:
    found = [column for column in columns if column.missing]
    if not found:
        return
    where = [f"{shown(column.name)} ({_rows(table, column.missing)})" for column in found[:_TOLD]]
    more = f" and {len(found) - _TOLD} more columns" if len(found) > _TOLD else ""
    names = [column.name for column in found[:_TOLD] if column is not columns[-1]]
    told = f"has missing values in {', '.join(where)}{more}"
    if names and can_drop:
        drop = setting("data.drop", names, as_text(names))
        raise DataError(f"{told}: fill them in, leave these rows out, or leave these columns out with {drop}")
    raise DataError(f"{told}: fill them in, or leave these rows out")


def _rows(table: Table, indices: Sequence[int]) -> str:
    rows = ", ".join(f"{table.row(index):,}" for index in indices[:_TOLD])
    more = f" and {len(indices) - _TOLD:,} more" if len(indices) > _TOLD else ""
    return f"row{'s' * (len(indices) != 1)} {rows}{more}"
