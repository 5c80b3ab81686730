"""`zoo data`."""

from __future__ import annotations

import unicodedata
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from zoo import stages
from zoo.cli import output
from zoo.cli.options import given as options_given
from zoo.cli.options import options_of
from zoo.cli.state import State, debug_option, json_option, offline_option, shows_progress
from zoo.cli.table import print_table
from zoo.options.run import FileOptions
from zoo.plugin.settings import parse_assignments
from zoo.text import visible

if TYPE_CHECKING:
    from zoo.data.tables.summary import TableSummary

_SHOWN = 40  # items of a list, unless all are asked for
_SPLITS = ("train", "val", "test")
_RANGE = ("min", "mean", "max")
_TARGETS = {"classes": "classes, ", "numbers": "numbers, ", "inputs": "none"}


@click.command("data")
@click.argument("dataset", metavar="NAME|FILE")
@options_of(FileOptions)
@click.option("--set", "settings", multiple=True, metavar="data.KEY=VALUE", help="Change a setting; repeatable.")
@click.option("--all", "show_all", is_flag=True, help="Show all characters, repeated words and classes.")
@offline_option
@json_option
@debug_option
@click.pass_obj
@shows_progress
def command(
    state: State,
    /,
    dataset: str,
    settings: tuple[str, ...],
    show_all: bool,
    offline: bool,
    as_json: bool,
    **parameters: Any,
) -> None:
    """Show what is in a dataset.

    Counts by split, the vocabulary with frequencies, lengths, duplicates within and across splits, rare characters,
    Unicode forms; classes and their balance, ranges. Of a table, its columns; with --target, what they become.

    \b
    zoo data names
    zoo data words.txt --set data.shuffle_seed=42
    zoo data play.txt --format text
    zoo data houses.csv --target price
    """
    from zoo.data.download import fetcher
    from zoo.data.files.settings import TABLES, with_file_options
    from zoo.data.loading import find_dataset, load_dataset, resolve_data_settings
    from zoo.data.summary.describing import describe
    from zoo.data.tables.summary import summarize_table
    from zoo.plugin.settings import split_sections

    source = find_dataset(state.registry, dataset)
    given = split_sections(parse_assignments(settings, ("data",)), ("data",))["data"]
    given = with_file_options(source, given, options_given(FileOptions, parameters))
    resolved = resolve_data_settings(source, given)
    if isinstance(source, Path) and resolved.get("format") in TABLES and not {"column", "target"} & given.keys():
        print_columns(dataset, summarize_table(source, resolved["format"], header=resolved.get("header")), as_json)
        return
    state.settle()
    with stages.within("Reading the data"):
        data = load_dataset(source, resolved, fetcher(offline=offline))
    for notice in getattr(data, "notices", ()):
        output.warning(notice)
    found = {"dataset": dataset, **describe(data)}
    if as_json:
        output.json_object(found)
        return
    most = None if show_all else _SHOWN
    {"text": _print_words, "corpus": _print_corpus, "tensors": _print_tensors}[found["kind"]](found, most)


def print_columns(dataset: str, table: TableSummary, as_json: bool) -> None:
    """What is in the columns of a table of which none has been named as the target."""
    if as_json:
        output.json_object({"dataset": dataset, "kind": "table", **table.as_json()})
        return
    output.lines(f"{dataset}: a table of {table.rows:,} rows{table.layout}", "")
    cells = []
    for column in table.columns:
        numbers = (column.least, column.mean, column.most)
        shown = tuple("-" if number is None else f"{number:.6g}" for number in numbers)
        values = ", ".join(f"{_shown(visible(text))} {count:,}" for text, count in column.frequent.items())
        different = "many" if column.different is None else f"{column.different:,}"
        cells.append((visible(column.name), column.kind, different, f"{column.missing:,}", *shown, values))
    columns = ["different", "missing", *_RANGE]
    print_table(["column", "", *columns, "most frequent"], cells, right=columns)
    for column in table.columns:
        if column.stray:
            odd = ", ".join(f"{_shown(visible(text))!r} in row {row:,}" for text, row in column.stray)
            output.lines("", f"Column {visible(column.name)} has cells that are no numbers where most are: {odd}")
    output.lines("", "--target NAME shows what a model is trained on, --column NAME the words of a column")


def _print_corpus(found: dict[str, Any], most: int | None) -> None:
    counts, vocabulary, unit = found["counts"], found["vocabulary"], found["unit"]
    output.lines(f"{found['dataset']}: running text, sha256 {found['sha256']}", "")
    print_table(["split", unit], [(name, f"{count:,}") for name, count in counts.items()], right=[unit])
    lines = f"{found['lines']:,} lines; " if "lines" in found else ""
    output.lines("", f"{lines}{vocabulary['used']:,} different {unit}")
    if vocabulary["frequencies"]:
        items = [(_character(one["character"]), one["count"]) for one in vocabulary["frequencies"]]
        output.lines(_counted(items, most))


