"""The members of a sweep as runs that can be compared: read off its sheet, with a config for each setting.

The sheet has what differs between members. All else is in the config of a run: that of one member of each setting, or,
where its folder was not kept, that of another member with this setting's values in their places.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from zoo.errors import ZooError
from zoo.files import kind_of
from zoo.options.run import RunOptions
from zoo.runs.listing.finding import find_runs
from zoo.runs.listing.record import RunRecord, State, read_run
from zoo.runs.listing.settings import SEEDS
from zoo.storage import CONFIG_FILE
from zoo.storage.config import RunConfig, read_json
from zoo.sweeps.member import DIVERGED, FINISHED, Row
from zoo.sweeps.sheet import SHEET_FILE, SWEEP_FILE, is_sweep, read_sheet, read_sweep

_SECTIONS = {"model": "hyperparameters", "data": "settings", "optimizer": "hyperparameters", "loss": "settings"}
_MOST_TESTS = 64  # twice as many as any sweep plans: the test of a million would take all memory
_CONSTANTS = {"true": True, "false": False, "none": None}


def runs_in(folder: Path) -> list[RunRecord]:
    """The runs in a folder; those of sweeps are read off their sheets."""
    if is_sweep(folder):
        return members_of(folder)
    found: list[RunRecord] = []
    seen: dict[Path, bool] = {}  # folders around runs: whether they are sweeps
    for name, path, unreadable in find_runs(folder):
        around = path.parent
        if path == folder:  # a member alone
            return [read_run(name, path, unreadable)]
        if around not in seen:
            seen[around] = is_sweep(around)
            found += members_of(around) if seen[around] else []
        if not seen[around]:
            found.append(read_run(name, path, unreadable))
    return found


def members_of(sweep: Path) -> list[RunRecord]:
    """The members of a sweep that are done, in their order.

    A sweep whose files are damaged is one record that says so.
    """
    try:
        description, rows = read_sweep(sweep), read_sheet(sweep / SHEET_FILE)
    except FileNotFoundError:  # it has no member that is done
        return []
    except (OSError, ZooError) as error:
        reason = f"cannot read {sweep}: {error.strerror}" if isinstance(error, OSError) else str(error)
        return [RunRecord(sweep.resolve().name, sweep, "damaged", 0.0, reason)]
    return records_of(sweep, description, sorted(rows, key=lambda row: row.member))


def records_of(sweep: Path, description: Mapping[str, Any], rows: Sequence[Row]) -> list[RunRecord]:
    """Rows of a sweep as records of runs.

    Args:
        sweep: its folder.
        description: what `sweep.json` has.
        rows: of members that are done.
    """
    configs = _Configs(sweep, description, rows)
    same = _mapping(description, "same")
    seeds = [name for name in SEEDS if name not in same]
    modified = (sweep / SHEET_FILE).stat().st_mtime if kind_of(sweep / SHEET_FILE) == "file" else 0.0
    name = sweep.resolve().name
    return [_record(sweep, f"{name}/{row.member:04}", row, configs.of(row), seeds, modified) for row in rows]


def _record(sweep: Path, name: str, row: Row, config: RunConfig, seeds: Iterable[str], modified: float) -> RunRecord:
    training = {**config.raw["training"], **dict.fromkeys(seeds, row.seed)}
    raw = {**config.raw, "training": training, "model": {**config.raw["model"], "parameters": row.parameters}}
    result = {"steps": row.steps, "losses": dict(row.losses), "metrics": dict(row.metrics)}
    done = row.state == FINISHED
    state: State = "finished" if done else "diverged" if row.state == DIVERGED else "failed"
    fault = "" if done else row.reason or row.state
    config = replace(config, raw=raw)
    path = sweep / f"{row.member:04}"
    return RunRecord(name, path, state, modified, fault, config, result if done else {}, sweep=sweep)


class _Configs:
    """The config of each setting of a sweep, but for the seeds."""

    def __init__(self, sweep: Path, description: Mapping[str, Any], rows: Sequence[Row]) -> None:
        self._sweep = sweep
        self._description = description
        self._rows = rows
        self._found: dict[object, RunConfig] = {}
        self._any: RunConfig | None = None
        self._searched = False

    def of(self, row: Row) -> RunConfig:
        """That of a member."""
        key = tuple(row.settings.items())
        if key not in self._found:
            own = self._read(row)
            self._found[key] = own if own is not None else self._instead(row)
        return self._found[key]

    def _read(self, row: Row) -> RunConfig | None:
        file = self._sweep / f"{row.member:04}" / CONFIG_FILE
        if kind_of(file) != "file":
            return None
        try:
            return RunConfig.read(read_json(file), file)
        except (OSError, ZooError):
            return None

    def _instead(self, row: Row) -> RunConfig:
        """That of any member that has one, or what the sweep was asked for, with a member's values."""
        if not self._searched:
            self._searched = True
            self._any = next((config for one in self._rows if (config := self._read(one)) is not None), None)
        config = self._any if self._any is not None else _as_asked(self._description)
        for name, text in row.settings.items():
            config = _with_value(config, name, _value(text))
        return config


