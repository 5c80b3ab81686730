"""Tables as words, and as features with targets of each kind; what cannot be used is refused by row and column."""

from __future__ import annotations

import random
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from zoo import TensorDataset, TextDataset
from zoo.data.files.reading import read_file
from zoo.data.files.settings import resolve_file_settings
from zoo.data.splits import Pair
from zoo.data.tables import parsing
from zoo.data.tables.dataset import read_features, read_table
from zoo.errors import ChangedDataError, DataError, UsageError, ZooError
from zoo.options.values import as_text, convert

pytestmark = pytest.mark.usefixtures("typed")  # what these lines advise is tried as commands

SIZES = [f"{i / 2}" for i in range(20)]
COLORS = [["red", "blue", "green"][i % 3] for i in range(20)]
COUNTS = [str(i % 4) for i in range(20)]


def table(**columns: list[str]) -> str:
    rows = zip(*columns.values(), strict=True)
    return "\n".join([",".join(columns), *map(",".join, rows)]) + "\n"


def read(text: str, like: Mapping[str, Any] | None = None, **settings: object) -> Any:
    Path("t.csv").write_text(text)
    return read_file(Path("t.csv"), resolve_file_settings(Path("t.csv"), settings), like=like)


def arrays(dataset: TensorDataset) -> tuple[np.ndarray[Any, Any], np.ndarray[Any, Any]]:
    """Inputs and targets of all splits, one after another."""
    pairs = [split for split in dataset.splits.values() if isinstance(split, Pair)]
    return torch.cat([pair.x for pair in pairs]).numpy(), torch.cat([pair.y for pair in pairs]).numpy()


TARGETS: dict[str, tuple[list[str], dict[str, Any], list[str] | None, list[float]]] = {
    "texts": (COLORS, {}, ["blue", "green", "red"], [[2, 0, 1][i % 3] for i in range(20)]),
    "few whole numbers": (COUNTS, {}, ["0", "1", "2", "3"], [i % 4 for i in range(20)]),
    "two digits": ([str(8 + i % 4) for i in range(20)], {}, ["8", "9", "10", "11"], [i % 4 for i in range(20)]),
    "negative": ([str(i % 2 * 2 - 1) for i in range(20)], {}, ["-1", "1"], [i % 2 for i in range(20)]),
    "whole numbers as such": (COUNTS, {"task": "numbers"}, None, [i % 4 for i in range(20)]),
    "numbers": (SIZES, {}, None, [i / 2 for i in range(20)]),
    "many whole numbers": ([str(i * 10) for i in range(40)], {}, None, [i * 10 for i in range(40)]),
    "many as classes": ([str(i) for i in range(40)], {"task": "classes"}, [str(i) for i in range(40)], [*range(40)]),
    "numbers and words": (["1", "2", "3+", "1"] * 5, {"task": "classes"}, ["1", "2", "3+"], [0, 1, 2, 0] * 5),
    "numbers as classes": ([f"{i % 2}.5" for i in range(20)], {"task": "classes"}, ["0.5", "1.5"], [0, 1] * 10),
}


@pytest.mark.parametrize("rows", [3, 1000])
@pytest.mark.parametrize("case", TARGETS)
def test_targets_of_each_kind(monkeypatch: pytest.MonkeyPatch, case: str, rows: int) -> None:
    monkeypatch.setattr(parsing, "ROWS", rows)
    cells, settings, classes, expected = TARGETS[case]
    dataset = read(table(x=[str(i) for i in range(len(cells))], y=cells), target="y", **settings)
    x, y = arrays(dataset)
    assert dataset.classes == classes
    assert (x.dtype, y.dtype) == (np.float32, np.float32 if classes is None else np.int64)
    assert y.shape == ((len(cells), 1) if classes is None else (len(cells),))
    order = [*range(len(cells))]
    random.Random(0).shuffle(order)  # rows are shuffled unless that is asked otherwise
    assert x[:, 0].tolist() == order
    assert y.flatten().tolist() == [expected[i] for i in order]
    assert dataset.provides["target"] == "y"
    assert (dataset.provides["target_means"] is None) == (classes is not None)
    assert ("numbers" in dataset.read_as) == (
        classes is None or all("." in c or c.strip("-").isdigit() for c in classes)
    )


