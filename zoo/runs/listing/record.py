"""One run as a listing shows it: what its folder says of it, checked, and its state."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import cached_property
from pathlib import Path
from typing import Any, Literal, TypeAlias

from zoo.errors import CheckpointError, ZooError
from zoo.files import kind_of
from zoo.numbers import divergence, mean
from zoo.runs.listing.settings import settings_of
from zoo.storage import CONFIG_FILE, METRICS_FILE
from zoo.storage.config import RunConfig, classes_of, read_json, read_metrics, unlike
from zoo.storage.losses import LOSSES_FILE, VALIDATION_FILE, Ends, read_ends, read_evaluations
from zoo.storage.open_folder import in_use

State: TypeAlias = Literal["finished", "stopped", "running", "diverged", "failed", "damaged"]
SPLITS = ("train", "val", "test")
_MAY_DIFFER = {"device", "engine", "threads"}  # of a config that a resumption has written since
_MAX_EVALUATIONS_BYTES = 8 << 20  # of a `validation.csv`; a longer one is not read
_NO_STEPS = Ends(0, None, ())


@dataclass(frozen=True)
class RunRecord:
    """A run, as its folder describes it. Whatever is missing or damaged is None or empty.

    Attributes:
        name: of the folder, from the folder that is listed.
        path: of the folder.
        state: `finished`: it has a result. `running`: a process has locked its folder. `stopped`: neither.
            `diverged`: its loss is NaN or infinite, or above that of its first step and of a uniform guess. `failed`: a
            member of a sweep for which that is recorded. `damaged`: its files do not fit together, see `fault`.
        fault: what is wrong, in one line; empty where nothing is.
        modified: when its files were last written, in seconds since 1970.
        config: checked.
        result: what `metrics.json` says of these weights.
        ends: the first and the last losses of its steps.
        evaluations: pairs of step and loss over the validation split, of a run without a result.
        sweep: the folder of the sweep that it is a member of, where it was read off its sheet; else None.
    """

    name: str
    path: Path
    state: State
    modified: float
    fault: str = ""
    config: RunConfig | None = None
    result: Mapping[str, Any] = field(default_factory=dict)
    ends: Ends = _NO_STEPS
    evaluations: Sequence[tuple[int, float]] = ()
    sweep: Path | None = None

    @property
    def model(self) -> str | None:
        """Its name without its distribution."""
        return None if self.config is None else self.config.model.rpartition("/")[2]

    @property
    def data(self) -> str | None:
        """The name of the dataset without its distribution, or of the file."""
        config = self.config
        return None if config is None else config.dataset if config.dataset_is_file else _short(config.dataset)

    @property
    def preset(self) -> str | None:
        return None if self.config is None else self.config.options.preset

    @property
    def steps(self) -> int | None:
        """How many are done, as of the last checkpoint."""
        done = _number(self.result.get("steps"))
        return int(done) if done is not None else self.ends.steps if self.config is not None else None

    @property
    def planned(self) -> int | None:
        return None if self.config is None else self.config.options.steps

    @property
    def unit(self) -> str | None:
        """That of its loss."""
        unit = self.section("loss").get("unit")
        return unit if isinstance(unit, str) else None

    @property
    def losses(self) -> dict[str, float]:
        """The loss over each split, of the weights in the folder.

        Of a run without a result there is only that of the best evaluation on the validation split, if it had any.
        """
        recorded = self.result.get("losses", {})
        if recorded:
            return {split: recorded[split] for split in SPLITS if split in recorded}
        by_loss = self.config is not None and self.config.options.monitor is None
        known = [loss for _, loss in self.evaluations if math.isfinite(loss)]
        return {"val": min(known)} if known and by_loss else {}

    @property
    def batch_loss(self) -> float | None:
        """The mean loss of the last batches, at most `LAST` of `zoo.storage.losses`."""
        last = self.ends.last
        return mean(last) if last else None

    def metrics(self, split: str) -> dict[str, float]:
        """Those over a split, by name."""
        found = self.result.get("metrics")
        of_split = found.get(split) if isinstance(found, dict) else None
        numbers = {name: _number(value) for name, value in (of_split if isinstance(of_split, dict) else {}).items()}
        return {name: value for name, value in numbers.items() if value is not None}

    @property
    def parameters(self) -> int | None:
        count = _number(self.section("model").get("parameters"))
        return None if count is None else int(count)

    @property
    def seconds(self) -> float | None:
        """Of training; of a resumed run, those since then."""
        seconds = self.result.get("seconds")
        return _number(seconds.get("train")) if isinstance(seconds, dict) else None

    def as_json(self) -> dict[str, Any]:
        """All that is known of it, with the names of `metrics.json` for what that has."""
        of_time = datetime.fromtimestamp(self.modified, UTC).isoformat(timespec="seconds") if self.modified else None
        return {
            "run": self.name,
            "run_dir": str(self.path),
            "state": self.state,
            "fault": self.fault or None,
            "model": self.model,
            "dataset": {"name": self.data, "sha256": None if self.config is None else self.config.dataset_sha256},
            "preset": self.preset,
            "steps": self.steps,
            "planned": self.planned,
            "losses": self.losses,
            "loss_unit": self.unit,
            "metrics": {split: found for split in SPLITS if (found := self.metrics(split))},
            "batch_loss": self.batch_loss,
            "parameters": self.parameters,
            "seconds": self.seconds,
            "modified": of_time,
            "settings": self.settings,
        }

    @cached_property
    def settings(self) -> dict[str, Any]:
        """All of them, by the names that `settings_of` gives them."""
        return {} if self.config is None else settings_of(self.config.raw)

    def section(self, section: str) -> dict[str, Any]:
        """One of its config."""
        found = None if self.config is None else self.config.raw.get(section)
        return found if isinstance(found, dict) else {}


def read_run(name: str, path: Path, unreadable: OSError | None = None) -> RunRecord:
    """Read a run off its folder. A damaged one is a record, too: nothing is raised.

    Args:
        name, path, unreadable: as `find_runs` yields them.
    """
    if unreadable is not None:
        return RunRecord(name, path, "damaged", 0.0, f"cannot read {path}: {unreadable.strerror}")
    modified = _modified(path)
    try:
        running = in_use(path)
        config = RunConfig.read(read_json(path / CONFIG_FILE), path / CONFIG_FILE)
    except OSError as error:
        return RunRecord(name, path, "damaged", modified, f"cannot read {path}: {error.strerror}")
    except ZooError as error:
        return RunRecord(name, path, "damaged", modified, str(error))
    ends, result, evaluations = _NO_STEPS, {}, []
    try:
        ends = read_ends(path / LOSSES_FILE)
        result = _result(path, config, ends)
        evaluations = [] if result else _evaluations(path)
    except ZooError as error:
        return RunRecord(name, path, "damaged", modified, str(error), config, {}, ends)
    state: State = "running" if running else "finished" if result else "stopped"
    record = RunRecord(name, path, state, modified, "", config, result, ends, evaluations)
    return record if running or not _diverged(record) else _as_diverged(record)


def _result(path: Path, config: RunConfig, ends: Ends) -> dict[str, Any]:
    """The content of `metrics.json`; empty where there is none, or one of before the run was resumed.

    Raises:
        CheckpointError: it is damaged, or of another run.
    """
    file = path / METRICS_FILE
    if kind_of(file) == "nothing":
        return {}
    metrics = read_metrics(file)
    steps = _number(metrics.get("steps"))
    if steps is not None and steps < ends.steps:
        return {}
    other = [key for key in unlike(metrics, config.raw) if key not in _MAY_DIFFER]
    if other:
        raise CheckpointError(f"{file} is not of this run: {', '.join(other)} differ from its config")
    return metrics


def _evaluations(path: Path) -> list[tuple[int, float]]:
    file = path / VALIDATION_FILE
    try:
        too_long = file.stat().st_size > _MAX_EVALUATIONS_BYTES
    except OSError:  # as of most runs: there is none
        return []
    return [] if too_long else read_evaluations(file)


def _diverged(run: RunRecord) -> bool:
    """As far as it can be told: a loss that was NaN in the last step is recorded nowhere."""
    if run.evaluations and not math.isfinite(run.evaluations[-1][1]):
        return True
    loss, first = run.losses.get("train", run.batch_loss), run.ends.first
    if loss is None or first is None or run.unit != "nats" or run.config is None:
        return False
    return divergence(loss, first, classes_of(run.config.raw)) is not None


def _as_diverged(run: RunRecord) -> RunRecord:
    fault = "its loss is NaN or infinite, or above that of its first step and of a uniform guess"
    return RunRecord(
        run.name, run.path, "diverged", run.modified, fault, run.config, run.result, run.ends, run.evaluations
    )


def _modified(path: Path) -> float:
    """When a file of the folder was last written."""
    times = [0.0]
    for name in (CONFIG_FILE, LOSSES_FILE, METRICS_FILE):
        try:
            times.append((path / name).lstat().st_mtime)
        except OSError:
            continue
    return max(times)


def _number(value: object) -> float | None:
    """A number of an untrusted file, without what is none."""
    return value if isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value) else None


def _short(full_name: str) -> str:
    return full_name.rpartition("/")[2]
