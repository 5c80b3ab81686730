"""`config.json` and `metrics.json` read back: everything that made a run, and its result.

The metadata of `model.safetensors` holds the same config. `zoo.runs.describe` writes it. Reading trusts nothing: a
checkpoint may come from anyone.
"""

from __future__ import annotations

import dataclasses
import hashlib
import math
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from zoo.data.finding import Place, RecordedFile
from zoo.data.sources.given import PYTHON
from zoo.data.tensors import Targets
from zoo.data.vocabulary import BOUNDARY, NEWLINE, START, Vocabulary
from zoo.errors import CheckpointError
from zoo.files import canonical_json, parse_json, read_text
from zoo.options.declaration import Declared, declared, reported
from zoo.options.run import ResumeOptions, RunOptions
from zoo.options.schedule import Schedule
from zoo.options.training import recorded_under_todays_names
from zoo.options.values import convert_fields, is_number
from zoo.plugin.recorded import Recorded
from zoo.text import brief

T = TypeVar("T")

RANKS = "ranks"  # in the section `training` of a run by several processes: how many there were

# The values of a config that a resumption may choose, and that need no `--allow-changes`.
CHOSEN_WHEN_RESUMED = (
    *(
        f"training.{name}"
        for name in declared(ResumeOptions)
        if name in declared(RunOptions) and not declared(RunOptions)[name].option.editable
    ),
    f"training.{RANKS}",
)

TARGETS: tuple[Targets, ...] = ("classes", "numbers", "inputs")


@dataclass(frozen=True, repr=False)
class RunConfig:
    """The parts of a config that zoo uses, with their types checked. `raw` is all of it, under today's names.

    `versions` are those of the plugins of `model`, `dataset`, `optimizer` and `synthetic`, as far as they are recorded.
    `model`, `dataset` and `optimizer` are full names (`distribution/name`), except for a dataset that was a file: that
    is its name, or in an earlier config its path as it was typed; or that was given in Python, and has no other name
    than what it is. `kind` is that of the data, and `tokenizer_size` the
    number of ids of a tokenizer of running text. `options` are those of the run, as far as a config
    records them.
    """

    raw: dict[str, Any]
    model: str
    versions: dict[str, str]
    hyperparameters: dict[str, Any]
    inputs: dict[str, Any]
    dataset: str
    dataset_is_file: bool
    dataset_is_given: bool
    dataset_sha256: str
    examples: int | None
    data_settings: dict[str, Any]
    kind: str
    vocabulary: Vocabulary | None
    tokenizer_size: int | None
    optimizer: str
    optimizer_settings: dict[str, Any]
    options: RunOptions
    provides: dict[str, Any]
    targets: Targets
    classes: list[str] | None
    loss_settings: dict[str, Any]

    def __repr__(self) -> str:
        return brief(f"<RunConfig of {self.model} on {self.dataset}>")

    @classmethod
    def read(cls, raw: object, source: Path) -> RunConfig:
        """Check a config.

        Raises:
            CheckpointError: something is missing from it, or of another type.
        """
        read = _Reader(config_under_todays_names(raw), source)
        name = _Reader(raw, source).get(str, "dataset", "name")
        if "\0" in name:
            raise read.damaged("dataset.name", "is not a name")
        of_plugin = read.get(dict, "dataset", "plugin", optional=True) is not None
        is_given = not of_plugin and read.get(str, "dataset", "given_in", optional=True) == PYTHON
        model = read.full_name("model")
        return cls(
            raw=read.get(dict),
            model=model,
            versions={"model": read.get(str, "model", "plugin", "version"), **read.other_versions()},
            hyperparameters=read.get(dict, "model", "hyperparameters"),
            inputs=read.get(dict, "model", "inputs"),
            dataset=read.full_name("dataset") if of_plugin else name,
            dataset_is_file=not of_plugin and not is_given,
            dataset_is_given=is_given,
            dataset_sha256=read.get(str, "dataset", "sha256"),
            examples=_total(read.get(dict, "dataset", "examples", optional=True)),
            data_settings=read.get(dict, "dataset", "settings"),
            kind=read.get(str, "dataset", "kind", optional=True) or "",
            vocabulary=_vocabulary(read.get(list, "dataset", "vocabulary", optional=True), source),
            tokenizer_size=read.get(int, "dataset", "tokenizer", "vocab_size", optional=True),
            optimizer=read.full_name("optimizer"),
            optimizer_settings=read.get(dict, "optimizer", "hyperparameters"),
            options=read.options(model),
            provides=read.get(dict, "dataset", "provides", optional=True) or {},
            targets=read.targets(),
            classes=read.classes(),
            loss_settings=read.get(dict, "loss", "settings", optional=True) or {},
        )

    @property
    def offered(self) -> dict[str, Any]:
        """What the model's plugin may ask for by name: what the data decided, and what it provides."""
        known = {} if self.classes is None else {"classes": self.classes}
        return {**known, **self.inputs, **self.provides}

    def recorded(self, part: str) -> Recorded:
        """What plays a part: `model`, `dataset` (where it is a registered one), `optimizer` or `synthetic`."""
        name = self.options.synthetic if part == "synthetic" else getattr(self, part)
        return Recorded(str(name), self.versions.get(part, "unknown"))

    def table(self) -> dict[str, Any] | None:
        """What the columns of a table were for the model; None where it was trained on something else."""
        return (
            {**self.provides, "classes": self.classes} if self.dataset_is_file and "columns" in self.provides else None
        )

    def data_file(self, folder: Path, place: Place | None) -> RecordedFile:
        """The data, where it was a file, of the run in that folder; `place` is what its training state remembers."""
        return RecordedFile(self.dataset, self.dataset_sha256, self.examples, folder, place)


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
    shown = [_short(value, quoted=_text(then) == _text(now)) for value in (then, now)]
    return [f"{path}: {shown[0]} then, {shown[1]} now"]


