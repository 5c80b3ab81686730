"""Data that Python code gives: the same numbers as the same data by name or file, recorded as what it is."""

from __future__ import annotations

import itertools
import json
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from conftest import Zoo
from offering import points

import zoo
from zoo.data.sources.given import words_of
from zoo.errors import UsageError
from zoo.plugin.manager import load_plugins
from zoo.plugin.registry import Entry, Plugin
from zoo.runs.result import Run
from zoo.storage.verify import verify

WORDS = [a + b + c for a in "abeln" for b in "abeln" for c in "abeln"][:60]
LINES = "".join(f"the {a} of {b}, and so on.\n" for a, b in itertools.product(WORDS[:12], WORDS[:6]))
TABLE = "word,size,kind\n" + "".join(f"{word},{i % 7}.5,{word[0]}\n" for i, word in enumerate(WORDS))
QUICK: dict[str, Any] = {"device": "cpu", "steps": 5, "plots": False, "schedule": "constant"}


def fables(size: int = 72) -> zoo.CorpusDataset:
    return zoo.CorpusDataset("".join(LINES.splitlines(keepends=True)[:size]))


@pytest.fixture(autouse=True)
def files(monkeypatch: pytest.MonkeyPatch) -> None:
    """Files of each format, and registered datasets of tensors and running text."""
    Path("words.txt").write_text("\n".join(WORDS) + "\n")
    Path("lines.txt").write_text(LINES)
    Path("table.csv").write_text(TABLE)

    def load(*args: Any, **kwargs: Any) -> Any:
        registry, statuses = load_plugins(*args, **kwargs)
        for spec in (zoo.DatasetSpec("points", points), zoo.DatasetSpec("fables", fables)):
            registry.datasets.add(Entry(spec, Plugin("given", "zoo-given", "1.0")))
        return registry, statuses

    monkeypatch.setattr("zoo.api.load_plugins", load)


def trained(model: str, dataset: Any, **more: Any) -> Run:
    return zoo.run(model, dataset=dataset, **{**QUICK, **more})


def weights(run: Run) -> bytes:
    """With the config in their metadata."""
    return Path(run.path, "model.safetensors").read_bytes()


FORMS: dict[str, tuple[str, str, dict[str, Any], dict[str, Any]]] = {  # model, source, options, settings
    "words, by name": ("mlp-char", "names-ssa-2018", {}, {}),
    "words, by name, arranged": ("mlp-char", "names-ssa-2018", {}, {"shuffle_seed": 7, "split": (0.5, 0.8)}),
    "words of a file": ("mlp-char", "words.txt", {}, {}),
    "words of a file, arranged": ("gru", "words.txt", {"format": "words"}, {"shuffle_seed": 3}),
    "words of a column": ("mlp-char", "table.csv", {"column": "word"}, {"shuffle_seed": 3}),
    "running text of a file": ("mlp-char", "lines.txt", {"format": "text"}, {"evaluate": 50}),
    "running text, in blocks": ("gru", "lines.txt", {"format": "text"}, {}),
    "running text, by name": ("mlp-char", "fables", {}, {"size": 60, "split": (0.7, 0.8)}),
    "a table": ("mlp-table", "table.csv", {"target": "kind"}, {"drop": ("word",)}),
    "a table, not shuffled": (
        "mlp-table",
        "table.csv",
        {"target": "size"},
        {"drop": ("word",), "shuffle_seed": None},
    ),
    "tensors, by name": ("mlp-table", "points", {}, {}),
}


@pytest.mark.parametrize("form", FORMS)
def test_a_loaded_dataset_is_trained_on_as_by_its_name_or_file(form: str) -> None:
    """The same bytes of the weights and of the config in them; moved, evaluated, resumed and verified alike."""
    model, source, options, settings = FORMS[form]
    data = zoo.load_dataset(source, **options, **settings)
    assert zoo.load_dataset(data) is data
    by_name = trained(model, source, **options, settings={f"data.{key}": value for key, value in settings.items()})
    by_object = trained(model, data)
    assert by_object.losses == by_name.losses
    assert by_object.config == by_name.config
    assert weights(by_object) == weights(by_name)
    assert (by_object.path / "README.md").read_bytes() == (by_name.path / "README.md").read_bytes()
    resumed = zoo.resume(by_object.path, steps=7, dataset=data, plots=False)
    assert weights(resumed) == weights(trained(model, data, steps=7))
    verify(resumed.path, load_plugins()[0])


