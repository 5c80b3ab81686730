"""The text of a table: its separator, its header, and its cells, some thousand rows at a time.

Python's own `csv` splits the lines. pandas, polars and pyarrow are 3 to 20 times as fast, and 30 to 150 MB to install,
for a file that is read once before minutes of training; and each repairs rows, types and encodings in its own way,
where what does not fit must be told.
"""

from __future__ import annotations

import bisect
import contextlib
import csv
import io
import itertools
from collections import Counter
from collections.abc import Iterator, Sequence
from typing import Any

from zoo.errors import DataError, UsageError, suggest
from zoo.numbers import show_value
from zoo.phrasing import setting
from zoo.text import shown

ROWS = 1 << 11  # that are read at once: their cells fit into the processor's cache

_BOMS_UTF16 = (b"\xff\xfe", b"\xfe\xff")
_ZIP = b"PK\x03\x04"  # an Excel or OpenDocument file is a ZIP
_SAMPLE_BYTES = 1 << 16
_SAMPLE_ROWS = 20
# The comma is last: it may also be in each number of a table with another one.
_SEPARATORS = {";": "semicolons", "\t": "tabs", "|": "vertical bars", ",": "commas"}
_MOST_NAMES = 20  # columns that a message lists

Cells = tuple[str, ...]


class Table:
    """A table of a CSV or TSV file (RFC 4180): fields may be quoted, and then have separators, line ends and quotes.

    Lines end with a newline, a carriage return, or both; blank ones are skipped. The text is UTF-8, with or without a
    byte order mark. The first row is the header, unless it has a number in it: then columns are called `1`, `2`, ...

    Args:
        content: of the file.
        separator: between fields; None for a comma, semicolon, tab or vertical bar, whichever splits the rows evenly.
        header: whether the first row has the names of the columns; None if that is to be found out.

    Attributes:
        names: of the columns.
        separator: between fields.
        has_header: whether the first row is one.

    Raises:
        DataError: it is empty or not text, or two columns have the same name.
    """

    def __init__(self, content: bytes, separator: str | None = None, *, header: bool | None = None) -> None:
        _check_text(content)
        self._content = content
        self.separator = separator or _separator(_start(content))
        self._skip = 1 if _start(content)[:4].lower() == "sep=" else 0  # with which Excel states the separator
        first = next((fields for batch in self._batches() for fields in batch if any(fields)), None)
        if first is None:
            raise DataError("is empty: it must have a row with the names of the columns, and rows of values")
        self.has_header = not any(map(_is_number, first)) if header is None else header
        named = [name.strip() for name in first] if self.has_header else [""] * len(first)
        self.names = tuple(name or str(number) for number, name in enumerate(named, start=1))
        self._gaps: list[int] = []  # of each blank row and the header: how many rows of values are before it
        self._check_names()

    def chunks(self) -> Iterator[list[Cells]]:
        """The cells of each column, `ROWS` at a time at most.

        Raises:
            DataError: a row has more or fewer fields than the header, or a quote is never closed.
        """
        width, count = len(self.names), 0
        gaps = self._gaps = []
        header_is_next = self.has_header
        for batch in self._batches():
            first = next((index for index, fields in enumerate(batch) if any(fields)), None)
            if header_is_next and first is not None:
                batch[first] = []
                header_is_next = False
            rows = [fields for fields in batch if any(fields)]
            if len(rows) != len(batch):
                gaps += _gaps_in(batch, count)
            if set(map(len, rows)) - {width}:
                self._refuse_ragged(rows, count)
            if rows:
                yield list(zip(*rows, strict=True))
            count += len(rows)

    def row(self, index: int) -> int:
        """The number of a row of values in the file, as a spreadsheet shows it: from 1, header and blank rows counted.

        It is known once the row has been read.
        """
        return index + 1 + bisect.bisect_right(self._gaps, index) + self._skip

    def index(self, name: str, option: str) -> int:
        """The index of a column by its name, or else by its number from 1.

        Raises:
            UsageError: there is none.
        """
        if name in self.names:
            return self.names.index(name)
        if name.isascii() and name.isdigit() and 0 < int(name) <= len(self.names):
            return int(name) - 1
        near = suggest(name, self.names) if self.has_header else f"there are {len(self.names)}, called by number"
        raise UsageError(f"{option} {show_value(name)} is no column of this table; {near}")

    def listed(self) -> str:
        """The names of the columns, for a message."""
        more = f" and {len(self.names) - _MOST_NAMES} more" if len(self.names) > _MOST_NAMES else ""
        return ", ".join(map(shown, self.names[:_MOST_NAMES])) + more

    @property
    def layout(self) -> str:
        """What is unusual about how it is written, for a message; empty for a header and commas or tabs."""
        parts = [] if self.separator in ",\t" else [f"separated by {_SEPARATORS[self.separator]}"]
        parts += [] if self.has_header else ["no header, so columns are called by number"]
        return ", ".join(parts)

    def _reader(self) -> Any:
        text = io.TextIOWrapper(io.BytesIO(self._content), encoding="utf-8-sig", newline="")
        return csv.reader(text, delimiter=self.separator, strict=True, skipinitialspace=True)

    def _batches(self) -> Iterator[list[list[str]]]:
        """All rows, `ROWS` at a time; the header and blank ones are among them."""
        reader = self._reader()
        with self._reading(reader):
            list(itertools.islice(reader, self._skip))
        batch: list[list[str]] = []
        while True:
            with self._reading(reader):
                batch = list(itertools.islice(reader, ROWS))
            if not batch:
                return
            yield batch

    @contextlib.contextmanager
    def _reading(self, reader: Any) -> Iterator[None]:
        """Say where the text is no table."""
        try:
            with _long_fields():
                yield
        except csv.Error as error:
            line = reader.line_num
            if "unexpected end of data" in str(error):
                raise DataError(f"line {self._last_start()} has a quote that is never closed") from error
            raise DataError(
                f"line {line} has a quote within a field that is not quoted as a whole: write it twice, as in "
                '"a ""quoted"" word"'
            ) from error
        except UnicodeDecodeError as error:
            raise DataError(_not_utf8(self._content)) from error

    def _last_start(self) -> int:
        """The line, from 1, in which the row begins that cannot be read."""
        reader, start = self._reader(), 1
        with _long_fields(), contextlib.suppress(csv.Error):
            for _ in reader:
                start = reader.line_num + 1
        return start

    def _check_names(self) -> None:
        twice = [name for name, count in Counter(self.names).items() if count > 1]
        if twice:
            at = [number for number, name in enumerate(self.names, start=1) if name == twice[0]]
            what = f"has several columns called {shown(twice[0])} ({', '.join(map(str, at[:3]))})"
            raise DataError(
                f"{what}: rename all but one, or, if the first row is no header, add {setting('data.header', False)}"
            )

    def _refuse_ragged(self, rows: Sequence[Sequence[str]], count: int) -> None:
        width = len(self.names)
        index, fields = next((index, fields) for index, fields in enumerate(rows) if len(fields) != width)
        has = "has" if self.has_header else "of the first row has"
        raise DataError(
            f"row {self.row(count + index)} has {len(fields)} field{'s' * (len(fields) != 1)}, and the header {has} "
            f"{width}: a value with a {_SEPARATORS[self.separator][:-1]} in it must be in double quotes"
        )


