"""What is said of the columns of a table."""

from __future__ import annotations

from pathlib import Path

import pytest

from zoo.data.tables.columns import MOST_VALUES
from zoo.data.tables.summary import ColumnSummary, summarize_table
from zoo.errors import DataError


def test_columns_of_each_kind() -> None:
    rows = [f"{i};{i},5;{'ab'[i % 3 == 0]};{'' if i else 'NA'};{'x' if i == 8 else i}" for i in range(9)]
    Path("t.csv").write_text("\n".join(["n;half;text;none;mixed", *rows]))
    found = summarize_table(Path("t.csv"), "csv")
    assert (found.rows, found.layout) == (9, "separated by semicolons")
    number, half, text, none, mixed = found.columns
    assert number == ColumnSummary("n", "numbers", 9, 0, 0.0, 4.0, 8.0, {}, [])
    assert (half.least, half.mean, half.most) == (0.5, 4.5, 8.5)
    assert (text.kind, text.different, text.frequent) == ("texts", 2, {"a": 6, "b": 3})
    assert (none.kind, none.missing, none.different, none.least) == ("numbers", 9, 0, None)
    assert (mixed.kind, mixed.stray) == ("texts", [("x", 10)])
    assert found.as_json()["columns"][2]["frequent"] == {"a": 6, "b": 3}


def test_many_texts_are_not_counted() -> None:
    Path("t.tsv").write_text("key\tx\n" + "".join(f"k{i}\t1\n" for i in range(MOST_VALUES + 1)))
    assert summarize_table(Path("t.tsv"), "tsv").columns[0] == ColumnSummary(
        "key", "texts", None, 0, None, None, None, {}, []
    )


@pytest.mark.parametrize(("content", "line"), [("", "t.csv: is empty"), ("a,b\n1\n", "t.csv: row 2 has 1 field")])
def test_what_is_no_table(content: str, line: str) -> None:
    Path("t.csv").write_text(content)
    with pytest.raises(DataError, match=line):
        summarize_table(Path("t.csv"), "csv")
    with pytest.raises(DataError, match=r"cannot read no\.csv"):
        summarize_table(Path("no.csv"), "csv")