@pytest.mark.parametrize(("settings", "order"), [({}, 0), ({"shuffle_seed": 5}, 5), ({"shuffle_seed": None}, None)])
def test_rows_are_shuffled_and_split_as_words_are(settings: dict[str, Any], order: int | None) -> None:
    dataset = read(table(x=SIZES, y=COUNTS), target="y", split=(0.5, 0.7), **settings)
    rows = [*range(20)]
    if order is not None:
        random.Random(order).shuffle(rows)
    assert [len(split.x) for split in dataset.splits.values()] == [10, 4, 6]
    assert arrays(dataset)[0][:, 0].tolist() == [row / 2 for row in rows]
    expected = [str(i) for i in range(20)]
    words = read(table(x=expected, y=COUNTS), column="x", **settings)
    expected = [*expected]
    if settings.get("shuffle_seed") is not None:  # words are shuffled only where that is asked
        random.Random(order).shuffle(expected)
    assert [word for split in words.splits.values() for word in split] == expected


def test_features_of_numbers_and_of_texts() -> None:
    dataset = read(table(size=SIZES, color=COLORS, y=COUNTS), target="y", shuffle_seed=None, split=(0.5, 0.75))
    x, _ = arrays(dataset)
    assert x[:, 0].tolist() == [float(size) for size in SIZES]
    values = ["blue", "green", "red"]
    assert x[:, 1:].tolist() == [[float(color == value) for value in values] for color in COLORS]
    means, scales = dataset.provides["feature_means"], dataset.provides["feature_scales"]
    assert means == [np.mean([float(size) for size in SIZES[:10]]), 0, 0, 0]
    assert scales == [np.std([float(size) for size in SIZES[:10]]), 1, 1, 1]
    assert dataset.provides["columns"] == [{"name": "size", "values": None}, {"name": "color", "values": values}]
    assert dataset.read_as == (
        "20 rows in file order; target 'y': 4 classes ('0', '1', '2', …) (--set data.task=numbers for numbers); "
        "4 features of 2 columns, one-hot: 'color' (3 values)"
    )


def test_the_mean_and_deviation_of_targets_are_those_of_training() -> None:
    dataset = read(table(x=COUNTS, y=SIZES), target="y", shuffle_seed=None, split=(0.5, 0.75))
    sizes = [float(size) for size in SIZES[:10]]
    assert (dataset.provides["target_means"], dataset.provides["target_scales"]) == ([np.mean(sizes)], [np.std(sizes)])


def test_a_constant_column_is_not_divided_by_zero() -> None:
    dataset = read(table(x=["7"] * 20, y=COUNTS), target="y")
    assert (dataset.provides["feature_means"], dataset.provides["feature_scales"]) == ([7.0], [1.0])


def test_columns_are_left_out_or_read_as_texts() -> None:
    text = table(key=[f"k{i}" for i in range(20)], zip=[f"0{i % 2}" for i in range(20)], y=COLORS)
    dataset = read(text, target="y", drop=("key",), categories=("zip",))
    assert dataset.provides["columns"] == [{"name": "zip", "values": ["00", "01"]}]


AWKWARD = ["size (m2)", "(a)", "[b]", "a, b", "(c) d (e)", 'quote"d', "two\nlines", "it's", "\x1b[31mred"]


@pytest.mark.parametrize("names", [[name] for name in AWKWARD] + [AWKWARD, ["x (m)", "y (m)"]])
def test_columns_of_any_name_are_left_out_as_the_command_on_the_card_says(names: list[str]) -> None:
    assert convert(as_text(names), tuple[str, ...]) == tuple(names)
    assert convert(as_text(tuple(names)), list[str]) == names


def test_brackets_around_a_list_are_not_those_of_its_items() -> None:
    assert convert("size (m2),zip", tuple[str, ...]) == ("size (m2)", "zip")
    assert convert("(a) b,c (d)", tuple[str, ...]) == ("(a) b", "c (d)")
    assert convert("(0.8, 0.9)", tuple[float, float]) == convert(" [0.8,0.9] ", tuple[float, float]) == (0.8, 0.9)


