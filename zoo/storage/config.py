"""`config.json`: everything that made a run, as plain data; the metadata of `model.safetensors` holds the same object.

Written by `make_config`, read back by `RunConfig`, which trusts nothing: a checkpoint may come from anyone.
"""

from __future__ import annotations

import dataclasses
import operator
import platform
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from zoo.data.datasets import Dataset, Examples, SplitName, TextDataset, counts
from zoo.data.vocabulary import BOUNDARY, Vocabulary
from zoo.errors import CheckpointError
from zoo.plugin.registry import DISTRIBUTION, Entry
from zoo.plugin.specs import FLOAT32, DatasetSpec, Spec, is_teacher_share
from zoo.runs.plan import RunPlan
from zoo.schedule import Schedule

if TYPE_CHECKING:
    from zoo.training.synthetic import Lesson

T = TypeVar("T")


def make_config(
    plan: RunPlan,
    source: Entry[DatasetSpec] | Path,
    dataset: Dataset,
    examples: Mapping[SplitName, Examples],
    lesson: Lesson | None,
    inputs: Mapping[str, int],
    parameters: int,
    device: str,
    engine: str,
) -> dict[str, Any]:
    """Describe a run. Nothing in it depends on when or where it ran, so that the same run gives the same bytes.

    Args:
        plan: what was planned.
        source: where the data came from, which is not the plan's when a fallback stood in.
        dataset, examples: the data.
        lesson: what a teacher added to it.
        inputs: what the data decided about the model.
        parameters: how many numbers were trained.
        device, engine: those used.
    """
    vocabulary = list(dataset.vocabulary) if isinstance(dataset, TextDataset) else None
    return {
        "model": {
            **_origin(plan.model),
            "hyperparameters": plan.model_settings,
            "inputs": dict(inputs),
            "parameters": parameters,
        },
        "dataset": {
            **(_origin(source) if isinstance(source, Entry) else {"name": str(source), "plugin": None}),
            "kind": "tensors" if vocabulary is None else "text",
            "sha256": dataset.sha256,
            "settings": plan.data_settings,
            "examples": counts(examples),
            "vocabulary": vocabulary,
        },
        "optimizer": {**_origin(plan.optimizer), "hyperparameters": plan.optimizer_settings},
        "training": {
            "preset": plan.preset,
            "steps": plan.steps,
            "batch_size": plan.batch_size,
            "lr": plan.lr,
            "schedule": dataclasses.asdict(plan.schedule),
            "clip_norm": plan.clip_norm,
            "validate_every": plan.validate_every,
            "patience": plan.patience,
            "teacher": _teacher(plan, lesson),
            "precision": plan.precision,
            "compile": plan.compile,
            "seed": plan.seed,
            "init_seed": plan.init_seed,
            "device": device,
            "engine": engine,
        },
        "versions": versions(),
    }


def versions() -> dict[str, str]:
    """What the result of a run may depend on beside its config."""
    from importlib import metadata

    import torch

    return {"zoo": metadata.version(DISTRIBUTION), "torch": str(torch.__version__), "python": platform.python_version()}


@dataclass(frozen=True)
class RunConfig:
    """The parts of a config that zoo goes by, with their types checked. `raw` is all of it.

    `model`, `dataset` and `optimizer` are full names (`distribution/name`), except for a dataset that was a file: that
    is its path.
    """

    raw: dict[str, Any]
    model: str
    model_plugin: str
    hyperparameters: dict[str, Any]
    inputs: dict[str, Any]
    dataset: str
    dataset_is_file: bool
    dataset_sha256: str
    data_settings: dict[str, Any]
    vocabulary: Vocabulary | None
    optimizer: str
    optimizer_settings: dict[str, Any]
    preset: str | None
    steps: int
    batch_size: int
    lr: float
    schedule: Schedule
    clip_norm: float | None
    validate_every: int | None
    patience: int | None
    teacher: str | None
    teacher_share: float | None
    precision: str
    compile: bool
    seed: int
    init_seed: int
    device: str
    engine: str

    @classmethod
    def read(cls, raw: object, source: Path) -> RunConfig:
        """Check a config.

        Raises:
            CheckpointError: something is missing from it, or of another type.
        """
        read = _Reader(raw, source)
        for path in (("training", "seed"), ("training", "init_seed")):
            if not 0 <= read.get(int, *path) < 2**64:
                raise CheckpointError(f"{source} has a damaged config: '{'.'.join(path)}' is no seed")
        if "\0" in read.get(str, "dataset", "name"):
            raise CheckpointError(f"{source} has a damaged config: 'dataset.name' is no name")
        is_file = read.get(dict, "dataset", "plugin", optional=True) is None
        return cls(
            raw=read.get(dict),
            model=read.full_name("model"),
            model_plugin=" ".join(read.get(str, "model", "plugin", key) for key in ("distribution", "version")),
            hyperparameters=read.get(dict, "model", "hyperparameters"),
            inputs=read.get(dict, "model", "inputs"),
            dataset=read.get(str, "dataset", "name") if is_file else read.full_name("dataset"),
            dataset_is_file=is_file,
            dataset_sha256=read.get(str, "dataset", "sha256"),
            data_settings=read.get(dict, "dataset", "settings"),
            vocabulary=_vocabulary(read.get(list, "dataset", "vocabulary", optional=True), source),
            optimizer=read.full_name("optimizer"),
            optimizer_settings=read.get(dict, "optimizer", "hyperparameters"),
            preset=read.get(str, "training", "preset", optional=True),
            steps=read.get(int, "training", "steps"),
            batch_size=read.get(int, "training", "batch_size"),
            lr=float(read.get((int, float), "training", "lr")),
            schedule=read.schedule(),
            clip_norm=read.get((int, float), "training", "clip_norm", optional=True),
            validate_every=read.count("training", "validate_every"),
            patience=read.count("training", "patience"),
            teacher=read.teacher(),
            teacher_share=read.get((int, float), "training", "teacher", "share", optional=True),
            precision=read.get(str, "training", "precision", optional=True) or FLOAT32,
            compile=read.flag("training", "compile"),
            seed=read.get(int, "training", "seed"),
            init_seed=read.get(int, "training", "init_seed"),
            device=read.get(str, "training", "device"),
            engine=read.get(str, "training", "engine"),
        )


