"""`zoo sample`."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from zoo.cli import output
from zoo.cli.new_file import check_new, next_free
from zoo.cli.options import DECIMAL, WHOLE, PathFromPerson, assignments, given, options_of
from zoo.cli.state import (
    State,
    dataset_option,
    debug_option,
    json_option,
    offline_option,
    run_argument,
    shows_progress,
)
from zoo.cli.table import print_table
from zoo.cli.texts import STDIN, as_meant, read_stdin
from zoo.errors import UsageError
from zoo.options.run import FileOptions
from zoo.text import shown

if TYPE_CHECKING:
    from zoo.data.datasets import TextDataset
    from zoo.storage.loading import Loaded
    from zoo.training.sampling.request import Sampled, SampleRequest
    from zoo.training.sampling.words import FoundIn

_SHOWN = {"train": "training", "val": "held out", "test": "held out", "new": "unseen", "empty": "(empty)"}
_EMPTY = "(empty)"  # an empty word in a table, where nothing would be seen
_PICTURES = "samples.png"


@click.command("sample")
@run_argument
@click.option("-n", "--number", type=WHOLE, metavar="N", help="How many samples; default 20, and 1 running text.")
@click.option("--temperature", type=DECIMAL, metavar="X", help="Divides the logits; 0 is greedy sampling; default 1.")
@click.option("--top-k", type=WHOLE, metavar="K", help="Sample from the K most probable characters only.")
@click.option("--prefix", metavar="TEXT", help="The beginning of each word.")
@click.option("--new", is_flag=True, help="Only words that are in no split of the data.")
@click.option("--unique", is_flag=True, help="No word twice.")
@click.option("--prompt", metavar="TEXT|-", help="The beginning of a running text; \\n is a newline, - reads stdin.")
@click.option("--length", type=WHOLE, metavar="N", help="Characters of running text after the prompt; default 500.")
@click.option(
    "--set",
    "settings",
    multiple=True,
    callback=assignments("generate"),
    metavar="generate.KEY=VALUE",
    help="Set an argument of the model's own 'generate'; can be repeated.",
)
@click.option("--seed", type=WHOLE, metavar="N", help="Seed of the random numbers; by default another for each call.")
@click.option("--plain", is_flag=True, help="Only the samples, one a line.")
@click.option(
    "--out", type=PathFromPerson(), metavar="FILE", help="Write the samples to a new file; pictures are one PNG."
)
@dataset_option
@options_of(FileOptions)
@offline_option
@json_option
@debug_option
@click.pass_obj
@shows_progress
def command(state: State, /, run: str, **parameters: Any) -> None:
    """Sample from RUN: words, running text, or what the model's own 'generate' makes.

    Each word is looked up in the data that RUN was trained on: it is found in the training split, in the held-out
    splits (validation and test), or it is unseen. Pictures are written as one PNG: to --out, or samples.png.

    RUN is a run folder, a .safetensors file, or the name of a model with shipped weights.
    """
    if parameters["plain"] and parameters["as_json"]:
        raise UsageError("--plain and --json exclude each other")
    if parameters["out"] is not None:
        check_new(parameters["out"])
    from zoo.storage.loading import load

    state.settle()
    loaded = load(run, state.registry)
    request = _request(loaded, parameters)
    data = _data(state, loaded, parameters) if _compares(loaded, parameters) else None
    sampled = loaded.sampled(request, None if data is None else lambda: _words(data))
    if not isinstance(sampled.samples, list):
        _pictures(run, request, sampled, parameters)
    else:
        _texts(run, request, sampled, data, parameters)
    if sampled.missing is not None:
        output.warning(sampled.missing)
    if parameters["seed"] is None and not parameters["as_json"]:
        output.note(f"Sampled with seed {request.seed}: --seed {request.seed} samples the same again")


def _request(loaded: Loaded, parameters: dict[str, Any]) -> SampleRequest:
    from zoo.training.sampling.options import drawn_seed
    from zoo.training.sampling.request import SampleRequest

    names = ("temperature", "top_k", "prefix", "new", "unique", "length")
    return SampleRequest(
        seed=drawn_seed() if parameters["seed"] is None else parameters["seed"],
        n=parameters["number"],
        prompt=_prompt(loaded, parameters["prompt"]),
        settings=parameters["settings"] or {},
        **{name: parameters[name] for name in names},
    )


def _prompt(loaded: Loaded, prompt: str | None) -> str | None:
    if prompt is None:
        return None
    return read_stdin() if prompt == STDIN else as_meant(prompt, loaded)


def _compares(loaded: Loaded, parameters: dict[str, Any]) -> bool:
    """Whether words are looked up in the data."""
    words = loaded.samples_words
    return words and (parameters["new"] or parameters["dataset"] is not None or not parameters["plain"])


def _data(state: State, loaded: Loaded, parameters: dict[str, Any]) -> TextDataset | None:
    """The data in which words are looked up; None if it is not available, which sampling does not need."""
    from zoo.data.datasets import TextDataset
    from zoo.data.download import fetcher
    from zoo.errors import DataError

    try:
        data = loaded.dataset(
            state.registry,
            fetcher(offline=parameters["offline"]),
            parameters["dataset"],
            given(FileOptions, parameters),
        )
    except DataError as error:
        if parameters["dataset"] is not None or parameters["new"]:
            raise
        output.warning(f"unknown which samples are unseen: {error}")
        return None
    if not isinstance(data, TextDataset):
        raise DataError(f"the dataset is not of the kind that {loaded.entry.title} was trained on")
    return data


def _words(data: TextDataset) -> set[str]:
    return {word for words in data.splits.values() for word in words}


def _texts(
    run: str, request: SampleRequest, sampled: Sampled, data: TextDataset | None, parameters: dict[str, Any]
) -> None:
    """Show words or texts, or write them to a file."""
    from zoo.files import write_bytes
    from zoo.training.sampling.words import found_in

    texts = list(sampled.samples)
    splits = None if data is None else found_in(texts, data)
    if parameters["out"] is not None:
        if parameters["out"].suffix.lower() == ".png":
            raise UsageError(
                f"--out {shown(parameters['out'])}: these samples are texts and no pictures: name a .txt file"
            )
        write_bytes(parameters["out"], "".join(f"{text}\n" for text in texts).encode())
    if parameters["as_json"]:
        output.json_object(_as_json(run, request, sampled, texts, splits, parameters["out"]))
    elif parameters["out"] is not None:
        output.lines(str(parameters["out"]))
    elif parameters["plain"] or sampled.kind != "words":
        _print_texts(texts, headed=not parameters["plain"] and len(texts) > 1 and sampled.kind == "text")
    elif splits is not None:
        _print_words(texts, splits)
    elif texts:
        output.lines(*(text or _EMPTY for text in texts))


def _print_texts(texts: Sequence[str], *, headed: bool) -> None:
    """Texts as they are: a newline in them is one."""
    for number, text in enumerate(texts, 1):
        if headed:
            output.lines(*[""] * (number > 1), f"sample {number} of {len(texts)}", "")
        output.lines(*text.split("\n"))


def _print_words(words: Sequence[str], splits: Sequence[FoundIn]) -> None:
    counts = Counter(_SHOWN[split] for split in splits)
    if words:
        rows = [(word or _EMPTY, _SHOWN[split] if word else "") for word, split in zip(words, splits, strict=True)]
        print_table(["sample", "found in"], rows)
        output.lines("")
    empty = f", {counts[_EMPTY]} empty" if counts[_EMPTY] else ""
    output.lines(
        f"{len(words)} sample{'s' * (len(words) != 1)}: {counts['training']} found in the training words, "
        f"{counts['held out']} in the held-out words, {counts['unseen']} unseen{empty}"
    )


def _as_json(
    run: str,
    request: SampleRequest,
    sampled: Sampled,
    texts: Sequence[str],
    splits: Sequence[FoundIn] | None,
    out: Path | None,
) -> dict[str, Any]:
    counts = Counter(splits or ())
    options = request.options
    return {
        "run": run,
        "kind": sampled.kind,
        "seed": request.seed,
        "temperature": options.temperature,
        "top_k": options.top_k,
        "prefix": request.prefix or "",
        "prompt": request.prompt,
        "new": request.new,
        "unique": request.unique,
        "tries": sampled.tries,
        "samples": [{"text": text, "where": splits[i] if splits else None} for i, text in enumerate(texts)],
        "counts": None
        if splits is None
        else {
            "train": counts["train"],
            "held_out": counts["val"] + counts["test"],
            "new": counts["new"],
            "empty": counts["empty"],
        },
        "file": None if out is None else str(out),
    }


def _pictures(run: str, request: SampleRequest, sampled: Sampled, parameters: dict[str, Any]) -> None:
    """Write pictures as one PNG, and say where."""
    from zoo.files import write_bytes
    from zoo.plots.pictures import png_grid

    pictures: Any = sampled.samples
    path = parameters["out"] or next_free(_PICTURES)
    check_new(path, (".png",))
    write_bytes(path, png_grid(pictures.numpy()))
    if parameters["as_json"]:
        output.json_object(
            {
                "run": run,
                "kind": sampled.kind,
                "seed": request.seed,
                "settings": dict(request.settings),
                "pictures": {"file": str(path), "shape": list(pictures.shape)},
                "file": str(path),
            }
        )
    else:
        output.lines(str(path))