def _print_words(found: dict[str, Any], most: int | None) -> None:
    vocabulary, lengths, duplicates = found["vocabulary"], found["lengths"], found["duplicates"]
    output.lines(f"{found['dataset']}: words, sha256 {found['sha256']}", "")
    within, also = duplicates["within"], duplicates["also_in_training"]
    rows = [
        (
            name,
            *(f"{found[key][name]:,}" for key in ("words", "characters")),
            *(f"{of[name]:,}" if name in of else "" for of in (within, also)),
        )
        for name in ("total", *_SPLITS)
    ]
    columns = ["words", "characters", "repeated", "also in training"]
    print_table(["split", *columns], rows, right=columns)
    output.lines(
        "",
        f"Length: {lengths['min']:,} to {lengths['max']:,} characters, median {lengths['median']:g}, "
        f"mean {lengths['mean']:.2f}; the longest is {_shown(lengths['longest'])}",
        f"{also['share']:.1%} of validation and test words are also in training",
        f"Different words: {duplicates['different']:,}" + _most_repeated(duplicates["repeated"], most),
        _forms(found["unicode"]),
    )
    boundary, *characters = vocabulary["frequencies"]
    output.lines(
        "",
        f"Vocabulary: {vocabulary['size']:,} tokens; {_character(vocabulary['boundary'])} is token 0, where a word "
        "starts and ends",
        _counted([(_character(one["character"]), one["count"]) for one in (boundary, *characters)], most),
    )
    if rare := found["rare"]:
        output.lines("", f"Rare characters, which occur fewer than {_rare_below():,} times: {len(rare):,}")
        cells = [(_character(one["character"]), f"{one['count']:,}", _shown(one["word"])) for one in rare[:most]]
        print_table(["character", "count", "as in"], cells, right=["count"])
        _say_cut(len(rare), most)


def _rare_below() -> int:
    from zoo.data.summary.words import RARE

    return RARE


def _most_repeated(repeated: Sequence[dict[str, Any]], most: int | None) -> str:
    if not repeated:
        return "; none is repeated"
    listed = repeated if most is None else repeated[:5]
    return "; most often: " + ", ".join(f"{_shown(one['word'])} {one['count']:,} times" for one in listed)


def _forms(found: dict[str, Any]) -> str:
    if found["form"] == "ASCII":
        return "Unicode form: ASCII only"
    if not found["decomposed"]:
        return "Unicode form: composed (NFC)"
    form = "decomposed (NFD)" if found["form"] == "NFD" else "mixed"
    return (
        f"Unicode form: {form}; {found['decomposed']:,} words are not composed (NFC), and {found['would_merge']:,} "
        "fewer words would be different if they were"
    )


def _print_tensors(found: dict[str, Any], most: int | None) -> None:
    inputs, targets = found["inputs"], found["targets"]
    output.lines(f"{found['dataset']}: tensors, sha256 {found['sha256']}", "")
    rows = [(name, f"{found['examples'][name]:,}", *_range(inputs[name])) for name in _SPLITS]
    print_table(["split", "examples", *_RANGE], rows, right=["examples", *_RANGE])
    output.lines("", f"Inputs: {_size(inputs)}; targets: {_TARGETS[targets['kind']]}{_size(targets)}")
    if found["read"] != {name: found["examples"][name] for name in _SPLITS}:
        read = ", ".join(f"{name} {count:,}" for name, count in found["read"].items())
        output.lines(f"What is counted and its ranges are of some examples, evenly spaced: {read}")
    if found["constant_columns"]:
        count = len(found["constant_columns"])
        output.lines(f"Numbers of an example that are the same in all of the training split: {count:,}")
    if found["columns"]:
        output.lines("")
        cells = [(str(one["column"]), *_range(one)) for one in found["columns"]]
        print_table(["column", *_RANGE], cells, right=["column", *_RANGE])
    if targets["kind"] == "numbers":
        output.lines("")
        rows = [(name, *_range(targets[name])) for name in _SPLITS]
        print_table(["targets of", *_RANGE], rows, right=_RANGE)
    if classes := found["classes"]:
        output.lines("")
        totals = {name: max(1, sum(one[name] for one in classes)) for name in _SPLITS}
        cells = [
            (str(one["class"]), *(f"{one[name]:,} ({one[name] / totals[name]:.1%})" for name in _SPLITS))
            for one in classes[:most]
        ]
        print_table(["class", *_SPLITS], cells, right=_SPLITS)
        _say_cut(len(classes), most)


def _range(of: dict[str, Any]) -> tuple[str, ...]:
    return tuple(f"{of[key]:.6g}" if key in of else "-" for key in _RANGE)


def _size(one: dict[str, Any]) -> str:
    return f"{one['dtype']} of shape ({', '.join(map(str, ['N', *one['shape']]))})" if "shape" in one else ""


def _counted(items: Sequence[tuple[str, int]], most: int | None) -> str:
    """Items with their counts, on one line; the end is left out where it is long."""
    listed = ", ".join(f"{text} {count:,}" for text, count in items[:most])
    return listed if most is None or len(items) <= most else f"{listed}, and {len(items) - most:,} more (--all)"


def _say_cut(count: int, most: int | None) -> None:
    if most is not None and count > most:
        output.lines(f"and {count - most:,} more (--all)")


def _character(character: str) -> str:
    """A character as a person can see it: what would not be seen alone is in quotes or has its code point."""
    if unicodedata.category(character or " ").startswith("M"):
        return f"U+{ord(character):04X} ({unicodedata.name(character, 'a mark')})"
    plain = character.isprintable() and not character.isspace() and visible(character) == character
    return character if plain and character else visible(repr(character))


def _shown(word: str) -> str:
    return word if len(word) <= _SHOWN else f"{word[: _SHOWN // 2]}… ({len(word):,} characters)"
