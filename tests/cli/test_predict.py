"""`zoo predict`: kinds of models × ways of giving inputs × forms of the result."""

from __future__ import annotations

import csv
import io
import json
import math
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from conftest import Zoo
from trained_plugin import FEATURES, NAMES, train

import zoo
from zoo.cli.predictions import OfNumbers


def rows_of(text: str) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(text, newline="")))


@pytest.fixture
def stdin(monkeypatch: pytest.MonkeyPatch) -> Any:
    """`stdin(text)`: what is on standard input."""
    return lambda text: monkeypatch.setattr(sys, "stdin", io.StringIO(text))


@pytest.mark.parametrize("model", ["mlp-char", "ngram", "transformer"])
def test_what_follows_each_prefix_with_its_probability(model: str, zoo_here: Zoo, stdin: Any) -> None:
    stdin("em\n\n a \n")
    expected = zoo.load(model).predict(["em", "a", ""])
    result = zoo_here("predict", model, "-", "", "--json").result
    assert [one["after"] for one in result["predictions"]] == ["em", "a", ""]
    assert (result["kind"], tuple(result["classes"])) == ("next", expected.classes)
    for one, best in zip(result["predictions"], expected.best(), strict=True):
        assert [(each["class"], each["probability"]) for each in one["probabilities"]] == best
        assert math.fsum(each["probability"] for each in one["probabilities"]) == pytest.approx(1)
    rows = rows_of(zoo_here("predict", model, "em", "a", "", "--csv").out)
    assert [row["next"] for row in rows] == [best[0][0] for best in expected.best()]
    for row, probabilities in zip(rows, expected.probabilities.tolist(), strict=True):
        assert [float(row[name]) for name in expected.classes] == probabilities
    table = zoo_here("predict", model).out.splitlines()
    assert table[0].split() == ["after", "next", "probability", "then"]
    assert table[1].split()[:2] == ["(start)", expected.best()[2][0][0]]


def test_the_likelihood_of_words(zoo_here: Zoo) -> None:
    expected = zoo.load("gru").likelihood(["emma", "zz"])
    result = zoo_here("predict", "gru", "--likelihood", "emma", "zz", "--json").result
    assert [(one["text"], one["nats"], one["count"]) for one in result["predictions"]] == [
        (one.text, one.nats, one.count) for one in expected
    ]
    assert result["total"]["loss"] == pytest.approx(-sum(one.nats for one in expected) / 8)
    lines = zoo_here("predict", "gru", "--likelihood", "emma", "zz").out.splitlines()
    assert lines[0].split("   ")[0] == "text"
    assert lines[-1].startswith("8 characters in all: the mean loss is ")


INPUTS = np.linspace(-2, 2, 3 * FEATURES, dtype=np.float32).reshape(3, FEATURES)


@pytest.mark.parametrize("form", ["table", "--csv", "--json", "out.csv", "out.json"])
def test_classes_of_inputs(form: str, zoo_here: Zoo, monkeypatch: pytest.MonkeyPatch) -> None:
    loaded = train(monkeypatch, "classifier")
    np.save("x.npy", INPUTS)
    expected = loaded.predict(INPUTS)
    args = [form] if form.startswith("--") else ["--out", form] if form != "table" else []
    outcome = zoo_here("predict", "classifier", "--input", "x.npy", *args)
    assert (outcome.code, outcome.err) == (0, "")
    written = Path(form).read_text() if form.startswith("out") else outcome.out
    if form == "table":
        lines = written.splitlines()
        assert lines[0].split() == ["row", "prediction", "probability", "then"]
        assert [best[0][0] in line for best, line in zip(expected.best(), lines[1:], strict=True)] == [True] * 3
    elif "csv" in form:
        rows = rows_of(written)
        assert [row["prediction"] for row in rows] == [best[0][0] for best in expected.best()]
        assert [[float(row[name]) for name in NAMES] for row in rows] == expected.probabilities.tolist()
    else:
        result = json.loads(written)
        assert (result["kind"], result["classes"]) == ("classes", NAMES)
        found = [[(one["class"], one["probability"]) for one in row["probabilities"]] for row in result["predictions"]]
        assert found == expected.best()


@pytest.mark.parametrize(
    ("rows", "expected"),
    [(None, range(25)), ("3", [3]), ("0:2", [0, 1]), (":2", [0, 1]), ("23:", [23, 24]), ("23:99", [23, 24])],
)
def test_rows_of_a_split_with_their_targets(
    rows: str | None, expected: list[int], zoo_here: Zoo, monkeypatch: pytest.MonkeyPatch
) -> None:
    train(monkeypatch, "classifier")
    more = () if rows is None else ("--rows", rows)
    result = zoo_here("predict", "classifier", "--split", "val", *more, "--json").result
    assert [one["row"] for one in result["predictions"]] == list(expected)
    assert [one["target"] for one in result["predictions"]] == [NAMES[i % 3] for i in expected]
    table = zoo_here("predict", "classifier", "--split", "val", *more).out
    assert ("… and 5 more: --csv and --json have all" in table) == (len(expected) > 20)


