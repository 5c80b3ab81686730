"""The settings of a run as flat names and values: `lr`, `model.hidden_size`, `schedule.warmup`, `versions.torch`."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from zoo.files import canonical_json
from zoo.storage.config import config_under_todays_names

SEEDS = ("seed", "init_seed")  # runs that differ in these alone repeat each other
_PARTS = ("model", "dataset", "optimizer", "loss")
_SECTIONS = {"dataset": "data"}  # as --set has them
_CONSEQUENCES = {  # what follows from the other settings
    *("model.inputs", "model.parameters", "metrics", "loss.unit"),
    *("training.synthetic.words", "training.synthetic.sha256"),
    *(
        f"dataset.{key}"
        for key in ("kind", "examples", "vocabulary", "targets", "classes", "provides", "sha256_covers")
    ),
}
_MAX_SHOWN = 40  # characters of a value


def settings_of(config: object) -> dict[str, Any]:
    """The settings in a config, of a run of today or an earlier one. What is None is left out.

    Options of a run have the names of its command line; other settings those of `--set`, with their section. The name
    of a part is `model`, `data`, `optimizer` or `loss`, what provides it is `plugins.model`, and so on.
    """
    settings = dict(_flat(config_under_todays_names(config), ""))
    if "seconds" in settings:
        settings.pop("steps", None)  # how many there were follows from the time, or is at most a limit beside it
    return settings


def _flat(value: object, path: str) -> Iterator[tuple[str, Any]]:
    if value is None or path in _CONSEQUENCES:
        return
    if not isinstance(value, dict):
        yield _name(path), value
    elif path.rpartition(".")[2] == "plugin" and value.keys() == {"distribution", "version"}:
        part = path.removesuffix(".plugin").removeprefix("training.")
        yield f"plugins.{_SECTIONS.get(part, part)}", f"{value['distribution']} {value['version']}"
    else:
        for key, inner in value.items():
            yield from _flat(inner, f"{path}.{key}".lstrip("."))


def _name(path: str) -> str:
    """`lr` of `training.lr`, `model.hidden_size` of `model.hyperparameters.hidden_size`, `data` of `dataset.name`."""
    section, _, rest = path.partition(".")
    if section == "training":
        return rest.removesuffix(".name")
    if section not in _PARTS:
        return path
    name = _SECTIONS.get(section, section)
    if rest == "name":
        return name
    for group in ("hyperparameters.", "settings."):
        if rest.startswith(group):
            return f"{name}.{rest.removeprefix(group)}"
    return f"{name}.{rest}"


def differing(runs: Sequence[Mapping[str, Any]]) -> list[str]:
    """The names of the settings that are not the same in all runs, in the order of the runs' own settings."""
    first: dict[str, tuple[str, object]] = {}
    having: dict[str, int] = {}
    several = set()  # names of settings that have more than one value
    for run in runs:  # each setting of each run once: a config may have any number of them
        for name, value in run.items():
            if first.setdefault(name, identity(value)) != identity(value):
                several.add(name)
            having[name] = having.get(name, 0) + 1
    return [name for name in first if name in several or having[name] < len(runs)]


def identity(value: object) -> tuple[str, object]:
    """What two equal settings share: 1 and 1.0 are equal, 1 and true are not."""
    if value is None or isinstance(value, bool):
        return "constant", str(value)
    if isinstance(value, int | float):
        return "number", value
    return ("text", value) if isinstance(value, str) else ("value", canonical_json(value))


def show_setting(value: object) -> str:
    """A setting for a person; without its middle if it is long."""
    if value is None:
        return "-"
    if isinstance(value, bool):
        return str(value).lower()
    text = value if isinstance(value, str) else f"{value}" if isinstance(value, int | float) else canonical_json(value)
    half = _MAX_SHOWN // 2
    return text if len(text) <= _MAX_SHOWN else f"{text[:half]}…{text[-half + 1 :]}"