WRONG: dict[str, tuple[dict[str, list[str]], dict[str, Any], str]] = {
    "no such target": ({"x": SIZES, "y": COUNTS}, {"target": "z"}, "--target 'z' is no column of this table; there"),
    "no such column": ({"word": COLORS}, {"column": "wrd"}, "--column 'wrd' is no column of this table; did you mean"),
    "neither": ({"x": SIZES, "y": COUNTS}, {}, "its columns are 'x', 'y': add --target NAME"),
    "neither, and a split": ({"x": SIZES, "y": COUNTS}, {"split": "0.5,0.7"}, "its columns are 'x', 'y': add --target"),
    "the target left out": ({"x": SIZES, "y": COUNTS}, {"target": "y", "drop": "y"}, "data.drop leaves out 'y'"),
    "no such column to leave out": ({"x": SIZES, "y": COUNTS}, {"target": "y", "drop": "z"}, "data.drop 'z' is no"),
    "no features": ({"y": COUNTS}, {"target": "y"}, "has no features: there is no column but 'y'"),
    "few rows": ({"x": SIZES[:5], "y": COUNTS[:5]}, {"target": "y"}, "has 5 rows of values, too few"),
    "an empty split": ({"x": SIZES, "y": COUNTS}, {"target": "y", "split": "0.9,0.92"}, "20 rows split at (0.9, 0.92)"),
    "missing numbers": (
        {"x": ["1", "", *SIZES[2:]], "w": ["NA", *COLORS[1:]], "y": COUNTS},
        {"target": "y"},
        "has missing values in 'x' (row 3), 'w' (row 2): fill them in, leave these rows out, or leave these columns "
        "out with --set data.drop=x,w",
    ),
    "missing numbers in columns of awkward names": (
        {"x (m)": ["1", "", *SIZES[2:]], '"w, v"': ["NA", *COLORS[1:]], "y": COUNTS},
        {"target": "y"},
        "has missing values in 'x (m)' (row 3), 'w, v' (row 2): fill them in, leave these rows out, or leave these "
        """columns out with --set 'data.drop=["x (m)", "w, v"]'""",
    ),
    "many missing": (
        {"x": ["null"] * 9 + SIZES[9:], "y": COUNTS},
        {"target": "y"},
        "has missing values in 'x' (rows 2,",
    ),
    "missing targets": (
        {"x": SIZES, "y": ["NaN", *COUNTS[1:]]},
        {"target": "y"},
        "has missing values in 'y' (row 2): fill them in, or leave these rows out",
    ),
    "a word among numbers": (
        {"x": ["1", "2", "n.a.", *SIZES[3:]], "y": COUNTS},
        {"target": "y"},
        "column 'x' has numbers, and 'n.a.' in row 4: correct these, or read all as texts with --set data.categories=x",
    ),
    "a word among targets": (
        {"x": SIZES, "y": ["1.5", "high", *SIZES[2:]]},
        {"target": "y"},
        "column 'y' has numbers, and 'high' in row 3: correct these, or take all as classes with --set data.task=",
    ),
    "keys": (
        {"id": [f"k{i}" for i in range(200)], "x": ["1"] * 200, "y": ["a", "b"] * 100},
        {"target": "y"},
        "has texts that are no features, in 'id' (200 different texts): leave them out with --set data.drop=id",
    ),
    "a target of keys": (
        {"x": SIZES, "y": [f"k{i}" for i in range(20)]},
        {"target": "y"},
        "column 'y' has 20 different",
    ),
    "texts as numbers": (
        {"x": SIZES, "y": COLORS},
        {"target": "y", "task": "numbers"},
        "data.task=numbers, and column",
    ),
    "one class": ({"x": SIZES, "y": ["a"] * 20}, {"target": "y"}, "column 'y' has the same value in all rows"),
    "one number": ({"x": SIZES, "y": ["1.5"] * 20}, {"target": "y"}, "column 'y' has the same number in all rows"),
    "too large": (
        {"x": ["1e39", *SIZES[1:]], "y": COUNTS},
        {"target": "y"},
        "column 'x' has 1e+39, which is too large",
    ),
    "infinite": ({"x": SIZES, "y": ["-inf", *COUNTS[1:]]}, {"target": "y"}, "column 'y' has infinity in row 2"),
    "an empty word": ({"w": ["a", "", *COLORS], "x": ["1"] * 22}, {"column": "w"}, "column 'w' is empty in row 3: put"),
    "a word of two lines": ({"w": ['"a\nb"', *COLORS]}, {"column": "w"}, "column 'w' has several lines in row 2"),
    "few words": ({"w": ["a", "b"]}, {"column": "w"}, "has 2 words, too few"),
}


@pytest.mark.parametrize("rows", [2, 1000])
@pytest.mark.parametrize("case", WRONG)
def test_what_cannot_be_used_is_one_line(monkeypatch: pytest.MonkeyPatch, case: str, rows: int) -> None:
    monkeypatch.setattr(parsing, "ROWS", rows)
    columns, settings, line = WRONG[case]
    with pytest.raises(ZooError) as refused:
        read(table(**columns), **settings)
    assert str(refused.value).startswith(f"t.csv: {line}")
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize("separator", [",", ";", "\t"])
def test_words_of_a_column(separator: str) -> None:
    rows = [separator.join(row) for row in [("id", "word"), *((str(i), f" {c}{i} ") for i, c in enumerate(COLORS))]]
    dataset = read("\n".join(rows), column="word")
    assert isinstance(dataset, TextDataset)
    assert dataset.words == [f"{color}{i}" for i, color in enumerate(COLORS)]
    assert dataset.read_as is not None
    assert dataset.read_as.startswith("20 words in column 'word' of a table")
    assert ("semicolons" in dataset.read_as) == (separator == ";")
    arranged = dataset.arranged(split=(0.5, 0.6), shuffle_seed=1)
    assert (arranged.read_as, arranged.sha256) == (dataset.read_as, dataset.sha256)


