"""Numbers and texts of a table's columns, whole or in parts."""

from __future__ import annotations

import math

import numpy as np
import pytest

from zoo.data.tables import parsing
from zoo.data.tables.columns import MISSING, Column, read_columns
from zoo.data.tables.parsing import Table


def column_of(cells: list[str], *, separator: str = ",") -> Column:
    rows = "".join(f'"{cell}"{separator}x\n' for cell in cells)
    (column,), count = read_columns(Table(f"a{separator}b\n{rows}".encode(), separator), [0])
    assert count == len(cells)
    return column


NUMBERS = {"1": 1.0, "-2.5": -2.5, " 3 ": 3.0, "4e-3": 0.004, "+5": 5.0, ".5": 0.5, "1E3": 1000.0, "007": 7.0}


@pytest.mark.parametrize("rows", [1, 3, 100])
@pytest.mark.parametrize("separator", [",", ";", "\t"])
def test_numbers_of_all_notations(monkeypatch: pytest.MonkeyPatch, separator: str, rows: int) -> None:
    monkeypatch.setattr(parsing, "ROWS", rows)
    column = column_of([*NUMBERS], separator=separator)
    assert column.numbers is not None
    assert column.numbers.tolist() == list(NUMBERS.values())
    assert (column.missing, column.stray, column.decimal_comma) == ([], [], False)


@pytest.mark.parametrize("rows", [1, 3, 100])
@pytest.mark.parametrize("separator", [";", "\t", "|"])
def test_decimal_commas_where_the_separator_is_another(
    monkeypatch: pytest.MonkeyPatch, separator: str, rows: int
) -> None:
    monkeypatch.setattr(parsing, "ROWS", rows)
    column = column_of(["1,5", "2", "-3,25", "", "1e3"], separator=separator)
    assert column.numbers is not None
    np.testing.assert_array_equal(column.numbers, [1.5, 2, -3.25, math.nan, 1000])
    assert (column.missing, column.decimal_comma) == ([3], True)


NO_NUMBERS = ["1,5", "1_000", "1.000,5", "12 kg", "0x10", "$5", "1-2", "--", "one", "1\n2"]


@pytest.mark.parametrize("rows", [1, 2, 100])
@pytest.mark.parametrize("cell", NO_NUMBERS)
def test_a_cell_that_is_no_number_is_told_with_its_row(monkeypatch: pytest.MonkeyPatch, cell: str, rows: int) -> None:
    monkeypatch.setattr(parsing, "ROWS", rows)
    column = column_of(["1.5", "2", "3", cell, "5"])
    assert column.numbers is None
    assert column.stray[0] == (cell, 5)
    assert column.values == ["1.5", "2", "3", cell, "5"]
    assert column.codes is not None
    assert column.codes.tolist() == [0, 1, 2, 3, 4]


@pytest.mark.parametrize("rows", [1, 2, 100])
def test_points_and_commas_do_not_mix(monkeypatch: pytest.MonkeyPatch, rows: int) -> None:
    monkeypatch.setattr(parsing, "ROWS", rows)
    column = column_of(["1.5", "2.5", "3.5", "1,5", "2.5"], separator=";")
    assert (column.numbers, column.stray) == (None, [("1,5", 5)])
    column = column_of(["1,5", "2,5", "3,5", "1.5"], separator=";")
    assert (column.numbers, column.stray) == (None, [("1.5", 5)])


@pytest.mark.parametrize("rows", [1, 2, 100])
@pytest.mark.parametrize("missing", sorted(MISSING | {cell.upper() for cell in MISSING} | {" ", "NaN", "Null"}))
@pytest.mark.parametrize("other", ["1", "red"])
def test_missing_values_are_found_by_row(monkeypatch: pytest.MonkeyPatch, missing: str, other: str, rows: int) -> None:
    monkeypatch.setattr(parsing, "ROWS", rows)
    column = column_of([other, missing, other, other, missing])
    assert column.missing == [1, 4]
    assert (column.numbers is None) == (other == "red")
    assert column.different == 1


def test_texts_of_few_values_and_of_many() -> None:
    few = column_of(["b", "a", "b", " a "])
    assert (few.values, few.stray) == (["b", "a"], [])
    assert few.codes is not None
    assert few.codes.tolist() == [0, 1, 0, 1]
    many = column_of([f"k{i}" for i in range(3000)])
    assert (many.codes, many.different) == (None, 1001)


def test_texts_that_are_wanted_keep_their_zeros() -> None:
    (column,), _ = read_columns(Table(b"zip\n01234\n1234\n01234\n", header=True), [0], texts=[0])
    assert (column.numbers, column.values) == (None, ["01234", "1234"])