def test_numbers_and_positions(zoo_here: Zoo, monkeypatch: pytest.MonkeyPatch) -> None:
    loaded = train(monkeypatch, "regression")
    np.save("x.npy", INPUTS)
    rows = rows_of(zoo_here("predict", "regression", "--input", "x.npy", "--csv").out)
    assert [[float(row[f"output {k}"]) for k in (1, 2)] for row in rows] == loaded.predict(INPUTS).tolist()
    result = zoo_here("predict", "regression", "--input", "x.npy", "--rows", "1:", "--json").result
    assert [(one["row"], one["output"]) for one in result["predictions"]] == [
        (i, loaded.predict(INPUTS).tolist()[i]) for i in (1, 2)
    ]
    train(monkeypatch, "positions")
    result = zoo_here("predict", "positions", "--split", "test", "--rows", "0:2", "--json").result
    assert [(one["row"], one["position"], one["target"]) for one in result["predictions"]] == [
        *((0, 0, "0"), (0, 1, None), (0, 2, "1")),
        *((1, 0, "1"), (1, 1, None), (1, 2, "1")),
    ]


REFUSED: dict[str, tuple[str, tuple[object, ...], str]] = {
    "nothing given": ("classifier", (), "--input FILE or --split NAME is needed"),
    "both": ("classifier", ("--input", "x.npy", "--split", "val"), "--input and --split exclude each other"),
    "text": ("classifier", ("em",), "TEXT is for a model of text: model 'classifier' takes --input FILE, or --split"),
    "likelihood": ("classifier", ("--likelihood",), "--likelihood is for a model of text"),
    "data": ("classifier", ("--input", "x.npy", "--dataset", "animals"), "--dataset is for --split"),
    "rows": ("classifier", ("--input", "x.npy", "--rows", "3:"), "--rows begins at 3, and there are 3 rows"),
    "no rows": ("classifier", ("--input", "x.npy", "--rows", "3:3"), "'3:3' has no rows"),
    "no numbers": ("classifier", ("--input", "x.npy", "--rows", "a"), "'a' is not rows, as in 0:10 or 3"),
    "no split": ("classifier", ("--split", "validation"), "'validation' is not one of"),
    "no file": ("classifier", ("--input", "none.npy"), "cannot read none.npy: No such file"),
    "pickle": ("classifier", ("--input", "x.pt"), "a file that may hold pickles is not read: write the array with"),
    "several": ("classifier", ("--input", "x.npz"), "a file that may hold pickles is not read"),
    "other": ("classifier", ("--input", "x.parquet"), "has none of the suffixes .npy, .csv, .tsv"),
    "no table": ("classifier", ("--input", "x.csv"), "is a table, and model 'classifier' was not trained on one"),
    "objects": ("classifier", ("--input", "objects.npy"), "objects.npy is no array that numpy.save wrote: "),
    "damaged": ("classifier", ("--input", "damaged.npy"), "damaged.npy is no array that numpy.save wrote: "),
    "shape": ("classifier", ("--input", "wide.npy"), "inputs of shape (3, 5) have 5 numbers each"),
    "form": ("classifier", ("--input", "x.npy", "--csv", "--json"), "--csv and --json exclude each other"),
    "suffix": ("classifier", ("--input", "x.npy", "--out", "y.txt"), "name a file with the suffix .csv or .json"),
    "there": ("classifier", ("--input", "x.npy", "--out", "old.csv"), "--out 'old.csv' is there already"),
    "outputs": ("pictures", ("--split", "val"), "returns a tuple of (25, 4), (25, 25), which no table can hold"),
    "input of text": ("gru", ("--input", "x.npy"), "x.npy is not text in UTF-8"),
    "no text": ("gru", ("--input", "none.txt"), "cannot read none.txt: No such file"),
    "rows of text": ("gru", ("--rows", "3"), "--rows is for --split: add --split NAME, or leave it out"),
    "data of text": ("gru", ("--dataset", "names-ssa-2018"), "--dataset is for --split"),
    "no word": ("gru", ("--likelihood",), "--likelihood needs words, or a text"),
    "character": ("gru", ("Em",), "'Em' has 'E', which is not in the vocabulary"),
}


