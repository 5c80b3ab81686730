"""CSV and TSV as people and programs write them: the same cells, or one line that says what is wrong and where."""

from __future__ import annotations

import csv
import io
import itertools

import pytest

from zoo.data.tables import parsing
from zoo.data.tables.parsing import Table
from zoo.errors import DataError, UsageError

HEADER = ("name", "note", "size")
CELLS = (
    ("ann", "plain", "1.5"),
    ("bo,b", 'says "hi"', "-2"),
    ("ce;l", "two\nlines", "3e5"),
    ("d\te", "", "0"),
    ("é|ñ", "  spaces ", "7"),
)
PLAIN = (("ann", "plain", "1.5"), ("bob", "", "-2"), ("é", "x y", "3e5"))
QUOTING = {"all": csv.QUOTE_ALL, "where needed": csv.QUOTE_MINIMAL, "texts": csv.QUOTE_NONNUMERIC}
LINE_ENDS = ("\n", "\r\n", "\r")


def written(
    rows: tuple[tuple[str, ...], ...], separator: str, quoting: int, line_end: str, *, bom: bool, ended: bool
) -> bytes:
    """The same rows as other programs write them."""
    text = io.StringIO(newline="")
    writer = csv.writer(text, delimiter=separator, quoting=quoting, lineterminator=line_end)  # type: ignore[arg-type]  # of csv
    writer.writerows([HEADER, *rows])
    content = text.getvalue() if ended else text.getvalue().removesuffix(line_end)
    return (b"\xef\xbb\xbf" if bom else b"") + content.encode()


def rows_of(table: Table) -> list[tuple[str, ...]]:
    return [row for chunk in table.chunks() for row in zip(*chunk, strict=True)]


@pytest.mark.parametrize("separator", [",", ";", "\t", "|"])
@pytest.mark.parametrize("quoting", QUOTING)
@pytest.mark.parametrize("line_end", LINE_ENDS)
def test_all_ways_to_write_a_table_give_the_same_cells(separator: str, quoting: str, line_end: str) -> None:
    cells = tuple(tuple(cell.replace("\n", line_end) for cell in row) for row in CELLS)
    for rows, bom, ended in itertools.product((cells, PLAIN), (True, False), (True, False)):
        content = written(rows, separator, QUOTING[quoting], line_end, bom=bom, ended=ended)
        table = Table(content)
        assert table.separator == separator
        assert (table.names, table.has_header) == (HEADER, True)
        # White space after a separator is not part of a value that is not quoted: `1, 2`.
        assert [tuple(map(str.strip, row)) for row in rows_of(table)] == [tuple(map(str.strip, row)) for row in rows]
        assert [tuple(map(str.strip, row)) for row in rows_of(Table(content, separator))] == [
            tuple(map(str.strip, row)) for row in rows
        ]


@pytest.mark.parametrize("rows", [1, 2, 3, 100])
def test_rows_have_the_numbers_of_a_spreadsheet(monkeypatch: pytest.MonkeyPatch, rows: int) -> None:
    monkeypatch.setattr(parsing, "ROWS", rows)
    table = Table(b"\na,b\n\n1,2\n,\n\n3,4\n5,6\n\n")
    assert rows_of(table) == [("1", "2"), ("3", "4"), ("5", "6")]
    assert [table.row(index) for index in range(3)] == [4, 7, 8]
    headless = Table(b"1,2\n\n3,4\n")
    assert rows_of(headless) == [("1", "2"), ("3", "4")]
    assert [headless.row(index) for index in range(2)] == [1, 3]


HEADERS = {
    "a,b\nx,1\n": (True, ("a", "b")),
    "emma,F,20355\nliam,M,19837\n": (False, ("1", "2", "3")),
    ",a\n0,1\n": (True, ("1", "a")),  # as pandas writes the index of rows
    " a , b \nx,1\n": (True, ("a", "b")),
    "name\nann\n": (True, ("name",)),
    "3\n4\n": (False, ("1",)),
    "x1,x2\n1,2\n": (True, ("x1", "x2")),
    "1,5;2,5\n1,5;2,5\n": (False, ("1", "2")),
}


@pytest.mark.parametrize("text", HEADERS)
def test_a_first_row_with_a_number_is_no_header(text: str) -> None:
    table = Table(text.encode())
    assert (table.has_header, table.names) == HEADERS[text]
    assert Table(text.encode(), header=True).has_header
    assert Table(text.encode(), header=False).names == tuple(map(str, range(1, len(table.names) + 1)))


