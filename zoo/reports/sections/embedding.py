"""The map of the character embeddings, and the nearest neighbours of each character.

The page's script places the characters; here is what it needs: the table, its principal components, and the tables of
earlier steps where the run kept them. The axes are those of the final table throughout.

Axes: V characters, E embedding dimensions, K components, S snapshots.
"""

from __future__ import annotations

import base64
from collections.abc import Mapping
from typing import Any

import numpy as np
from bokeh.models import ColumnDataSource, Range1d
from numpy.typing import NDArray

from zoo.errors import CheckpointError, PluginError
from zoo.reports.characters import KINDS, kinds_of, labels_of
from zoo.reports.figures import named, new_figure
from zoo.reports.reported import ReportedRun
from zoo.reports.section import Part

_MOST_NUMBERS = 40_000  # of a table: some 200 KB of the page
_MOST_OF_SNAPSHOTS = 50_000  # of all snapshots together
_COMPONENTS = 8
_BATCH = 1 << 16  # examples whose targets are counted at once


def make(run: ReportedRun) -> Part | None:
    """The map, for a model of characters that has an embedding table of two dimensions or more.

    Raises:
        CheckpointError: the table is not finite.
    """
    table = _table(run)
    if table is None or table.shape[1] < 2:
        return None
    if not np.isfinite(table).all():
        raise CheckpointError("the embedding table has numbers that are NaN or infinite: there is no map of it")
    characters = list(run.loaded.vocabulary.itos)
    counts = _frequencies(run, len(characters))
    kept = _kept(table, counts)
    snapshots = _snapshots(run, table, kept)
    components, shares = principal_components(table)
    kinds = kinds_of(characters)
    chosen_kinds = [kinds[row] for row in kept]
    labels = labels_of(characters)
    data = {
        "characters": [characters[row] for row in kept],
        "labels": [labels[row] for row in kept],
        "kinds": [list(KINDS).index(kind) for kind in chosen_kinds],
        "counts": None if counts is None else [int(counts[row]) for row in kept],
        "total": None if counts is None else int(counts.sum()),
        "dimensions": table.shape[1],
        "table": _packed(table[kept]),
        "mean": _packed(table.mean(axis=0, dtype=np.float64)),
        "components": _packed(components),
        "steps": [*snapshots, run.loaded.step],
        "snapshots": [_packed(snapshot[kept]) for snapshot in snapshots.values()],
    }
    values = {
        "prefix_of_axes": [_share(i, share) for i, share in enumerate(shares)],
        "dimensions": table.shape[1],
        "labels": data["labels"],
        "snapshots": len(snapshots),
        "step": run.loaded.step,
        "left_out": len(characters) - len(kept),
        "characters": len(characters),
        "sized": counts is not None,
    }
    return Part(values, data, {"map": _figure(dict.fromkeys(chosen_kinds))})


def principal_components(table: NDArray[np.float32]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Directions of a table of shape (V, E), shape (K, E), and the share of the variance of each, shape (K,).

    By singular value decomposition of the centred table. The largest score on each is positive, so that similar tables
    give similar maps.
    """
    centred = table.astype(np.float64) - table.mean(axis=0, dtype=np.float64)
    _, values, directions = np.linalg.svd(centred, full_matrices=False)
    scores = centred @ directions.T
    largest = scores[np.abs(scores).argmax(axis=0), np.arange(scores.shape[1])]
    directions = directions * np.where(largest < 0, -1.0, 1.0)[:, None]
    shares = values**2 / max(float((values**2).sum()), 1e-30)
    return directions[:_COMPONENTS], shares[:_COMPONENTS]


def _share(number: int, share: float) -> str:
    return f"component {number + 1} ({share:.0%} of the variance)"


def _table(run: ReportedRun) -> NDArray[np.float32] | None:
    """Shape (V, E); None if the model has none."""
    spec, vocabulary = run.loaded.entry.spec, run.loaded.checked.vocabulary
    if spec.embedding is None or vocabulary is None:
        return None
    tensor = run.loaded.model.state_dict().get(spec.embedding)
    if tensor is None or tensor.ndim != 2 or len(tensor) != len(vocabulary):
        raise PluginError(f"model {spec.name!r} has no embedding table {spec.embedding!r} of {len(vocabulary)} rows")
    rows: NDArray[np.float32] = tensor.detach().cpu().float().numpy()
    return rows


def _frequencies(run: ReportedRun, size: int) -> NDArray[np.int64] | None:
    """How often each character is a target of the training split, shape (V,); None without the data."""
    if "train" not in run.examples:
        return None
    counts = np.zeros(size, dtype=np.int64)
    for _, y in run.examples["train"].in_order(_BATCH):
        targets = y.numpy().reshape(-1)
        counts += np.bincount(targets[targets >= 0], minlength=size)
    return counts


def _kept(table: NDArray[np.float32], counts: NDArray[np.int64] | None) -> NDArray[np.intp]:
    """The rows that are shown: all, or of a large table those of the most frequent characters."""
    most = max(2, _MOST_NUMBERS // table.shape[1])
    if len(table) <= most:
        return np.arange(len(table))
    order = np.arange(len(table)) if counts is None else np.argsort(-counts, kind="stable")
    return np.sort(order[:most])


def _snapshots(
    run: ReportedRun, table: NDArray[np.float32], kept: NDArray[np.intp]
) -> Mapping[int, NDArray[np.float32]]:
    """Earlier tables by their steps, so many of them as a page holds."""
    step = run.loaded.step
    found = {
        at: snapshot.numpy()
        for at, snapshot in run.snapshots.items()
        if step is not None and at < step and tuple(snapshot.shape) == table.shape and snapshot.isfinite().all()
    }
    most = max(1, _MOST_OF_SNAPSHOTS // (len(kept) * table.shape[1]))
    every = -(-len(found) // most) if found else 1
    return dict(list(found.items())[::every])


def _packed(numbers: NDArray[Any]) -> str:
    """Numbers as a page holds them: float32, little-endian, row by row, in base64."""
    return base64.b64encode(np.ascontiguousarray(numbers, dtype="<f4").tobytes()).decode()


def _figure(kinds: Mapping[str, Any]) -> Any:
    """Dots and letters of each kind, which the page's script fills in."""
    figure = new_figure(
        "Map of the character embeddings",
        "",
        "",
        height=520,
        x_range=Range1d(start=0, end=1),
        y_range=Range1d(start=0, end=1),
    )
    ends: dict[str, Any] = {name: [] for name in ("x0", "y0", "x1", "y1")}
    lines = figure.segment("x0", "y0", "x1", "y1", source=ColumnDataSource(ends), line_width=2, line_alpha=0.7)
    lines.tags = ["ink", "neighbours"]
    for kind in kinds:
        columns: dict[str, Any] = {name: [] for name in ("x", "y", "size", "text")}
        source, colour = ColumnDataSource(columns), KINDS[kind]
        dots = figure.scatter("x", "y", size="size", source=source, fill_alpha=0.25, line_alpha=0.6)
        named(dots, kind, colour).tags = [colour, "characters"]
        letters = figure.text(
            "x", "y", text="text", source=source, text_align="center", text_baseline="middle", text_font_style="bold"
        )
        named(letters, kind, colour)
    return figure
