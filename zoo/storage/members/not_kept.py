"""Members of a sweep of which a folder, or its training state, was not kept; and the command that trains one again."""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from zoo.files import parse_json, read_text
from zoo.phrasing import command, option

SWEEP_FILE = "sweep.json"
SHEET_FILE = "sweep.csv"
SETTING = "setting."  # before the name of a column of the sheet that would be another's
MAX_SHEET_BYTES = 1 << 28
_NO_MEMBER = (OSError, ValueError, KeyError, TypeError, AttributeError, StopIteration, csv.Error)


def not_kept(path: Path) -> str:
    """What to add to a message about a path where nothing is, if it is that of such a member; empty for another."""
    try:
        sweep, row = _found(path)
        again, keep = _command(sweep, row), option("keep", str(sweep["keep"]))
    except _NO_MEMBER:
        return ""
    return f": member {row['member']} of {path.parent} was not kept ({keep}); {again} trains it again"


def no_state(path: Path) -> str:
    """What to add to a message about a run that cannot be resumed, if it is a member; empty for another."""
    try:
        again = _command(*_found(path))
    except _NO_MEMBER:
        return ""
    return (
        f": members of a sweep that are finished keep none; to train it for longer, give {again} more {option('steps')}"
    )


def _found(path: Path) -> tuple[Mapping[str, Any], Mapping[str, str]]:
    """The description of a member's sweep, and its row. Raises one of `_NO_MEMBER` if it is no member."""
    if not path.name.isdecimal():
        raise ValueError(path)
    sweep = parse_json(read_text(path.parent / SWEEP_FILE))
    sheet = read_text(path.parent / SHEET_FILE, max_bytes=MAX_SHEET_BYTES)
    return sweep, next(row for row in csv.DictReader(io.StringIO(sheet)) if row["member"] == str(int(path.name)))


def _command(sweep: Mapping[str, Any], row: Mapping[str, str]) -> str:
    names = [*row]
    varying = names[names.index("seed") + 1 : names.index("state")]
    own = {name.removeprefix(SETTING): row[name] for name in varying if row[name]}
    given = {**sweep["same"], **sweep["settings"], **own}
    data = {"dataset": sweep["data"]["name"]} if sweep.get("data") else {}
    seeds = {name: int(row["seed"]) for name in ("seed", "init_seed") if name not in given}
    options = {name: _number(value) for name, value in given.items() if "." not in name and value is not None}
    settings = {name: _number(value) for name, value in given.items() if "." in name}
    model = options.pop("model")
    options = {**data, **options, **seeds, "threads": options.get("threads", 1)}
    return command("run", model, **options, **({"settings": settings} if settings else {}))


def _number(value: Any) -> Any:
    """A number of the sheet as one."""
    for kind in (int, float) if isinstance(value, str) else ():
        try:
            return kind(value)
        except ValueError:
            continue
    return value
