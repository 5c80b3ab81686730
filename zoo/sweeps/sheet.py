"""`sweep.csv`: a row a member, added as it is done, and in the members' order at the end; and how a sweep is read.

Nothing here imports torch.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from zoo.errors import CheckpointError
from zoo.files import kind_of, parse_json, read_text
from zoo.options.values import as_text
from zoo.storage.members.not_kept import MAX_SHEET_BYTES, SETTING
from zoo.storage.members.not_kept import SHEET_FILE as SHEET_FILE
from zoo.storage.members.not_kept import SWEEP_FILE as SWEEP_FILE
from zoo.sweeps.member import STATES, Row

SPLITS = ("train", "val", "test")
_FIRST = ("member", "seed")
_RESULTS = ("state", "reason", "steps", "parameters", *SPLITS)
_LAST = "weights_sha256"


def is_sweep(path: Path) -> bool:
    """Whether a folder is that of a sweep."""
    return kind_of(path / SWEEP_FILE) == "file"


def read_sweep(path: Path, name: str = SWEEP_FILE) -> dict[str, Any]:
    """What `sweep.json` has, or another JSON object of a sweep.

    Raises:
        CheckpointError: it is damaged.
        OSError: it cannot be read.
    """
    try:
        found = parse_json(read_text(path / name))
    except ValueError as error:
        raise CheckpointError(f"{path / name} is damaged: it is not JSON") from error
    if not isinstance(found, dict):
        raise CheckpointError(f"{path / name} is damaged: it is not a JSON object")
    return found


def columns(rows: Iterable[Row]) -> list[str]:
    """The columns that these rows need, metrics as `val.accuracy`."""
    settings: dict[str, None] = {}
    metrics: dict[str, None] = {}
    for row in rows:
        settings |= dict.fromkeys(map(_setting_column, row.settings))
        for split in SPLITS:
            metrics |= dict.fromkeys(f"{split}.{name}" for name in row.metrics.get(split, {}))
    return [*_FIRST, *settings, *_RESULTS, *metrics, _LAST]


def as_csv(rows: Sequence[Row], names: Sequence[str], *, header: bool = True) -> str:
    """Rows as text; losses and metrics with enough digits to read the number back exactly."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    if header:
        writer.writerow(names)
    for row in rows:
        cells = _cells(row)
        writer.writerow([cells.get(name, "") for name in names])
    return text.getvalue()


def read_sheet(path: Path) -> list[Row]:
    """The rows of a `sweep.csv`, in the file's order; settings are texts. A last line that was cut is left out.

    Raises:
        CheckpointError: it is damaged.
        OSError: it cannot be read.
    """
    try:
        text = read_text(path, max_bytes=MAX_SHEET_BYTES)
        intact = text[: text.rfind("\n") + 1]
        return [_row(cells) for cells in csv.DictReader(io.StringIO(intact), strict=True)]
    except (ValueError, KeyError, csv.Error) as error:
        raise CheckpointError(f"{path} is damaged: it is not the sheet of a sweep") from error


def _setting_column(name: str) -> str:
    return f"{SETTING}{name}" if name in (*_FIRST, *_RESULTS, _LAST) or name.split(".")[0] in SPLITS else name


def _cells(row: Row) -> dict[str, str]:
    return {
        "member": str(row.member),
        "seed": str(row.seed),
        **{_setting_column(name): as_text(value) for name, value in row.settings.items()},
        "state": row.state,
        "reason": row.reason,
        "steps": _number(row.steps),
        "parameters": _number(row.parameters),
        **{split: _number(row.losses.get(split)) for split in SPLITS},
        **{f"{split}.{name}": _number(value) for split in SPLITS for name, value in row.metrics.get(split, {}).items()},
        _LAST: row.weights_sha256 or "",
    }


def _number(value: float | None) -> str:
    return "" if value is None else repr(value)


def _row(cells: Mapping[str, Any]) -> Row:
    """Raises ValueError or KeyError where the cells are no row."""
    if None in cells or None in cells.values():
        raise ValueError("a row of another length")
    own = {*_FIRST, *_RESULTS, _LAST}
    metrics: dict[str, dict[str, float | None]] = {}
    settings = {}
    for name, value in cells.items():
        split, _, metric = name.partition(".")
        if name in own:
            continue
        if split in SPLITS and metric:
            if value:
                metrics.setdefault(split, {})[metric] = float(value)
        elif value:
            settings[name.removeprefix(SETTING)] = value
    state = cells["state"]
    if state not in STATES:
        raise ValueError(f"no state {state!r}")
    losses = {split: float(cells[split]) for split in SPLITS if cells[split]}
    return Row(
        int(cells["member"]),
        settings,
        int(cells["seed"]),
        state,
        cells["reason"],
        int(cells["steps"]) if cells["steps"] else None,
        int(cells["parameters"]) if cells["parameters"] else None,
        losses,
        metrics,
        cells[_LAST] or None,
    )