def is_in(line: str, paths: Collection[str]) -> bool:
    """Whether a difference is one of the values at these paths of a config, or within them."""
    path = line.partition(":")[0]
    return any(f"{path}.".startswith(f"{other}.") for other in paths)


def _plain(value: object) -> object:
    return [_plain(item) for item in value] if isinstance(value, list | tuple) else value


def _text(value: object) -> str:
    return "none" if value is None else str(value)


def _short(value: object, *, quoted: bool) -> str:
    """A value in a message; text in quotes where it looks like what it differs from."""
    text = repr(value) if quoted and isinstance(value, str) else _text(value)
    return text if len(text) <= 40 else f"{text[:40]}…"


def config_under_todays_names(raw: object) -> object:
    """A config as it would be written today: of before an option was renamed, or losses had names, or with a path."""
    if not isinstance(raw, dict) or not isinstance(raw.get("training"), dict):
        return raw
    training = recorded_under_todays_names(raw["training"])
    return {"loss": _ONLY_LOSS, **raw, "training": training, **_under_todays_names(raw.get("dataset"))}


_ONLY_LOSS = {"name": "cross_entropy", "unit": "nats", "settings": {}}  # before there were others


def _under_todays_names(dataset: object) -> dict[str, Any]:
    """The dataset of a config without a path, and with what its targets are."""
    if not isinstance(dataset, dict):
        return {}
    if dataset.get("kind") == "tensors" and "targets" not in dataset:
        dataset = {**dataset, "targets": "classes"}
    if dataset.get("plugin") is None and isinstance(dataset.get("name"), str):
        dataset = {**dataset, "name": Path(dataset["name"]).name or dataset["name"]}
    return {"dataset": dataset}


def _total(examples: dict[str, Any] | None) -> int | None:
    """The number of examples of all splits; None if they are not recorded."""
    counts = list((examples or {}).values())
    return sum(counts) if counts and all(type(count) is int for count in counts) else None


class _Reader:
    def __init__(self, raw: object, source: Path) -> None:
        self._raw = raw
        self._source = source

    def damaged(self, where: str, problem: str) -> CheckpointError:
        return CheckpointError(f"{self._source} has a damaged config: {where!r} {problem}")

    def options(self, model: str) -> RunOptions:
        """The options of the run, from the section `training`; one that is newer than the config has its default."""
        training = self.get(dict, "training")
        found: dict[str, Any] = {}
        for option in declared(RunOptions).values():
            if option.option.recorded:
                value = self._option(option, training)
                found[option.name] = option.fallback if value is None else value
        if found["seconds"] is not None and training.get("steps") is None:
            found["steps"] = None
        return RunOptions(model, **found)

    def _option(self, option: Declared, training: Mapping[str, Any]) -> object:
        where = f"training.{option.name}"
        value = training.get(option.name)
        if option.name == "steps" and value is None and is_number(training.get("seconds")):
            return None  # as many as the time allows
        if value is None and not option.option.may_be_missing:
            raise self.damaged(where, "is missing")
        if option.name == "schedule":
            return self.schedule()
        if option.option.plugin and value is not None:
            return self.full_name("training", option.name)
        problem = None if value is None else option.problem(value)
        if problem is not None:
            raise self.damaged(where, problem)
        return value

    def other_versions(self) -> dict[str, str]:
        """The versions of plugins besides the model's; what an old or damaged config lacks is left out."""
        found = {}
        for part, path in {
            "dataset": ("dataset",),
            "optimizer": ("optimizer",),
            "synthetic": ("training", "synthetic"),
        }.items():
            plugin: Any = self._raw
            for key in (*path, "plugin", "version"):
                plugin = plugin.get(key) if isinstance(plugin, dict) else None
            if isinstance(plugin, str):
                found[part] = plugin
        return found

    def classes(self) -> list[str] | None:
        """The names of the classes, where the data has any."""
        names = self.get(list, "dataset", "classes", optional=True)
        if names is not None and (not all(isinstance(name, str) for name in names) or len(set(names)) < len(names)):
            raise self.damaged("dataset.classes", "is no list of different names")
        return names

    def targets(self) -> Targets:
        """What a model of tensors predicts; earlier runs had classes only."""
        name = self.get(str, "dataset", "targets", optional=True) or "classes"
        for known in TARGETS:
            if name == known:
                return known
        raise self.damaged("dataset.targets", f"is none of {', '.join(TARGETS)}")

    def full_name(self, *part: str) -> str:
        return f"{self.get(str, *part, 'plugin', 'distribution')}/{self.get(str, *part, 'name')}"

    def schedule(self) -> Schedule:
        raw = self.get(dict, "training", "schedule")
        known = {name: raw[name] for name in (field.name for field in dataclasses.fields(Schedule)) if name in raw}
        try:
            return convert_fields(Schedule, known)
        except (TypeError, ValueError, OverflowError) as error:
            raise self.damaged("training.schedule", "is not a schedule") from error

    def get(self, kind: type[T], *path: str, optional: bool = False) -> T:
        value: Any = self._raw
        for key in path:
            value = value.get(key) if isinstance(value, dict) else None
        if optional and value is None:
            return value  # type: ignore[return-value]  # the caller said that None will do
        if not isinstance(value, kind) or isinstance(value, bool):
            raise self.damaged(".".join(path) or "config", f"is not a {kind.__name__}")
        return value


