"""The format of a file that is given to `--dataset`, and the settings that it then has.

Like those of a registered dataset they are recorded in `config.json`, so that whatever reads the file again needs
nothing else. The signatures of the functions below declare them.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

from zoo.data.datasets import LECTURE_SPLIT
from zoo.errors import UnknownNameError, UsageError, suggest
from zoo.numbers import show_value
from zoo.options.run import CSV, FORMATS, TEXT, TSV, WORDS, FileOptions
from zoo.phrasing import option
from zoo.plugin.registry import Entry
from zoo.plugin.settings import Signature

TABLES = (CSV, TSV)
_NAMES = ("column", "target")  # settings that name a column

# The settings of a table that shuffle and split its rows. Tables are often sorted by class, so rows are shuffled.
ROWS_SHUFFLE_SEED = 0


def _words(split: tuple[float, float] = LECTURE_SPLIT, shuffle_seed: int | None = None) -> None:
    """Words, one a line."""


def _text(split: tuple[float, float] = LECTURE_SPLIT, evaluate: int | None = None) -> None:
    """Running text."""


def _column(
    column: str,
    header: bool | None = None,
    split: tuple[float, float] = LECTURE_SPLIT,
    shuffle_seed: int | None = None,
) -> None:
    """The words in a column of a table."""


def _target(
    target: str,
    drop: tuple[str, ...] = (),
    categories: tuple[str, ...] = (),
    task: Literal["classes", "numbers"] | None = None,
    header: bool | None = None,
    split: tuple[float, float] = LECTURE_SPLIT,
    shuffle_seed: int | None = ROWS_SHUFFLE_SEED,
) -> None:
    """The targets in a column of a table, and the features in all others."""


def format_of(path: Path) -> str:
    """The format of a file of that name where none is given: words, unless it has the suffix of a table."""
    suffix = path.suffix.lower().removeprefix(".")
    return suffix if suffix in TABLES else WORDS


def resolve_file_settings(path: Path, given: Mapping[str, object], *, recorded: bool = False) -> dict[str, Any]:
    """The settings of a file: what is given, checked, and what its format decides.

    Args:
        path: the file. It is not read.
        given: of the section `data`.
        recorded: they are those of a run. One that records no format has read words, whatever the file is called.

    Raises:
        UsageError: no such format, an unknown key, a value of the wrong type, or settings that do not go together.
    """
    default = WORDS if recorded else format_of(path)
    name = given.get("format") or default
    if name not in FORMATS:
        raise UnknownNameError(f"'data.format' cannot be {show_value(name)}; {suggest(str(name), FORMATS)}")
    is_recorded = name != WORDS or given.get("format") is not None
    format_setting = {"format": name} if is_recorded else {}
    given = {key: value for key, value in given.items() if key != "format" and (value is not None or key not in _NAMES)}
    if name in TABLES:
        return {**format_setting, **_of_table(given)}
    for key in _NAMES:
        if key in given:
            what = "words, one a line" if name == WORDS else "running text"
            raise UsageError(
                f"{option(key)} names a column of a table, and this file is read as {what}: add "
                f"{option('format', CSV)} or {option('format', TSV)}"
            )
    if name == TEXT and given.get("shuffle_seed") is not None:
        raise UsageError("'data.shuffle_seed': running text is split by position, and not shuffled")
    if name == WORDS and "evaluate" in given:
        raise UsageError(
            f"'data.evaluate' is for running text ({option('format', TEXT)}): of words all targets are evaluated"
        )
    signature, who = (_words, "a file of words") if name == WORDS else (_text, "a file of running text")
    values = Signature(signature).resolve("data", given, who)
    return {**format_setting, **{key: value for key, value in values.items() if key in given}}


def _of_table(given: Mapping[str, object]) -> dict[str, Any]:
    if "column" in given and "target" in given:
        raise UsageError(
            f"{option('column')} and {option('target')} do not go together: {option('column')} names the column that "
            f"has the words, {option('target')} the one that has the targets, with features in all others"
        )
    if "column" in given:
        values = Signature(_column).resolve("data", given, f"a table with {option('column')}")
        return {key: value for key, value in values.items() if key in given}
    who = f"a table with {option('target')}" if "target" in given else "a table"
    values = Signature(_target).resolve("data", {"target": "", **given}, who)  # reading it names the columns
    return {key: value for key, value in values.items() if key in given or (key == "shuffle_seed" and values["target"])}


def with_file_options(source: object, settings: Mapping[str, object], options: FileOptions) -> dict[str, object]:
    """Settings of the section `data`, and what the options --format, --column and --target say of a file.

    Args:
        source: a path; or a registered dataset, which has no format.
        settings: those given otherwise, with `--set data.KEY=VALUE`.
        options: the user's.

    Raises:
        UsageError: an option is given for a registered dataset, or otherwise with `--set`.
    """
    given = given_file_options(options)
    for key, value in given.items():
        if not isinstance(source, Path):
            what = "is a plugin's" if isinstance(source, Entry) else "is no file"
            raise UsageError(f"{option(key)} says how a file is read, and this dataset {what}: leave it out")
        if key in settings and str(settings[key]) != value:
            values = f"{option(key)} {show_value(value)} and data.{key}={settings[key]}"
            raise UsageError(f"{values} are two values for the same setting: give one of them")
    return {**settings, **given}


def given_file_options(options: FileOptions) -> dict[str, str]:
    """Those of --format, --column and --target that are given, by the setting's name."""
    values = {"format": options.format, "column": options.column, "target": options.target}
    return {key: value for key, value in values.items() if value is not None}