IN_MEMORY: dict[str, tuple[str, Callable[[], Any], str]] = {  # model, data, the name in its config
    "a list": ("mlp-char", lambda: WORDS, "words"),
    "a tuple": ("mlp-char", lambda: tuple(WORDS), "words"),
    "an array": ("mlp-char", lambda: np.array(WORDS), "words"),
    "a split of a dataset": ("mlp-char", lambda: zoo.load_dataset("words.txt").splits["train"], "words"),
    "a TextDataset": ("gru", lambda: zoo.TextDataset(WORDS, shuffle_seed=5, split=(0.6, 0.8)), "words"),
    "a CorpusDataset": ("mlp-char", lambda: zoo.CorpusDataset(LINES, evaluate=60), "text"),
    "a TensorDataset": ("mlp-table", points, "tensors"),
}


@pytest.mark.parametrize("form", IN_MEMORY)
def test_data_of_this_process_is_recorded_by_its_digest(form: str, zoo_here: Zoo) -> None:
    model, make, name = IN_MEMORY[form]
    run = trained(model, make())
    recorded = run.config["dataset"]
    assert (recorded["name"], recorded["plugin"], recorded["given_in"]) == (name, None, "python")
    assert weights(trained(model, make())) == weights(run)
    loaded = zoo.load(run.path)
    for call in (
        lambda: loaded.dataset(loaded.registry, zoo.Fetcher()),
        lambda: zoo.resume(run.path, steps=7, plots=False),
    ):
        with pytest.raises(zoo.DataError, match=f"'{name}' .sha256 .*, was given in Python and is stored nowhere"):
            call()
    verify(run.path, load_plugins()[0])
    outcome = zoo_here("eval", run.path)
    assert (outcome.code, outcome.err.count("\n")) == (1, 1)
    assert outcome.err.endswith("was given in Python and is stored nowhere; give it with --dataset\n")
    known = zoo.load(run.path, dataset=make())
    data = known.dataset(known.registry, zoo.Fetcher())
    examples = known.examples(data)
    found = known.evaluate(examples, torch.device("cpu"), known.objective(known.registry, data))
    assert {split: one.loss for split, one in found.items()} == run.losses
    resumed = zoo.resume(run.path, steps=7, dataset=make(), plots=False)
    assert weights(resumed) == weights(trained(model, make(), steps=7))


@pytest.mark.parametrize("form", ["a list", "a TextDataset", "a TensorDataset", "a CorpusDataset"])
def test_the_card_says_how_to_train_such_a_run_again(form: str) -> None:
    """Its code is run, with the data under the name that the card says."""
    model, make, name = IN_MEMORY[form]
    run = trained(model, make(), preset=None, settings={"model.n_embd2": 9} if model == "gru" else None)
    code = (run.path / "README.md").read_text().partition("## Reproduce")[2].split("```python\n")[1].partition("```")[0]
    data = make()
    raw = list(data.words) if isinstance(data, zoo.TextDataset) else data
    found: dict[str, Any] = {name: raw}
    exec(code.replace("zoo.run(", "again = zoo.run("), found)  # noqa: S102
    assert weights(found["again"]) == weights(run)