def _as_asked(description: Mapping[str, Any]) -> RunConfig:
    """A config of what is known of a sweep without any of its members."""
    same, data = _mapping(description, "same"), _mapping(description, "data")
    name, sha256 = str(data.get("name", "")), str(data.get("sha256", ""))
    models = description.get("models")
    model = str(models[0]) if isinstance(models, list) and models else ""
    raw = {
        "model": {"name": model, "hyperparameters": {}},
        "dataset": {"name": name, "sha256": sha256, "settings": {}},
        "optimizer": {"hyperparameters": {}},
        "loss": {"settings": {}},
        "training": {key: _value(value) for key, value in same.items() if key not in ("model", "dataset")},
    }
    config = RunConfig(
        raw=raw,
        model=model,
        versions={},
        hyperparameters={},
        inputs={},
        dataset=name,
        dataset_is_file=True,
        dataset_is_given=False,
        dataset_sha256=sha256,
        examples=None,
        data_settings={},
        kind="",
        vocabulary=None,
        tokenizer_size=None,
        optimizer="",
        optimizer_settings={},
        options=RunOptions(model),
        provides={},
        targets="classes",
        classes=None,
        loss_settings={},
    )
    for key, value in _mapping(description, "settings").items():
        config = _with_value(config, key, value)
    return config


def _with_value(config: RunConfig, name: str, value: Any) -> RunConfig:
    """A config with another value of an option, or of a setting `SECTION.KEY`."""
    section, _, key = name.partition(".")
    if not key and name == "model":
        return replace(config, model=str(value), raw={**config.raw, "model": {**config.raw["model"], "name": value}})
    if not key:
        return replace(config, raw={**config.raw, "training": {**config.raw["training"], name: value}})
    group, place = _SECTIONS.get(section, "settings"), {"data": "dataset"}.get(section, section)
    part = config.raw.get(place) or {}
    changed = {**part, group: {**(part.get(group) or {}), key: value}}
    return replace(config, raw={**config.raw, place: changed})


def _value(text: Any) -> Any:
    """A value of a sheet, which has texts."""
    if not isinstance(text, str):
        return text
    if text.lower() in _CONSTANTS:
        return _CONSTANTS[text.lower()]
    for kind in (int, float):
        try:
            return kind(text)
        except ValueError:
            continue
    return text


def _mapping(description: Mapping[str, Any], name: str) -> dict[str, Any]:
    found = description.get(name)
    return found if isinstance(found, dict) else {}


def planned_in(description: Mapping[str, Any]) -> tuple[int, ...]:
    """After how many seeds a sweep is tested while seeds are added, by its `sweep.json`; empty where it is not so."""
    tests = description.get("tests_after")
    known = isinstance(tests, list) and len(tests) <= _MOST_TESTS
    known = known and all(type(size) is int and size > 1 for size in tests or ())
    return tuple(sorted({*tests})) if known and tests is not None else ()


def interim_tests(folders: Iterable[Path]) -> tuple[int, ...]:
    """After how many seeds sweeps were tested while seeds were added; of several, where that was most often."""
    found: tuple[int, ...] = ()
    for folder in folders:
        try:
            found = max(found, planned_in(read_sweep(folder)), key=len)
        except (OSError, ZooError):
            continue
    return found


def sweeps_in(folder: Path) -> Iterator[Path]:
    """The sweeps in a folder, the newest first."""
    if kind_of(folder) == "folder":
        found = [path for path in folder.iterdir() if is_sweep(path)]
        yield from sorted(found, key=lambda path: (path / SWEEP_FILE).stat().st_mtime, reverse=True)