def test_the_digest_is_that_of_the_file() -> None:
    text = table(x=SIZES, y=COUNTS)
    dataset = read(text, target="y")
    settings = resolve_file_settings(Path("t.csv"), {"target": "y"})
    assert read_table(Path("t.csv"), settings, sha256=dataset.sha256).sha256 == dataset.sha256
    assert read(text, column="y").sha256 == dataset.sha256
    Path("t.csv").write_text(text + "1,1\n")
    with pytest.raises(ChangedDataError, match="has changed since this run was trained on it"):
        read_table(Path("t.csv"), settings, sha256=dataset.sha256)


# For a model that was trained


@pytest.fixture
def like() -> dict[str, Any]:
    dataset = read(table(size=SIZES, color=COLORS, y=COUNTS), target="y")
    return {**dataset.provides, "classes": dataset.classes}


def test_other_rows_have_the_features_of_the_model(like: dict[str, Any]) -> None:
    text = table(y=["3.0"] * 20, more=["?"] * 20, color=["red"] * 20, size=SIZES)  # in another order, and fewer texts
    dataset = read(text, like, target="y", shuffle_seed=None)
    x, y = arrays(dataset)
    assert x.tolist() == [[float(size), 0, 0, 1] for size in SIZES]
    assert y.tolist() == [3] * 20
    assert dataset.provides == {name: value for name, value in like.items() if name != "classes"}
    Path("rows.csv").write_text(table(color=COLORS[:2], size=SIZES[:2]))
    assert read_features(Path("rows.csv"), "csv", like["columns"]).tolist() == [[0, 0, 0, 1], [0.5, 1, 0, 0]]


def test_columns_of_numbers_that_are_names_stay_names() -> None:
    text = table(zip=[f"0{i % 2}" for i in range(20)], y=COLORS)
    dataset = read(text, target="y", categories=("zip",))
    again = read(text, {**dataset.provides, "classes": dataset.classes}, target="y")
    for one, other in zip(arrays(dataset), arrays(again), strict=True):
        np.testing.assert_array_equal(one, other)


OTHERS: dict[str, tuple[dict[str, list[str]], str]] = {
    "lacks a column": ({"size": SIZES, "y": COUNTS}, "lacks columns that the model was trained on: 'color'; there are"),
    "another text": (
        {"size": SIZES, "color": ["pink"] * 20, "y": COUNTS},
        "column 'color' has 'pink', which the model",
    ),
    "another class": (
        {"size": SIZES, "color": COLORS, "y": ["7"] * 20},
        "column 'y' has '7', which the model has never",
    ),
    "texts for numbers": ({"size": COLORS, "color": COLORS, "y": COUNTS}, "column 'size' has texts ('red', 'blue'"),
    "a word among numbers": (
        {"size": ["1", "2", "x", *SIZES[3:]], "color": COLORS, "y": COUNTS},
        "column 'size' has numbers, and 'x' in row 4: correct these",
    ),
    "missing": (
        {"size": ["", *SIZES[1:]], "color": COLORS, "y": COUNTS},
        "has missing values in 'size' (row 2): fill them in, or leave these rows out",
    ),
    "few of them words": (
        {"size": [*SIZES[:6], *["x", "?"] * 7], "color": COLORS, "y": COUNTS},
        "column 'size' has texts ('x', '?'), where the model takes numbers",
    ),
}


@pytest.mark.parametrize("case", OTHERS)
def test_rows_that_the_model_cannot_take_are_refused(like: dict[str, Any], case: str) -> None:
    columns, line = OTHERS[case]
    with pytest.raises(DataError) as refused:
        read(table(**columns), like, target="y")
    assert str(refused.value).startswith(f"t.csv: {line}")
    assert "data.drop" not in str(refused.value)  # the model has these features


@pytest.mark.parametrize(
    "columns",
    [None, 3, [3], [{"name": 3}], [{"name": "size", "values": []}], [{"name": "size", "values": ["a", "a"]}], [{}]],
)
def test_damaged_columns_of_a_config_are_refused(columns: object) -> None:
    Path("rows.csv").write_text(table(size=SIZES))
    with pytest.raises(DataError, match="the config of the model is damaged: 'columns'"):
        read_features(Path("rows.csv"), "csv", columns)


def test_features_that_do_not_fit_into_memory_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("zoo.memory.memory_bytes", lambda: 100)
    with pytest.raises(UsageError, match="20 rows of 1 features needs 160 bytes of memory"):
        read(table(x=SIZES, y=COUNTS), target="y")