def test_a_list_has_the_numbers_of_a_file_of_the_same_words() -> None:
    settings = {"data.shuffle_seed": 42, "data.split": (0.7, 0.9)}
    listed, filed = trained("mlp-char", WORDS, settings=settings), trained("mlp-char", "words.txt", settings=settings)
    assert listed.step_losses == filed.step_losses
    assert listed.losses == filed.losses
    assert listed.config["dataset"]["settings"] == filed.config["dataset"]["settings"]
    of_lecture = {"preset": "lecture", "steps": 5}
    assert trained("mlp-char", WORDS, **of_lecture).losses == trained("mlp-char", "words.txt", **of_lecture).losses
    resumed = zoo.resume(listed.path, steps=7, dataset="words.txt", plots=False)  # the same words, saved since
    assert weights(resumed) == weights(trained("mlp-char", WORDS, settings=settings, steps=7))


def test_a_dataset_that_was_arranged_since_has_its_name_with_the_settings_of_that() -> None:
    data = zoo.load_dataset("words.txt").arranged(split=(0.5, 0.8), shuffle_seed=3)
    by_file = trained("mlp-char", "words.txt", settings={"data.split": (0.5, 0.8), "data.shuffle_seed": 3})
    assert trained("mlp-char", data).config == by_file.config
    text = zoo.load_dataset("lines.txt", format="text")
    settings = trained("mlp-char", text.arranged(split=(0.5, 0.8))).config["dataset"]["settings"]
    assert settings == {"format": "text", "split": (0.5, 0.8)}


@pytest.mark.parametrize("what", ["x", "augment", "classes"])
def test_tensors_that_were_changed_since_have_no_name(what: str) -> None:
    data = zoo.load_dataset("points")
    assert trained("mlp-table", data).config["dataset"]["name"] == "points"
    if what == "x":
        data.tensors("train")[0].mul_(2)
    elif what == "augment":
        data.augment = lambda x, y, generator: (x, y)
    else:
        data.classes = ["no", "yes"]
    before = trained("mlp-table", "points").config["dataset"]["sha256"]
    recorded = trained("mlp-table", data).config["dataset"]
    assert (recorded["name"], recorded["plugin"]) == ("tensors", None)
    assert (recorded["sha256"] == before) == (what != "x")


@pytest.mark.parametrize(
    ("other", "said"),
    [
        (WORDS[:-1], "dataset.sha256: .* then, .* now"),
        (zoo.TextDataset(WORDS, shuffle_seed=1), "dataset.settings.shuffle_seed: none then, 1 now"),
        (zoo.CorpusDataset(LINES), "dataset"),
    ],
    ids=["other words", "shuffled", "another kind"],
)
def test_a_run_is_not_resumed_on_other_data(other: Any, said: str) -> None:
    run = trained("mlp-char", WORDS)
    with pytest.raises(zoo.CheckpointError, match=said):
        zoo.resume(run.path, steps=7, dataset=other, plots=False)
    with pytest.raises(zoo.DataError) if not isinstance(other, zoo.TextDataset) else warnings.catch_warnings():
        zoo.load(run.path, dataset=other)


def test_settings_are_for_data_that_is_to_be_made() -> None:
    data = zoo.TextDataset(WORDS)
    for call in (
        lambda: trained("mlp-char", data, settings={"data.shuffle_seed": 1}),
        lambda: zoo.load_dataset(data, shuffle_seed=1),
        lambda: trained("mlp-char", data, format="words"),
    ):
        with pytest.raises(
            zoo.UsageError, match=r"cannot be set for a dataset that was made already: give it to zoo\."
        ):
            call()
    with pytest.raises(zoo.UsageError, match=r"how a file is read, and this dataset is no file"):
        trained("mlp-char", WORDS, format="words")
    with pytest.raises(zoo.UsageError, match=r"has no setting 'shufle_seed'; did you mean 'shuffle_seed'"):
        zoo.load_dataset(WORDS, shufle_seed=1)


def test_what_a_preset_sets_is_left_out_aloud() -> None:
    with pytest.warns(UserWarning, match=r"the preset's data.shuffle_seed=42 is left out"):
        run = trained("mlp-char", zoo.TextDataset(WORDS), preset="lecture")
    assert run.config["dataset"]["settings"] == {}
    trained("mlp-char", zoo.TextDataset(WORDS, shuffle_seed=42), preset="lecture")  # no warning


def generator() -> Iterator[str]:
    yield from WORDS