def _vocabulary(characters: list[Any] | None, source: Path) -> Vocabulary | None:
    if characters is None:
        return None
    valid = bool(characters) and all(isinstance(c, str) and len(c) == 1 for c in characters[characters[0] == START :])
    boundary = characters[0] if valid else None
    if boundary not in (BOUNDARY, NEWLINE, START) or characters != [boundary, *sorted(set(characters) - {boundary})]:
        raise CheckpointError(f"{source} has a damaged config: 'dataset.vocabulary' is no vocabulary")
    return Vocabulary(characters, boundary)


def classes_of(config: Mapping[str, Any]) -> int:
    """How many classes the targets of a checked config have at most: the largest number that the data decided."""
    vocabulary = config["dataset"].get("vocabulary") or ()
    return max([*(size for size in config["model"]["inputs"].values() if isinstance(size, int)), len(vocabulary), 1])


# metrics.json: the result, with digests that tie it to the weights and show whether it was edited

WEIGHTS_KEY = "weights_sha256"  # of the weights that the losses are of: the digest in their file's metadata
_DIGEST_KEY = "sha256"  # of all the rest


def sealed(metrics: Mapping[str, Any]) -> dict[str, Any]:
    """The same metrics with their digest, in place of one that they have."""
    rest = {key: value for key, value in metrics.items() if key != _DIGEST_KEY}
    return {**rest, _DIGEST_KEY: _digest(rest)}


def read_metrics(path: Path) -> dict[str, Any]:
    """The object in a `metrics.json`. Runs of before it had digests are read too.

    Raises:
        CheckpointError: the file is missing or damaged, or was edited.
    """
    metrics = read_json(path)
    losses = metrics.get("losses")
    if not isinstance(losses, dict) or not all(type(x) is float and math.isfinite(x) for x in losses.values()):
        raise CheckpointError(f"{path} has no losses")
    if _DIGEST_KEY in metrics and metrics != sealed(metrics):
        raise CheckpointError(f"{path} was edited: it does not have the digest that it states")
    return metrics


def read_json(path: Path) -> dict[str, Any]:
    """The object in a JSON file.

    Raises:
        CheckpointError: the file is missing, or no JSON object.
    """
    try:
        value = parse_json(read_text(path))
    except OSError as error:
        raise CheckpointError(f"cannot read {path}: {error.strerror}") from error
    except ValueError as error:
        raise CheckpointError(f"{path} is damaged: it is not JSON") from error
    if not isinstance(value, dict):
        raise CheckpointError(f"{path} is damaged: it is not a JSON object")
    return value


def unlike(metrics: Mapping[str, Any], config: Any) -> list[str]:
    """What metrics say otherwise than the config of their run. What they do not have, as earlier ones, is left out."""
    try:
        wanted = {
            "model": config["model"]["name"],
            "parameters": config["model"]["parameters"],
            "optimizer": config["optimizer"]["name"],
            **{key: config["training"].get(name) for key, name in reported(RunOptions).items()},
        }
        data = {f"dataset.{key}": config["dataset"][key] for key in ("sha256", "examples")}
    except (AttributeError, KeyError, TypeError):
        return ["config"]
    own = metrics.get("dataset")
    stated = {f"dataset.{key}": value for key, value in own.items()} if isinstance(own, dict) else {}
    stated |= metrics
    wanted |= data
    del wanted["steps"]  # those that were planned
    return [name for name, value in wanted.items() if name in stated and stated[name] != value]


def _digest(metrics: Mapping[str, Any]) -> str:
    return hashlib.sha256(canonical_json(metrics).encode("utf-8", "surrogatepass")).hexdigest()