SEPARATORS = {
    "a,b;c\n1,2;3\n": ";",
    "a,b\nx;y,1\nz;w,2\n": ",",
    "a;b\n1,5;2,5\n3,5;4,5\n": ";",
    "a\tb,c\nx\t1,2,3\n": "\t",
    "a|b\n1|2\n": "|",
    "a\nb\n": ",",
    "sep=;\na;b\n1;2\n": ";",
    "a,b\n1,2\n3\n": ",",  # ragged, which is refused later
}


@pytest.mark.parametrize("text", SEPARATORS)
def test_the_separator_is_what_splits_the_rows_evenly(text: str) -> None:
    assert Table(text.encode()).separator == SEPARATORS[text]


def test_the_first_line_of_excel_is_no_row() -> None:
    table = Table(b"sep=;\na;b\n1;2\n3;4\n")
    assert (table.names, rows_of(table)) == (("a", "b"), [("1", "2"), ("3", "4")])
    assert table.row(0) == 3


WRONG: dict[str, tuple[bytes, str]] = {
    "empty": (b"", "is empty"),
    "white space": (b" \n\n", "is empty"),
    "only separators": (b",,\n,,\n", "is empty"),
    "a spreadsheet": (b"PK\x03\x04....", "is a spreadsheet, not a text file: save it as CSV"),
    "UTF-16": ("a,b\n1,2\n".encode("utf-16"), "is UTF-16 text: save it as UTF-8"),
    "binary": (b"a,b\n\0,1\n", "is not a text file"),
    "Latin-1": ("a,b\né,1\n".encode("latin-1"), "is not UTF-8 text (byte 4): save it as UTF-8"),
    "Latin-1, later": (b"a,b\n" + b"x,1\n" * 9000 + b"\xe9,1\n", "is not UTF-8 text (byte 36004)"),
    "a short row": (b"a,b\n1,2\n3\n", "row 3 has 1 field, and the header has 2: a value with a comma in it must be"),
    "a long row": (b"a,b\n1,2\n\n3,4,5\n", "row 4 has 3 fields, and the header has 2"),
    "a long row without header": (b"1,2\n3,4,5\n", "row 2 has 3 fields, and the header of the first row has 2"),
    "a short row, later": (b"a;b\n" + b"x;1\n" * 9000 + b"3\n", "row 9002 has 1 field, and the header has 2: a value"),
    "an open quote": (b'a,b\n1,2\n3,"4\n5,6\n', "line 3 has a quote that is never closed"),
    "a quote within": (b'a,b\n1,2\n"3"x,4\n', "line 3 has a quote within a field that is not quoted as a whole"),
    "two columns of a name": (b"a,b,a\n1,2,3\n", "has several columns called 'a' (1, 3): rename all but one"),
}


@pytest.mark.parametrize("case", WRONG)
def test_what_is_no_table_is_refused_where_it_is_wrong(case: str) -> None:
    content, line = WRONG[case]
    with pytest.raises(DataError) as refused:
        rows_of(Table(content))
    assert str(refused.value).startswith(line)


def test_a_very_long_field_is_read_and_the_limit_of_csv_put_back() -> None:
    before = csv.field_size_limit(131_071)  # of the caller
    assert rows_of(Table(b"a,b\n1,2\n")) == [("1", "2")]
    assert csv.field_size_limit(131_072) == 131_071
    assert rows_of(Table(b"a,b\n" + b"x" * 500_000 + b",1\n")) == [("x" * 500_000, "1")]
    with pytest.raises(DataError):
        rows_of(Table(b'a\n"' + b"x" * 500_000))
    assert csv.field_size_limit(before) == 131_072


def test_columns_by_name_or_number() -> None:
    table = Table(b"size,2,name\n1,x,y\n", header=True)
    assert [table.index(name, "--column") for name in ("size", "2", "name", "1", "3")] == [0, 1, 2, 0, 2]
    with pytest.raises(UsageError, match=r"--column 'sise' is no column of this table; did you mean 'size'\?"):
        table.index("sise", "--column")
    for number in ("0", "4", "²"):
        with pytest.raises(UsageError, match="is no column of this table"):
            table.index(number, "--column")
    with pytest.raises(UsageError, match="there are 2, called by number"):
        Table(b"1,2\n3,4\n").index("x", "--target")