def test_what_does_not_fit_is_refused_in_a_line(zoo_here: Zoo, monkeypatch: pytest.MonkeyPatch) -> None:
    train(monkeypatch, "classifier")
    train(monkeypatch, "pictures")
    np.save("x.npy", INPUTS)
    np.save("wide.npy", np.zeros((3, 5), np.float32))
    np.save("objects.npy", np.array([{"a": 1}], object), allow_pickle=True)
    Path("damaged.npy").write_bytes(Path("x.npy").read_bytes()[:-7])
    Path("old.csv").write_text("mine")
    for name, (model, args, message) in REFUSED.items():
        outcome = zoo_here("predict", model, *args)
        assert outcome.code in (1, 2), name
        assert outcome.err.startswith("zoo: error: "), name
        assert outcome.err.count("\n") == 1, name
        assert message in outcome.err, (name, outcome.err)
    assert Path("old.csv").read_text() == "mine"


def test_an_array_is_read_from_a_big_endian_file(zoo_here: Zoo, monkeypatch: pytest.MonkeyPatch) -> None:
    loaded = train(monkeypatch, "classifier")
    np.save("x.npy", np.asfortranarray(INPUTS.astype(">f8")))
    result = zoo_here("predict", "classifier", "--input", "x.npy", "--json").result
    best = [row["probabilities"][0]["probability"] for row in result["predictions"]]
    assert best == pytest.approx([row[0][1] for row in loaded.predict(torch.tensor(INPUTS)).best()])


def test_a_file_of_words_is_read(zoo_here: Zoo) -> None:
    Path("words.txt").write_text("\ufeffemma\r\n\n  zz \n", encoding="utf-8")
    result = zoo_here("predict", "gru", "a", "--input", "words.txt", "--likelihood", "--json").result
    assert [one["text"] for one in result["predictions"]] == ["a", "emma", "zz"]


def test_rows_of_a_table_are_read_by_their_columns(zoo_here: Zoo) -> None:
    lines = [f"{i % 2},{i % 2 * 3 + i / 100:.2f},{'xyz'[i % 3]}" for i in range(60)]
    Path("table.csv").write_text("\n".join(["kind,size,letter", *lines]))
    args = ("--steps", 30, "--device", "cpu", "--no-plots", "--quiet", "--out", "out")
    assert zoo_here("run", "linear-table", "--dataset", "table.csv", "--target", "kind", *args).code == 0
    Path("rows.csv").write_text("letter,size,more\ny,3.1,?\nx,0.1,?\n")
    result = zoo_here("predict", "out", "--input", "rows.csv", "--json").result
    assert [row["probabilities"][0]["class"] for row in result["predictions"]] == ["1", "0"]
    missing = zoo_here("predict", "out", "--input", "none.csv")
    assert missing.err == "zoo: error: cannot read none.csv: No such file or directory\n"
    Path("rows.csv").write_text("letter\ny\n")
    failed = zoo_here("predict", "out", "--input", "rows.csv")
    assert (failed.code, failed.err.count("\n"), "size" in failed.err) == (1, 1, True)


def test_the_likelihood_of_a_split_is_its_loss(zoo_here: Zoo, words_file: Path) -> None:
    zoo_here("run", "bigram", "--dataset", words_file, "--steps", 5, "--no-plots", "--device", "cpu", "--out", "here")
    losses = zoo_here("eval", "here", "--json").result["losses"]
    for split, loss in losses.items():
        total = zoo_here("predict", "here", "--likelihood", "--split", split, "--json").result["total"]
        assert total["loss"] == pytest.approx(loss, abs=1e-6)
    few = zoo_here("predict", "here", "--likelihood", "--split", "val", "--rows", "0:2", "--csv").out
    assert len(few.splitlines()) == 3


def test_targets_are_shown_with_as_many_digits_as_outputs() -> None:
    report = OfNumbers([[0.25]], {"row": [0], "target": [-0.9119877815246582]})
    assert report.shown_row(0) == ["0", "-0.911988", "0.25"]
    assert report.row(0)[1] == -0.9119877815246582


def test_numbers_are_called_what_the_table_calls_them(zoo_here: Zoo) -> None:
    for target, name in (("price", "price"), ("target", "predicted target")):
        Path("t.csv").write_text(f"a,{target}\n" + "".join(f"{i % 7},{i % 7}.5\n" for i in range(30)))
        run = ["run", "mlp-table", "--dataset", "t.csv", "--target", target, "--steps", 2, "--device", "cpu"]
        assert zoo_here(*run, "--no-plots", "--out", target).code == 0
        assert list(rows_of(zoo_here("predict", target, "--split", "test", "--csv").out)[0]) == ["row", "target", name]
        assert zoo_here("predict", target, "--split", "test").out.splitlines()[0].split() == [
            "row",
            "target",
            *name.split(),
        ]
        assert "output" in zoo_here("predict", target, "--split", "test", "--json").result["predictions"][0]
    assert list(rows_of(zoo_here("predict", "price", "--input", "t.csv", "--csv").out)[0]) == ["row", "price"]