def _gaps_in(batch: Sequence[Sequence[str]], count: int) -> list[int]:
    """How many rows of values there are before each row without any; `count` are before the batch."""
    gaps = []
    for fields in batch:
        if any(fields):
            count += 1
        else:
            gaps.append(count)
    return gaps


@contextlib.contextmanager
def _long_fields() -> Iterator[None]:
    """Fields of any length, which `csv` takes 131,072 characters of: a limit of the whole process, put back after."""
    before = csv.field_size_limit(2**31 - 1)
    try:
        yield
    finally:
        csv.field_size_limit(before)


def _check_text(content: bytes) -> None:
    if not content or content.isspace():
        raise DataError("is empty: it must have a row with the names of the columns, and rows of values")
    if content.startswith(_ZIP):
        raise DataError("is a spreadsheet, not a text file: save it as CSV (in Excel: 'CSV UTF-8')")
    if content.startswith(_BOMS_UTF16):
        raise DataError("is UTF-16 text: save it as UTF-8 (in Excel: 'CSV UTF-8')")
    if b"\0" in content:
        raise DataError("is not a text file: a table is CSV or TSV, in UTF-8")


def _start(content: bytes) -> str:
    """The first lines."""
    part = content[:_SAMPLE_BYTES]
    if len(part) < len(content):
        part = part[: max(part.rfind(b"\n"), part.rfind(b"\r")) + 1] or part
    return part.decode("utf-8-sig", errors="replace")


def _separator(start: str) -> str:
    """What splits the first rows into the same number of fields; or else the header into most."""
    if start[:4].lower() == "sep=" and start[4:5] in _SEPARATORS:
        return start[4]
    widths: dict[str, list[int]] = {}
    for separator in _SEPARATORS:
        reader = csv.reader(io.StringIO(start, newline=""), delimiter=separator, skipinitialspace=True)
        with contextlib.suppress(csv.Error):
            rows = (fields for fields in reader if any(fields))
            widths[separator] = [len(fields) for fields in itertools.islice(rows, _SAMPLE_ROWS)]
    empty = [separator for separator, found in widths.items() if not found]  # nothing is between these
    even = empty or [separator for separator, found in widths.items() if len(set(found)) == 1 and found[0] > 1]
    most = max(reversed(widths), key=lambda separator: (widths[separator] or [0])[0], default=",")
    return even[0] if even else most


def _is_number(cell: str) -> bool:
    return any(map(str.isdigit, cell)) and is_number(cell.strip().replace(",", "."))


def is_number(cell: str) -> bool:
    """Whether a cell is a number; NaN and infinity are written as such."""
    try:
        float(cell)
    except ValueError:
        return False
    return "_" not in cell


def _not_utf8(content: bytes) -> str:
    try:
        content.decode()
    except UnicodeDecodeError as error:
        return f"is not UTF-8 text (byte {error.start}): save it as UTF-8 (in Excel: 'CSV UTF-8')"
    return "is not UTF-8 text"