class DataFrame:
    """As pandas has it: of two dimensions, and no sequence."""

    ndim = 2
    shape = (3, 2)


WRONG: dict[str, tuple[Any, str]] = {
    "numbers": ([1, 2, 3], r"item 0 of this list is 1: numbers are given as zoo.TensorDataset"),
    "a number among words": ([*WORDS, 3], r"item 60 of this list is 3"),
    "a tensor": (torch.zeros(5, 3), r"got a torch Tensor: numbers are given as zoo.TensorDataset"),
    "an array": (np.zeros((5, 3)), r"numbers are given as zoo.TensorDataset"),
    "a table": (DataFrame(), r"DataFrame: give a column of words, as frame\['name'\].tolist\(\)"),
    "a mapping": ({"train": WORDS}, r"got a dict: give list\(words\)"),
    "a set": (set(WORDS), r"give sorted\(words\)"),
    "a generator": (generator(), r"read only once: give a list, as list\(words\)"),
    "a function": (generator, r"got a function: call it"),
    "a class": (zoo.TextDataset, r"got a TextDataset: call it"),
    "a whole number": (5, r"a dataset's name, a file, a list of words, or a dataset such as a zoo.TextDataset, got 5"),
    "bytes": (b"emma", r"a list of words, or a dataset"),
    "nothing": ([], r"has no words, too few"),
    "few words": (["emma", "ava"], r"has 2 words, too few"),
    "lines": (["emma\n"] * 9, r"a word is one line"),
    "an empty word": ([*WORDS, ""], r"a word is one line, not empty"),
    "control characters": (["em\x01ma"] * 9, r"9 of 9 words have control characters"),
    "no such file": ("nothing.txt", r"no file 'nothing.txt'"),
    "no such name": ("namse", r"did you mean 'names'"),
}


@pytest.mark.parametrize("form", WRONG)
def test_anything_else_is_one_line_that_says_what_to_give(form: str) -> None:
    given, said = WRONG[form]
    for call in (lambda: trained("mlp-char", given), lambda: zoo.load_dataset(given)):
        with pytest.raises((zoo.UsageError, zoo.DataError), match=said) as error:
            call()
        assert "\n" not in str(error.value)
        assert len(str(error.value)) < 300


def test_doubtful_words_are_told_once() -> None:
    words = [*WORDS, "e\x01e"]
    with pytest.warns(UserWarning, match=r"1 of 61 words have control characters, the first of them word 61"):
        data = zoo.load_dataset(words)
    trained("mlp-char", data)  # filterwarnings has errors of warnings
    with pytest.warns(UserWarning, match=r"1 of 61 words"):
        trained("mlp-char", words)
    assert words_of(words).name == "words"


def test_the_callers_list_may_change_afterwards() -> None:
    words = list(WORDS)
    data = zoo.load_dataset(words)
    digest = data.sha256
    words.clear()
    data.words.clear()
    assert trained("mlp-char", data).config["dataset"]["sha256"] == digest == zoo.TextDataset(WORDS).sha256


def test_a_config_that_says_python_reads_nothing(run: Path) -> None:
    """A checkpoint may come from anyone: data that was given in Python is looked for nowhere."""
    config = json.loads((run / "config.json").read_text())
    assert config["dataset"].get("given_in") is None  # of a file
    loaded = trained("mlp-char", WORDS)
    (loaded.path / "words").write_text("\n".join(WORDS))  # of that digest, where a file would be found
    with pytest.raises(zoo.DataError, match="was given in Python"):
        zoo.resume(loaded.path, steps=7, plots=False)


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"format": "wrods"}, "format must be words, text, csv or tsv, got 'wrods'"),
        ({"column": 3}, "column must be text, got 3"),
        ({"target": ["a"]}, r"target must be text, got \['a'\]"),
    ],
)
def test_options_of_a_dataset_are_checked(options: dict[str, Any], says: str) -> None:
    with pytest.raises(UsageError, match=says):
        zoo.load_dataset(["emma", "olivia", "ava"] * 9, **options)
