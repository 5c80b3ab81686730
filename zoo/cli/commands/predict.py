"""`zoo predict`."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from zoo.cli import output
from zoo.cli.new_file import check_new
from zoo.cli.options import PathFromPerson, given, options_of
from zoo.cli.predictions import OfClasses, OfLikelihoods, OfNumbers, Report
from zoo.cli.state import (
    State,
    dataset_option,
    debug_option,
    json_option,
    offline_option,
    run_argument,
    shows_progress,
)
from zoo.cli.texts import STDIN, as_meant, read_stdin, read_text_file
from zoo.errors import UsageError
from zoo.numbers import parse_whole, show_value
from zoo.options.run import FileOptions

if TYPE_CHECKING:
    from torch import Tensor

    from zoo.data.kinds import Dataset
    from zoo.storage.loading import Loaded


def _parse_rows(ctx: click.Context, parameter: click.Parameter, value: str | None) -> tuple[int, int | None] | None:
    """`3`, `0:10`, `10:` and `:10`, counted from 0; the end is left out."""
    if value is None:
        return None
    first, colon, last = value.partition(":")
    try:
        start = parse_whole(first) if first or not colon else 0
        stop = parse_whole(last) if last else None if colon else start + 1
    except ValueError as error:
        raise click.BadParameter(f"{show_value(value)} is not rows, as in 0:10 or 3") from error
    if start < 0 or (stop is not None and stop <= start):
        raise click.BadParameter(f"{show_value(value)} has no rows: they are counted from 0, as in 0:10 or 3")
    return start, stop


@click.command("predict")
@run_argument
@click.argument("inputs", nargs=-1, metavar="[TEXT]...")
@click.option("--likelihood", is_flag=True, help="The log-likelihood of each TEXT, and not what follows it.")
@click.option(
    "--input",
    type=PathFromPerson(),
    metavar="FILE",
    help="The inputs: .npy; or .csv or .tsv with the columns; or a file of text.",
)
@click.option("--split", type=click.Choice(("train", "val", "test")), help="The inputs of a split of the data.")
@click.option("--rows", callback=_parse_rows, metavar="A:B", help="Only these inputs, counted from 0, without B.")
@click.option("--csv", "as_csv", is_flag=True, help="Print CSV.")
@click.option("--out", type=PathFromPerson(), metavar="FILE", help="Write a new file: .csv or .json.")
@dataset_option
@options_of(FileOptions)
@offline_option
@json_option
@debug_option
@click.pass_obj
@shows_progress
def command(state: State, /, run: str, inputs: tuple[str, ...], **parameters: Any) -> None:
    """Predict with RUN: the next character, the likelihood of words, classes, or numbers.

    A model of text predicts the character that follows each TEXT, or begins a word if there is none. With
    --likelihood it says how probable each TEXT is, of a word with its end. TEXT - is stdin, and
    --input a file: a word a line, or one running text. In running text \\n is a newline.

    Any other model predicts the class, or the numbers, of each row of --input. --split takes the words, or the rows,
    of a split of the data.

    RUN is a run folder, a .safetensors file, or the name of a model with shipped weights.
    """
    if parameters["as_csv"] and parameters["as_json"]:
        raise UsageError("--csv and --json exclude each other")
    if parameters["out"] is not None:
        check_new(parameters["out"], (".csv", ".json"))
    from zoo.storage.loading import load

    state.settle()
    loaded = load(run, state.registry)
    report_of = _of_text if loaded.reads_text else _of_tensors
    report = report_of(state, loaded, inputs, parameters)
    _show(report, run, loaded, parameters)


def _show(report: Report, run: str, loaded: Loaded, parameters: dict[str, Any]) -> None:
    out: Path | None = parameters["out"]
    result = report.as_json(run, loaded.entry.spec.name)
    if out is not None:
        from zoo.files import readable_json, write_text

        write_text(out, report.as_csv() if out.suffix.lower() == ".csv" else readable_json(result))
    if parameters["as_json"]:
        output.json_object(result)
    elif parameters["as_csv"]:
        output.lines(*report.as_csv().removesuffix("\n").split("\n"))
    elif out is not None:
        output.lines(str(out))
    else:
        report.show()


def _of_text(state: State, loaded: Loaded, inputs: tuple[str, ...], parameters: dict[str, Any]) -> Report:
    texts = _texts(loaded, inputs, parameters["input"])
    if parameters["split"] is not None:
        texts += _words_of_split(state, loaded, parameters)
    elif parameters["rows"] is not None or parameters["dataset"] is not None:
        flag = "rows" if parameters["rows"] is not None else "dataset"
        raise UsageError(f"--{flag} is for --split: add --split NAME, or leave it out")
    if parameters["likelihood"]:
        if not texts:
            raise UsageError("--likelihood needs words, or a text: zoo predict RUN --likelihood TEXT")
        unit = "tokens" if loaded.checked.vocabulary is None else "characters"
        return OfLikelihoods(loaded.likelihood(texts), unit)
    texts = texts or [""]
    return OfClasses(loaded.predict(texts), {"after": texts}, characters=True)


def _words_of_split(state: State, loaded: Loaded, parameters: dict[str, Any]) -> list[str]:
    from zoo.data.datasets import TextDataset

    data = _data(state, loaded, parameters)
    if not isinstance(data, TextDataset) or not loaded.samples_words:
        raise UsageError(f"--split is for words and tensors, and {loaded.entry.title} reads running text: give TEXT")
    words = data.splits[parameters["split"]]
    start, stop = parameters["rows"] or (0, None)
    return list(_checked_rows(words[start:stop], start, len(words)))


def _data(state: State, loaded: Loaded, parameters: dict[str, Any]) -> Dataset:
    """The data of the run, or that which is given."""
    from zoo.data.download import fetcher

    fetch, options = fetcher(offline=parameters["offline"]), given(FileOptions, parameters)
    return loaded.dataset(state.registry, fetch, parameters["dataset"], options)


def _texts(loaded: Loaded, inputs: Sequence[str], file: Path | None) -> list[str]:
    """The texts that are given, those of stdin and of a file among them."""

    def split(text: str) -> list[str]:
        return [line.strip() for line in text.splitlines() if line.strip()] if loaded.samples_words else [text]

    texts = []
    for text in inputs:
        texts += split(read_stdin()) if text == STDIN else [as_meant(text, loaded)]
    return texts if file is None else [*texts, *split(read_text_file(file))]


def _of_tensors(state: State, loaded: Loaded, inputs: tuple[str, ...], parameters: dict[str, Any]) -> Report:
    if inputs or parameters["likelihood"]:
        what = "TEXT" if inputs else "--likelihood"
        raise UsageError(f"{what} is for a model of text: {loaded.entry.title} takes --input FILE, or --split NAME")
    if (parameters["input"] is None) == (parameters["split"] is None):
        both = "exclude each other" if parameters["split"] else "is needed"
        raise UsageError(f"{'--input and --split' if parameters['split'] else '--input FILE or --split NAME'} {both}")
    x, targets, first = _rows(state, loaded, parameters)
    found = loaded.predict(x)
    return _report(loaded, found, targets, first)


def _rows(state: State, loaded: Loaded, parameters: dict[str, Any]) -> tuple[Any, Tensor | None, int]:
    """Inputs, their targets if they are known, and the number of the first row."""
    start, stop = parameters["rows"] or (0, None)
    if parameters["input"] is not None:
        if parameters["dataset"] is not None:
            raise UsageError("--dataset is for --split: leave it out where --input is given")
        from zoo.training.prediction.reading import read_inputs

        x = read_inputs(parameters["input"], loaded.checked.provides.get("columns"), loaded.entry.title)
        return _checked_rows(x[start:stop], start, len(x)), None, start
    import torch

    data = _data(state, loaded, parameters)
    splits = loaded.examples(data)
    if parameters["split"] not in splits:
        raise UsageError(f"the data has no {parameters['split']} split")
    split = splits[parameters["split"]]
    indices = torch.arange(start, len(split) if stop is None else min(stop, len(split)))
    _checked_rows(indices, start, len(split))
    x, y = split.gather(indices)
    return x, None if loaded.checked.targets == "inputs" else y, start


def _checked_rows(rows: Any, start: int, count: int) -> Any:
    if not len(rows):
        raise UsageError(f"--rows begins at {start:,}, and there are {count:,} rows, counted from 0")
    return rows


def _report(loaded: Loaded, found: Any, targets: Tensor | None, first: int) -> Report:
    from torch import Tensor

    from zoo.training.objective.outputs import shape_text
    from zoo.training.prediction.results import Probabilities

    if isinstance(found, Probabilities):
        n, each = len(found), found.probabilities[0].numel() // len(found.classes)
        labels: dict[str, Any] = {"row": [first + i // each for i in range(n * each)]}
        if each > 1:
            labels["position"] = [i % each for i in range(n * each)]
        if targets is not None and targets.numel() == n * each:
            labels["target"] = [_class(found.classes, int(y)) for y in targets.flatten()]
        return OfClasses(found, labels)
    if not isinstance(found, Tensor):
        raise UsageError(
            f"{loaded.entry.title} returns {shape_text(found)}, which no table can hold: zoo.load(RUN).predict(x) "
            "returns it in Python"
        )
    labels = {"row": [first + i for i in range(len(found))]}
    if targets is not None and targets.numel() == len(found):
        labels["target"] = targets.flatten().tolist()
    target = loaded.checked.provides.get("target")
    return OfNumbers(found.tolist(), labels, target if isinstance(target, str) else "")


def _class(classes: Sequence[str], number: int) -> str | None:
    """The name of a target; None for one that is ignored."""
    return classes[number] if 0 <= number < len(classes) else None
