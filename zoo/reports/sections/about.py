"""How a run was made: its settings, versions and plugins; how to load, sample, resume and reproduce it; its files."""

from __future__ import annotations

import contextlib
import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from zoo.errors import ZooError
from zoo.files import kind_of, open_file
from zoo.memory import show_bytes
from zoo.options.declaration import declared
from zoo.options.run import RunOptions
from zoo.options.schedule import Schedule
from zoo.plugin.recorded import find_recorded
from zoo.plugin.settings import REQUIRED, signature_of
from zoo.plugin.specs import Preset
from zoo.reports.reported import ReportedRun
from zoo.reports.section import Part
from zoo.runs.listing.settings import identity, settings_of, show_setting
from zoo.storage.card import LOAD_WITH_ZOO, LOAD_WITHOUT_ZOO, command
from zoo.storage.folder import FILES, REPORT_FILE, STATE_FILE, WEIGHTS_FILE
from zoo.storage.shipped import has_weights, shipped_weights
from zoo.text import quoted, quoted_path, visible

_GROUPS = {"data": "Data", "model": "Model", "optimizer": "Optimizer", "loss": "Loss"}
_CHOSEN = ("device", "engine", "threads")  # by the machine and the data, where nobody does
_DIGITS = 16  # of a digest in the table
_TRAINING, _LAST = "Training", {"plugins": "Plugins", "versions": "Versions"}


@dataclass(frozen=True)
class Setting:
    """A setting of a run, as it can be shown.

    Attributes:
        name, value: of the setting.
        is_default: whether a run of the model without options has the same value; None where that is not known.
    """

    name: str
    value: str
    is_default: bool | None


@dataclass(frozen=True)
class File:
    """A file of a run folder; `sha256` of all that is in it."""

    name: str
    size: str
    sha256: str


@dataclass(frozen=True)
class Code:
    """Something to copy."""

    title: str
    text: str


def make(run: ReportedRun) -> Part:
    """Everything that is recorded of a run, for people, and as JSON."""
    return Part(
        {
            "groups": grouped(run),
            "codes": codes(run),
            "where": _where(run),
            "files": files(run.loaded.path),
            "config": run.config,
        }
    )


def grouped(run: ReportedRun) -> Mapping[str, Sequence[Setting]]:
    """The settings of a run by what they are of."""
    titles = {**_GROUPS, "": _TRAINING, **_LAST}
    groups: dict[str, list[Setting]] = {title: [] for title in titles.values()}
    defaults = _defaults(run)
    settings = settings_of(run.config)
    for name in sorted(settings, key=lambda name: (name not in titles, name)):  # the name of a part goes first
        value, section = settings[name], name.partition(".")[0]
        as_default = identity(_plain(value)) == identity(_plain(defaults[name])) if name in defaults else None
        text = f"{value[:_DIGITS]}…" if name.endswith("sha256") and isinstance(value, str) else show_setting(value)
        groups[titles.get(section, _TRAINING)].append(Setting(visible(name), visible(text), as_default))
    return {title: found for title, found in groups.items() if found}


def _defaults(run: ReportedRun) -> dict[str, Any]:
    """What the settings are in a run of this model without any options, as far as that is known without making one."""
    entry = run.loaded.entry
    name, preset = next(iter(entry.spec.presets.items()), (None, Preset()))
    found: dict[str, Any] = {"preset": name}
    for option in declared(RunOptions).values():
        if option.option.recorded and option.name not in _CHOSEN:
            said = [value for of in (preset, entry.spec) if (value := getattr(of, option.name, None)) is not None]
            found.setdefault(option.name, said[0] if said else option.fallback)
    schedule = found.pop("schedule", None)
    if isinstance(schedule, Schedule):
        found |= {f"schedule.{key}": value for key, value in asdict(schedule).items()}
    checked, registry = run.loaded.checked, run.registry
    try:
        optimizer = find_recorded(registry, registry.optimizers, checked.recorded("optimizer"), run.loaded.path)
        signatures = {"model": signature_of(entry), "optimizer": signature_of(optimizer)}
    except ZooError:  # what is installed now has none that can be read
        signatures = {}
    for section, signature in signatures.items():
        known = {f"{section}.{key}": one.default for key, one in signature.settings.items()}
        found |= {key: default for key, default in known.items() if default is not REQUIRED}
    return found | dict(preset.settings)