def differences(then: object, now: object, path: str = "") -> list[str]:
    """Where two configs differ, one line each: `training.lr: 0.1 then, 0.05 now`.

    What is missing is as good as None: a config of before there was an option does not differ from one without it.
    """
    if isinstance(then, dict) and isinstance(now, dict):
        keys = [*then, *(key for key in now if key not in then)]
        return [line for key in keys for line in differences(then.get(key), now.get(key), f"{path}.{key}".lstrip("."))]
    # JSON has no tuples, so a config that was read back has lists in their places
    if _plain(then) == _plain(now):
        return []
    return [f"{path}: {_short(then)} then, {_short(now)} now"]


def _plain(value: object) -> object:
    return [_plain(item) for item in value] if isinstance(value, list | tuple) else value


def _short(value: object) -> str:
    text = "none" if value is None else str(value)
    return text if len(text) <= 40 else f"{text[:40]}…"


class _Reader:
    def __init__(self, raw: object, source: Path) -> None:
        self._raw = raw
        self._source = source

    def full_name(self, *part: str) -> str:
        return f"{self.get(str, *part, 'plugin', 'distribution')}/{self.get(str, *part, 'name')}"

    def teacher(self) -> str | None:
        if self.get(dict, "training", "teacher", optional=True) is None:
            return None
        share = self.get((int, float), "training", "teacher", "share")
        if not is_teacher_share(share):
            raise CheckpointError(f"{self._source} has a damaged config: 'training.teacher.share' is no share")
        return self.full_name("training", "teacher")

    def schedule(self) -> Schedule:
        milestones = self.get(list, "training", "schedule", "milestones")
        gamma = self.get((int, float), "training", "schedule", "gamma")
        final = self.get((int, float), "training", "schedule", "final", optional=True) or 0.0
        warmup, ends = (self.get(int, "training", "schedule", name, optional=True) for name in ("warmup", "ends"))
        cosine = self.flag("training", "schedule", "cosine")
        try:
            steps = tuple(map(operator.index, milestones))
            return Schedule(steps, float(gamma), warmup or 0, cosine, float(final), ends)
        except (TypeError, ValueError, OverflowError) as error:
            raise CheckpointError(f"{self._source} has a damaged config: 'training.schedule' is no schedule") from error

    def count(self, *path: str) -> int | None:
        value = self.get(int, *path, optional=True)
        if value is not None and value < 1:
            raise CheckpointError(f"{self._source} has a damaged config: {'.'.join(path)!r} is not above 0")
        return value

    def flag(self, *path: str) -> bool:
        value: Any = self._raw
        for key in path:
            value = value.get(key) if isinstance(value, dict) else None
        if not isinstance(value, bool | None):
            raise CheckpointError(f"{self._source} has a damaged config: {'.'.join(path)!r} is not a bool")
        return bool(value)

    def get(self, kind: type[T] | tuple[type[T], ...], *path: str, optional: bool = False) -> T:
        value: Any = self._raw
        for key in path:
            value = value.get(key) if isinstance(value, dict) else None
        if optional and value is None:
            return value  # type: ignore[return-value]  # the caller said that None will do
        if not isinstance(value, kind) or isinstance(value, bool):
            where = ".".join(path) or "config"
            name = kind.__name__ if isinstance(kind, type) else "number"
            raise CheckpointError(f"{self._source} has a damaged config: {where!r} is not a {name}")
        return value


def _vocabulary(characters: list[Any] | None, source: Path) -> Vocabulary | None:
    if characters is None:
        return None
    valid = all(isinstance(c, str) and len(c) == 1 for c in characters)
    if not valid or characters != [BOUNDARY, *sorted(set(characters) - {BOUNDARY})]:
        raise CheckpointError(f"{source} has a damaged config: 'dataset.vocabulary' is no vocabulary")
    return Vocabulary(characters)


def _teacher(plan: RunPlan, lesson: Lesson | None) -> dict[str, Any] | None:
    if plan.teaching is None or lesson is None:
        return None
    drawn = {"share": lesson.share, "words": len(lesson.words), "sha256": lesson.sha256}
    return {**_origin(plan.teaching.teacher), **drawn}


def _origin(entry: Entry[Any]) -> dict[str, Any]:
    """A name, and the plugin that supplied it. Never a path: a checkpoint must not say what is imported."""
    spec: Spec = entry.spec
    plugin = {"distribution": entry.plugin.distribution, "version": entry.plugin.version}
    return {"name": spec.name, "plugin": plugin}