def _plain(value: object) -> object:
    """As JSON has it: lists in the place of tuples."""
    return [_plain(one) for one in value] if isinstance(value, list | tuple) else value


def codes(run: ReportedRun) -> list[Code]:
    """What one may do with a run, to be copied."""
    target, python = _loading(run)
    titles = ("Load it with zoo", "Load the weights without zoo")
    found = [Code(title, text) for title, text in zip(titles, python, strict=False)]
    can_sample = run.loaded.reads_text or run.loaded.entry.spec.generate is not None
    found += [Code("Sample from it", f"zoo sample {target}")] if can_sample else []
    found.append(Code("Predict with it", f"zoo predict {target} {_inputs(run)}"))
    if kind_of(run.folder / STATE_FILE) == "file" and run.loaded.path.name == WEIGHTS_FILE:
        found.append(Code("Train it further", f"zoo resume {target} --steps {_more_steps(run)}"))
    with contextlib.suppress(AttributeError, KeyError, TypeError, ValueError):  # of an earlier version, or edited
        found.append(Code("Reproduce it", command(run.config)))
    return found


def _loading(run: ReportedRun) -> tuple[str, list[str]]:
    """What commands call a run, and the Python that loads it with zoo and without."""
    path, entry = run.loaded.path, run.loaded.entry
    if _is_shipped(run):
        return entry.spec.name, [LOAD_WITH_ZOO.replace(WEIGHTS_FILE, entry.spec.name)]
    if path.name == WEIGHTS_FILE:
        return quoted_path(run.folder.name), [LOAD_WITH_ZOO, LOAD_WITHOUT_ZOO]
    plain = path.name.isprintable() and not set(path.name) & {'"', "\\"}  # it can stand in quotes
    python = [text.replace(WEIGHTS_FILE, path.name) for text in (LOAD_WITH_ZOO, LOAD_WITHOUT_ZOO)]
    return quoted_path(path.name), python if plain else []


def _is_shipped(run: ReportedRun) -> bool:
    """Whether these are the weights that the model's plugin ships."""
    entry = run.loaded.entry
    return has_weights(entry) and shipped_weights(entry) == run.loaded.path


def _where(run: ReportedRun) -> str | None:
    """In which folder the code is to be run."""
    if _is_shipped(run):
        return None
    if run.loaded.path.name == WEIGHTS_FILE:
        return "Run the Python code in the run's folder, and the commands in the folder that it is in."
    return "Run all of it in the folder that the file is in."


def _inputs(run: ReportedRun) -> str:
    """Something for `zoo predict`: a letter that the model knows, or some rows of its data."""
    vocabulary = run.loaded.checked.vocabulary
    letters = sorted((c for c in vocabulary or () if c.isalnum()), key=lambda c: not c.isalpha())  # no digit first
    return quoted(letters[0]) if letters else "--split val --rows 0:5"


def _more_steps(run: ReportedRun) -> int:
    """Twice as many as it has."""
    steps = run.loaded.checked.options.steps
    return 2 * max(1, steps if isinstance(steps, int) else 1, run.loaded.step or 0)


def files(weights: Path) -> list[File]:
    """The files of a run beside its weights, and the weights."""
    names = [name for name in FILES if name != REPORT_FILE]  # which must not depend on an earlier one
    names = names if weights.name == WEIGHTS_FILE else [weights.name]
    found = []
    for path in (weights.parent / name for name in names):
        if kind_of(path) == "file":
            with open_file(path) as file:
                digest = hashlib.file_digest(file, "sha256").hexdigest()
                found.append(File(visible(path.name), show_bytes(file.tell()), digest))
    return found
